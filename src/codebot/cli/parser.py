"""What can be typed: every command with its flags, and their help."""

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from codebot.cli import acting, keeping, looking, serving, working
from codebot.cli.call import Call
from codebot.settings.table import BY_FLAG

_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse names it nowhere else


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
    _add_worker(commands)
    _add_run(commands)
    _add_demo(commands)
    _add_doctor(commands)
    _add_cancel(commands)
    _add_egress(commands)
    _add_environments(commands)
    _add_backup(commands)
    _add_migrate(commands)
    return parser


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
    serve = _add_command(commands, "serve", serving.serve, "take tasks over HTTP and work on them")
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


def _add_worker(commands: "_Commands[argparse.ArgumentParser]") -> None:
    worker = _add_command(
        commands, "worker", serving.work, "work on the tasks that other machines take in"
    )
    _add_flag(worker, "--workers", "N")
    _add_flag(worker, "--work-dir", "DIR")
    _add_flag(worker, "--drain-timeout", "SECONDS")
    _add_debug(worker, "Log everything.")


def _add_run(commands: "_Commands[argparse.ArgumentParser]") -> None:
    run = _add_command(commands, "run", working.run, "do one task here and now, without a server")
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
    demo = _add_command(
        commands, "demo", working.demo, "show the whole way of a task on this machine"
    )
    demo.add_argument("--keep", action="store_true", help="Leave the service running until Ctrl-C.")
    _add_debug(demo, argparse.SUPPRESS)


def _add_doctor(commands: "_Commands[argparse.ArgumentParser]") -> None:
    doctor = _add_command(
        commands, "doctor", looking.doctor, "check what must be there, and say how to mend it"
    )
    doctor.add_argument(
        "--repository",
        metavar="URL|DIR",
        help="Set this repository up and run its tests, in boxes as a task would: would its"
        " changes be truly tested here? Exit code 0 if so. No model is asked, nothing stays.",
    )
    _add_debug(doctor, argparse.SUPPRESS)


def _add_cancel(commands: "_Commands[argparse.ArgumentParser]") -> None:
    cancel = _add_command(
        commands, "cancel", acting.cancel, "have the running service end a task before its time"
    )
    _add_task(cancel)
    retry = _add_command(
        commands, "retry", acting.retry, "have the running service try a failed task again"
    )
    _add_task(retry)


def _add_task(command: argparse.ArgumentParser) -> None:
    """Add what an action on a task needs: its id, and where the service is."""
    command.add_argument("task", metavar="TASK", help="The id of the task.")
    _add_flag(command, "--host", "ADDRESS")
    _add_flag(command, "--port", "PORT")
    _add_debug(command, argparse.SUPPRESS)


def _add_egress(commands: "_Commands[argparse.ArgumentParser]") -> None:
    egress = _add_command(
        commands,
        "egress",
        keeping.egress,
        "show which hosts a task reached, and which were refused",
    )
    egress.add_argument("task", metavar="TASK", help="The id of the task.")
    egress.add_argument("--json", action="store_true", help="Show it as the API does.")
    _add_debug(egress, argparse.SUPPRESS)


def _add_environments(commands: "_Commands[argparse.ArgumentParser]") -> None:
    environments = _add_command(
        commands,
        "environments",
        keeping.environments,
        "list what set-ups left and is kept, or remove it",
    )
    environments.add_argument("what", choices=("list", "remove"), help="What to do.")
    environments.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        default=[],
        help="What to remove, or the beginning of its name.",
    )
    environments.add_argument("--all", action="store_true", help="Remove all.")
    environments.add_argument("--json", action="store_true", help="List them as JSON.")
    _add_debug(environments, argparse.SUPPRESS)


def _add_backup(commands: "_Commands[argparse.ArgumentParser]") -> None:
    backup = _add_command(
        commands, "backup", keeping.backup, "copy the database to a file, while the service runs"
    )
    backup.add_argument("file", metavar="FILE", type=Path, help="Where to; no file may be there.")
    _add_debug(backup, argparse.SUPPRESS)


def _add_migrate(commands: "_Commands[argparse.ArgumentParser]") -> None:
    migrate = _add_command(
        commands,
        "migrate",
        keeping.migrate,
        "bring a database that many machines share to this version, while they work",
    )
    step = migrate.add_mutually_exclusive_group(required=True)
    for flag, help_ in (
        ("--plan", "Say what is to be done; change nothing."),
        ("--pre", "Add what this version needs; nodes of the version before go on meanwhile."),
        ("--post", "Take away what only the version before needed, once its last node has ended."),
    ):
        step.add_argument(flag, action="store_true", help=help_)
    _add_debug(migrate, argparse.SUPPRESS)


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
