"""The story of a run, told with real parts and a played agent: what comes after what, and once."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.agent import runner
from codebot.domain.budget import Caps
from codebot.domain.outcome import AgentOutcome, Usage
from codebot.domain.status import Outcome, TaskStatus
from codebot.errors import (
    AgentCrashed,
    AgentLimited,
    BudgetExhausted,
    ChangeRefused,
    ForgeForbidden,
    NothingChanged,
    RunLost,
    WorkspaceError,
)
from codebot.gateway.upstream import MESSAGES
from codebot.pipeline import PATIENCE
from codebot.publish import pull_request
from fakes.clock import until
from fakes.git_http import git
from fakes.story import ASKS, BREAKS, MENDS, ONE_TURN, Act, open_story
from fakes.upstream import PaidModel

ONE_ROUND = [
    ("prepare", 0),
    ("set_up", 0),
    ("work", 1),
    ("collect", 1),
    ("verify", 1),
    ("publish", 0),
]

SECRET = "sk-ant-cAnArY-0123456789"


async def test_a_task_goes_through_every_step_once(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        result = await story.tell()

        assert (result.status, result.outcome) == (TaskStatus.COMPLETED, Outcome.PULL_REQUEST)
        assert story.finished() == ONE_ROUND
        assert "# mended" in git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert (opened.head, opened.base) == (story.new.branch_name, "main")
        assert not opened.pull_request.draft
        assert story.task.pull_request == opened.pull_request
        assert story.task.branch_pushed
        assert story.task.usage == ONE_TURN
        assert "+# mended" in (await story.store.diffs.get(story.new.id) or "")
        order = [k for k in story.kinds() if k.split(".")[0] not in {"step", "task", "run"}]
        assert order == [
            "environment.set_up",
            "agent.said",
            "model.metered",
            "change.collected",
            "tests.finished",
            "branch.pushed",
            "pull_request.opened",
        ]


async def test_the_tests_output_goes_back_into_the_same_conversation(tmp_path: Path) -> None:
    failing = "echo the shelf is empty; grep -q mended shop.py"
    async with open_story(tmp_path, Act(BREAKS), Act(MENDS), test_command=failing) as story:
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        first, second = story.agent.jobs
        assert (first.resume, first.session_id) == (False, second.session_id)
        assert "the shelf is empty" in second.prompt
        assert "the shelf is empty" not in first.prompt.replace(failing, "")
        assert story.task.usage == ONE_TURN + ONE_TURN
        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert not opened.pull_request.draft
        both = git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
        assert "# broken" in both
        assert "# mended" in both


async def test_after_three_failing_rounds_the_work_is_shown_as_a_draft(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(BREAKS), test_command="exit 3") as story:
        result = await story.tell()

        assert (result.status, result.outcome) == (TaskStatus.FAILED, Outcome.TESTS_FAILED)
        assert result.failure is not None
        assert "`exit 3` failed with exit code 3" in result.failure.detail
        assert len(story.agent.jobs) == 3
        assert story.task.pull_request is not None
        assert story.task.pull_request.draft


async def test_a_change_without_a_test_command_is_published_unverified(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(BREAKS), test_command=None) as story:
        result = await story.tell()
        opened = await story.store.pull_requests.get(story.new.id)

        assert result.status is TaskStatus.COMPLETED
        assert opened is not None
        assert opened.body.startswith("**Not tested:** No test command")


async def test_the_agent_is_told_the_command_that_was_detected(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS), test_command=None) as story:
        (story.origin / "Makefile").write_text("test:\n\tgrep -q mended shop.py\n")
        git("add", ".", cwd=story.origin)
        git("commit", "-q", "-m", "Say how it is tested", cwd=story.origin)
        await story.tell()
        [job] = story.agent.jobs
        assert "The tests are run with `make test`." in job.prompt


@pytest.mark.parametrize(
    ("outcome", "named"),
    [
        (AgentOutcome.MAX_BUDGET, "CODEBOT_MAX_BUDGET_USD"),
        (AgentOutcome.MAX_TURNS, "CODEBOT_MAX_TURNS"),
    ],
)
async def test_partial_work_at_a_cap_becomes_a_draft(
    tmp_path: Path, outcome: AgentOutcome, named: str
) -> None:
    async with open_story(tmp_path, Act(MENDS, outcome)) as story:
        result = await story.tell()

        assert (result.status, result.outcome) == (TaskStatus.FAILED, Outcome.BUDGET_EXHAUSTED)
        assert result.failure is not None
        assert named in result.failure.hint
        assert len(story.agent.jobs) == 1
        assert story.task.pull_request is not None
        assert story.task.pull_request.draft


async def test_there_is_no_further_round_with_nothing_left(tmp_path: Path) -> None:
    caps = Caps(max_turns=2, max_budget_usd=10.0)
    async with open_story(tmp_path, Act(BREAKS), test_command="exit 3", caps=caps) as story:
        result = await story.tell()

        assert result.outcome is Outcome.TESTS_FAILED
        assert len(story.agent.jobs) == 2, "one of two turns leaves room for one more round"


async def test_a_cap_reached_before_anything_changed_says_so(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act("true", AgentOutcome.MAX_TURNS)) as story:
        with pytest.raises(BudgetExhausted, match="turn limit before it changed anything"):
            await story.tell()


async def test_an_agent_that_changes_nothing_is_quoted(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act("true", words="All is well.")) as story:
        with pytest.raises(NothingChanged, match=r"The agent made no changes: All is well\."):
            await story.tell()
        assert await story.store.pull_requests.get(story.new.id) is None
        assert story.task.usage == ONE_TURN


async def test_what_a_failed_attempt_used_counts_and_limits_the_next(tmp_path: Path) -> None:
    caps = Caps(max_turns=2, max_budget_usd=10.0)
    busy = Act("true", error=AgentLimited("Busy."))
    async with open_story(tmp_path, busy, Act(MENDS, title="", turns=2), caps=caps) as story:
        with pytest.raises(AgentLimited):
            await story.tell()
        assert story.task.usage == ONE_TURN

        await story.claim_again()
        result = await story.tell()
        assert result.outcome is Outcome.BUDGET_EXHAUSTED
        assert story.task.usage == ONE_TURN + ONE_TURN


async def test_what_an_interrupted_attempt_used_counts(tmp_path: Path) -> None:
    slow = Act("echo asked; exec sleep 60", error=AgentCrashed("Interrupted."))
    async with open_story(tmp_path, slow) as story:
        await story.tell_until("agent.said")
        assert story.task.usage == ONE_TURN


async def test_a_turn_is_on_disk_before_the_agent_hears_of_it(tmp_path: Path) -> None:
    """So a service that is killed right then knows what it has spent: nothing else is asked."""
    async with open_story(tmp_path, Act("exec sleep 60", turns=2)) as story:
        telling = asyncio.create_task(story.tell())
        await until(lambda: story.kinds().count("agent.said") == 2)
        assert story.task.usage == ONE_TURN + ONE_TURN
        telling.cancel()
        await asyncio.wait([telling])
        assert story.task.usage == ONE_TURN + ONE_TURN


async def test_a_round_ends_with_what_the_gateway_metered(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS, turns=2)) as story:
        await story.tell()
        [metered] = [event.data for event in story.events() if event.type == "model.metered"]
        slowest = metered.pop("slowest_seconds")
        assert 0 <= slowest < 5
        assert metered == {
            "calls": 2,
            "turns": 2,
            "input_tokens": 200,
            "output_tokens": 20,
            "cost_usd": pytest.approx(2 * ONE_TURN.cost_usd),
            "errors": {},
            "unpriced": [],
        }


# --- A budget that runs out ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "named"),
    [
        (Caps(max_turns=1, max_budget_usd=10.0), "CODEBOT_MAX_TURNS"),
        (Caps(max_turns=99, max_budget_usd=0.1), "CODEBOT_MAX_BUDGET_USD"),
        (Caps(max_turns=99, max_budget_usd=10.0, max_tokens=9000), "CODEBOT_MAX_TOKENS"),
    ],
)
@pytest.mark.parametrize("error", [None, AgentCrashed("API Error: 402")], ids=["ends", "fails"])
async def test_an_agent_that_a_cap_stops_leaves_partial_work(
    tmp_path: Path, caps: Caps, named: str, error: AgentCrashed | None
) -> None:
    stopped = Act(MENDS, title="", turns=10, error=error)
    model = PaidModel(input_tokens=500, output_tokens=700)
    async with open_story(tmp_path, stopped, caps=caps, upstream=model) as story:
        result = await story.tell()

        assert (result.status, result.outcome) == (TaskStatus.FAILED, Outcome.BUDGET_EXHAUSTED)
        assert result.failure is not None
        assert named in result.failure.hint
        assert story.finished() == ONE_ROUND, "the partial work is tested, too"
        assert story.task.pull_request is not None
        assert story.task.pull_request.draft
        assert caps.reached(story.task.usage, 1.000001) is None
        told = [k for k in story.kinds() if k.startswith(("budget.", "model."))]
        assert told == ["budget.warned", "budget.exhausted", "model.metered"]


async def test_an_agent_that_gives_its_result_after_a_refusal_was_done(tmp_path: Path) -> None:
    caps = Caps(max_turns=1, max_budget_usd=10.0)
    async with open_story(tmp_path, Act(MENDS, turns=2), caps=caps) as story:
        assert (await story.tell()).status is TaskStatus.COMPLETED


@pytest.mark.parametrize(
    ("caps", "setting"),
    [
        (Caps(max_turns=99, max_budget_usd=0.0001), "CODEBOT_MAX_BUDGET_USD"),
        (Caps(max_turns=99, max_budget_usd=10.0, max_tokens=100), "CODEBOT_MAX_TOKENS"),
    ],
)
async def test_a_budget_below_one_call_asks_nobody_and_names_its_setting(
    tmp_path: Path, caps: Caps, setting: str
) -> None:
    model = PaidModel()
    act = Act("true", title="", error=AgentCrashed("API Error: 402"))
    async with open_story(tmp_path, act, caps=caps, upstream=model) as story:
        with pytest.raises(BudgetExhausted, match="before it changed anything") as caught:
            await story.tell()
        assert setting in caught.value.hint
        assert [call.path for call in model.calls if call.path == MESSAGES] == []
        assert story.task.usage == Usage()


async def test_work_that_a_killed_attempt_paid_for_is_kept_with_nothing_left(
    tmp_path: Path,
) -> None:
    caps = Caps(max_turns=1, max_budget_usd=10.0)
    slow = Act(f"{MENDS}; echo up; exec sleep 60")
    async with open_story(tmp_path, slow, caps=caps) as story:
        telling = asyncio.create_task(story.tell())
        await until(lambda: story.kinds().count("agent.said") == 2)
        telling.cancel()
        await asyncio.wait([telling])
        await story.claim_again()
        result = await story.tell()

        assert result.outcome is Outcome.BUDGET_EXHAUSTED
        assert len(story.agent.jobs) == 1, "nothing is started with nothing left"
        assert story.task.pull_request is not None


async def test_an_agent_that_is_stopped_reaches_the_model_no_more_whatever_it_ignores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "INTERRUPT_GRACE", timedelta(seconds=1))
    model = PaidModel()
    stubborn = Act(f"trap '' INT\nwhile :; do\n{ASKS}done")
    async with open_story(tmp_path, stubborn, upstream=model) as story:
        telling = asyncio.create_task(story.tell())
        await until(lambda: len(model.calls) > 1)
        telling.cancel()
        await asyncio.sleep(0)
        before = len(model.calls)
        await asyncio.wait([telling])

        assert len(model.calls) <= before + 1, "one may have been on its way"


@pytest.mark.parametrize("step", [step for step, _ in ONE_ROUND])
@pytest.mark.parametrize("moment", ["step.started", "step.finished"])
async def test_a_run_goes_on_at_its_first_unfinished_step(
    tmp_path: Path, moment: str, step: str
) -> None:
    async with open_story(tmp_path, Act(f"sleep 0.1; {MENDS}")) as story:
        await story.tell_until(moment, step)
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert story.finished() == ONE_ROUND
        assert story.kinds().count("pull_request.opened") == 1
        if (moment, step) not in {("step.started", "prepare"), ("step.started", "work")}:
            assert len(story.agent.jobs) == 1


async def test_a_later_round_that_is_done_is_not_undone_by_what_it_cost(tmp_path: Path) -> None:
    caps = Caps(max_turns=2, max_budget_usd=10.0)
    async with open_story(
        tmp_path, Act(BREAKS), Act(MENDS), test_command="sleep 0.1; grep -q mended shop.py",
        caps=caps,
    ) as story:  # fmt: skip
        await story.tell_until("step.finished", "publish")
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 2


async def test_a_workspace_that_is_lost_before_the_agent_worked_is_made_anew(
    tmp_path: Path,
) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell_until("step.finished", "prepare")
        shutil.rmtree(story.folder)
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert story.finished() == [("prepare", 0), *ONE_ROUND]


@pytest.mark.parametrize(("step", "next_step"), [("work", "collect"), ("collect", "verify")])
async def test_a_workspace_that_is_lost_with_the_agents_work_ends_the_run_clearly(
    tmp_path: Path, step: str, next_step: str
) -> None:
    async with open_story(tmp_path, Act(MENDS), test_command="sleep 0.1") as story:
        await story.tell_until("step.finished", step)
        assert story.finished()[-1][0] == step, f"{next_step} was too quick for this test"
        shutil.rmtree(story.folder, ignore_errors=True)  # tests of the base come and go in it
        shutil.rmtree(story.folder, ignore_errors=True)
        with pytest.raises(WorkspaceError, match="workspace is gone: there is no") as lost:
            await story.tell()

        assert lost.value.retry_after is None
        assert "Submit the task again" in lost.value.hint
        assert len(story.agent.jobs) == 1


@pytest.mark.parametrize("method", ["identity", "write_access"])
async def test_what_publishing_needs_is_asked_before_the_agent_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def refuse(*_: object) -> None:
        raise ForgeForbidden("The App may not push.")

    async with open_story(tmp_path, Act(MENDS)) as story:
        monkeypatch.setattr(type(story.forge), method, refuse)
        with pytest.raises(ForgeForbidden, match="may not push"):
            await story.tell()
        assert story.agent.jobs == []
        assert story.finished() == []


async def test_nobody_works_for_a_credential_that_may_not_push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ForgeForbidden("The token may only read.")

    async with open_story(tmp_path, Act(MENDS)) as story:
        monkeypatch.setattr(pull_request, "require_push", refuse)
        with pytest.raises(ForgeForbidden, match="may only read"):
            await story.tell()
        assert story.agent.jobs == []
        assert story.finished() == []


async def test_finished_work_waits_for_a_forge_that_says_no(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.forge.refusal = ForgeForbidden("The App may not open pull requests.")
        with pytest.raises(ForgeForbidden) as refused:
            await story.tell()
        assert refused.value.retry_after == PATIENCE
        assert story.task.branch_pushed

        story.forge.refusal = None
        await story.claim_again()
        assert (await story.tell()).status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 1
        assert story.finished() == ONE_ROUND


@pytest.mark.parametrize(
    "script",
    [
        f"echo {SECRET} > found.txt",
        f"echo {SECRET} > oops; git add . && git commit -qm Oops && git rm -q oops; {MENDS}",
        f"{MENDS}; git commit -qam 'Use {SECRET}'",
        f"{MENDS}; mkdir {SECRET} && echo hi > {SECRET}/file",
        f"(head -c 20000000 /dev/zero; echo {SECRET}) > found.bin",
    ],
    ids=["in a file", "in a file that is gone again", "in a message", "in a name", "far inside"],
)
async def test_a_change_that_holds_a_credential_is_not_pushed(tmp_path: Path, script: str) -> None:
    async with open_story(tmp_path, Act(script), test_command=None) as story:
        story.redactor.add(SECRET)
        with pytest.raises(ChangeRefused, match="holds a credential of this service") as refused:
            await story.tell()

        assert SECRET not in refused.value.sentence
        assert story.new.branch_name not in git("branch", cwd=story.origin)


async def test_a_run_of_a_task_that_is_gone_is_lost(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.store.tasks.delete(story.new.id)
        with pytest.raises(RunLost):
            await story.tell()


async def test_a_worker_that_lost_its_run_pushes_nothing(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        await story.tell_until("step.finished", "collect")
        stale = story.run
        await story.claim_again()
        story.run = stale
        with pytest.raises(RunLost):
            await story.tell()
        assert story.new.branch_name not in git("branch", cwd=story.origin)
