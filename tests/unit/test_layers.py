import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src" / "codebot").rglob("*.py"))
LONGEST_FUNCTION = 60
MAY_CATCH_EVERYTHING = {"cli/entry.py", "queue/worker.py", "intake/gate.py"}
"""The places where a bug becomes words: the command line, the worker loop, the HTTP handler."""


def test_the_layers_hold() -> None:
    check = [Path(sys.executable).parent / "lint-imports", "--no-logo"]
    ended = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_function_is_too_long_to_read(module: Path) -> None:
    for node in _nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{module}:{node.lineno} {node.name}"


def test_only_three_places_catch_everything() -> None:
    places = {
        str(module.relative_to(ROOT / "src" / "codebot"))
        for module in MODULES
        for node in _nodes(module)
        if isinstance(node, ast.ExceptHandler) and _is_blind(node)
    }
    assert places <= MAY_CATCH_EVERYTHING


def _nodes(module: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(module.read_text()))


def _is_blind(handler: ast.ExceptHandler) -> bool:
    blind = {"Exception", "BaseException"}
    return handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in blind)
