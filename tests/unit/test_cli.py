import subprocess
import sys
from collections.abc import Callable

import pytest

from codebot.cli import main
from codebot.cli.call import Call, read
from codebot.cli.parser import build_parser
from codebot.errors import (
    ConfigError,
    FieldProblem,
    InvalidTask,
    NothingChanged,
    SandboxUnavailable,
    Unauthorized,
)
from codebot.settings import Command

CANARY = "canary-4711-secret"


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that raises, and give its exit code and what it said on stderr."""

    def say(error: BaseException, *argv: str) -> tuple[int, str]:
        def fail(_: object) -> int:
            raise error

        monkeypatch.setattr("codebot.cli.serving.serve", fail)
        monkeypatch.setattr("codebot.cli.looking.doctor", fail)
        code = main(argv or ("serve",))
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return say


@pytest.mark.parametrize("argv", [("bake",), ("serve", "--no-such-flag"), ("run",)])
def test_wrong_usage_is_exit_2(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: codebot" in capsys.readouterr().err


def test_no_command_at_all_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(()) == 2
    assert "take tasks over HTTP" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (("--port", "99999"), "--port: must be a whole number from 1 to 65535"),
        (("--workers", "many"), "--workers: must be a whole number"),
        (("--host", "a b"), "--host: must be an IP address or a host name"),
        (("--api-key", f"{CANARY} ü"), "--api-key: must be printable ASCII without spaces"),
        (("--por", "1"), "unrecognized arguments: --por ***"),
        (("--api-keys", CANARY), "unrecognized arguments: --api-keys ***"),
        ((f"--webhok-secret={CANARY}",), "unrecognized arguments: --webhok-secret"),
    ],
)
def test_a_bad_flag_is_named_and_a_secret_not_repeated(
    argv: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(("serve", *argv))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert CANARY not in said


def test_the_task_is_given_once() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(("run", "--task-prompt", "a", "--task-prompt-file", "b"))


def test_every_problem_of_the_configuration_is_a_line_of_its_own(say: Say) -> None:
    code, said = say(ConfigError(("A is wrong.", "B is missing.")))

    assert code == 78
    assert said.splitlines()[1:] == ["- A is wrong.", "- B is missing."]


def test_a_machine_without_boxes_is_a_matter_of_configuration(say: Say) -> None:
    assert say(SandboxUnavailable("There is no bubblewrap.", hint="Install it.")) == (
        78,
        "codebot: There is no bubblewrap. Install it.\n",
    )


def test_bad_input_is_exit_2_and_a_failed_task_exit_1(say: Say) -> None:
    problem = InvalidTask((FieldProblem("description", "must not be blank."),))

    assert say(problem) == (2, "codebot: description must not be blank.\n")
    assert say(Unauthorized("No key."))[0] == 2
    assert say(NothingChanged("The agent made no changes.", hint="Say more.")) == (
        1,
        "codebot: The agent made no changes. Say more.\n",
    )


def test_ctrl_c_is_quiet(say: Say) -> None:
    assert say(KeyboardInterrupt()) == (130, "")


def test_a_bug_is_one_line_and_a_traceback_only_with_debug(say: Say) -> None:
    code, said = say(ZeroDivisionError("boom"))
    assert code == 1
    assert said.count("\n") == 1
    assert "ZeroDivisionError: boom" in said

    assert "Traceback" in say(ZeroDivisionError("boom"), "doctor", "--debug")[1]


def test_no_secret_is_in_a_complaint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)

    def fail(call: Call) -> int:
        read(call, Command.DOCTOR)
        raise RuntimeError(f"the model said {CANARY}")

    monkeypatch.setattr("codebot.cli.looking.doctor", fail)
    assert main(("doctor", "--debug")) == 1
    said = capsys.readouterr().err
    assert "the model said ***" in said
    assert CANARY not in said


def test_help_loads_no_web_framework_and_no_database() -> None:
    program = (
        "import sys, codebot.cli\n"
        "try: codebot.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'fastapi', 'starlette', 'pydantic', 'sqlalchemy', 'alembic', 'httpx', 'uvicorn',"
        " 'structlog', 'asyncio', 'yaml', 'dotenv', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "[]"


def test_a_service_begins_without_what_only_some_of_its_answers_need() -> None:
    """FastAPI documents the API, and nobody may ask for that; a new database has its tables."""
    program = (
        "import sys, codebot.app.serve, codebot.app.run\n"
        "late = {'fastapi', 'opentelemetry', 'codebot.intake.openapi', 'codebot.intake.schemas',"
        " 'alembic', 'mako', 'jinja2', 'markdown_it', 'genai_prices', 'jwt', 'mousebender'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert shown == "[]\n"


def test_help_of_every_command_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("serve", "run", "demo", "doctor", "egress"):
        with pytest.raises(SystemExit) as caught:
            main((command, "--help"))
        assert caught.value.code == 0
        assert f"usage: codebot {command}" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(("--version",))
    assert capsys.readouterr().out.startswith("codebot 0.")
