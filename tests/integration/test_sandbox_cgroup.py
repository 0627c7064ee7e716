"""Control groups of boxes, on a folder that stands for the kernel's."""

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from codebot.app import boxes
from codebot.app.checks import check_parts
from codebot.domain.box import BoxLimits
from codebot.errors import SandboxError
from codebot.sandbox.cgroup import Cgroups, Group, find_cgroups
from codebot.sandbox.fork_server import ForkServer, Order
from codebot.settings import Command, read_settings
from codebot.telemetry.redaction import Redactor
from fakes.forked import said_by

LIMITS = BoxLimits(memory=1000, processes=7)
UNIT = "system.slice/codebot.service"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Give a file system of control groups in which a service was given its own group."""
    own = tmp_path / "cgroup" / UNIT
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.procs").touch()
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(f"5:devices:/\n0::/{UNIT}\n")
    mount = f"30 23 0:26 / {tmp_path / 'cgroup'} rw,nosuid - cgroup2 cgroup2 rw\n"
    (proc / "mountinfo").write_text(f"23 1 8:1 / / rw - ext4 /dev/sda rw\n{mount}")
    return tmp_path


def found(top: Path) -> Cgroups | None:
    return find_cgroups("mark", proc=top / "proc")


def test_a_service_with_delegated_groups_moves_into_a_leaf_and_divides_the_rest(top: Path) -> None:
    cgroups = found(top)
    own = top / "cgroup" / UNIT
    assert cgroups is not None
    assert cgroups.own == own
    assert (own / "service" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"


@pytest.mark.parametrize("lacking", ["memory", "group", "mount"])
def test_without_delegation_there_are_none(top: Path, lacking: str) -> None:
    if lacking == "memory":
        (top / "cgroup" / UNIT / "cgroup.controllers").write_text("cpu pids\n")
    elif lacking == "group":
        (top / "proc" / "cgroup").write_text("0::/\n")
    else:
        (top / "proc" / "mountinfo").write_text("")
    assert found(top) is None


def test_groups_that_cannot_be_divided_are_left_as_they_were(top: Path) -> None:
    own = top / "cgroup" / UNIT
    (own / "cgroup.subtree_control").mkdir()  # as the kernel says EBUSY
    assert found(top) is None
    assert (own / "cgroup.procs").read_text() == str(os.getpid())


def test_a_box_joins_its_group_before_it_starts_anything(top: Path) -> None:
    cgroups = found(top)
    assert cgroups is not None
    group = cgroups.open(LIMITS)
    assert (group.folder / "memory.max").read_text() == "1000"
    assert (group.folder / "memory.oom.group").read_text() == "1"
    assert (group.folder / "pids.max").read_text() == "7"
    door = group.folder / "cgroup.procs"
    order = Order(["/bin/cat", str(door)], {}, group=group.door)
    with closing(ForkServer()) as forks:
        assert said_by(forks, order) == "0"


def test_a_limit_that_is_accepted_and_not_kept_is_an_error(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroups = found(top)
    assert cgroups is not None
    monkeypatch.setattr(Path, "read_text", lambda _: "max\n")
    with pytest.raises(SandboxError, match=r"memory\.max: the limit 1000 is not in force"):
        cgroups.open(LIMITS)


def test_the_kernel_says_who_ran_out_of_memory(tmp_path: Path) -> None:
    group = Group(tmp_path)
    assert not group.ran_out_of_memory()
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not group.ran_out_of_memory()
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.ran_out_of_memory()


def test_what_still_ends_in_a_dead_services_group_is_waited_for(top: Path) -> None:
    cgroups = found(top)
    assert cgroups is not None
    ending = cgroups.own / "box-mark-1-0" / "as good as gone"
    ending.mkdir(parents=True)
    threading.Timer(0.2, ending.rmdir).start()
    assert cgroups.reap() == 1
    assert not ending.parent.exists()


async def test_doctor_divides_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that systemd starts next to it in the same group could not enter that."""
    monkeypatch.setattr(boxes, "find_cgroups", lambda *_: pytest.fail("a group was divided"))
    environ = {"PATH": os.environ["PATH"], "CODEBOT_AGENT": "command:true"}
    read = read_settings(
        environ, flags={}, dotenv_dir=tmp_path, need=Command.DOCTOR, redactor=Redactor()
    )
    assert {finding.name for finding in await check_parts(read.settings)} >= {"sandbox", "limits"}


def test_groups_of_a_dead_service_are_removed_and_no_others(top: Path) -> None:
    cgroups = found(top)
    assert cgroups is not None
    (cgroups.own / "box-mark-1-0").mkdir()
    (cgroups.own / "box-other-1-0").mkdir()
    assert cgroups.reap() == 1
    assert [path.name for path in cgroups.own.glob("box-*")] == ["box-other-1-0"]
