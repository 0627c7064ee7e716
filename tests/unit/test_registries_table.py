"""Which paths of which host boxes may read, and where a request leads."""

from collections.abc import Sequence
from ipaddress import ip_network
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.gateway.addresses import may_be_dialled
from codebot.gateway.registries.catalog import Catalog, Origin, Wanted, make_catalog
from codebot.gateway.registries.fetch import Gate, Unfetchable, _credentials, _joined
from codebot.gateway.registries.paths import plain_path
from codebot.gateway.registries.table import (
    ECOSYSTEMS,
    NPM,
    PYTHON_FILES,
    PYTHON_INDEX,
    YARN,
    Kind,
)
from codebot.gateway.registries.upstreams import Registry
from codebot.settings import parse

INDEX, FILES, PACKAGES = PYTHON_INDEX.host, PYTHON_FILES.host, NPM.host
ALL = make_catalog(ECOSYSTEMS, (), None, None)
DIGEST = f"/packages/0e/f9/{'6' * 60}"


def find(host: str, raw: str, catalog: Catalog = ALL, scheme: str = "https") -> Wanted | None:
    path = plain_path(raw)
    port = 443 if scheme == "https" else 80
    return None if path is None else catalog.find(Origin(scheme, host, port), raw, path, "*/*")


def test_settings_know_every_ecosystem_of_the_table() -> None:
    assert tuple(ECOSYSTEMS) == parse.ECOSYSTEMS


@pytest.mark.parametrize(
    ("host", "path", "kind"),
    [
        (INDEX, "/simple/typing-extensions/", Kind.PAGE),
        (INDEX, "/simple/zope.interface", Kind.PAGE),
        (INDEX, "/pypi/six/1.17.0/json", Kind.PAGE),
        (FILES, f"{DIGEST}/six-1.17.0-py2.py3-none-any.whl", Kind.FILE),
        (FILES, f"{DIGEST}/torch-2.0%2Bcpu-cp311.whl.metadata", Kind.FILE),
        (PACKAGES, "/@types%2fnode", Kind.PAGE),
        (PACKAGES, "/@types/node", Kind.PAGE),
        (PACKAGES, "/left-pad/latest", Kind.PAGE),
        (PACKAGES, "/@babel/core/-/core-7.0.0.tgz", Kind.FILE),
        (YARN.host, "/left-pad/-/left-pad-1.3.0.tgz", Kind.FILE),
        ("repo.yarnpkg.com", "/4.1.0/packages/yarnpkg-cli/bin/yarn.js", Kind.FILE),
        ("repo.yarnpkg.com", "/tags", Kind.PAGE),
        ("nodejs.org", "/dist/v20.1.0/node-v20.1.0-headers.tar.gz", Kind.FILE),
        ("proxy.golang.org", "/github.com/!azure/x/@v/v1.0.0+incompatible.zip", Kind.FILE),
        ("proxy.golang.org", "/golang.org/x/text/@v/list", Kind.PAGE),
        ("proxy.golang.org", "/golang.org/x/text/@latest", Kind.PAGE),
        ("proxy.golang.org", "/sumdb/sum.golang.org/supported", Kind.PAGE),
        ("proxy.golang.org", "/sumdb/sum.golang.org/tile/8/0/x123/456", Kind.FILE),
        ("sum.golang.org", "/lookup/golang.org/x/text@v0.3.0", Kind.FILE),
        ("index.crates.io", "/config.json", Kind.PAGE),
        ("index.crates.io", "/se/rd/serde", Kind.PAGE),
        ("index.crates.io", "/3/l/log", Kind.PAGE),
        ("static.crates.io", "/crates/serde/serde-1.0.0.crate", Kind.FILE),
        ("crates.io", "/api/v1/crates/serde/1.0.0/download", Kind.FILE),
        ("repo.maven.apache.org", "/maven2/junit/junit/4.13/junit-4.13.jar", Kind.FILE),
        ("repo.maven.apache.org", "/maven2/junit/junit/maven-metadata.xml", Kind.PAGE),
        ("repo1.maven.org", "/maven2/a/b/1-SNAPSHOT/b-1.jar", Kind.PAGE),
        ("plugins.gradle.org", "/m2/x/y/1/y-1.pom", Kind.FILE),
        ("services.gradle.org", "/distributions/gradle-8.5-bin.zip", Kind.FILE),
        ("rubygems.org", "/versions", Kind.PAGE),
        ("index.rubygems.org", "/info/rails", Kind.PAGE),
        ("rubygems.org", "/gems/rails-7.0.0.gem", Kind.FILE),
        ("api.nuget.org", "/v3/index.json", Kind.PAGE),
        ("api.nuget.org", "/v3-flatcontainer/x/1.0.0/x.1.0.0.nupkg", Kind.FILE),
        ("repo.packagist.org", "/p2/monolog/monolog~dev.json", Kind.PAGE),
        ("api.github.com", f"/repos/a/b/zipball/{'a' * 40}", Kind.FILE),
        ("repo.hex.pm", "/tarballs/jason-1.4.0.tar", Kind.FILE),
        ("repo.hex.pm", "/packages/jason", Kind.PAGE),
    ],
)
def test_what_clients_of_every_ecosystem_ask_for_is_served(
    host: str, path: str, kind: Kind
) -> None:
    found = find(host, path)
    assert found
    assert (found.kind, found.url) == (kind, f"https://{host}{path}")


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (INDEX, "/legacy/"),
        (INDEX, "/account/login/"),
        (PACKAGES, "/-/whoami"),
        (PACKAGES, "/-/user/token"),
        (PACKAGES, "/-/v1/search"),
        ("crates.io", "/api/v1/me"),
        ("crates.io", "/api/v1/crates/new"),
        ("repo.maven.apache.org", "/other/junit.jar"),
        ("rubygems.org", "/api/v1/gems"),
        ("api.github.com", "/user"),
        ("api.github.com", "/repos/a/b/contents/x"),
        ("api.github.com", "/repos/a/b/zipball/main"),
        ("codeload.github.com", "/a/b/legacy.zip/refs/heads/main"),
        ("evil.example", "/simple/x/"),
    ],
)
def test_nothing_else_of_these_hosts_is(host: str, path: str) -> None:
    assert find(host, path) is None


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_a_path_means_the_same_however_it_is_quoted(name: str) -> None:
    """Slashes apart, which mean something in a path, and `%`, which could be read twice."""
    raw = "/" + quote(name, safe="")
    path = plain_path(raw)
    if path is not None:
        assert "%" not in path.replace("%2f", "")
        assert plain_path(path) in {path, None}
        assert not {".", ".."} & set(path.replace("%2f", "/").split("/"))


# --- Mirrors ---------------------------------------------------------------------------------


MIRROR = "https://repo.corp.example/api/pypi/all/simple"
NPM_MIRROR = "https://repo.corp.example/api/npm/all"
BEHIND = make_catalog(ECOSYSTEMS, (), Registry(MIRROR, ("me", "pw")), Registry(NPM_MIRROR))


@pytest.mark.parametrize(
    ("host", "path", "url"),
    [
        ("repo.corp.example", "/api/pypi/all/simple/six/", f"{MIRROR}/six/"),
        (INDEX, "/simple/six/", f"{MIRROR}/six/"),
        (
            INDEX,
            "/packages/six-1.0.tar.gz",
            "https://repo.corp.example/api/pypi/all/packages/six-1.0.tar.gz",
        ),
        (PACKAGES, "/@a%2fb", f"{NPM_MIRROR}/@a%2fb"),
        (YARN.host, "/x/-/x-1.tgz", f"{NPM_MIRROR}/x/-/x-1.tgz"),
        ("repo.corp.example", "/api/npm/all/x/-/x-1.tgz", f"{NPM_MIRROR}/x/-/x-1.tgz"),
    ],
)
def test_what_is_asked_of_the_public_registry_comes_from_the_mirror(
    host: str, path: str, url: str
) -> None:
    found = find(host, path, BEHIND)
    assert found
    assert (found.url, found.registry is not None) == (url, True)


def test_a_file_of_the_public_server_is_looked_for_by_its_name() -> None:
    found = find(FILES, f"{DIGEST}/six-1.0.tar.gz", BEHIND)
    assert found
    assert found.file_name == "six-1.0.tar.gz"


@pytest.mark.parametrize(
    "path",
    ["/api/pypi/secret/simple/six/", "/api/pypi/secret/six-1.0.tar.gz", "/api/npm/secret/x", "/"],
)
def test_the_rest_of_a_mirrors_server_stays_closed(path: str) -> None:
    assert find("repo.corp.example", path, BEHIND) is None


def test_boxes_are_told_of_a_mirror_but_not_of_one_on_this_very_machine() -> None:
    assert BEHIND.told(BEHIND.pip) == MIRROR
    near = make_catalog(ECOSYSTEMS, (), Registry("http://localhost:3141/simple"), None)
    assert near.told(near.pip) is None
    assert find(INDEX, "/simple/six/", near)


def test_a_further_registry_serves_what_is_below_its_address() -> None:
    more = make_catalog((), ("https://repo.example/maven/",), None, None)
    assert find("repo.example", "/maven/a/b.jar", more)
    assert find("repo.example", "/private/b.jar", more) is None
    assert find(INDEX, "/simple/six/", more) is None
    assert more.hosts == ("repo.example",)


def test_the_password_of_a_mirror_follows_no_address_to_another_server() -> None:
    registry = Registry("https://mirror.example/simple", ("me", "pw"))
    assert _credentials(registry, "https://mirror.example/files/x.whl") != {}
    for other in ("https://files.example/x.whl", "https://mirror.example:444/x.whl"):
        assert _credentials(registry, other) == {}


# --- Addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "private", "may"),
    [
        ("93.184.215.14", [], True),
        ("10.1.2.3", [], False),
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("fd00::1", ["fd00::/8"], True),
        ("127.0.0.1", ["0.0.0.0/0"], False),
        ("169.254.169.254", ["0.0.0.0/0"], False),
        ("::1", ["::/0"], False),
        ("fe80::1", ["::/0"], False),
        ("::ffff:127.0.0.1", ["0.0.0.0/0", "::/0"], False),
        ("0.0.0.0", ["0.0.0.0/0"], False),
        ("junk", ["0.0.0.0/0"], False),
    ],
)
def test_private_networks_open_no_way_to_this_machine(
    address: str,
    private: Sequence[str],
    may: bool,  # noqa: FBT001 - a case
) -> None:
    assert may_be_dialled(address, private) is may


NAMES = {
    "chosen.example": ("10.9.9.9",),
    "beside.example": ("10.9.9.9",),
    "other.example": ("10.9.9.8",),
    "mixed.example": ("10.9.9.9", "10.9.9.8"),
    "local.example": ("127.0.0.1",),
    "listed.example": ("10.5.0.1",),
}


async def _resolve(host: str, _: int) -> Sequence[str]:
    return NAMES.get(host, ())


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("chosen.example", True),
        ("beside.example", True),
        ("listed.example", True),
        ("other.example", False),
        ("mixed.example", False),
        ("local.example", False),
        ("nowhere.example", False),
    ],
)
async def test_who_is_not_public_is_chosen_or_listed_or_where_the_chosen_one_is(
    host: str,
    may: bool,  # noqa: FBT001 - a case
) -> None:
    gate = Gate(_resolve, (ip_network("10.5.0.0/16"),))
    gate.trust([Registry("https://chosen.example/simple"), Registry("https://local2.example")])
    if may:
        assert await gate.addresses(host, 443) == NAMES[host]
    else:
        with pytest.raises(Unfetchable):
            await gate.addresses(host, 443)


@pytest.mark.parametrize(
    "where",
    [
        "http://elsewhere.example/",
        "ftp://x.example/",
        "https://me:pw@x.example/",
        "https://[",
        "https://h:99999/",
    ],
)
def test_a_redirect_leads_to_the_same_server_or_by_https_to_another(where: str) -> None:
    with pytest.raises(Unfetchable):
        _joined("http://registry.example/x", where)
    assert _joined("http://registry.example/x", "y") == "http://registry.example/y"
    assert _joined("http://registry.example/x", "https://a.example/") == "https://a.example/"
