"""Any program can be the agent."""

from pathlib import Path

import pytest

from codebot.agent.command import CommandAgent
from codebot.domain.agent_event import Said
from codebot.domain.box import Exit, ExitReason
from codebot.domain.outcome import AgentOutcome, Usage
from codebot.errors import AgentCrashed, AgentTimedOut
from fakes.agents import SESSION, a_job, an_ending

AGENT = CommandAgent(["sh", "work.sh"])


def test_it_reads_instructions_and_prompt_on_stdin() -> None:
    launch = AGENT.launch(a_job())
    assert launch.argv == ("sh", "work.sh")
    assert launch.stdin == b"Be brief.\n\nSay hello."


def test_every_line_that_is_not_blank_is_said() -> None:
    assert AGENT.parse(b"hello \xff\r\n") == (Said("hello \ufffd"),)
    assert AGENT.parse(b"  \n") == ()


def test_exit_code_0_is_done_and_the_last_line_is_its_closing_word() -> None:
    report = AGENT.judge(a_job(), an_ending(Said("one"), Said("two")))
    assert report.outcome is AgentOutcome.DONE
    assert (report.title, report.closing_words) == ("", "two")
    assert (report.session_id, report.usage) == (SESSION, Usage())


def test_another_exit_code_is_a_crash_with_its_last_words() -> None:
    ended = an_ending(exit=Exit(ExitReason.EXITED, 3), stderr_tail="no such file\n")
    with pytest.raises(AgentCrashed, match=r"exit code 3 .*no such file"):
        AGENT.judge(a_job(), ended)


def test_a_clock_that_ran_out_is_not_a_crash() -> None:
    with pytest.raises(AgentTimedOut):
        AGENT.judge(a_job(), an_ending(idle=True))


async def test_the_check_says_whether_the_program_is_there(tmp_path: Path) -> None:
    (good,) = await AGENT.check()
    (bad,) = await CommandAgent([str(tmp_path / "nothing")]).check()
    assert good.ok
    assert not bad.ok
    assert "nothing" in bad.detail
