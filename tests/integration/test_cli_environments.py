"""`codebot environments` as a process: lists what is kept, removes what no task stands on."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from codebot.workspace.layers import HeldLayer, LayerKey, Layers
from codebot.workspace.shelf import Shelf


async def fill(tree: Path, home: Path) -> Mapping[str, str]:
    (home / "venv").write_text("x" * 2_000_000)
    return {"recipe": "uv.lock"}


@pytest.fixture
async def held(tmp_path: Path) -> HeldLayer:
    mirror = tmp_path / "codebot_data" / "mirrors" / "github.com" / "acme" / "shop.git"
    layers = Layers(Shelf(tmp_path / "codebot_data" / "environments"))
    return await layers.hold(LayerKey(str(mirror), "main", "uv sync"), fill)


def environments(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "codebot", "environments", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_what_is_kept_is_listed_with_where_it_came_from(
    tmp_path: Path, held: HeldLayer
) -> None:
    head, line = environments(tmp_path, "list").stdout.splitlines()
    assert head.split()[0] == "NAME"
    assert line.startswith(held.tree.parent.name[:12])
    assert line.split()[-3:] == ["github.com/acme/shop", "main", "uv.lock"]
    (told,) = json.loads(environments(tmp_path, "list", "--json").stdout)
    assert (told["name"], told["recipe"]) == (held.tree.parent.name, "uv.lock")
    assert told["size"] > 1_900_000


async def test_what_a_task_stands_on_is_not_removed(tmp_path: Path, held: HeldLayer) -> None:
    name = held.tree.parent.name
    refused = environments(tmp_path, "remove", name[:6])
    assert refused.returncode == 2
    assert f"A task stands on {name[:12]}." in refused.stderr
    held.hold.release()
    assert environments(tmp_path, "remove", name[:6]).stdout == "1 removed.\n"
    assert environments(tmp_path, "list").stdout == "No environment is kept.\n"


async def test_a_name_that_means_nothing_removes_nothing(tmp_path: Path, held: HeldLayer) -> None:
    held.hold.release()
    for arguments in (("remove",), ("remove", "zzz")):
        assert environments(tmp_path, *arguments).returncode == 2
    assert environments(tmp_path, "remove", "--all").stdout == "1 removed.\n"


def test_what_must_be_said_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    assert environments(tmp_path).stderr.rstrip().endswith("arguments are required: what")
