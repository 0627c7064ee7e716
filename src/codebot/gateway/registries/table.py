"""Every registry that boxes may read under its real name: which hosts, and what each may serve.

Paths are matched whole, decoded, but for a slash within a name, which stays `%2f` (npm's scopes).
`files` never change once they are there and are kept for good; `pages` are asked about again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_W = r"[\w.~!+-]+"
_PATH = r"(?:[\w.~!+@:$,=()*'-]+/)*[\w.~!+@:$,=()*'-]+"
_PROJECT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PACKAGE = r"(?:@[\w.~-]+(?:/|%2f))?[\w~][\w.~-]*"
_MODULE = r"(?:[\w.~!-]+/)+"

PYTHON_JSON = "application/vnd.pypi.simple.v1+json"
NPM_SHORT = "application/vnd.npm.install-v1+json"


class Kind(StrEnum):
    """What an address of a registry holds."""

    FILE = "file"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Site:
    """One host: the patterns of its paths, and the media type that a client may prefer."""

    host: str
    files: str = ""
    pages: str = ""
    special_type: str = ""

    def kind(self, path: str) -> Kind | None:
        """Say what is at a path; None for what boxes have no business with."""
        if self.files and re.fullmatch(self.files, path, re.ASCII):
            return Kind.FILE
        if self.pages and re.fullmatch(self.pages, path, re.ASCII):
            return Kind.PAGE
        return None

    @property
    def accepts(self) -> tuple[str, ...]:
        """The Accept headers that the registry may get of us, that of the usual form first."""
        if not self.special_type:
            return ("*/*",)
        usual = "text/html, */*;q=0.1" if self.special_type == PYTHON_JSON else "application/json"
        return (usual, f"{self.special_type}, */*;q=0.1")

    def accept(self, header: str) -> str:
        """Give one of these, by what a box says that it reads."""
        is_special = bool(self.special_type) and self.special_type in header
        return self.accepts[1 if is_special else 0]


_NPM_FILES = rf"/{_PACKAGE}/-/(?:@[\w.~-]+/)?[\w.~+-]+\.tgz"
_NPM_PAGES = rf"/{_PACKAGE}(?:/[\w.+^~*-]+)?|/-/npm/v1/keys|/-/package/{_PACKAGE}/dist-tags"
_CHANGES = r"(?:maven-metadata\.xml|-SNAPSHOT/)"

PYTHON_INDEX = Site(
    "pypi.org",
    pages=rf"/simple/(?:{_PROJECT}/?)?|/pypi/{_PROJECT}(?:/{_W})?/json",
    special_type=PYTHON_JSON,
)
PYTHON_FILES = Site("files.pythonhosted.org", files=rf"/packages/{_PATH}")
NPM = Site("registry.npmjs.org", _NPM_FILES, _NPM_PAGES, NPM_SHORT)
YARN = Site("registry.yarnpkg.com", _NPM_FILES, _NPM_PAGES, NPM_SHORT)


def _maven(host: str, prefix: str) -> Site:
    files, pages = (rf"/{prefix}(?{look}.*{_CHANGES}){_PATH}" for look in "!=")
    return Site(host, files, pages)


ECOSYSTEMS: Mapping[str, tuple[Site, ...]] = {
    "python": (PYTHON_INDEX, PYTHON_FILES),
    "npm": (
        NPM,
        YARN,
        Site("repo.yarnpkg.com", files=rf"/[\d.]+(?:-[\w.]+)?/{_PATH}", pages="/tags"),
        Site(
            "nodejs.org",
            files=r"/(?:dist|download/release)/v[\d.]+/(?:node-v[\d.]+-headers\.tar\.gz|"
            r"SHASUMS256\.txt|win-[\w.-]+/node\.lib)",
            pages=r"/(?:dist|download/release)/index\.json",
        ),
    ),
    "go": (
        Site(
            "proxy.golang.org",
            files=rf"/{_MODULE}@v/[\w.+~!-]+\.(?:info|mod|zip|ziphash)|"
            rf"/sumdb/sum\.golang\.org/(?:lookup|tile)/{_PATH}",
            pages=rf"/{_MODULE}@v/list|/{_MODULE}@latest|/{_MODULE}@v/[\w.+~!-]+\.info|"
            r"/sumdb/sum\.golang\.org/(?:supported|latest)",
        ),
        Site("sum.golang.org", files=rf"/(?:lookup|tile)/{_PATH}", pages="/supported|/latest"),
    ),
    "rust": (
        Site("index.crates.io", pages=r"/config\.json|/(?:[12]|3/\w|[\w-]{2}/[\w-]{2})/[\w-]+"),
        Site("static.crates.io", files=rf"/crates/[\w-]+/{_PATH}"),
        Site("crates.io", files=r"/api/v1/crates/[\w-]+/[\w.+-]+/download"),
    ),
    "java": (
        _maven("repo.maven.apache.org", "maven2/"),
        _maven("repo1.maven.org", "maven2/"),
        _maven("plugins.gradle.org", "m2/"),
        _maven("plugins-artifacts.gradle.org", ""),
        *(
            Site(host, files=r"/distributions/[\w.-]+", pages=r"/versions/[\w./-]+")
            for host in ("services.gradle.org", "downloads.gradle.org")
        ),
    ),
    "ruby": tuple(
        Site(
            host,
            files=r"/gems/[\w.-]+\.gem|/quick/Marshal\.4\.8/[\w.-]+\.gemspec\.rz",
            pages=r"/versions|/names|/info/[\w.-]+|/(?:latest_|prerelease_)?specs\.4\.8(?:\.gz)?",
        )
        for host in ("rubygems.org", "index.rubygems.org")
    ),
    "dotnet": (
        Site(
            "api.nuget.org",
            files=r"/v3-flatcontainer/[\w.-]+/[\w.-]+/[\w.-]+\.(?:nupkg|nuspec)",
            pages=rf"/v3/{_PATH}|/v3-flatcontainer/[\w.-]+/index\.json",
        ),
    ),
    "php": (
        Site(
            "repo.packagist.org",
            files=rf"/(?:p|providers)/{_PATH}\$[0-9a-f]{{64}}\.json",
            pages=rf"/packages\.json|/p2/{_PATH}\.json",
        ),
        Site("packagist.org", pages=rf"/packages\.json|/p2/{_PATH}\.json"),
        Site("api.github.com", files=r"/repos/[\w.-]+/[\w.-]+/zipball/[0-9a-f]{40}"),
        Site("codeload.github.com", files=r"/[\w.-]+/[\w.-]+/legacy\.zip/[0-9a-f]{40}"),
    ),
    "elixir": (
        Site(
            "repo.hex.pm",
            files=r"/tarballs/[\w.-]+\.tar|/docs/[\w.-]+\.tar\.gz|/installs/[\w./-]+\.(?:ez|sha512)",
            pages=r"/(?:names|versions|public_key)|/packages/\w+|/installs/[\w./-]+",
        ),
        Site(
            "builds.hex.pm",
            files=r"/installs/[\w./-]+\.(?:ez|sha512)",
            pages=r"/installs/[\w./-]+|/builds/[\w./-]+\.txt",
        ),
        Site("hex.pm", pages=r"/installs/[\w./-]+"),
    ),
}
"""By the name under which CODEBOT_REGISTRIES has them. PHP's index names archives on GitHub: these
are read by their commit, and nothing else of that host."""


def anything_below(host: str, prefix: str) -> Site:
    """Give the site of a registry that the operator named: all below its path, asked about again.

    >>> anything_below("repo.example", "/maven").kind("/maven/a/b.jar")
    <Kind.PAGE: 'page'>
    """
    return Site(host, pages=rf"{re.escape(prefix)}/(?:{_PATH}/?)?")
