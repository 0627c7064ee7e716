import ast
import marshal
import os
import sys
from importlib.resources import files

import pytest

from codebot.sandbox import launcher


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("this system allows no user namespaces"), "this system allows no user namespaces"),
        (OSError(1, "Operation not permitted", "/a"), "/a: Operation not permitted"),
        (OSError(1, "Operation not permitted"), "Operation not permitted"),
    ],
)
def test_what_stands_in_the_way_of_a_box_is_said_with_what_is_known_of_it(
    error: OSError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(*_: object) -> None:
        raise error

    plan, told = os.pipe()
    with os.fdopen(told, "wb") as file:
        marshal.dump({"uid": 1, "parent": 1, "network": False, "mounts": [{}]}, file)
    monkeypatch.setattr(launcher, "stage", stage)
    monkeypatch.setattr(launcher, "die_with", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["launcher", str(plan), "true"])

    with pytest.raises(SystemExit) as ended:
        launcher.main()

    assert ended.value.code == f"launcher: {words}"


@pytest.mark.parametrize("program", ["launcher", "shim"])
def test_what_runs_for_every_box_imports_nothing_that_takes_long(program: str) -> None:
    source = files("codebot.sandbox").joinpath(f"{program}.py").read_text()
    names = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert names <= {"_signal", "_socket", "ctypes", "marshal", "os", "sys"}
