"""Whom this system trusts, the service trusts."""

from pathlib import Path

import pytest

from codebot.gateway.registries.authority import open_authority
from codebot.network import client
from codebot.network.client import system_bundle, trust_in
from codebot.store.store import utc_now


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A file with the authority of a company and nothing else."""
    file = tmp_path / "company.pem"
    file.write_bytes(open_authority(tmp_path / "key.pem", utc_now).pem)
    return file


def test_an_authority_of_the_systems_store_is_trusted(
    company: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SYSTEM_BUNDLES", ("/no/such/store.pem", str(company)))
    assert system_bundle() == company
    assert len(trust_in(None).get_ca_certs()) == 1


def test_a_named_file_counts_in_place_of_the_systems(
    company: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    monkeypatch.setattr(client, "SYSTEM_BUNDLES", (str(empty),))
    assert len(trust_in(company).get_ca_certs()) == 1


def test_without_a_store_the_usual_authorities_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SYSTEM_BUNDLES", ("/no/such/store.pem",))
    assert len(trust_in(None).get_ca_certs()) > 50
