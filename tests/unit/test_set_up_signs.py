"""What a set-up's output tells of its failure."""

import pytest

from codebot.environment.set_up_signs import sign_in


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "error: No interpreter found for Python >=3.14 in virtual environments or search path",
            "Python >=3.14 is not on this machine",
        ),
        (
            "Because the current Python version (3.11.2) does not satisfy\n  Python>=3.12 and a==1",
            "Python >=3.12 is not on this machine",
        ),
        (
            "Current Python version (3.11.2) is not allowed by the project (>=3.12).",
            "Python >=3.12 is not on this machine",
        ),
        ("Package 'a' requires a different Python: 3.11.2 not in '>=3.12'", "Python >=3.12 is"),
        ("incompatible with the project's Python requirement: `>=3.12`", "Python >=3.12 is"),
        ("src/a.c:3:10: fatal error: libpq-fe.h: No such file or directory\n", "libpq-fe.h"),
        ("  | Unable to find installation candidates for attrs (23.1.0)\n", "attrs (23.1.0)"),
        (
            "  \u00d7 Failed to build `a @ file:///workspace`\n  x\n",
            "Failed to build `a @ file:///",
        ),
        ("Resolved\nerror: Failed to download `a==7.0.0`\n", "Failed to download `a==7.0.0`"),
        ("all is well\nthe error: is elsewhere\n", ""),
    ],
)
def test_a_reason_that_is_known_is_named(output: str, reason: str) -> None:
    told = sign_in(output)
    assert reason in told
    assert bool(told) == bool(reason)
