import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from codebot.app.checks import environments_found
from codebot.doctor import as_line, examine, is_healthy
from codebot.domain.ports import Finding
from codebot.settings import Command, Reading, Settings, read_settings
from codebot.store.upgrade import REVISION
from codebot.telemetry.redaction import Redactor

GOOD = Finding("agent", ok=True, detail="2.1.330")


def reading(folder: Path, **environ: str) -> Reading:
    enough = {"PATH": os.environ["PATH"], "ANTHROPIC_API_KEY": "sk-12345"}
    return read_settings(
        enough | environ, flags={}, dotenv_dir=folder, need=Command.DOCTOR, redactor=Redactor()
    )


async def found(read: Reading, *parts: Finding) -> dict[str, Finding]:
    async def check_parts(settings: Settings) -> Sequence[Finding]:
        return parts

    return {finding.name: finding for finding in await examine(read, check_parts)}


async def test_a_machine_with_everything_is_healthy_and_left_as_it_was(tmp_path: Path) -> None:
    findings = await found(reading(tmp_path), GOOD)

    assert is_healthy(list(findings.values()))
    assert findings["git"].detail.startswith("git version 2.")
    assert findings["agent"] is GOOD
    assert not {path for path, _, _ in os.walk(tmp_path)} - {str(tmp_path)}


async def test_what_is_missing_says_how_to_mend_it(tmp_path: Path) -> None:
    read = reading(tmp_path, PATH="/nonexistent", ANTHROPIC_API_KEY="")
    missing = Finding("agent", ok=False, detail="not found", remedy="Install the claude extra.")
    findings = await found(read, missing)

    bad = {name for name, finding in findings.items() if not finding.ok and finding.required}
    assert bad == {"git", "agent", "model"}
    assert all(findings[name].remedy for name in bad)
    assert not is_healthy(list(findings.values()))


async def test_a_service_without_a_forge_is_told_before_it_is_started(tmp_path: Path) -> None:
    assert not (await found(reading(tmp_path)))["forge"].ok

    for given in ({"GITHUB_TOKEN": "ghp_12345678"}, {"CODEBOT_LOCAL_REPOS": str(tmp_path)}):
        assert (await found(reading(tmp_path, **given)))["forge"].ok


async def test_it_starts_with_settings_that_nothing_else_starts_with(tmp_path: Path) -> None:
    async def check_parts(settings: Settings) -> Sequence[Finding]:
        raise AssertionError("the parts cannot be made of broken settings")

    read = reading(tmp_path, CODEBOT_PORT="x", CODEBOT_DATABASE_URL="mysql://db/x")
    lines = [as_line(finding) for finding in await examine(read, check_parts)]

    assert sum(line.startswith("FAIL  settings: CODEBOT_") for line in lines) == 2


def test_a_mistake_in_the_operators_table_is_found_before_a_start(tmp_path: Path) -> None:
    file = tmp_path / "environments.toml"
    settings = reading(tmp_path).settings
    assert list(environments_found(settings)) == []
    named = replace(settings, environments=file)
    file.write_text('["acme/shop"]\ntest = "make check"\n')
    (good,) = environments_found(named)
    assert (good.ok, good.detail) == (True, f"{file}: 1 repository")
    file.write_text('["acme/shop"]\ntset = "make check"\n')
    (bad,) = environments_found(named)
    assert (bad.ok, bad.required) == (False, True)
    assert '["acme/shop"] line 2: unknown key `tset`' in bad.detail


async def test_an_unknown_variable_is_told_and_does_no_harm(tmp_path: Path) -> None:
    findings = await found(reading(tmp_path, CODEBOT_PROT="1"), GOOD)

    assert is_healthy(list(findings.values()))


async def test_a_store_that_is_no_database_is_found(tmp_path: Path) -> None:
    (tmp_path / "codebot_data").mkdir()
    file = tmp_path / "codebot_data" / "codebot.sqlite3"
    sqlite3.connect(file).close()
    assert (await found(reading(tmp_path), GOOD))["store"].ok

    file.write_bytes(b"no database, but long enough to be looked at" * 100)
    assert not (await found(reading(tmp_path), GOOD))["store"].ok


async def test_a_store_of_a_newer_version_is_found(tmp_path: Path) -> None:
    (tmp_path / "codebot_data").mkdir()
    store = sqlite3.connect(tmp_path / "codebot_data" / "codebot.sqlite3", isolation_level=None)
    store.execute("create table alembic_version (version_num)")
    store.execute("insert into alembic_version values (?)", [REVISION])
    assert (await found(reading(tmp_path), GOOD))["store"].ok

    store.execute("update alembic_version set version_num = '9999'")
    store.close()
    newer = (await found(reading(tmp_path), GOOD))["store"]
    assert not newer.ok
    assert "newer" in newer.detail


async def test_a_store_that_cannot_be_looked_at_is_found(tmp_path: Path) -> None:
    findings = await found(reading(tmp_path, CODEBOT_DATA_DIR=f"/{'a' * 300}"), GOOD)

    assert not findings["store"].ok
    assert findings["store"].remedy


async def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    findings = await found(reading(tmp_path, CODEBOT_WORK_DIR="/proc/work"), GOOD)

    assert not findings["work directory"].ok
    assert findings["data directory"].ok


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (Finding("a", ok=True, detail="fine", remedy="-"), "ok    a: fine"),
        (Finding("a", ok=False, detail="bad.", remedy="Mend."), "FAIL  a: bad. Mend."),
        (Finding("a", ok=False, detail="off", required=False), "off   a: off"),
    ],
)
def test_a_finding_is_one_line(finding: Finding, line: str) -> None:
    assert as_line(finding) == line
