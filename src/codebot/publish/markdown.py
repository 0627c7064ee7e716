"""Foreign text made safe to stand in a pull request: pure functions, text to Markdown.

What a task or an agent wrote may not ping people, close issues, keep CI from running, hide
comments, or reach out of the place it is put in. A zero-width space after the first character
takes a construct its meaning and leaves it readable, in prose and in code alike, where an escape
would show.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

BREAK = "\N{ZERO WIDTH SPACE}"

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029"
    "\u202a-\u202e\u2066-\u2069"  # bidirectional controls make a text read as another
    "\ud800-\udfff]"
)

# GitHub looks for mentions and references in the rendered text, so an entity may not spell them.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=[A-Za-z#])")
_MENTION = re.compile(rf"@(?=[^\s{BREAK}])")
_IMAGE = re.compile(r"!(?=\[)")
# https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
_SKIPPING = re.compile(
    r"\[(?=(?:skip|no|ci|actions)[ -][a-z]+\])|(?<![\w-])skip(?=-checks\s*:)", re.IGNORECASE
)
# https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
_CLOSING = re.compile(
    r"(?<![A-Za-z0-9])(c|f|r)(?=(?:(?<=c)lose[sd]?|(?<=f)ix(?:es|ed)?|(?<=r)esolve[sd]?)"
    r"[^A-Za-z0-9]*?(?:#\d|GH-\d|https?:|[A-Za-z0-9][\w.-]{0,99}/[\w.-]{1,99}#\d))",
    re.IGNORECASE,
)

_RUN_OF_TICKS = re.compile("`+")
_SENTINEL = "Here ends what somebody else wrote."


def clean(text: str) -> str:
    r"""Give the text without what a page cannot show: terminal colours, controls, surrogates.

    >>> clean("\x1b[31mred\x1b[0m\r\nnext\x00")
    'red\nnext'
    """
    lines = _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("", lines)


def inert(text: str) -> str:
    """Give prose that reads the same and does nothing: no pings, no closing of issues, no HTML.

    Nor does it keep anybody's CI from running, as `[skip ci]` in a commit or a title would.

    References such as #12 stay links; only "fixes #12" loses its power to close.

    >>> inert("fixes #12 for @team <!-- psst -->").replace(BREAK, "|")
    'f|ixes #12 for @|team <|!-- psst -->'
    """
    for pattern in (_TAG, _ENTITY, _MENTION, _IMAGE, _SKIPPING):
        text = pattern.sub(lambda found: found[0] + BREAK, text)
    return _CLOSING.sub(lambda found: found[1] + BREAK, text)


def line(text: str, limit: int) -> str:
    r"""Give one line of at most `limit` characters that does nothing.

    >>> line("Add  dark\nmode, please", 12)
    'Add dark...'
    """
    return inert(cut(" ".join(clean(text).split()), limit))


def cut(text: str, limit: int) -> str:
    """Give the beginning of a text, between words where that is possible.

    >>> cut("one two three", 10), cut("one two", 10)
    ('one two...', 'one two')
    """
    if len(text) <= limit:
        return text
    room = limit - len("...")
    return f"{text[: room + 1].rpartition(' ')[0] or text[:room]}..."


def cut_front(text: str, limit: int) -> str:
    r"""Give the end of a text, whole lines where that is possible: tests say it last.

    >>> cut_front("one\ntwo\nthree", 10)
    '...\nthree'
    """
    if len(text) <= limit:
        return text
    tail = text[-(limit - 4) :]
    return f"...\n{tail.partition(chr(10))[2] or tail}"


def prose(text: str) -> str:
    """Give foreign Markdown as it is where it stands for itself, else as a quote.

    A text stands for itself when what follows it cannot become a part of it (an open fence) and
    it sets up no headings of its own among ours.
    """
    safe = inert(clean(text)).strip()
    return safe if _stands_alone(safe) else quote(safe)


def quote(text: str) -> str:
    r"""Give the text as a block quote: nothing in it reaches out of it.

    >>> quote("one\n\n```")
    '> one\n>\n> ```'
    """
    lines = inert(clean(text)).strip().split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def fence(text: str) -> str:
    r"""Give the text in a fence that is longer than any inside.

    >>> fence("a ``` b")
    '````text\na ``` b\n````'
    """
    content = _without_comments(clean(text)).strip("\n")
    ticks = "`" * max(3, _longest_run(content) + 1)
    return f"{ticks}text\n{content}\n{ticks}"


def code(text: str, limit: int = 300) -> str:
    """Give the text as a code span of one line, whatever backticks are in it.

    >>> print(code("make test"), code("a`b"))
    `make test` `` a`b ``
    """
    content = _without_comments(cut(" ".join(clean(text).split()), limit))
    if not content:
        return ""
    run = _longest_run(content)
    if run == 0:
        return f"`{content}`"
    ticks = "`" * (run + 1)
    return f"{ticks} {content} {ticks}"


def _stands_alone(text: str) -> bool:
    """Ask a CommonMark parser whether a paragraph after the text is one of its own."""
    tokens = _parser().parse(f"{text}\n\n{_SENTINEL}")
    is_own = [token.content for token in tokens if token.level == 1][-1:] == [_SENTINEL]
    return is_own and not any(token.type == "heading_open" for token in tokens)


@cache
def _parser() -> "MarkdownIt":
    """Give the parser, made when it is first needed: no start waits for it."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _without_comments(text: str) -> str:
    """Take HTML comments their meaning in code as well: our marker is looked for in the source."""
    return text.replace("<!--", f"<{BREAK}!--")


def _longest_run(text: str) -> int:
    return max((len(run) for run in _RUN_OF_TICKS.findall(text)), default=0)
