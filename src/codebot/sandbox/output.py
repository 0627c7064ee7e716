"""What a command printed, made fit to keep and to show: bounded, and nothing but text."""

import re
from collections.abc import AsyncIterator, Callable

LONGEST_OUTPUT = 64 * 1024
"""Characters kept of what the tests print: the end, where failures are summed up."""

LEFT_OUT = "[the beginning of the output is left out]"

_RAW = 4 * LONGEST_OUTPUT
"""Bytes kept meanwhile: colours and progress bars take up room, and are dropped at the end."""

_LAST_WORDS, _LONGEST_LINE = 20_000, 400
"""Characters of an output, and of a line in it, in which programs say why they gave up."""

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"  # everything shorter
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)


async def keep_tail(lines: AsyncIterator[bytes]) -> tuple[bytes, int]:
    """Read to the end; give the last part, and how many bytes came before it."""
    tail = bytearray()
    cut = 0
    async for line in lines:
        tail += line
        if len(tail) > 2 * _RAW:
            cut += len(tail) - _RAW
            del tail[:-_RAW]
    return bytes(tail), cut


def as_text(tail: bytes, cut: int, redact: Callable[[str], str] = str) -> str:
    r"""Give the end of an output as people read it on a terminal, without what steers one.

    A progress bar shows its last state. Where something is left out, the first line says so.
    `redact` masks secrets: once no colour is in their midst, and before anything more is cut.

    >>> as_text(b"\x1b[31mred\x1b[0m 10%\rdone \xff\n", 0)
    'done \ufffd\n'
    """
    text = redact(cleaned(tail))
    if not cut and len(text) <= LONGEST_OUTPUT:
        return text
    kept = text[-LONGEST_OUTPUT:]
    first_end = kept.find("\n") + 1
    whole_lines = kept[first_end:] if first_end < len(kept) else kept
    return f"{LEFT_OUT}\n{whole_lines}"


def cleaned(tail: bytes) -> str:
    """Give all of an output that was kept, without what steers a terminal; no secret is masked."""
    text = _ESCAPE.sub("", tail.decode(errors="replace"))
    text = _OVERWRITTEN.sub("", text.replace("\r\n", "\n"))
    return _CONTROL.sub("", text)


def last_words(output: str) -> str:
    r"""Give the end of an output to look for patterns in: of a long line, only its beginning.

    What a word is that has no end costs a pattern the square of its length: 20,000 letters in one
    line took a minute and a half.

    >>> len(last_words("a" * 20_000 + "\nno such file\n"))
    414
    """
    return "\n".join(line[:_LONGEST_LINE] for line in output[-_LAST_WORDS:].split("\n"))
