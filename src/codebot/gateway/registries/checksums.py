"""What the bytes of a file must be, where its address or an index that was read tells it."""

import re
from collections.abc import Callable, Iterator

from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.catalog import Wanted
from codebot.gateway.registries.copying import Checksum
from codebot.gateway.registries.index_pages import (
    BESIDE,
    NamedFile,
    find_in_crate_page,
    find_in_npm_page,
    find_in_python_page,
    project_of,
)
from codebot.gateway.registries.table import NPM, PYTHON_FILES, PYTHON_INDEX

LARGEST_INDEX = 32 * 1024 * 1024
_ADDRESSED = re.compile(r".*/packages/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})/[^/]+")
"""PyPI keeps a file under its BLAKE2b hash of 32 bytes; mirrors keep the path, most of them."""
_NPM = re.compile(r"(?P<page>.*/(?:@[\w.~-]+(?:/|%2f))?[\w.~-]+)/-/(?:@[\w.~-]+/)?(?P<name>[^/]+)")
_CRATE = re.compile(
    r".*/crates/(?P<name>[\w-]+)/(?:(?P=name)-)?(?P<version>.+?)(?:\.crate|/download)"
)

Look = Callable[[bytes, str], NamedFile | None]


def checksum_of(wanted: Wanted, cache: Cache) -> Checksum | None:
    """Give what is known of a file's bytes; reads the cache, so call it in a thread."""
    address = wanted.address
    if address.endswith(BESIDE):
        return None
    if address.startswith(f"https://{PYTHON_FILES.host}/"):
        found = _ADDRESSED.fullmatch(address)
        return Checksum("blake2b", "".join(found.groups())) if found else None
    for key, look in _indexes(wanted):
        entry = cache.find(key)
        if entry is None:
            continue
        with entry.file:
            body = entry.read(0, LARGEST_INDEX)
        named = look(body, entry.headers.get("content-type", ""))
        if named is not None and named.checksum is not None:
            return named.checksum
    return None


def _indexes(wanted: Wanted) -> Iterator[tuple[str, Look]]:
    """Give the pages that may tell of a file, as the cache knows them, and how each is read."""
    address, name = wanted.address, wanted.address.rpartition("/")[2]
    if found := _NPM.fullmatch(address):
        archive = found["name"]
        for page in (found["page"], re.sub(r"(/@[^/]+)/([^/]+)$", r"\1%2f\2", found["page"])):
            for accept in NPM.accepts:
                yield f"{page} {accept}", lambda body, _: find_in_npm_page(body, archive)
    elif found := _CRATE.fullmatch(address):
        crate, version = found["name"].lower(), found["version"]
        short = {1: "1", 2: "2", 3: f"3/{crate[:1]}"}
        folder = short.get(len(crate), f"{crate[:2]}/{crate[2:4]}")
        page = f"https://index.crates.io/{folder}/{crate} */*"
        yield page, lambda body, _: find_in_crate_page(body, version)
    elif (project := project_of(name)) and wanted.registry is not None:
        for root in (f"https://{PYTHON_INDEX.host}/simple", wanted.registry.url):
            for accept in PYTHON_INDEX.accepts:
                yield (
                    f"{root}/{project}/ {accept}",
                    lambda body, kind: find_in_python_page(body, kind, "", name),
                )
