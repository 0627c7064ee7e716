"""What the pages of indexes say of files: where each is, and what its bytes must be."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from codebot.gateway.registries.copying import Checksum

BESIDE = (".metadata", ".asc", ".provenance")
"""What a client adds to a file's address to read what lies beside it (PEP 658, signatures)."""

_NO_PAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error)
"""How a page shows that it is none: mousebender takes the shape of a JSON page on trust."""
_PROJECT = re.compile(r"([A-Za-z0-9._]+?)-\d[^/]*")
_SHA512_BYTES = 64


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file as a page names it."""

    url: str
    checksum: Checksum | None


def project_of(file_name: str) -> str | None:
    """Give the project that a file of a Python index is of, as pages are asked for.

    >>> project_of("typing_extensions-4.1-py3-none-any.whl"), project_of("zope.event-5.0.tar.gz")
    ('typing-extensions', 'zope-event')
    """
    found = _PROJECT.fullmatch(file_name)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else None


def find_in_python_page(body: bytes, kind: str, where: str, file_name: str) -> NamedFile | None:
    """Give a file that a page of a Python index names; None when it does not."""
    # With Python's parser of HTML: 30 ms of every start, and not every task installs from an index.
    from mousebender import simple

    try:
        text = body.decode(errors="replace")
        details = simple.parse_project_details(text, kind, "project")
        for file in details.get("files", ()):
            if file["filename"] == file_name:
                return _named(urljoin(where, str(file["url"])), file.get("hashes") or {})
    except (*_NO_PAGE, simple.UnsupportedAPIVersion, simple.UnsupportedMIMEType):
        return None
    return None


def find_in_npm_page(body: bytes, file_name: str) -> NamedFile | None:
    """Give an archive that npm's registry names in what it says of a package."""
    try:
        for dist in _dists(json.loads(body)):
            url = str(dist["tarball"])
            if url.endswith(f"/-/{file_name}"):
                return NamedFile(url, _integrity(dist))
    except _NO_PAGE:
        return None
    return None


def find_in_crate_page(body: bytes, version: str) -> NamedFile | None:
    """Give what the index of crates says of a version: a line of JSON each."""
    try:
        for line in body.splitlines():
            told = json.loads(line)
            if told["vers"] == version:
                return NamedFile("", Checksum("sha256", told["cksum"]))
    except _NO_PAGE:
        return None
    return None


def _named(url: str, hashes: dict[str, str]) -> NamedFile:
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    sha256 = hashes.get("sha256")
    return NamedFile(bare, Checksum("sha256", sha256) if sha256 else None)


def _dists(document: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
    for version in document["versions"].values():
        yield version["dist"]


def _integrity(dist: Any) -> Checksum | None:  # noqa: ANN401 - JSON
    for word in str(dist.get("integrity", "")).split():
        algorithm, _, value = word.partition("-")
        if algorithm == "sha512":
            digest = base64.b64decode(value)
            return Checksum("sha512", digest.hex()) if len(digest) == _SHA512_BYTES else None
    return Checksum("sha1", dist["shasum"]) if "shasum" in dist else None
