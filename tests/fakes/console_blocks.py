"""Reads the ```console blocks of a page of documentation, and runs a page as one shell.

In a block, `$ ` begins a command; lines after it belong to it until the shell finds it complete
(quotes, here-documents, backslashes). What follows is expected in its output, in that order,
line by line; `...` stands for anything. Words after `console` on the fence:

- `manual`: not run (it needs an account, another machine, root);
- `fails`: the last command of the block must end with another code than 0; all others with 0.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_MARK = "@@codebot-docs-{}@@"


@dataclass(frozen=True)
class Step:
    """One command of a page, what its output must hold, and whether it must fail."""

    line: int
    command: str
    expected: tuple[str, ...]
    fails: bool


def read_steps(page: str) -> list[Step]:
    """Give the commands of every block that is not manual, in the order of the page."""
    steps: list[Step] = []
    for token in MarkdownIt().parse(page):
        words = token.info.split()
        if token.type == "fence" and words[:1] == ["console"] and "manual" not in words:
            steps += _block(token.content, (token.map or [0])[0] + 2, fails="fails" in words)
    return steps


def _block(content: str, first_line: int, *, fails: bool) -> Iterator[Step]:
    lines = content.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        size = _size_of_command([lines[start][2:], *lines[start + 1 : end]])
        command = "\n".join([lines[start][2:], *lines[start + 1 : start + size]])
        expected = tuple(line for line in lines[start + size : end] if line.strip())
        yield Step(first_line + start, command, expected, fails and start == starts[-1])


def _size_of_command(lines: Sequence[str]) -> int:
    """Say how many lines the command takes: as many as the shell wants before it is complete."""
    for size in range(1, len(lines) + 1):
        text = "\n".join(lines[:size])
        read = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, check=False)
        if not (read.returncode or read.stderr or text.endswith("\\")):
            return size
    return len(lines)


def run_steps(steps: Sequence[Step], *, cwd: Path, env: Mapping[str, str], timeout: float) -> str:
    """Run the commands in one shell; give "" when all went as written, else what did not."""
    script = ["set -eu -o pipefail", "exec 2>&1"]
    for number, step in enumerate(steps):
        command = f"if {step.command}\nthen exit 1; fi" if step.fails else step.command
        script += [f"echo '{_MARK.format(number)}'", command]
    script.append(f"echo '{_MARK.format(len(steps))}'")
    return _judge(steps, _run("\n".join(script), cwd, env, timeout))


def _run(script: str, cwd: Path, env: Mapping[str, str], timeout: float) -> str:
    output = cwd / ".docs-output"
    with output.open("wb") as sink:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    with suppress(subprocess.TimeoutExpired):
        shell.wait(timeout)
    for ending in (signal.SIGTERM, signal.SIGKILL):  # whatever the page left running ends here
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, ending)
        with suppress(subprocess.TimeoutExpired):
            shell.wait(5)
    return output.read_text(errors="replace")


def _judge(steps: Sequence[Step], output: str) -> str:
    for number, step in enumerate(steps):
        _, reached, rest = output.partition(_MARK.format(number))
        shown, ended, _ = rest.partition(_MARK.format(number + 1))
        where = f"line {step.line}: $ {step.command}\n"
        if not reached or not ended:
            return f"{where}did not end as written (or never ran). Output:\n{rest or output}"
        pattern = ".*?".join(_pattern(line) for line in step.expected)
        if not re.search(pattern, shown, re.DOTALL):
            return f"{where}shows something else than {list(step.expected)}. Output:\n{shown}"
    return ""


def _pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in line.strip().split("..."))
