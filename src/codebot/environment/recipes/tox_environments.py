"""Which of tox's environments runs the tests with the Python that is here. Pure.

https://tox.wiki/en/latest/config.html#generative-environments
"""

import re
from collections.abc import Iterator
from itertools import islice, product

ANY_PYTHON = "py"
"""tox's name for the Python that runs tox."""

NOT = "not."
"""What `!` in a condition is read as."""

MOST_LISTED = 1_000
"""Environments that are looked at: each pair of braces multiplies them."""

_ENTRY = re.compile(r"(?:\{[^{}]*\}|[^\s,{}])+")
_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)")
_FACTORS = re.compile(r"[\w.]+(?:-[\w.]+)*")
_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")
_PYTHON = re.compile(r"(?:py|python)?(?P<version>[23](?:\.?\d+)?)")
_TESTS = re.compile(r"tests?|testing|units?|unittests?|pytest")
_NO_TESTS = re.compile(
    r"lint\w*|style|flake8|black|isort|ruff|mypy|pyright|typ(?:es?|ing)|docs?|checks?|manifest|cov|"
    r"coverage|report|clean|build|release|packaging|twine|pre|format\w*"
)
_SERVICES = re.compile(
    r"postgres\w*|psql|psycopg\d?|mysql|mariadb|oracle|mssql|redis|valkey|mongo\w*|rabbitmq|kafka|"
    r"elasticsearch|docker|integration"
)
_NO_RELEASES = re.compile(r"[a-z]*(?:main|master|dev|devel|latest|nightly)")


def tox_environment(envlist: str, python: str = "") -> str:
    """Give the environment that is run, of a list as `tox.ini` has it.

    `python` is the version that is here ("3.11"), "" where it is not known. An environment of that
    version goes first; of those, one without a service, a development branch, or a linter.

    >>> tox_environment("lint, py{310,311}-{mypy,test}, docs", "3.11")
    'py311-test'
    >>> tox_environment("py{38,39}-{redis,plain}", "3.11")
    'py-plain'
    >>> tox_environment("lint, unit"), tox_environment("")
    ('unit', 'py')
    """
    listed = [*islice(_expanded(envlist), MOST_LISTED)]
    ours = [name for name in listed if python and python in _versions(name)]
    others = [_for_any_python(name) for name in listed if _versions(name)]
    unversioned = [name for name in listed if name.split("-")[0] == ANY_PYTHON]
    named = [name for name in listed if _has(_TESTS, name)]
    found = ours or unversioned or others or named or listed
    return min(found, key=_unfitness, default=ANY_PYTHON)


def holds(condition: str, environment: str) -> bool:
    """Say whether a line that begins with a condition is one of an environment's.

    >>> holds("py38,!old", "py311-new"), holds("py311-{old,new}", "py311-new"), holds("!a", "a")
    (True, True, False)
    """
    factors = frozenset(environment.split("-"))
    listed = islice(_expanded(condition.replace("!", NOT)), MOST_LISTED)
    return any(
        all((factor.removeprefix(NOT) in factors) != factor.startswith(NOT) for factor in every)
        for every in (each.split("-") for each in listed)
    )


def _expanded(envlist: str) -> Iterator[str]:
    """Give the names that a list spells out, however its braces multiply them."""
    for entry in _ENTRY.findall(re.sub(r"#[^\n]*", "", envlist)):
        parts = [
            [plain] if plain else [*_choices(braced)] for braced, plain in _PART.findall(entry)
        ]
        for chosen in islice(product(*parts), MOST_LISTED):
            name = re.sub(r"-{2,}", "-", "".join(chosen)).strip("-")
            if _FACTORS.fullmatch(name):
                yield name


def _choices(braced: str) -> Iterator[str]:
    """Give what braces offer, ranges spelled out.

    >>> [*_choices("py3, 9-11")]
    ['py3', '9', '10', '11']
    """
    for choice in braced.split(","):
        span = _RANGE.fullmatch(choice.strip())
        if span is None:
            yield choice.strip()
        else:
            first, last = int(span[1]), int(span[2])
            yield from map(str, islice(range(first, last + 1), MOST_LISTED))


def _versions(name: str) -> frozenset[str]:
    """Give the versions of Python that a name has among its factors, as "3.11"."""
    found = (_PYTHON.fullmatch(factor) for factor in name.split("-"))
    return frozenset(_spelled(match["version"]) for match in found if match)


def _spelled(version: str) -> str:
    """Give a version with its dot.

    >>> _spelled("311"), _spelled("3.9"), _spelled("3")
    ('3.11', '3.9', '3')
    """
    return version if "." in version or len(version) == 1 else f"{version[0]}.{version[1:]}"


def _for_any_python(name: str) -> str:
    return "-".join(
        ANY_PYTHON if _PYTHON.fullmatch(factor) else factor for factor in name.split("-")
    )


def _unfitness(name: str) -> tuple[bool, bool, bool]:
    """Say what speaks against an environment, the worst first."""
    return _has(_NO_TESTS, name), _has(_SERVICES, name), _has(_NO_RELEASES, name)


def _has(kind: re.Pattern[str], name: str) -> bool:
    """Say whether one factor of a name is of a kind, whatever version it ends with."""
    factors = name.lower().split("-")
    return any(kind.fullmatch(factor.rstrip("0123456789.")) for factor in factors)
