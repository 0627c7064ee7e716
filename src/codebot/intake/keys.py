"""API keys: who may talk to the service, compared without telling time."""

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

from codebot.domain.secret import Secret

_FINGERPRINT_LENGTH = 16


class ApiKeys:
    """The keys of the service. Only their digests are kept."""

    def __init__(self, keys: Iterable[Secret]) -> None:
        """Take the keys; an empty one never becomes valid."""
        values = (key.reveal().encode() for key in keys)
        self._digests = tuple(sha256(value).digest() for value in values if value)

    def fingerprint(self, presented: bytes) -> str | None:
        """Give the fingerprint of a valid key (16 hex digits of its SHA-256), None for any other.

        Every stored digest is compared, so the time taken says neither which key is near nor how
        much of it is right.

        >>> ApiKeys([Secret("hunter2")]).fingerprint(b"hunter2")
        'f52fbd32b2b3b86f'
        """
        digest = sha256(presented).digest()
        matches = sum([compare_digest(digest, known) for known in self._digests])
        return digest.hex()[:_FINGERPRINT_LENGTH] if matches else None

    def is_in_use(self, fingerprint: str) -> bool:
        """Say whether one of the keys has this fingerprint; "" is that of none."""
        return fingerprint != "" and any(
            known.hex().startswith(fingerprint) for known in self._digests
        )
