"""Foreign text made safe to stand in a pull request: pure functions, text to Markdown.

What a task or an agent wrote may not ping people, close issues, keep CI from running, hide
comments, or reach out of the place it is put in. A zero-width space after the first character
takes a construct its meaning and leaves it readable, in prose and in code alike, where an escape
would show.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from codebot.publish.links import Span, find_links

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

_ACTING = (_TAG, _ENTITY, _MENTION, _IMAGE, _SKIPPING)
_LINKING = re.compile(r"\](?=[(\[:])")
_MOST_LOOKS = 20
"""Each look takes a layer of links within links apart; nobody writes more than two."""

_RUN_OF_TICKS = re.compile("`+")
_IN_LINE = "x "
"""Before a line that is looked at: so it begins no list and no code, as it will where it is put."""

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
    return _broken(text, _acting(text, []))


def harmless(text: str) -> str:
    """Give Markdown that is inert, and in which no link leads where none may.

    The links that stay keep their addresses, letter by letter. Looked at is what comes out: to take
    one thing its meaning can give one to another.

    >>> harmless("[a](javascript:x) [b](https://x.org/@b?c&d)").replace(BREAK, "|")
    '[a]|(javascript:x) [b](https://x.org/@b?c&d)'
    """
    for _ in range(_MOST_LOOKS):
        links = find_links(text)
        places = {*links.bad, *_acting(text, links.good)}
        if not places:
            return text
        text = _broken(text, places)
    return inert(_LINKING.sub(lambda found: found[0] + BREAK, text))


def _acting(text: str, good: list[Span]) -> Iterator[int]:
    """Say where to break what acts; what is within a good link does not, as long as it is one.

    Of words that act together with what follows, a link may be the middle: there none is good.
    """
    inside = bytearray(len(text) + 1)
    for start, end in good:
        inside[start:end] = b"\1" * (end - start)
    for found in _CLOSING.finditer(text):
        yield found.end(1)
    for pattern in _ACTING:
        for found in pattern.finditer(text):
            if pattern is _SKIPPING or not inside[found.start()]:
                yield found.end()


def _broken(text: str, places: Iterable[int]) -> str:
    """Put a break at each of the places."""
    pieces, last = [], 0
    for place in sorted(set(places)):
        pieces += [text[last:place], BREAK]
        last = place
    return "".join([*pieces, text[last:]])


def line(text: str, limit: int) -> str:
    r"""Give one line of at most `limit` characters that does nothing.

    >>> line("Add  dark\nmode, please", 12)
    'Add dark...'
    """
    return harmless(_IN_LINE + cut(" ".join(clean(text).split()), limit))[len(_IN_LINE) :]


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
    safe = harmless(clean(text).strip())
    return safe if _stands_alone(safe) else quote(safe)


def quote(text: str) -> str:
    r"""Give the text as a block quote: nothing in it reaches out of it.

    >>> quote("one\n\n```")
    '> one\n>\n> ```'
    """
    lines = clean(text).strip().split("\n")
    return harmless("\n".join(f"> {line}".rstrip() for line in lines))


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
