"""Where a request for a registry leads: to the host that it names, or to the company's mirror.

What boxes ask for are real names. Where pip or npm of this machine is told of a mirror, everything
that a box asks of the public registry is served from there, under the name that was asked for: a
lock file names either, and both can be installed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from codebot.gateway.registries.table import (
    ECOSYSTEMS,
    NPM,
    NPM_SHORT,
    PYTHON_FILES,
    PYTHON_INDEX,
    PYTHON_JSON,
    YARN,
    Kind,
    Site,
    anything_below,
)
from codebot.gateway.registries.upstreams import Registry

HTTPS = 443
_ARCHIVE = r"\.(?:whl|tar\.gz|tar\.bz2|tgz|zip|egg)(?:\.metadata|\.asc)?"
_PAGE_OF_INDEX = r"/(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?/?"


@dataclass(frozen=True, slots=True)
class Origin:
    """A server, as an address names it."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Give it as an address begins, without the port that goes without saying."""
        is_usual = self.port == {"https": HTTPS, "http": 80}.get(self.scheme)
        return f"{self.scheme}://{self.host}" + ("" if is_usual else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask of which registry: `key` is the same however a client spelled it.

    `file_name` is set where only the mirror's page tells where the file of that name is.
    """

    url: str
    key: str
    kind: Kind
    accept: str
    registry: Registry | None = None
    file_name: str = ""

    @property
    def address(self) -> str:
        """The address that was asked for, under the name that was asked for."""
        return self.key.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Place:
    """A site, and where it is served from when that is not the host itself.

    `lead` gives the address for a path as it was spelled.
    """

    site: Site
    registry: Registry | None = None
    lead: Callable[[str], str] | None = None
    by_file_name: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that boxes may read, and where it is.

    `pip` and `npm` are the mirrors that this machine is set up to use, where they are not the
    public registries; `is_sure` says whether pip could be asked, where it was to be.
    """

    places: Mapping[Origin, tuple[Place, ...]]
    pip: Registry | None = None
    npm: Registry | None = None
    is_sure: bool = True

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that a box takes for its own, for programs that know no proxy."""
        found = [at.host for at in self.places if (at.scheme, at.port) == ("https", HTTPS)]
        return tuple(dict.fromkeys(found))

    def told(self, mirror: Registry | None) -> str | None:
        """Give the address by which a box finds a mirror; None when it has none there.

        A mirror on this very machine has none: its name means the box itself to a box. What it has
        is served under the public names.
        """
        return None if mirror is None or _is_loopback(mirror.host) else mirror.url

    def find(self, origin: Origin, raw: str, path: str, accept: str) -> Wanted | None:
        """Give what is meant by a path, `raw` as it was spelled; None when it is not served."""
        found = ((place, place.site.kind(path)) for place in self.places.get(origin, ()))
        place, kind = next((one for one in found if one[1]), (None, None))
        if place is None or kind is None:
            return None
        url = place.lead(raw) if place.lead else f"{origin}{raw}"
        header = place.site.accept(accept)
        key = f"{origin}{path} {header if kind is Kind.PAGE else ''}"
        name = path.rpartition("/")[2] if place.by_file_name else ""
        return Wanted(url, key, kind, header, place.registry, name)


def make_catalog(
    names: Iterable[str], further: Iterable[str], pip: Registry | None, npm: Registry | None
) -> Catalog:
    """Give the catalog of these ecosystems and further registries, by their addresses."""
    chosen = tuple(names)
    public = {
        Origin("https", site.host, HTTPS): Place(site)
        for name in chosen
        for site in ECOSYSTEMS[name]
    }
    places = {at: (place,) for at, place in public.items()}
    for url in further:
        at = origin_of(url)
        below = Place(anything_below(at.host, urlsplit(url).path.rstrip("/")))
        places[at] = (*places.get(at, ()), below)
    mirrors = {}
    for name, found, make in (("python", pip, _python_mirror), ("npm", npm, _npm_mirror)):
        if name in chosen and found is not None and origin_of(found.url) not in public:
            mirrors[name] = found
            for at, place in make(found).items():
                others = () if at in public else places.get(at, ())
                places[at] = (*others, place)
    is_sure = pip is not None or "python" not in chosen
    return Catalog(places, mirrors.get("python"), mirrors.get("npm"), is_sure)


def origin_of(url: str) -> Origin:
    """Give the server that an address names."""
    parts = urlsplit(url)
    return Origin(
        parts.scheme, parts.hostname or "", parts.port or (HTTPS if parts.scheme == "https" else 80)
    )


def _python_mirror(mirror: Registry) -> dict[Origin, Place]:
    """Give the mirror under its own name, and the public index and its files served from it.

    The mirror's pages may name files beside them by relative addresses: under the public name these
    mean the mirror's own folder. Files of the public server are looked up by name in its pages.
    """
    at = origin_of(mirror.url)
    index = urlsplit(mirror.url).path
    root = index.rpartition("/")[0]
    own = Site(
        at.host,
        files=rf"{re.escape(root)}/(?:[^/]+/)*[^/]+{_ARCHIVE}",
        pages=rf"{re.escape(index)}{_PAGE_OF_INDEX}",
        special_type=PYTHON_JSON,
    )
    public = Site(
        PYTHON_INDEX.host,
        files=rf"/(?:[^/]+/)*[^/]+{_ARCHIVE}",
        pages=PYTHON_INDEX.pages,
        special_type=PYTHON_JSON,
    )

    def lead(raw: str) -> str:
        if raw.startswith("/simple/"):
            return mirror.url + raw.removeprefix("/simple")
        return f"{at}{root}{raw}"

    return {
        at: Place(own, mirror),
        Origin("https", PYTHON_INDEX.host, HTTPS): Place(public, mirror, lead),
        Origin("https", PYTHON_FILES.host, HTTPS): Place(PYTHON_FILES, mirror, by_file_name=True),
    }


def _npm_mirror(mirror: Registry) -> dict[Origin, Place]:
    """Give the mirror under its own name, and the public registries' packages served from it.

    npm puts the public host in the place of the mirror's where it is told to, and keeps its path.
    """
    at = origin_of(mirror.url)
    prefix = re.escape(mirror.path)
    own = Site(at.host, f"{prefix}(?:{NPM.files})", f"{prefix}(?:{NPM.pages})", NPM_SHORT)

    def lead(raw: str) -> str:
        is_whole = mirror.path != "" and raw.startswith(f"{mirror.path}/")
        return f"{at}{raw}" if is_whole else mirror.url + raw

    public = {
        Origin("https", host, HTTPS): Place(
            Site(host, f"(?:{own.files}|{NPM.files})", f"(?:{own.pages}|{NPM.pages})", NPM_SHORT),
            mirror,
            lead,
        )
        for host in (NPM.host, YARN.host)
    }
    return {at: Place(own, mirror), **public}


def _is_loopback(host: str) -> bool:
    """Say whether a name means this machine to whoever says it: in a box, another one."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
