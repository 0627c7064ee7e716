"""From texts that others wrote to safe HTML: Markdown that holds no markup, diffs in colour."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST_DIFF = 500_000
"""In characters; a page shows this much of a diff, the API all of it."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SUMMARY = re.compile(r"<details><summary>([^<>]*)</summary>")


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff and what it is: file, meta, hunk, added, removed or context."""

    kind: str
    text: str


def render(template: str, **values: object) -> str:
    """Fill a page of `templates/`; every value is escaped unless it is `Markup`."""
    return _templates().get_template(template).render(values)


def markdown(text: str) -> Markup:
    """Render Markdown; HTML in it is shown, not obeyed, and links lead to the web only.

    Comments are left out. Collapsed sections of the form that our own pull requests use stay
    collapsible.
    """
    parser = _parser()
    tokens = parser.parse(_COMMENT.sub("", text))
    for inline in (token for token in tokens if token.type == "inline"):
        _mark_links(inline.children or ())
    html = parser.renderer.render(list(_with_details(tokens)), parser.options, {})
    return Markup(html)  # noqa: S704  the renderer escaped every text in it


def diff_lines(diff: str) -> Iterator[DiffLine]:
    r"""Tell the lines of a unified diff apart.

    >>> [line.kind for line in diff_lines("diff --git a/x b/x\n--- a/x\n@@ -1 +1 @@\n--- y")]
    ['file', 'meta', 'hunk', 'removed']
    """
    in_hunk = False
    for text in diff.split("\n"):
        if text.startswith("diff --git "):
            in_hunk = False
            yield DiffLine("file", text)
        elif text.startswith("@@"):
            in_hunk = True
            yield DiffLine("hunk", text)
        elif in_hunk:
            yield DiffLine({"+": "added", "-": "removed"}.get(text[:1], "context"), text)
        else:
            yield DiffLine("meta", text)


# Both libraries are loaded for the first page: no start waits for them.


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("codebot.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _parser() -> "MarkdownIt":
    """Give the parser; an image would be fetched from wherever a stranger's text says."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _mark_links(tokens: "Sequence[Token]") -> None:
    for token in tokens:
        if token.type == "link_open":
            token.attrSet("rel", "noopener noreferrer nofollow")


def _with_details(tokens: "Sequence[Token]") -> "Iterator[Token]":
    """Turn paragraphs that are nothing but the one known form of a collapsed section into one."""
    from markdown_it.token import Token

    rest = list(tokens)
    while rest:
        html = _details(rest[1]) if rest[0].type == "paragraph_open" and rest[0].level == 0 else ""
        if html:
            yield Token("html_block", "", 0, content=html)
            del rest[:3]  # the paragraph's opening, text and closing
        else:
            yield rest.pop(0)


def _details(inline: "Token") -> str:
    if inline.content == "</details>":
        return "</details>\n"
    match = _SUMMARY.fullmatch(inline.content)
    return f"<details><summary>{escape(match[1])}</summary>\n" if match else ""
