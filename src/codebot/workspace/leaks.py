"""Credentials in what the agent adds, known by their shape alone.

The rules are those of `detect-secrets`, a maintained set (https://github.com/bridgecrewio/
detect-secrets), and our own for the kinds that it lacks. Only the patterns of its plugins are used
(`denylist`, as its documentation has it): its scanner keeps its settings in globals, and skips
every line that says `pragma: allowlist secret`, which an agent may well write.

Which plugins: those whose pattern is proof, a beginning that an issuer chose or a frame. Left out:
the entropy of a string and names like `password` (every lock file, every test), AWS secrets by
their name (one in 30 MB of Base64 looks like it; ours is stricter), Basic auth in URLs
(`postgres:postgres@localhost`), JSON Web Tokens (samples), Azure (any SHA-512 in a lock file), IBM,
Cloudant, SoftLayer and Artifactory (any long word after `key:`), Discord and Mailchimp (dotted
names, `-us1`), Twilio (identifiers, no secrets).
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from codebot.telemetry.token_shapes import SHAPES

PIECE = 64 * 1024
"""Bytes looked through at once: 5 ms, after which others get their turn."""

OVERLAP = 1024
"""Bytes seen twice, so that nothing is missed where two pieces meet."""

MOST_LEAKS = 100
"""More than that are not told of one text."""

_SHORTEST = 16
_MOST_OF_A_KIND = 0.5
_MADE_UP = re.compile(r"example|dummy|fake|sample|placeholder|test|your", re.IGNORECASE)
_WITHIN = re.compile(r"[A-Za-z0-9][_-]?\Z")
_BEGINNING = re.compile(r"[A-Za-z0-9]{2,10}[_-](?=.{8})")


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that looks like a credential, and where it stands in its text.

    `value` is that part of it which is looked for elsewhere: all of it, or its longest line.
    """

    kind: str
    line: int
    value: str = field(repr=False)

    @property
    def shown(self) -> str:
        """Give what may be said of it: how it begins.

        >>> Leak("npm token", 1, "npm_" + "0a" * 18).shown
        'npm_***'
        """
        beginning = _BEGINNING.match(self.value)
        return f"{beginning[0] if beginning else ''}***"


class ScanTooSlow(Exception):
    """A text takes longer to look through than anybody should wait."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern of one kind of credential.

    The group in it, where it has any, is the secret itself; or, with `is_ours`, all but that.
    """

    kind: str
    pattern: re.Pattern[str]
    is_ours: bool = False


@cache
def load_rules() -> tuple[Rule, ...]:
    """Give all rules; the first call takes 0.1 s of imports."""
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.npm import NpmDetector
    from detect_secrets.plugins.private_key import PrivateKeyDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector

    plugins = (
        GitHubTokenDetector, NpmDetector, PrivateKeyDetector, SendGridDetector,
        SlackDetector, SquareOAuthDetector, StripeDetector,
    )  # fmt: skip
    ours = [Rule(shape.kind, shape.pattern, is_ours=True) for shape in SHAPES if shape.is_proof]
    theirs = [Rule(each.secret_type, regex) for each in plugins for regex in each.denylist]
    return (*ours, *theirs, Rule(AWSKeyDetector.secret_type, AWSKeyDetector.denylist[0]))


def find_leaks(content: bytes, until: float) -> list[Leak]:
    """Give what looks like a credential, in order, each place once. For any thread.

    Raises `ScanTooSlow` when the monotonic clock passes `until`.
    """
    found: dict[int, tuple[str, str]] = {}
    for start in range(0, len(content), PIECE):
        if time.monotonic() > until:
            raise ScanTooSlow
        # One character for each byte: the patterns are of ASCII, and places stay the same.
        piece = content[start : start + PIECE + OVERLAP].decode("latin-1")
        for kind, at, value in _matches(piece):
            found.setdefault(start + at, (kind, value))
        if len(found) >= MOST_LEAKS:
            break
    return [
        Leak(kind, content.count(b"\n", 0, place) + 1, value)
        for place, (kind, value) in sorted(found.items())[:MOST_LEAKS]
    ]


def _matches(piece: str) -> Iterator[tuple[str, int, str]]:
    for rule in load_rules():
        for match in rule.pattern.finditer(piece):
            secret = _without_name(match) if rule.is_ours else _marked(match)
            value = max(re.split(r"[\s\\]+", secret), key=len)
            is_apart = rule.is_ours or not _is_within_a_word(piece, value, match.start())
            if is_apart and not _is_made_up(value):
                yield rule.kind, match.start(), value


def _without_name(match: re.Match[str]) -> str:
    """Give the secret without the name that it is given."""
    return match[0].removeprefix(match[1] if match.re.groups else "")


def _marked(match: re.Match[str]) -> str:
    """Give the secret that a rule marks; some mark but its kind (`ghp`)."""
    marked = max((group for group in match.groups() if group), key=len, default="")
    return marked if len(marked) >= _SHORTEST else match[0]


def _is_within_a_word(piece: str, value: str, start: int) -> bool:
    """Say whether letters stand before it: in Base64 for URLs, `_ghp_` comes up now and then."""
    at = piece.index(value, start)
    return _WITHIN.search(piece[max(at - 2, 0) : at]) is not None


def _is_made_up(value: str) -> bool:
    """Say whether nobody can have been given this: `AKIAIOSFODNN7EXAMPLE`, `ghp_xxxx...`, 1234.

    Of random letters, two in a row are equal or neighbours in one case of twenty.
    """
    if _MADE_UP.search(value):
        return True
    steps = [ord(after) - ord(before) in {0, 1} for before, after in pairwise(value)]
    return sum(steps) > _MOST_OF_A_KIND * len(steps)
