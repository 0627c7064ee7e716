import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fakes.service import run_service

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bin_folder(
    tmp_path_factory: pytest.TempPathFactory, outside_environment: Mapping[str, str]
) -> Path:
    """Build the wheel and install it, with nothing but what it asks for, as pinned."""
    folder = tmp_path_factory.mktemp("wheel")
    venv = folder / "venv"

    def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [UV, *arguments, "--quiet"],
            cwd=ROOT,
            env=outside_environment,
            capture_output=True,
            text=True,
            check=False,
        )

    built = uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable,
               "--out-dir", folder)  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert uv("venv", "--python", sys.executable, venv).returncode == 0
    [wheel] = folder.glob("*.whl")
    install = ("pip", "install", "--python", venv, "--constraint", "requirements/dev.txt",
               f"codebot[claude] @ {wheel.as_uri()}")  # fmt: skip
    installed = uv(*install, "--offline")  # everything is in uv's cache after `make setup`
    if installed.returncode:
        installed = uv(*install)
    assert installed.returncode == 0, installed.stderr
    return venv / "bin"


def test_the_wheel_brings_no_tool_of_the_developers(bin_folder: Path) -> None:
    present = {path.name for path in bin_folder.iterdir()}

    assert "codebot" in present
    assert not {"pytest", "ruff", "mypy", "hatchling"} & present


def test_the_installed_command_shows_its_help(bin_folder: Path) -> None:
    ended = subprocess.run([bin_folder / "codebot", "--help"], capture_output=True, check=True)

    assert ended.stdout.startswith(b"usage: codebot")


def test_the_installed_service_becomes_healthy(bin_folder: Path, tmp_path: Path) -> None:
    with run_service([bin_folder / "codebot"], tmp_path) as service:
        assert service.http.get("/health").json()["status"] == "healthy"
        assert service.http.get("/docs").status_code == 200


def test_the_installed_demo_goes_all_the_way(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = subprocess.run(
        [bin_folder / "codebot", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout
    assert "The tests after, on the new branch: they pass" in ended.stdout
