"""Which hosts and addresses a box may reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.gateway.addresses import is_public
from codebot.gateway.egress.policy import (
    AllowList,
    NotLetOut,
    Target,
    check_addresses,
    parse_target,
)
from codebot.gateway.registries.upstreams import Registry, read_registry

ALLOWED = AllowList(frozenset({"files.example.com"}))


@pytest.mark.parametrize(
    "authority",
    [
        "127.0.0.1:443",
        "127.1:443",
        "2130706433:443",
        "[::1]:443",
        "169.254.169.254:443",
        "me:pw@files.example.com:443",
        "files.example.com",
        "files.example.com:",
        "files.example.com:443:443",
        "files.example.com:999999",
        "files.example.com/x:443",
        "files\x00.example.com:443",
        "ﬁles.example.com:443",
        ":443",
        "",
        "a" * 300 + ":443",
    ],
)
def test_only_a_host_name_and_a_port_are_a_target(authority: str) -> None:
    with pytest.raises(NotLetOut) as refused:
        parse_target(authority)
    assert len(refused.value.host) <= 260
    assert refused.value.host.isprintable()


@given(st.text(max_size=300))
def test_any_text_is_a_target_or_refused(authority: str) -> None:
    try:
        target = parse_target(authority)
    except NotLetOut:
        return
    assert target.host.isascii()


def test_only_what_is_named_passes_and_only_by_https() -> None:
    ALLOWED.check(parse_target("FILES.example.com.:443"))
    for other in ("files.example.com:22", "example.com:443", "x.files.example.com:443"):
        with pytest.raises(NotLetOut):
            ALLOWED.check(parse_target(other))


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "0.0.0.0", "100.64.0.1"),
        *("169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::", "::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1"),
        *("2002:a00:1::", "64:ff9b::a00:1", "64:ff9b::7f00:1", "not an address", ""),
    ],
)
def test_no_private_address_is_public_however_it_is_wrapped(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e"]
)
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_is_enough() -> None:
    target = Target("files.example.com", 443)
    assert check_addresses(target, ["93.184.215.14"]) == ["93.184.215.14"]
    for addresses in (["93.184.215.14", "10.0.0.1"], []):
        with pytest.raises(NotLetOut):
            check_addresses(target, addresses)


def test_a_registrys_credentials_are_no_part_of_its_address() -> None:
    assert read_registry("https://me:p%40w@mirror.example:8443/simple/?x#y") == Registry(
        "https://mirror.example:8443/simple", ("me", "p@w")
    )
    assert read_registry("file:///srv/wheels") is None
    assert read_registry("") is None
