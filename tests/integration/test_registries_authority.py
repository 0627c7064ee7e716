"""Whom boxes trust for the names of registries, and how they are told."""

import ssl
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from codebot.gateway.registries.authority import Authority, open_authority
from codebot.gateway.registries.trust import BUNDLE, JAVA, OURS, java_store, trust_files
from fakes.way_out import INDEX

NOW = datetime.now(UTC)


def authority_in(folder: Path, now: datetime = NOW) -> Authority:
    return open_authority(folder / "kept" / "authority.pem", lambda: now)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, object]:
    """Let both speak in memory; give the certificate, raises `ssl.SSLError`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = ends[0].getpeercert()
    assert found
    return dict(found)


def test_the_authority_stays_the_same_and_is_the_services_alone(tmp_path: Path) -> None:
    first, second = authority_in(tmp_path), authority_in(tmp_path)
    assert first.pem == second.pem
    [file] = (tmp_path / "kept").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"PRIVATE" not in first.pem


def test_of_two_services_that_begin_at_once_both_use_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: authority_in(tmp_path).pem, range(8)))
    assert len(set(made)) == 1


def test_an_authority_that_ends_is_made_anew_in_time(tmp_path: Path) -> None:
    first = authority_in(tmp_path).pem
    assert authority_in(tmp_path, NOW + timedelta(days=1800)).pem == first
    assert authority_in(tmp_path, NOW + timedelta(days=1830)).pem != first


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"junk"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    authority_in(tmp_path)
    (tmp_path / "kept" / "authority.pem").write_bytes(damage)
    assert authority_in(tmp_path).pem == authority_in(tmp_path).pem


def test_a_certificate_is_for_its_host_alone_and_renewed_in_time(tmp_path: Path) -> None:
    now = NOW
    authority = open_authority(tmp_path / "authority.pem", lambda: now)
    client = ssl.create_default_context(cadata=authority.pem.decode())
    told = shake_hands(authority.context(INDEX), client, INDEX)
    assert told["subjectAltName"] == (("DNS", INDEX),)
    assert authority.context(INDEX) is authority.context(INDEX)
    with pytest.raises(ssl.SSLError):
        shake_hands(authority.context(INDEX), client, "evil.example")
    before, now = authority.context(INDEX), NOW + timedelta(days=16)
    assert authority.context(INDEX) is not before


def test_nobody_else_trusts_it(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(authority_in(tmp_path).context(INDEX), ssl.create_default_context(), INDEX)


def test_a_box_trusts_what_this_machine_trusts_the_company_and_the_authority(
    tmp_path: Path,
) -> None:
    company = tmp_path / "company.pem"
    company.write_text("-----BEGIN CERTIFICATE-----\ncompany\n-----END CERTIFICATE-----\n")
    files = trust_files(b"AUTHORITY", company)
    assert files[BUNDLE].startswith(Path(BUNDLE).read_bytes().rstrip()[:1000])
    for path in (BUNDLE, OURS):
        assert b"company" in files[path]
        assert files[path].endswith(b"AUTHORITY")
    assert all(b"PRIVATE KEY" not in content for content in files.values())


def test_java_reads_the_store_without_a_password(tmp_path: Path) -> None:
    """Where there is a Java: its own tool counts what it trusts."""
    authority = authority_in(tmp_path)
    store = tmp_path / "cacerts"
    store.write_bytes(java_store(Path(BUNDLE).read_bytes() + authority.pem))
    if not Path(JAVA).exists():
        return
    asked = ("keytool", "-list", "-keystore", str(store), "-storepass", "")
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "trustedCertEntry" in told.stdout, told.stdout + told.stderr
