"""Texts from agents and repositories, cut to a bound and fit to be stored anywhere."""

LONGEST_TEXT = 64 * 1024
"""Characters kept of one thing an agent said; models end long before."""


def clip(text: str, limit: int = LONGEST_TEXT) -> str:
    r"""Give the beginning of a text, and say so when something was cut off.

    Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become question marks.

    >>> clip("abcdef", 3)
    'abc … (3 more characters)'
    >>> clip("\ud800")
    '?'
    """
    more = len(text) - limit
    shown = text if more <= 0 else f"{text[:limit]} … ({more} more characters)"
    return shown.encode(errors="replace").decode()


def tail_of(text: str, limit: int) -> str:
    """Give the end of a text: where commands say what went wrong.

    >>> tail_of("abcdef", 3)
    '… def'
    """
    shown = text if len(text) <= limit else f"… {text[-limit:]}"
    return shown.encode(errors="replace").decode()


def one_line(text: str, limit: int = 200) -> str:
    r"""Give a text as one short line.

    >>> one_line("make\n  test")
    'make test'
    """
    return clip(" ".join(text[: 4 * limit].split()), limit)
