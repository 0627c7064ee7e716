"""From what was typed to an exit code; whatever goes wrong ends as one clear message."""

import sys
import traceback
from collections.abc import Callable, Iterable, Sequence

from codebot.cli.call import CONFIGURATION, FAILED, INTERRUPTED, USAGE, Call
from codebot.cli.parser import build_parser
from codebot.cli.streams import unfailing_streams
from codebot.errors import (
    CodebotError,
    ConfigError,
    InvalidRequest,
    SandboxUnavailable,
    UserError,
)
from codebot.telemetry.redaction import Redactor


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
    return run_guarded(arguments.run_command, Call(arguments, typed, Redactor()))


def _without_values(words: Sequence[str]) -> str:
    """Name flags alone: what stands behind a mistyped one may be a secret.

    >>> _without_values(["--api-keys", "hunter2", "--webhok-secret=hunter2"])
    '--api-keys *** --webhok-secret'
    """
    return " ".join(word.partition("=")[0] if word.startswith("-") else "***" for word in words)


def run_guarded(command: Callable[[Call], int], call: Call) -> int:
    """Run a command and give its exit code.

    One whose words could not be written has failed, but where nobody wanted to read on.
    """
    from codebot.sandbox.deaf import ignore_alone

    ignore_alone()
    with unfailing_streams() as said:
        code = _run(command, call)
        said.flush()
        if said.failure is None or isinstance(said.failure, BrokenPipeError):
            return code
        words = f"what it had to say could not be written: {said.failure.strerror}."
        _complain(call, said.failure, [words])
        return code or FAILED


def _run(command: Callable[[Call], int], call: Call) -> int:
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
