"""How Claude Code is started, and what its endings mean."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.agent.claude import INSTRUCTIONS, ClaudeAgent
from codebot.domain.agent_event import Ending, Finished, Said
from codebot.domain.box import Exit, ExitReason
from codebot.domain.outcome import AgentOutcome
from codebot.errors import (
    AgentCrashed,
    AgentError,
    AgentLimited,
    AgentMissing,
    AgentTimedOut,
    AgentUnauthorized,
)
from fakes.agents import SESSION, TOKEN, a_job, a_last_word, an_ending

CLAUDE = ClaudeAgent(Path("/bin/sh"), path="")  # any program; it is not run here


def flag(argv: tuple[str, ...], name: str) -> str | None:
    found = [word.partition("=")[2] for word in argv if word.startswith(f"--{name}=")]
    return found[0] if found else None


def test_the_prompt_goes_to_stdin_and_the_instructions_to_a_file() -> None:
    prompt = "x" * 200_000
    launch = CLAUDE.launch(a_job(prompt=prompt))
    assert launch.stdin == prompt.encode()
    assert launch.files == {INSTRUCTIONS: "Be brief."}
    assert flag(launch.argv, "append-system-prompt-file") == f"/task/home/{INSTRUCTIONS}"
    assert max(len(word) for word in launch.argv) < 2000


def test_the_environment_holds_the_runs_token_and_nothing_else_of_worth() -> None:
    assert CLAUDE.launch(a_job()).env == {
        "CLAUDE_CONFIG_DIR": "/task/home/.claude",
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }


def test_the_token_is_not_in_the_arguments() -> None:
    assert TOKEN not in " ".join(CLAUDE.launch(a_job()).argv)


def test_a_repositorys_own_settings_are_shut_out() -> None:
    argv = CLAUDE.launch(a_job()).argv
    assert flag(argv, "setting-sources") == ""
    assert "--strict-mcp-config" in argv
    assert "--disable-slash-commands" in argv


def test_a_session_is_named_first_and_resumed_after() -> None:
    first, later = CLAUDE.launch(a_job()).argv, CLAUDE.launch(a_job(resume=True)).argv
    assert (flag(first, "session-id"), flag(first, "resume")) == (SESSION, None)
    assert (flag(later, "session-id"), flag(later, "resume")) == (None, SESSION)


def test_caps_are_the_gateways_not_the_programs() -> None:
    assert not [word for word in CLAUDE.launch(a_job()).argv if word.startswith("--max")]


def test_the_model_is_named_only_when_one_is_chosen() -> None:
    assert flag(CLAUDE.launch(a_job()).argv, "model") is None
    assert flag(CLAUDE.launch(a_job(model="opus")).argv, "model") == "opus"


def test_the_result_is_asked_for_in_three_fields() -> None:
    schema = json.loads(flag(CLAUDE.launch(a_job()).argv, "json-schema") or "")
    assert schema["required"] == ["title", "summary", "commit_message"]


def test_a_missing_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codebot.agent.claude.find_spec", lambda _: None)
    with pytest.raises(AgentMissing) as caught:
        ClaudeAgent(None, path="/nowhere").launch(a_job())
    assert "pip install claude-agent-sdk" in caught.value.hint


def test_a_given_program_that_is_none_names_the_setting(tmp_path: Path) -> None:
    for nothing in (tmp_path / "claude", tmp_path):
        with pytest.raises(AgentMissing) as caught:
            ClaudeAgent(nothing, path="").launch(a_job())
        assert "CODEBOT_CLAUDE_BIN" in caught.value.hint


def test_the_program_on_path_is_taken_before_the_extra(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert ClaudeAgent(None, path=str(tmp_path)).launch(a_job()).argv[0] == str(program)


def test_the_extras_program_is_found_without_path() -> None:
    argv = ClaudeAgent(None, path="/nowhere").launch(a_job()).argv
    assert argv[0].endswith("claude_agent_sdk/_bundled/claude")


# --- Endings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"exit": Exit(ExitReason.EXITED, 1)},
        {"exit": Exit(ExitReason.EXITED, 143)},
        {"exit": Exit(ExitReason.KILLED, -9)},
        {"idle": True},
    ],
    ids=str,
)
def test_a_proper_last_word_outweighs_the_exit_code(changes: dict[str, Any]) -> None:
    report = CLAUDE.judge(a_job(), an_ending(a_last_word(), **changes))
    assert report.outcome is AgentOutcome.DONE
    assert (report.title, report.session_id) == ("A title", SESSION)


@pytest.mark.parametrize(
    ("status", "error", "retry_after"),
    [
        (401, AgentUnauthorized, None),
        (403, AgentUnauthorized, None),
        (429, AgentLimited, timedelta(minutes=5)),
        (529, AgentLimited, timedelta(minutes=5)),
        (500, AgentCrashed, timedelta(minutes=1)),
        (502, AgentCrashed, timedelta(minutes=1)),
        (400, AgentCrashed, None),
        (404, AgentCrashed, None),
        (None, AgentCrashed, timedelta(minutes=1)),
    ],
)
def test_an_error_of_the_model_is_named_by_its_status(
    status: int | None, error: type[AgentError], retry_after: timedelta | None
) -> None:
    last = a_last_word(Ending.API_ERROR, api_status=status, text="boom")
    with pytest.raises(error) as caught:
        CLAUDE.judge(a_job(), an_ending(last, exit=Exit(ExitReason.EXITED, 1)))
    assert type(caught.value) is error
    assert caught.value.retry_after == retry_after


def test_an_overloaded_model_is_nothing_to_wait_for_once_the_task_has_failed() -> None:
    last = a_last_word(Ending.API_ERROR, api_status=529, text="Overloaded")
    with pytest.raises(AgentLimited, match="overloaded") as caught:
        CLAUDE.judge(a_job(), an_ending(last, exit=Exit(ExitReason.EXITED, 1)))
    assert caught.value.hint.startswith("Submit the task again later")


def test_a_refused_credential_names_the_setting_to_check() -> None:
    last = a_last_word(Ending.API_ERROR, api_status=401, text="Not logged in, run /login")
    with pytest.raises(AgentUnauthorized) as caught:
        CLAUDE.judge(a_job(), an_ending(last))
    assert "ANTHROPIC_API_KEY" in caught.value.hint
    assert "/login" not in caught.value.sentence


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"idle": True}, AgentTimedOut, "idle"),
        ({"exit": Exit(ExitReason.TIMEOUT, -9)}, AgentTimedOut, "1.5 minutes, its time limit"),
        ({"exit": Exit(ExitReason.OUTPUT, -9)}, AgentCrashed, "printed more than it may"),
        ({"exit": Exit(ExitReason.MEMORY, -9)}, AgentCrashed, "ran out of memory"),
        ({"exit": Exit(ExitReason.EXITED, -11)}, AgentCrashed, "signal 11"),
        ({"exit": Exit(ExitReason.EXITED, 0)}, AgentCrashed, "exit code 0 without a result"),
        (
            {"exit": Exit(ExitReason.EXITED, 2), "stderr_tail": "x" * 8000 + "\nSegfault\n"},
            AgentCrashed,
            "exit code 2 without a result.*Segfault",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("events", [(), (a_last_word(Ending.ABORTED),)], ids=["silent", "aborted"])
def test_no_proper_last_word_is_a_failure_that_says_how(
    changes: dict[str, Any], error: type[AgentError], words: str, events: tuple[Finished, ...]
) -> None:
    with pytest.raises(error, match=words) as caught:
        CLAUDE.judge(a_job(), an_ending(*events, **changes))
    assert len(caught.value.detail) < 1500


def test_the_closing_words_are_the_last_text_before_a_structured_result() -> None:
    events = (Said("First."), Said("Nothing had to change."), a_last_word())
    assert CLAUDE.judge(a_job(), an_ending(*events)).closing_words == "Nothing had to change."
