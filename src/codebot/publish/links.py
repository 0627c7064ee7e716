"""Which links a Markdown text has, and where: a CommonMark parser decides, no pattern of ours.

A link may lead to the web, to mail, or to a place in its repository. The places found are those in
the source, so that one which leads elsewhere can be taken apart, and the others left as they are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

SCHEMES = frozenset({"http", "https", "mailto"})
"""What a link that leaves its repository may begin with; one without a scheme stays inside."""

_SCHEME = re.compile(r"([^/?#]*?):")
_LABEL = re.compile(r"\[(?:\\.|[^\[\]\\])*\](?=:)", re.DOTALL)
# What GitHub itself makes a link of, up to where that could end.
# https://github.github.com/gfm/#autolinks-extension-
_BARE = re.compile(
    r"https?://(?:[a-z0-9-]+\.)+[a-z0-9-]+(?::\d+)?(?=[/?#\s]|$)(?:[/?#][^\s<>()\[\]\"'`|*\\]*)?",
    re.IGNORECASE,
)

Span = tuple[int, int]


@dataclass(slots=True)
class Links:
    """Spans of a text that are good links' own, and where each other link can be taken apart."""

    good: list[Span] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)


def may_lead_to(address: str) -> bool:
    """Say whether a link may lead there.

    >>> may_lead_to("HTTPS://example.org"), may_lead_to("docs/a:b.md"), may_lead_to("#top")
    (True, True, True)
    >>> may_lead_to("javascript:alert(1)"), may_lead_to("java%0Ascript:x")
    (False, False)
    """
    scheme = _SCHEME.match(address)
    return scheme is None or scheme[1].lower() in SCHEMES


def find_links(text: str) -> Links:
    """Find the links of a text: inline, by reference, and addresses that stand for themselves."""
    links = Links(good=[found.span() for found in _BARE.finditer(text)])
    environment: dict[str, Any] = {}
    tokens = _parser().parse(text, environment)
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    for definition in environment.get("references", {}).values():
        _find_definition(text, starts, definition, links)
    for token in tokens:
        if token.type == "inline":
            found = Links()
            _parser().inline.parse(token.content, _parser(), {**environment, _FOUND: found}, [])
            _add(found, links, _places(token, lines, starts))
    return links


_FOUND = "codebot.found"
"""Where the parser's rules put what they find, in the environment that it hands to them."""


def _find_definition(
    text: str, starts: Sequence[int], definition: Mapping[str, Any], links: Links
) -> None:
    """Find one `[label]: address`; for a label that is defined twice, the first counts."""
    first, after = definition["map"]
    label = _LABEL.search(text, starts[first])
    if label is None:
        return
    if may_lead_to(definition["href"]):
        links.good.append((label.end(), starts[after] - 1))
    else:
        links.bad.append(label.end())


def _places(token: "Token", lines: Sequence[str], starts: Sequence[int]) -> list[int]:
    """Say where each character of an inline text stands in its source.

    Its lines are those of the source without what makes a list, a quote or a heading of them.
    """
    first = token.map[0] if token.map else 0
    places: list[int] = []
    for number, content in enumerate(token.content.split("\n"), first):
        column = max(lines[number].rfind(content), 0)
        places += range(starts[number] + column, starts[number] + column + len(content) + 1)
    return places


def _add(found: Links, links: Links, places: Sequence[int]) -> None:
    links.good += [(places[start], places[end]) for start, end in found.good]
    links.bad += [places[at] for at in found.bad]


@cache
def _parser() -> "MarkdownIt":
    """Give the parser, made when it is first needed; to it every address is as good as another."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"store_labels": True})
    parser.validateLink = lambda _: True  # type: ignore[method-assign,assignment]
    parser.inline.ruler.at("link", _link)
    parser.inline.ruler.at("autolink", _autolink)
    parser.inline.ruler.disable("image")  # none is shown: what follows the `!` is a link
    parser.core.ruler.disable("inline")  # it is done here, one text after the other
    return parser


def _link(state: "StateInline", silent: bool) -> bool:  # noqa: FBT001 - the parser calls it so
    """Do as the parser does, and note where the address of an inline link stands."""
    from markdown_it.rules_inline import link

    start, number = state.pos, len(state.tokens)
    after_text = state.md.helpers.parseLinkLabel(state, start, disableNested=True) + 1
    is_one = link(state, silent)
    if is_one and not silent:
        opening = _opening(state.tokens[number:])
        if not opening.meta.get("label"):  # of the others, the definition counts
            _note(state, opening, (after_text, state.pos), apart=after_text)
    return is_one


def _autolink(state: "StateInline", silent: bool) -> bool:  # noqa: FBT001 - as above
    from markdown_it.rules_inline import autolink

    start, number = state.pos, len(state.tokens)
    is_one = autolink(state, silent)
    if is_one and not silent:
        _note(state, _opening(state.tokens[number:]), (start, state.pos), apart=start + 1)
    return is_one


def _opening(tokens: "Sequence[Token]") -> "Token":
    return next(token for token in tokens if token.type == "link_open")


def _note(state: "StateInline", opening: "Token", span: Span, *, apart: int) -> None:
    found: Links = state.env[_FOUND]
    if may_lead_to(str(opening.attrs["href"])):
        found.good.append(span)
    else:
        found.bad.append(apart)
