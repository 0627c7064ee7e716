import ast
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

    monkeypatch.setattr(launcher, "stage", stage)

    with pytest.raises(SystemExit) as ended:
        launcher.begin({"group": None, "network": False, "uid": 1, "mounts": [{}]})

    assert ended.value.code == f"launcher: {words}"


def test_what_runs_in_every_box_imports_nothing_that_takes_long() -> None:
    source = files("codebot.sandbox").joinpath("shim.py").read_text()
    names = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert names <= {"_signal", "_socket", "os", "sys"}
