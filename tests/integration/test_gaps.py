"""What a checkout lacks is said: in an event, to the agent, and on the pull request."""

import os
from pathlib import Path

from fakes.git_http import git
from fakes.story import MENDS, Act, open_story
from fakes.workshop import BareSandbox

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n"


def _leave_gaps(origin: Path) -> None:
    (origin / ".gitattributes").write_text("*.bin filter=lfs\nvault/* filter=git-crypt\n")
    (origin / "vault").mkdir()
    for name in ("a.bin", "b.bin", "vault/key"):
        (origin / name).write_text(POINTER)
    (origin / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = x\n\turl = https://u:s3cret-pw@other.example/x.git\n'
    )
    git("add", ".", cwd=origin)
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x", cwd=origin)
    git("commit", "-qm", "Leave gaps", cwd=origin)


async def test_a_gap_is_told_everywhere(tmp_path: Path) -> None:
    sandbox = BareSandbox({"git-lfs"}, path=os.environ["PATH"], mark=str(tmp_path))
    async with open_story(tmp_path, Act(MENDS), sandbox=sandbox) as story:
        _leave_gaps(story.origin)
        await story.tell()
        [told] = [e.data for e in story.events() if e.type.value == "checkout.incomplete"]
        record = await story.store.pull_requests.find(str(story.origin), story.new.branch_name)
    assert told == {
        "gaps": [
            {"path": "x", "reason": "is a submodule, and CODEBOT_SUBMODULES is off"},
            {
                "path": "vault/key",
                "reason": "holds what the filter git-crypt makes of a file; it is not run here",
            },
            {
                "path": "a.bin",
                "reason": "and 1 more hold pointers of Git LFS, not their contents",
            },
        ],
        "count": 3,
    }
    assert record is not None
    for gap in told["gaps"]:
        assert f"- `{gap['path']}` {gap['reason']}" in story.agent.jobs[0].prompt
        assert f"- `{gap['path']}` {gap['reason']}" in record.body


async def test_a_whole_checkout_is_not_spoken_of(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell()
        assert "checkout.incomplete" not in story.kinds()
        assert "would be for its people" not in story.agent.jobs[0].prompt
