"""Where a request carries its API key, whatever else its headers hold."""

from base64 import b64decode
from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]


def presented_key(headers: Headers, *, basic: bool) -> bytes | None:
    """Give the key of `Authorization: Bearer KEY` or `X-API-Key: KEY`, None without one.

    Bearer wins when both are there; either header given twice is as good as no key. With `basic`
    the password of HTTP Basic counts too, whoever the user.

    >>> presented_key([(b"authorization", b"bearer k1")], basic=False)
    b'k1'
    """
    authorizations = [value for name, value in headers if name == b"authorization"]
    api_keys = [value for name, value in headers if name == b"x-api-key"]
    if len(authorizations) > 1 or len(api_keys) > 1:
        return None
    key = _from_authorization(authorizations[0], basic=basic) if authorizations else None
    if key is None and api_keys:
        return api_keys[0].strip()
    return key


def _from_authorization(value: bytes, *, basic: bool) -> bytes | None:
    scheme, _, credential = value.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return credential.strip()
    if basic and scheme.lower() == b"basic":
        return _password(credential.strip())
    return None


def _password(credential: bytes) -> bytes | None:
    """Read `user:password` in Base64 (https://www.rfc-editor.org/rfc/rfc7617)."""
    try:
        _user, colon, password = b64decode(credential, validate=True).partition(b":")
    except ValueError:
        return None
    return password if colon else None
