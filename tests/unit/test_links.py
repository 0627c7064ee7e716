"""Where a pull request's links may lead: a CommonMark parser that takes any address judges."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from codebot.publish import markdown
from codebot.publish.links import may_lead_to

JUDGE = MarkdownIt("commonmark")
JUDGE.validateLink = lambda url: True  # type: ignore[method-assign,assignment]  # noqa: ARG005

STAY = [
    "[x](https://example.org/?a=1&b=2)",
    "[x](HTTP://Example.org/@team)",
    "[x](mailto:me@example.org)",
    "<https://example.org/@team?x&y>",
    "<me@example.org>",
    '[a][b]\n\n[b]: https://example.org/@u?a&b "its title"',
    "[b]\n\n> [b]: <mailto:me@example.org>",
    "[x](./docs/@a/b.md)",
    "[x](../a:b/c.md 'title')",
    "[x](docs/a:b.md)",
    "[x](#anchor)",
    "[x](?q=a:b)",
    "[x](//example.org/a)",
    "[x]()",
    "[x](<docs/a b.md>)",
    "- [x](https://example.org/(c)&d)\n  1. [y](https://example.org/@d)",
    "# [h](https://example.org/@c) #",
    "see https://example.org/@team/a?b=1&c=2, or not",
]

SCRIPT = "javascript:alert(1)"
GO = [
    f"[x]({SCRIPT})",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:1)",
    "[x](javascript&colon;1)",
    "[x](java&NewLine;script:1)",
    "[x](java&Tab;script:1)",
    "[x](<java script:1>)",
    "[x](< javascript:1>)",
    "[x](java\\script:1)",
    f"[x](\n{SCRIPT}\n'title')",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](ftp://example.org)",
    "[x](blob:https://example.org/x)",
    "[x](https\u200b://example.org)",
    f"[x][r]\n\n[r]: {SCRIPT}",
    f"[x][]\n\n[X]: <{SCRIPT}> 'title'",
    f"[r]\n\n> [r]:\n> {SCRIPT}",
    f"[r]\n\n- a\n\n  [r]: {SCRIPT}",
    f"[r]: {SCRIPT}\n[r]: data:x\n\n[r]",
    f"[^1]\n\n[^1]: {SCRIPT}",
    f"<{SCRIPT}>",
    "<ftp://example.org>",
    f"![x]({SCRIPT})",
    f"[![i](https://example.org)]({SCRIPT})",
    f"[![i]({SCRIPT})](https://example.org)",
    f"[[a]({SCRIPT})]({SCRIPT})",
    f"[`a](b)`]({SCRIPT})",
    f"[\\]]({SCRIPT})",
    f"<a href='{SCRIPT}'>x</a>",
    f"<b title='[x]({SCRIPT})'>",
    f"\t[x]({SCRIPT})",
    f"~~~ [x]({SCRIPT})",
    f"    [x]({SCRIPT})",
    f"# [h]({SCRIPT}) #",
    "[" * 60 + "x" + f"]({SCRIPT})" * 60,
]


def addresses(text: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]*)"', JUDGE.render(text))


@pytest.mark.parametrize("text", STAY)
def test_links_to_the_web_to_mail_and_into_the_repository_stay_as_they_are(text: str) -> None:
    assert markdown.harmless(text) == text
    assert addresses(markdown.quote(text)) == addresses(text)
    assert addresses(markdown.prose(text)) == addresses(text)


@pytest.mark.parametrize("text", GO)
def test_any_other_link_is_none_any_more_and_reads_the_same(text: str) -> None:
    for made in (
        markdown.harmless(text),
        markdown.prose(text),
        markdown.quote(text),
        f"Ticket: {markdown.line(text, 10_000)}",
    ):
        assert all(map(may_lead_to, addresses(made)))
    assert markdown.harmless(text).replace(markdown.BREAK, "") == text.replace(markdown.BREAK, "")


def test_a_good_link_beside_a_bad_one_stays() -> None:
    text = f"[bad]({SCRIPT}) [good](https://example.org/@a?b&c)"
    assert "[good](https://example.org/@a?b&c)" in markdown.prose(text)
    assert addresses(markdown.prose(text)) == ["https://example.org/@a?b&amp;c"]


@pytest.mark.parametrize(
    "text",
    [
        '[a ![b](c) d](https://example.org "@team")',
        "https://example.org)@team",
        "[x](https://example.org)@team",
        "https://team@team",
        "https://example.org/closes #12",
        "[x](https://example.org/closes) #12",
    ],
)
def test_an_address_shelters_nothing_that_acts(text: str) -> None:
    rendered = re.sub(r"<a .*?</a>", "", JUDGE.render(markdown.harmless(text)))
    assert not re.search(r"@team|closes.*#12", rendered)
    assert "closes" not in markdown.harmless(text)


PIECES = st.lists(
    st.sampled_from(
        [
            *"[]()<>!:`\\ \n\t>-#*@&'\"a",
            SCRIPT,
            "data:x",
            "https://example.org/@a",
            "[r]: ",
            "&colon;",
        ]
    ),
    max_size=40,
).map("".join)


@given(PIECES)
def test_no_mixture_links_elsewhere(text: str) -> None:
    for made in (markdown.prose(text), markdown.quote(text), f"T: {markdown.line(text, 999)}"):
        assert all(map(may_lead_to, addresses(made)))
