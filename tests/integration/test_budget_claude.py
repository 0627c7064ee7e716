"""The real Claude Code on a task whose budget runs out: it is told, stopped, and its work kept."""

import json
from pathlib import Path

import pytest

from codebot.agent.claude import ClaudeAgent
from codebot.domain.budget import Caps
from codebot.domain.status import Outcome, TaskStatus
from codebot.gateway.scripted import ScriptedUpstream
from fakes.git_http import git
from fakes.story import open_story

COMMIT = (
    "echo '# mended' >> shop.py && git -c user.name=A -c user.email=a@b.example commit -qam Mend"
)
USED = {"input_tokens": 3000, "output_tokens": 1000}


def a_turn(command: str) -> dict[str, object]:
    """Give a turn of 0.032 dollars: what the model costs that Claude Code asks for."""
    return {"tools": [{"name": "Bash", "input": {"command": command}}], "usage": USED}


@pytest.mark.parametrize(
    ("caps", "named"),
    [
        (Caps(max_turns=4, max_budget_usd=100.0), "CODEBOT_MAX_TURNS"),
        (Caps(max_turns=99, max_budget_usd=0.25), "CODEBOT_MAX_BUDGET_USD"),
        (Caps(max_turns=99, max_budget_usd=100.0, max_tokens=30_000), "CODEBOT_MAX_TOKENS"),
    ],
    ids=["turns", "dollars", "tokens"],
)
async def test_what_was_committed_before_the_budget_ran_out_is_a_draft(
    tmp_path: Path, caps: Caps, named: str
) -> None:
    script = tmp_path / "turns.json"
    endless = [a_turn(f"echo {number} >> seen.txt") for number in range(50)]
    script.write_text(json.dumps({"costs_money": True, "turns": [a_turn(COMMIT), *endless]}))
    model = ScriptedUpstream(script)
    async with open_story(
        tmp_path, caps=caps, upstream=model, real_agent=ClaudeAgent(None, path="")
    ) as story:
        result = await story.tell()

        assert (result.status, result.outcome) == (TaskStatus.FAILED, Outcome.BUDGET_EXHAUSTED)
        assert result.failure is not None
        assert named in result.failure.hint
        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert opened.pull_request.draft
        assert "Partial work" in opened.body
        assert "passed" in opened.body, "the tests were run on it"
        assert "# mended" in git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
        assert caps.reached(story.task.usage, 1.000_001) is None
        assert story.task.usage.turns > 1
        told = [kind for kind in story.kinds() if kind.startswith(("budget.", "model."))]
        assert told == ["budget.warned", "budget.exhausted", "model.metered"]
