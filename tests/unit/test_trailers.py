"""An agent signs for nobody: which lines of a message go, and which stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.trailers import without_trailers
from codebot.workspace.messages import clean_message

FOR_PEOPLE = [
    "Signed-off-by: Linus <l@example.org>",
    "signed-off-by : Linus",
    "SIGNED-OFF-BY:Linus",
    "Reviewed-by: Linus",
    "Acked-by: Linus",
    "Tested-by: Linus",
    "Co-authored-by: Linus <l@example.org>",
    "Co-developed-by:\tLinus",
    "Reported-by: Linus",
    "Suggested-by: Linus",
    "Approved-by: Linus",
    "Frobnicated-by: Linus",
    "Cc: stable@example.org",
    "CC: Linus",
    "On-behalf-of: @acme <acme@example.org>",
    "Thanks-to: Linus <l@example.org>",
    "  Signed-off-by: Linus",
    "> Signed-off-by: Linus",
    "- Reviewed-by: Linus",
    "**Signed-off-by:** Linus",
    "**Signed-off-by**: Linus",
    "Signed off by: Linus",
    "Signed - off - by : Linus",
    "Signed_off_by: Linus",
    "Signed\N{NO-BREAK SPACE}off\N{NO-BREAK SPACE}by: Linus",
    "Signed\N{NON-BREAKING HYPHEN}off\N{EN DASH}by: Linus",
    "Signed\N{ZERO WIDTH SPACE}-off-by: Linus",
    "Signed-off-by\N{FULLWIDTH COLON} Linus",
    "\N{FULLWIDTH LATIN CAPITAL LETTER S}igned-off-by: Linus",
    "\N{CYRILLIC CAPITAL LETTER DZE}igned-off-b\N{CYRILLIC SMALL LETTER U}: Linus",
    "Si\N{COMBINING DOT BELOW}gned-off-by: Linus",
    "1. Signed-off-by: Linus",
    "- [x] Reviewed-by: Linus",
    "<b>Signed-off-by</b>: Linus",
    "Signed-off-by Linus <l@example.org>",
    "Signed-off-by=Linus",
    "Sign-off: Linus",
    "Reviewed: Linus",
    "Reviewers: Linus, Ada",
    "Acked: Linus",
    "Co-authors: Linus",
    "Reviewed and tested by: Linus",
    "Requested by: Linus",
]

ORDINARY = [
    "Refs: #12",
    'Fixes: 0123abcd4567 ("Mend it")',
    "Change-Id: I0123",
    "Link: <https://example.org/@linus>",
    "This was caused by: a race",
    "Ordered by: name, then date",
    "by: hand",
    "See https://example.org/signed-off-by for more",
    "Replace the Signed-off-by check",
    "def sort(by: str) -> None:",
    "sorted-by = name",
    "Tested: make test",
    "1. Parse: the header",
    "- [x] Done: all",
]


@pytest.mark.parametrize("line", FOR_PEOPLE)
def test_a_line_that_speaks_for_people_goes_with_what_it_is_folded_into(line: str) -> None:
    message = f"Mend it\n\nWhy.\n\n{line}\n <folded@example.org>\n\tand more\nRefs: #1"
    assert without_trailers(message) == "Mend it\n\nWhy.\n\nRefs: #1"
    assert clean_message(message, "-") == "Mend it\n\nWhy.\n\nRefs: #1\n"


@pytest.mark.parametrize("line", ORDINARY)
def test_other_lines_stay(line: str) -> None:
    message = f"Mend it\n\n{line}\n  and more"
    assert without_trailers(message) == message


@given(st.text())
def test_what_stays_is_of_the_message_and_has_nothing_more_to_go(message: str) -> None:
    once = without_trailers(message)
    assert without_trailers(once) == once
    assert set(once.split("\n")) <= {*message.split("\n"), ""}
