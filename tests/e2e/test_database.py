"""`codebot serve` and `doctor` with a database that others serve."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from fakes.child import ending
from fakes.postgres import Postgres
from fakes.service import KEY, free_port, run_service

PASSWORD = "s3cr3t-Passw0rd"
CODEBOT = str(Path(sys.executable).with_name("codebot"))


def environment(folder: Path, url: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CODEBOT_API_KEYS": KEY,
        "CODEBOT_LOCAL_REPOS": str(folder),
        "CODEBOT_PORT": str(free_port()),
        "CODEBOT_DATABASE_URL": url,
        "CODEBOT_LOG_FORMAT": "json",
    }


def run(
    command: str, folder: Path, url: str, *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CODEBOT, command, *words], env={**environment(folder, url), **(env or {})}, cwd=folder,
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def test_a_good_database_is_served_and_doctor_says_so(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url(postgres.make_database())

    with run_service([CODEBOT], tmp_path, env={"CODEBOT_DATABASE_URL": url}) as service:
        assert service.http.get("/health").json()["task_queue_size"] == 0

    doctor = run("doctor", tmp_path, url)
    assert "ok    store: test_" in doctor.stdout
    assert "PostgreSQL 18" in doctor.stdout
    for name in ("schema", "clock", "wake-ups"):
        assert f"ok    {name}: " in doctor.stdout


def test_a_direct_way_that_leads_nowhere_is_told_as_that(
    tmp_path: Path, postgres: Postgres
) -> None:
    away = {"CODEBOT_DATABASE_DIRECT_URL": f"postgresql://me:{PASSWORD}@127.0.0.1:1/codebot"}
    url = postgres.url(postgres.make_database())

    told = run("doctor", tmp_path, url, env=away)

    (line,) = (line for line in told.stdout.splitlines() if " wake-ups: " in line)
    assert "127.0.0.1:1 cannot be reached" in line
    assert "Correct CODEBOT_DATABASE_DIRECT_URL" in told.stdout
    assert PASSWORD not in told.stdout


def test_migrate_says_what_it_does(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url_with(PASSWORD)
    assert "does not let the role in" in run("migrate", tmp_path, url, "--plan").stderr
    url = postgres.url(postgres.make_database())

    said = [run("migrate", tmp_path, url, step).stdout for step in ("--plan", "--pre", "--post")]

    assert re.search(r"has no tables yet\. .* makes all of them, in \d+ steps\.\n$", said[0])
    assert re.search(r": made all tables, in \d+ steps\.\n$", said[1])
    assert "there is nothing to take away" in said[2]
    assert "Nothing to do" in run("migrate", tmp_path, "", "--pre").stdout


def test_a_wrong_password_is_exit_78_and_shown_nowhere(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url_with(PASSWORD)

    ended, doctor = run("serve", tmp_path, url), run("doctor", tmp_path, url)

    assert ended.returncode == 78
    assert "does not let the role in" in ended.stderr
    assert "does not let the role in" in doctor.stdout
    for said in (ended.stderr, doctor.stdout, doctor.stderr):
        assert PASSWORD not in said
        assert "Traceback" not in said


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    serving = subprocess.Popen(
        [CODEBOT, "serve"], env=environment(tmp_path, url), cwd=tmp_path,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with ending(serving) as service:
        assert service.stderr is not None
        line = next(line for line in service.stderr if "store.waited_for" in line)
        assert "cannot be reached" in line
        assert PASSWORD not in line
        service.terminate()
        assert service.wait(timeout=30) == -signal.SIGTERM
