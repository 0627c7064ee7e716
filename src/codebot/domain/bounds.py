"""Which bound of its box a command ran into: the kernel refuses more, and lets it go on. Pure."""

import re
from collections.abc import Mapping
from signal import SIGXCPU, SIGXFSZ

from codebot.domain.box import Bound, Exit, ExitReason

NAMES: Mapping[Bound, str] = {
    Bound.PROCESSES: "processes and threads (CODEBOT_MAX_PROCESSES)",
    Bound.OPEN_FILES: "open files of one process",
    Bound.FILE_SIZE: "the size of one file",
    Bound.CPU_TIME: "the CPU time of one process",
}

SIGNALLED = 128
"""From here on, a shell's exit code means: ended by the signal that is left over."""

_SIGNALS = {SIGXFSZ: Bound.FILE_SIZE, SIGXCPU: Bound.CPU_TIME}

_WORDS: Mapping[Bound, re.Pattern[str]] = {
    Bound.PROCESSES: re.compile(
        r"can't start new thread|unable to create native thread|create new OS thread"
        r"|pthread_create|uv_thread_create|[Cc]annot fork|spawn\w{0,40} .{0,200}EAGAIN"
        r"|(?:fork|clone|[Tt]hread|spawn|system_error)(?:[^\n]{0,200}\n){0,3}?[^\n]{0,200}"
        r"Resource temporarily unavailable|Resource temporarily unavailable \(ThreadError\)"
    ),
    Bound.OPEN_FILES: re.compile(
        r"[Tt]oo many open files|No file descriptors available|\bEMFILE\b"
    ),
    Bound.FILE_SIZE: re.compile(r"File too large|\bEFBIG\b|File size limit exceeded"),
    Bound.CPU_TIME: re.compile(r"CPU time limit exceeded"),
}
"""How kernels, C libraries and runtimes call what was refused: nobody else sees it happen."""


def bound_reached(ended: Exit, words: str) -> str:
    """Name the bound that a command failed at, "" for none that shows; `words` are its last ones.

    >>> bound_reached(Exit(ExitReason.EXITED, -25), "")
    'reached the limit of its box on the size of one file'
    >>> bound_reached(Exit(ExitReason.EXITED, 1), "OSError: [Errno 24] Too many open files")
    'speaks of the limit of its box on open files of one process'
    >>> bound_reached(Exit(ExitReason.EXITED, 0), "EMFILE")
    ''
    """
    if ended.reason is not ExitReason.EXITED or ended.code == 0:
        return _named("reached", ended.reached) if ended.reason is ExitReason.TIMEOUT else ""
    number = -ended.code if ended.code < 0 else ended.code - SIGNALLED
    seen = next((bound for signal, bound in _SIGNALS.items() if signal == number), ended.reached)
    if seen is not None:
        return _named("reached", seen)
    said = (bound for bound, pattern in _WORDS.items() if pattern.search(words))
    return _named("speaks of", next(said, None))


def _named(verb: str, bound: Bound | None) -> str:
    return f"{verb} the limit of its box on {NAMES[bound]}" if bound else ""
