"""`codebot run` and `codebot demo`: one task, here and now."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codebot.cli.call import DONE, FAILED, Call, read, start
from codebot.domain.status import TaskStatus
from codebot.settings import Command, environment

if TYPE_CHECKING:
    from codebot.domain.event import Event


def run(call: Call) -> int:
    """Do the task that was typed, or that a file holds."""
    from codebot.intake.progress import closing_lines, output_lines, progress_line
    from codebot.intake.prompt_file import read_prompt, read_prompt_file

    file, text = call.arguments.task_prompt_file, call.arguments.task_prompt
    fields = read_prompt_file(file) if file else read_prompt(os.fsencode(text), Path.cwd())
    settings = start(call, Command.RUN)
    from codebot.app.run import AGENT_LOG, TESTS_LOG, run_task
    from codebot.cli.ending import run_until_told

    def show(event: "Event") -> None:
        line = progress_line(event.type, event.data)
        if line is not None:
            print(call.redactor(line), flush=True)

    ended = run_until_told(run_task(settings, fields, redactor=call.redactor, show=show))
    words = [
        *output_lines(ended.tests, ended.folder / TESTS_LOG),
        *([f"What the agent did: {ended.folder / AGENT_LOG}"] if ended.agent else []),
        *closing_lines(ended.task),
    ]
    print(call.redactor("\n".join(["", *words])))
    return DONE if ended.task.status is TaskStatus.COMPLETED else FAILED


def demo(call: Call) -> int:
    """Show the whole way of a task."""
    from codebot.cli.ending import end_as_interrupted
    from codebot.demo import run_demo

    # Whoever ends the demo ends its service, too: both signals unwind the stack.
    end_as_interrupted()
    settings = read(call, Command.RUN).settings
    show = partial(print, flush=True)
    return run_demo(
        settings,
        environment(),
        show=lambda text: show(call.redactor(text)),
        in_color=sys.stdout.isatty(),
        keep=call.arguments.keep,
    )
