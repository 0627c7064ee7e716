"""What in a set-up's output tells why it failed, in words for people. Pure."""

import re

from codebot.sandbox.output import last_words

_SIGNS = (
    (r"No interpreter found for (?P<what>Python [^\n]*?)(?: in [a-z ,]+)?\.?$",
     "{what} is not on this machine"),
    (r"current Python version \([\d.]+\) (?:does not satisfy|is not allowed) (?P<what>[^\n]+)",
     "Python {what} is not on this machine"),
    (r"go\.mod requires go >= (?P<what>[\d.]+)", "Go {what} is not on this machine"),
    (r"Unsupported engine.*?\n.*?Expected version: (?P<what>[^\n]+)",
     "Node {what} is not on this machine"),
    (r"Codebot does not let this box reach (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
    (r"Could not resolve host: (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
    (r"(?:line \d+|sh: \d+): (?P<what>[\w.+/-]+): (?:command )?not found",
     "the program {what} is not on this machine"),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern, re.MULTILINE), words) for pattern, words in _SIGNS)


def sign_in(output: str) -> str:
    """Give the reason that a set-up's output names, "" where it names none that is known.

    >>> sign_in("error: No interpreter found for Python >=3.14 in search path")
    'Python >=3.14 is not on this machine'
    """
    tail = last_words(output)
    for pattern, words in _PATTERNS:
        found = pattern.search(tail)
        if found:
            return words.format(what=found["what"].strip())
    return ""
