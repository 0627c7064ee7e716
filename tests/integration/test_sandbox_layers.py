"""Boxes whose folders have layers below them: one at a time on each, and again after a crash."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.program import find_bubblewrap
from codebot.sandbox.uppers import reap_scratch
from fakes.egress import NoEgress

SUCCESS = Exit(ExitReason.EXITED, 0)
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Place:
    """A folder with a tree, a HOME, and two layers for each."""

    top: Path
    sandbox: BubblewrapSandbox

    def spec(self, script: str, **more: Any) -> BoxSpec:
        fields: dict[str, Any] = {
            "layers": (self.top / "upper layer", self.top / "lower, layer"),
            "home_layers": (self.top / "home:layer",),
            **more,
        }
        return BoxSpec(
            task_id=TaskId("task-1"),
            argv=("sh", "-c", script),
            workspace=self.top / "task" / "tree",
            home=self.top / "task" / "home",
            network=Network.NONE,
            timeout=timedelta(seconds=30),
            **fields,
        )

    async def run(self, script: str, **more: Any) -> tuple[Exit, str]:
        box = await self.sandbox.start(self.spec(script, **more))
        said = b"".join([line async for line in box.stdout()])
        return await box.wait(), said.decode() + box.stderr_tail()


def open_place(top: Path) -> Place:
    sandbox = BubblewrapSandbox(find_bubblewrap(), path=PATH, mark=str(top), egress=NoEgress())
    return Place(top, sandbox)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    for name in ("task/tree", "task/home", "upper layer", "lower, layer", "home:layer"):
        (tmp_path / name).mkdir(parents=True, mode=0o700)
    (tmp_path / "upper layer" / "both").write_text("upper")
    for name in ("both", "below"):
        (tmp_path / "lower, layer" / name).write_text("lower")
    (tmp_path / "home:layer" / "kept").write_text("home")
    place = open_place(tmp_path)
    yield place
    assert await place.sandbox.reap() == 0


async def test_the_topmost_layer_is_seen_first_and_what_a_box_writes_above_all(
    place: Place,
) -> None:
    read = "cat both below ~/kept"
    assert await place.run(f"{read}; echo -n mine > both") == (SUCCESS, "upperlowerhome")
    assert await place.run(read) == (SUCCESS, "minelowerhome")
    assert (place.top / "task" / "tree" / "both").read_text() == "mine"
    assert (place.top / "upper layer" / "both").read_text() == "upper"


async def test_what_is_written_belongs_to_the_service_on_disk(place: Place) -> None:
    await place.run("echo > both; mkdir new; rm below; touch ~/x")
    top = place.top / "task"
    owners = {path.lstat().st_uid for path in top.rglob("*") if not path.is_char_device()}
    assert owners == {os.getuid()}


async def test_two_boxes_cannot_write_into_one_folder_at_once(place: Place) -> None:
    first = await place.sandbox.start(place.spec("sleep 60"))
    with pytest.raises(SandboxError, match=r"Another box is writing to .*tree"):
        await place.run("true")
    await first.kill()
    assert await place.run("true") == (SUCCESS, "")


async def test_a_start_that_fails_leaves_the_folders_free(place: Place) -> None:
    broken = place.spec("true", env={"A": "a\0b"})
    with pytest.raises(SandboxError):
        await place.sandbox.start(broken)
    assert not list((place.top / "task").glob("*.scratch"))
    assert await place.run("true") == (SUCCESS, "")


async def test_a_layer_that_is_gone_is_named(place: Place) -> None:
    with pytest.raises(SandboxError, match="no-layer: No such file"):
        await place.run("true", layers=(place.top / "no-layer",))


async def test_no_scratch_folder_outlives_its_box(place: Place) -> None:
    await place.run("true")
    assert sorted(path.name for path in (place.top / "task").iterdir()) == ["home", "tree"]


async def test_a_box_goes_on_where_a_killed_service_left_it(place: Place) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from integration.test_sandbox_layers import open_place\n"
        "async def main():\n"
        "    place = open_place(pathlib.Path(sys.argv[1]))\n"
        "    words = 'echo -n mine > both; mv below moved; echo up; sleep 60'\n"
        "    box = await place.sandbox.start(place.spec(words))\n"
        "    print(await anext(box.stdout()), flush=True)\n"
        "    await box.wait()\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(place.top)),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=PIPE,
    )
    assert service.stdout
    assert b"up" in await service.stdout.readline()
    assert reap_scratch(place.top) == 0, "its box runs"
    service.kill()
    await service.wait()
    await place.sandbox.reap()
    assert reap_scratch(place.top) == 2
    assert await place.run("cat both moved; ls") == (SUCCESS, "minelowerboth\nmoved\n")
    assert not list((place.top / "task").glob("*.scratch"))


async def test_without_a_box_layers_are_refused(place: Place) -> None:
    with pytest.raises(SandboxError, match="Without a box"):
        await DirectSandbox(path=PATH, mark=str(place.top)).start(place.spec("true"))
