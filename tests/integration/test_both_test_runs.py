"""The tests of a Python project and of its frontend, run by a real shell."""

import json
import subprocess
from pathlib import Path

import pytest

from codebot.domain.tree import Tree
from codebot.verify.command import find_test_command


@pytest.mark.parametrize(
    ("python", "node", "ended"), [(0, 0, 0), (5, 0, 5), (0, 3, 3), (1, 3, 3)], ids=str
)
def test_the_frontend_is_tested_whatever_the_python_tests_say_and_no_failure_is_lost(
    python: int, node: int, ended: int, tmp_path: Path
) -> None:
    for program, code in (("pytest", python), ("npm", node)):
        script = tmp_path / program
        script.write_text(
            f'#!/bin/sh\necho "{program}${{1:+ $1}}"\nexit $(test "$1" = run || echo {code})\n'
        )
        script.chmod(0o755)
    scripts = {"test": "mocha", "build": "tsc"}
    manifest = json.dumps({"scripts": scripts, "main": "dist/a.js"}).encode()
    paths = frozenset({"package.json", "package-lock.json", "pytest.ini"})
    found = find_test_command(None, Tree(paths, {"package.json": manifest, "pytest.ini": b""}))
    assert found is not None
    run = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", found.command],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout.split("\n")) == (
        ended,
        ["npm run", "pytest", "npm test", ""],
    )
