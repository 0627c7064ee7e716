"""The App's private key in whatever form it was set: a PEM in a variable takes many."""

import base64
import binascii
import re

_FRAMED = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=kind)-----"
)
_LINE = 64

NO_KEY = (
    "holds what is not an RSA private key without password, as a whole PEM (with its lines, or \\n"
    " for them) or that in Base64; download one from the App's settings page"
)


def private_key_text(value: str) -> str:
    r"""Give the PEM that a value stands for; raises `ValueError` where it is none.

    Variables cannot always hold lines: people write `\n` for them, encode the whole file in Base64,
    keep the quotes around it, or lose the ends of lines on the way.

    >>> private_key_text("-----BEGIN KEY-----\\nTUlJ\\n-----END KEY-----").splitlines()
    ['-----BEGIN KEY-----', 'TUlJ', '-----END KEY-----']
    """
    text = value.strip().strip("\"'")
    found = _FRAMED.search(_unescaped(text)) or _FRAMED.search(_decoded(text))
    if found is None:
        raise ValueError(NO_KEY)
    kind, body = found["kind"], "".join(found["body"].split())
    lines = (body[start : start + _LINE] for start in range(0, len(body), _LINE))
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""))


def is_private_key(pem: bytes) -> bool:
    """Say whether this is a key that signs for an App: RSA, and not locked with a password."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return isinstance(load_pem_private_key(pem, password=None), RSAPrivateKey)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def looks_like_key(text: str) -> bool:
    """Say whether a text is a private key, or the beginning of one, in any of its forms."""
    return "-----BEGIN" in text or "-----BEGIN" in _decoded(text)


def _unescaped(text: str) -> str:
    return text.replace("\\r", "").replace("\\n", "\n")


def _decoded(text: str) -> str:
    """Give what a text in Base64 says, "" for what is none; what is cut off says its beginning."""
    compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    whole = compact[: len(compact) - (len(compact) % 4 == 1)]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
