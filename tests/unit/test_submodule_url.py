"""Which repository a submodule's address means, on a GitHub of ours."""

import pytest

from codebot.intake.repository_url import RepositoryRules, parse_repository_url
from codebot.intake.submodule_url import find_source

RULES = RepositoryRules(github_host="github.com", allowed_patterns=("acme/*",))
APP = parse_repository_url("https://github.com/acme/app.git", RULES)


def found(url: str, rules: RepositoryRules = RULES) -> str | None:
    source = find_source(url, APP, rules)
    return None if source is None else source.repository.full_name


@pytest.mark.parametrize(
    ("url", "full_name"),
    [
        ("../lib.git", "acme/lib"),
        ("../lib", "acme/lib"),
        (".././lib/", "acme/lib"),
        ("../../other/lib.git", "other/lib"),
        ("https://github.com/other/lib", "other/lib"),
        ("https://GitHub.com/other/lib.git", "other/lib"),
        ("git@github.com:other/lib.git", "other/lib"),
        ("ssh://git@github.com/other/lib.git", "other/lib"),
        ("git://github.com/other/lib.git", "other/lib"),
        ("http://github.com/other/lib.git", "other/lib"),
        ("https://git@github.com/other/lib.git", "other/lib"),
        ("https://x-access-token:abc@github.com/other/lib.git", "other/lib"),
        ("https://github.com:443/other/lib.git", "other/lib"),
        ("ssh://git@github.com:22/other/lib", "other/lib"),
        ("ssh://github.com/other/lib", "other/lib"),
        ("git+ssh://me@github.com/other/lib", "other/lib"),
        ("git@github.com:/other/lib.git", "other/lib"),
        ("github.com:other/lib.git", "other/lib"),
        ("org-123@github.com:other/lib.git", "other/lib"),
    ],
)
def test_every_spelling_of_a_repository_of_our_forge_is_understood(
    url: str, full_name: str
) -> None:
    assert found(url) == full_name


@pytest.mark.parametrize(
    "url",
    [
        "",
        ".",
        "..",
        "../..",
        "../../..",
        "../../lib.git",
        "./lib.git",
        "../../../other/lib.git",
        "../lib.git?x",
        "../-lib/../../../x",
        "https://github.com.evil.example/other/lib",
        "https://github.com@evil.example/other/lib",
        "https://evil.example/github.com/lib",
        "ssh://git@github.com:2222/other/lib",
        "https://github.com:8443/other/lib",
        "rsync://github.com/other/lib",
        "ext::ssh://github.com/other/lib",
        "github.com::other/lib",
        "ssh://-oProxyCommand=x@github.com/other/lib",
        "ext::sh -c id",
        "file:///srv/lib.git",
        "/srv/lib.git",
        "-u./x",
        "git@github.com:../../etc",
        "https://github.com/other/..",
        "../a\nb",
    ],
)
def test_any_other_address_means_nothing(url: str) -> None:
    assert found(url) is None


def test_the_credential_is_for_what_tasks_may_name() -> None:
    ours, theirs = (
        find_source(url, APP, RULES) for url in ("../lib", "https://github.com/other/lib")
    )
    assert ours is not None
    assert ours.uses_credential
    assert theirs is not None
    assert not theirs.uses_credential


def test_without_patterns_tasks_may_name_all_of_the_forge() -> None:
    source = find_source("../../other/lib", APP, RepositoryRules(github_host="github.com"))
    assert source is not None
    assert source.uses_credential
