"""What a task's boxes were refused stands in its pull request, to the last connection."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.egress import Access, AccessVerdict
from codebot.errors import PathProtected
from codebot.gateway.egress.ledger import EgressLedger
from fakes.clock import Clock
from fakes.story import MENDS, Act, open_story

EVIL = Access("evil.example", 443, AccessVerdict.REFUSED, "not in CODEBOT_EGRESS")
WORKFLOW = "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml"
GOOD = Access("files.example", 443, AccessVerdict.ALLOWED, sent=1, received=2)


async def test_a_pull_request_names_what_was_refused_a_moment_before(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        ledger = EgressLedger(story.store.egress, now=Clock(), pause=timedelta(hours=1))
        for access in (EVIL, GOOD, EVIL):
            ledger.record(story.new.id, access)
        tools = replace(story.pipeline.tools, flush_egress=ledger.flush)

        await replace(story.pipeline, tools=tools).work_on(story.run)

        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert "\n\nBlocked: `evil.example` (2).\n\n" in opened.body
        assert "files.example" not in opened.body
        kinds = story.kinds()
        assert kinds.index("egress.refused") < kinds.index("pull_request.opened")
        assert kinds.count("egress.refused") == 1


async def test_a_pull_request_says_nothing_of_the_network_when_nothing_was_refused(
    tmp_path: Path,
) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell()

        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert "Network" not in opened.body


async def test_a_task_that_fails_tells_what_was_refused_before_its_end(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(f"{WORKFLOW}; {MENDS}")) as story:
        ledger = EgressLedger(story.store.egress, now=Clock(), pause=timedelta(hours=1))
        ledger.record(story.new.id, EVIL)
        tools = replace(story.pipeline.tools, flush_egress=ledger.flush)

        with pytest.raises(PathProtected):
            await replace(story.pipeline, tools=tools).work_on(story.run)

        assert story.kinds().count("egress.refused") == 1
