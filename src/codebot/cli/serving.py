"""`codebot serve`, with --debug again whenever the code changes, and `codebot worker`."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codebot.cli.call import DONE, Call, start
from codebot.settings import Command
from codebot.telemetry.redaction import Redactor


def serve(call: Call) -> int:
    """Serve until a signal."""
    return _serve_and_reload(call) if call.arguments.debug else _serve_once(call)


def work(call: Call) -> int:
    """Work on what others take in, until a signal."""
    settings = start(call, Command.WORKER)

    from codebot.app.worker import work

    def announce() -> None:
        print(f"Working on up to {settings.workers} task(s) at once", flush=True)

    work(settings, redactor=call.redactor, announce=announce)
    return DONE


def _serve_once(call: Call) -> int:
    settings = start(call, Command.SERVE)

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

    watched = str(Path(__file__).parents[1])
    config = Config("codebot.app", reload=True, reload_dirs=[watched], log_config=None)
    ChangeReload(config, partial(_serve_again, list(call.argv)), sockets=[]).run()
    return DONE


def _serve_again(argv: Sequence[str], *, sockets: object) -> None:  # noqa: ARG001 - from uvicorn
    """Serve in the process that the watcher started; its arguments came through a pipe."""
    from codebot.cli.entry import run_guarded  # which knows every command
    from codebot.cli.parser import build_parser

    call = Call(build_parser().parse_args(argv), argv, Redactor())
    sys.exit(run_guarded(_serve_once, call))
