"""The command line: flags in, words and an exit code out.

Everything heavy is imported when a command needs it, so that `--help` is instant.
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.errors import (
    CodebotError,
    ConfigError,
    InvalidRequest,
    SandboxUnavailable,
    UserError,
)
from codebot.settings import Command, Reading, Settings, environment, read_settings
from codebot.settings.table import BY_FLAG
from codebot.telemetry.redaction import Redactor
from codebot.telemetry.style import LogLevel

if TYPE_CHECKING:
    from codebot.domain.event import Event

DONE, FAILED, USAGE, CONFIGURATION, INTERRUPTED = 0, 1, 2, 78, 130


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command: what was typed, and the secrets known so far."""

    arguments: argparse.Namespace
    argv: Sequence[str]
    redactor: Redactor


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that was typed and give its exit code; errors end as one clear message."""
    typed = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    if not typed:
        parser.print_help(sys.stderr)
        return USAGE
    arguments, unknown = parser.parse_known_args(typed)
    if unknown:
        parser.error(f"unrecognized arguments: {_without_values(unknown)}")
    return _run_guarded(arguments.run_command, Call(arguments, typed, Redactor()))


def _without_values(words: Sequence[str]) -> str:
    """Name flags alone: what stands behind a mistyped one may be a secret.

    >>> _without_values(["--api-keys", "hunter2", "--webhok-secret=hunter2"])
    '--api-keys *** --webhok-secret'
    """
    return " ".join(word.partition("=")[0] if word.startswith("-") else "***" for word in words)


def _run_guarded(command: Callable[[Call], int], call: Call) -> int:
    from codebot.sandbox.deaf import ignore_alone

    ignore_alone()
    try:
        return command(call)
    except KeyboardInterrupt:
        return INTERRUPTED
    except CodebotError as error:
        _complain(call, error, _sentences(error))
        return _exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last place that can turn a bug into words
        bug = f"internal error ({type(error).__name__}: {error}). Please report it."
        _complain(call, error, [bug if call.arguments.debug else f"{bug} --debug shows where."])
        return FAILED


def _exit_code(error: CodebotError) -> int:
    match error:
        case ConfigError() | SandboxUnavailable():
            return CONFIGURATION
        case UserError():
            return USAGE
        case _:
            return FAILED


def _sentences(error: CodebotError) -> list[str]:
    """Give an error as lines: every problem on its own where there are several."""
    match error:
        case ConfigError(problems=problems) if len(problems) > 1:
            return ["Codebot cannot start with these settings:", *(f"- {p}" for p in problems)]
        case InvalidRequest(problems=problems):
            return [f"{problem.field} {problem.message}" for problem in problems]
        case _:
            return [error.sentence]


def _complain(call: Call, error: Exception, lines: Iterable[str]) -> None:
    """Say on stderr what went wrong; where in the code only with --debug. No secret is shown."""
    first, *others = lines
    text = "\n".join([f"codebot: {first}", *others])
    if call.arguments.debug:
        text = f"{''.join(traceback.format_exception(error))}{text}"
    print(call.redactor(text), file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="codebot",
        description="A coding task goes in, a tested pull request comes out.",
        epilog="Exit codes: 0 done, 1 task failed, 2 usage or bad input, 78 configuration.",
    )
    parser.add_argument("--version", action="version", version=f"codebot {version('codebot')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    _add_run(commands)
    _add_demo(commands)
    _add_doctor(commands)
    _add_egress(commands)
    _add_environments(commands)
    return parser


_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse names it nowhere else


def _add_command(
    commands: "_Commands[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Call], int],
    summary: str,
) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    command = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
    command.set_defaults(run_command=run)
    return command


def _add_serve(commands: "_Commands[argparse.ArgumentParser]") -> None:
    serve = _add_command(commands, "serve", _serve, "take tasks over HTTP and work on them")
    _add_flag(serve, "--host", "ADDRESS")
    _add_flag(serve, "--port", "PORT")
    _add_flag(serve, "--workers", "N")
    _add_flag(serve, "--work-dir", "DIR")
    _add_flag(serve, "--drain-timeout", "SECONDS")
    _add_flag(serve, "--poll-interval", "SECONDS")
    _add_flag(serve, "--api-key", "KEYS", warning=" Visible to every user of this machine.")
    _add_flag(serve, "--webhook-secret", "SECRET", warning=" Visible in the same way.")
    serve.add_argument(
        "--enable-polling",
        action="store_const",
        const="on",
        help=_flag_help("--enable-polling"),
    )
    _add_debug(serve, "Log everything, and start again when Codebot's own code changes.")


def _add_run(commands: "_Commands[argparse.ArgumentParser]") -> None:
    run = _add_command(commands, "run", _run, "do one task here and now, without a server")
    prompt = run.add_mutually_exclusive_group(required=True)
    prompt.add_argument(
        "--task-prompt",
        metavar="TEXT",
        help="The task in JSON or YAML: repository_url (a local directory is fine), description,"
        " and if need be ticket_id, ticket_summary, test_command, base_branch, setup_command.",
    )
    prompt.add_argument(
        "--task-prompt-file", metavar="FILE", type=Path, help="The same from a file."
    )
    _add_flag(run, "--work-dir", "DIR")
    run.add_argument("--verbose", action="store_true", help="Show the log, too.")
    _add_debug(run, argparse.SUPPRESS)


def _add_demo(commands: "_Commands[argparse.ArgumentParser]") -> None:
    demo = _add_command(commands, "demo", _demo, "show the whole way of a task on this machine")
    demo.add_argument("--keep", action="store_true", help="Leave the service running until Ctrl-C.")
    _add_debug(demo, argparse.SUPPRESS)


def _add_doctor(commands: "_Commands[argparse.ArgumentParser]") -> None:
    doctor = _add_command(
        commands, "doctor", _doctor, "check what must be there, and say how to mend it"
    )
    doctor.add_argument(
        "--repository",
        metavar="URL|DIR",
        help="Set this repository up and run its tests, in boxes as a task would: would its"
        " changes be truly tested here? Exit code 0 if so. No model is asked, nothing stays.",
    )
    _add_debug(doctor, argparse.SUPPRESS)


def _add_egress(commands: "_Commands[argparse.ArgumentParser]") -> None:
    egress = _add_command(
        commands, "egress", _egress, "show which hosts a task reached, and which were refused"
    )
    egress.add_argument("task", metavar="TASK", help="The id of the task.")
    egress.add_argument("--json", action="store_true", help="Show it as the API does.")
    _add_debug(egress, argparse.SUPPRESS)


def _add_environments(commands: "_Commands[argparse.ArgumentParser]") -> None:
    environments = _add_command(
        commands, "environments", _environments, "list what set-ups left and is kept, or remove it"
    )
    environments.add_argument("what", choices=("list", "remove"), help="What to do.")
    environments.add_argument(
        "names", metavar="NAME", nargs="*", help="What to remove, or the beginning of its name."
    )
    environments.add_argument("--all", action="store_true", help="Remove all.")
    environments.add_argument("--json", action="store_true", help="List them as JSON.")
    _add_debug(environments, argparse.SUPPRESS)


def _add_flag(command: argparse.ArgumentParser, flag: str, metavar: str, warning: str = "") -> None:
    """Add the flag of a setting: its help and its check are those of the setting."""
    setting = BY_FLAG[flag]

    def check(text: str) -> str:
        try:
            setting.parse(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc
        return text

    command.add_argument(flag, metavar=metavar, type=check, help=_flag_help(flag, warning))


def _flag_help(flag: str, warning: str = "") -> str:
    setting = BY_FLAG[flag]
    default = f" (default: {setting.default})" if setting.default else ""
    later = f" No effect yet: waits for {setting.later}." if setting.later else ""
    return f"{setting.doc}{warning}{default}{later}".replace("%", "%%")


def _add_debug(command: argparse.ArgumentParser, help_: str) -> None:
    command.add_argument("--debug", action="store_true", help=help_)


# --- The commands ----------------------------------------------------------------------------


def _serve(call: Call) -> int:
    return _serve_and_reload(call) if call.arguments.debug else _serve_once(call)


def _serve_once(call: Call) -> int:
    settings = _start(call, Command.SERVE)

    from codebot.app.serve import serve
    from codebot.intake.banner import banner

    def announce() -> None:
        print("\n".join(banner(settings)), flush=True)

    serve(settings, redactor=call.redactor, announce=announce)
    return DONE


def _serve_and_reload(call: Call) -> int:
    """Watch the package's own files, and serve in a process that starts again on a change.

    uvicorn's own `reload=True` wants an application that can be imported by name; only its
    watcher is used here, so that there is one way to start the service.
    """
    from uvicorn import Config
    from uvicorn.supervisors import ChangeReload

    watched = str(Path(__file__).parent)
    config = Config("codebot.app", reload=True, reload_dirs=[watched], log_config=None)
    ChangeReload(config, partial(_serve_again, list(call.argv)), sockets=[]).run()
    return DONE


def _serve_again(argv: Sequence[str], *, sockets: object) -> None:  # noqa: ARG001 - from uvicorn
    """Serve in the process that the watcher started; its arguments came through a pipe."""
    call = Call(build_parser().parse_args(argv), argv, Redactor())
    sys.exit(_run_guarded(_serve_once, call))


def _run(call: Call) -> int:
    from codebot.intake.progress import closing_lines, output_lines, progress_line
    from codebot.intake.prompt_file import read_prompt, read_prompt_file

    file, text = call.arguments.task_prompt_file, call.arguments.task_prompt
    fields = read_prompt_file(file) if file else read_prompt(os.fsencode(text), Path.cwd())
    settings = _start(call, Command.RUN)
    # Whoever ends the run ends its agent, too: both signals unwind the stack.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    import asyncio

    from codebot.app.run import AGENT_LOG, TESTS_LOG, run_task

    def show(event: "Event") -> None:
        line = progress_line(event.type, event.data)
        if line is not None:
            print(call.redactor(line), flush=True)

    ended = asyncio.run(run_task(settings, fields, redactor=call.redactor, show=show))
    words = [
        *output_lines(ended.tests, ended.folder / TESTS_LOG),
        f"What the agent did: {ended.folder / AGENT_LOG}",
        *closing_lines(ended.task),
    ]
    print(call.redactor("\n".join(["", *words])))
    return DONE if ended.task.status is TaskStatus.COMPLETED else FAILED


def _demo(call: Call) -> int:
    from codebot.demo import run_demo

    # Whoever ends the demo ends its service, too: both signals unwind the stack.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = _read(call, Command.RUN).settings
    show = partial(print, flush=True)
    return run_demo(
        settings,
        environment(),
        show=lambda text: show(call.redactor(text)),
        in_color=sys.stdout.isatty(),
        keep=call.arguments.keep,
    )


def _doctor(call: Call) -> int:
    import asyncio

    from codebot.app.checks import check_parts
    from codebot.doctor import as_line, examine, is_healthy
    from codebot.telemetry.log import configure

    reading = _read(call, Command.DOCTOR)
    if call.arguments.repository is not None:
        return _rehearse(call, reading.checked())
    configure(  # what goes wrong is told by the findings
        level=LogLevel.ERROR,
        format=reading.settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )
    findings = asyncio.run(examine(reading, check_parts))
    for finding in findings:
        print(call.redactor(as_line(finding)))
    if reading.problems:
        return CONFIGURATION
    return DONE if is_healthy(findings) else FAILED


def _rehearse(call: Call, settings: Settings) -> int:
    """Say whether changes of one repository would be truly tested here."""
    # Whoever ends this ends its boxes, too: both signals unwind the stack.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    import asyncio

    from codebot.app.rehearse import rehearse_repository
    from codebot.doctor import as_line
    from codebot.intake.findings import findings_of, told_output
    from codebot.intake.progress import LONGEST_REASON, plain
    from codebot.intake.prompt_file import located
    from codebot.telemetry.log import configure

    configure(  # what goes wrong is told by the findings
        level=LogLevel.DEBUG if call.arguments.debug else LogLevel.ERROR,
        format=settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )

    def show(text: str) -> None:
        print(call.redactor(plain(text, LONGEST_REASON)), flush=True)

    given = os.fsencode(call.arguments.repository).decode(errors="replace")
    url = located({"repository_url": given}, Path.cwd()).get("repository_url", given)
    found = asyncio.run(rehearse_repository(settings, url, redactor=call.redactor, show=show))
    show("")
    for finding in findings_of(found):
        shown = replace(finding, detail=plain(finding.detail, LONGEST_REASON))
        print(call.redactor(as_line(shown)), flush=True)
    for line in told_output(found):
        show(f"      {line}")
    show("")
    show(f"A change would be truly tested here: {'yes' if found.is_truly_tested else 'NO'}")
    return DONE if found.is_truly_tested else FAILED


def _egress(call: Call) -> int:
    """Show what is on record; a service may run on the same store meanwhile, or none."""
    from codebot.intake.accesses import access_json, access_table
    from codebot.store.egress import read_egress

    settings = _read(call, Command.RUN).checked()
    task_id = TaskId(os.fsencode(call.arguments.task).decode(errors="replace"))
    totals = read_egress(settings.database, task_id)
    print(call.redactor(access_json(totals) if call.arguments.json else access_table(totals)))
    return DONE


def _environments(call: Call) -> int:
    """List or remove what is kept; a service may run meanwhile: what a task stands on stays."""
    from codebot.app import environments as kept

    settings, told = _read(call, Command.RUN).checked(), call.arguments
    if told.what == "remove":
        print(call.redactor(kept.remove_environments(settings, told.names, every=told.all)))
    elif told.json:
        print(call.redactor(kept.environments_json(settings)))
    else:
        print(call.redactor(kept.environments_table(settings)))
    return DONE


# --- What they share -------------------------------------------------------------------------


def _start(call: Call, need: Command) -> Settings:
    """Give the settings a command needs, and begin to log as they say."""
    settings = _read(call, need).checked()

    import structlog

    from codebot.telemetry.log import configure

    configure(
        level=_log_level(call.arguments, settings, need),
        format=settings.log_format,
        redactor=call.redactor,
        stream=sys.stderr,
    )
    for doubt in (*settings.warnings, *_visible(call.arguments)):
        structlog.get_logger(__name__).warning("settings.doubtful", detail=doubt)
        if _is_quiet(call.arguments, need):
            print(call.redactor(f"codebot: {doubt}"), file=sys.stderr)
    return settings


def _read(call: Call, need: Command) -> Reading:
    given = vars(call.arguments)
    flags = {flag: given.get(_destination(flag)) for flag in BY_FLAG}
    return read_settings(
        environment(),
        flags={flag: text for flag, text in flags.items() if text is not None},
        dotenv_dir=Path.cwd(),
        need=need,
        redactor=call.redactor,
    )


def _log_level(arguments: argparse.Namespace, settings: Settings, need: Command) -> LogLevel:
    """`--debug` shows everything; `run` shows its progress instead of a log, unless verbose."""
    if arguments.debug:
        return LogLevel.DEBUG
    return LogLevel.ERROR if _is_quiet(arguments, need) else settings.log_level


def _is_quiet(arguments: argparse.Namespace, need: Command) -> bool:
    return need is Command.RUN and not (arguments.verbose or arguments.debug)


def _visible(arguments: argparse.Namespace) -> list[str]:
    """Warn of secrets that every user of the machine can read in the list of processes."""
    given = vars(arguments)
    return [
        f"{flag} shows its value to every user of this machine; use {BY_FLAG[flag].name}_FILE."
        for flag in BY_FLAG
        if BY_FLAG[flag].secret and given.get(_destination(flag)) is not None
    ]


def _destination(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
