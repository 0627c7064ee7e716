"""What the documents hand out to be copied works: programs, CI jobs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes.service import KEY, PRELOADED, RunningService, run_service

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLES = DOCS / "examples"
AGENT = "command:sh -c 'cat > TASK.md'"
GITHUB_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
GITLAB_SHELL = ("bash", "--posix", "-e", "-c")
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    env = {"CODEBOT_AGENT": AGENT}
    with run_service(PRELOADED, folder, env=env) as running:
        yield running


@pytest.fixture
def environment(service: RunningService, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CODEBOT_URL": str(service.http.base_url),
        "CODEBOT_API_KEY": KEY,
        "POLL_SECONDS": "0.1",
    }


@pytest.fixture
def repository(service: RunningService, tmp_path: Path) -> Path:
    folder = service.folder / tmp_path.name
    for arguments in (("init", "-q", str(folder)), ("-C", str(folder), "commit", "-qm", "Begin")):
        subprocess.run(["git", *arguments, *_empty(arguments)], check=True)
    return folder


def _empty(arguments: tuple[str, ...]) -> list[str]:
    return ["--allow-empty"] if "commit" in arguments else []


def test_the_program_prints_the_pull_request(environment: dict[str, str], repository: Path) -> None:
    ended = submit(environment, str(repository), "Add dark mode support")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].endswith("/pull-request")


def test_the_program_says_why_a_task_is_refused(environment: dict[str, str]) -> None:
    ended = submit(environment, "file:///etc", "Add dark mode support")

    assert ended.returncode == 2
    assert "repository_url" in ended.stderr


def test_the_program_says_why_a_task_failed(environment: dict[str, str], repository: Path) -> None:
    shutil.rmtree(repository / ".git" / "refs" / "heads")
    (repository / ".git" / "refs" / "heads").mkdir()
    ended = submit(environment, str(repository), "Add dark mode support")

    assert ended.returncode == 1
    assert ended.stderr.strip()


def submit(
    environment: Mapping[str, str], repository: str, description: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "submit_task.py"), repository, description]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_program_says_how_it_is_called_and_that_nobody_answers(
    environment: dict[str, str],
) -> None:
    program = [sys.executable, str(EXAMPLES / "submit_task.py")]
    alone = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    refused = submit(environment | {"CODEBOT_URL": "http://127.0.0.1:1"}, "/a", "Add dark mode")

    assert (alone.returncode, refused.returncode) == (2, 2)
    assert "python3 submit_task.py https://" in alone.stderr
    assert refused.stderr == "http://127.0.0.1:1 does not answer: [Errno 111] Connection refused\n"


@pytest.mark.parametrize(
    "event",
    [
        {"DESCRIPTION": "Add dark mode", "TICKET": ""},
        {"TICKET": "issue-7", "ISSUE_TITLE": "Dark `mode`", "ISSUE_BODY": 'It\'s "$(too)" bright'},
    ],
    ids=["by hand", "by label"],
)
def test_the_workflow_ends_with_the_pull_request(
    event: dict[str, str], environment: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    files = {name: str(tmp_path / name) for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    environment |= files | event | {"REPOSITORY": str(repository), "BRANCH": "main"}
    for step in yaml_block("github-actions.md")["jobs"]["task"]["steps"]:
        run_script([step["run"]], GITHUB_SHELL, environment, tmp_path)
        environment |= dict(
            line.split("=", 1) for line in Path(files["GITHUB_ENV"]).read_text().splitlines()
        )

    assert "/pull-request" in Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    branch = subprocess.run(
        ["git", "-C", str(repository), "branch", "--list", "u/codebot/*"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert event["TICKET"] in branch


def test_the_gitlab_job_ends_with_the_pull_request(
    environment: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    environment |= {"CODEBOT_REPOSITORY": str(repository), "CODEBOT_DESCRIPTION": "Add dark mode"}
    job = yaml_block("gitlab-ci.md")["codebot"]

    said = run_script(job["script"], GITLAB_SHELL, environment, tmp_path)

    assert said.splitlines()[-1].endswith("/pull-request")


def test_a_refused_task_stops_the_jobs(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {
        "GITHUB_ENV": str(tmp_path / "env"),
        "REPOSITORY": "file:///etc",
        "CODEBOT_REPOSITORY": "file:///etc",
        "BRANCH": "main",
        "DESCRIPTION": "x",
        "CODEBOT_DESCRIPTION": "x",
        "TICKET": "",
    }
    first = yaml_block("github-actions.md")["jobs"]["task"]["steps"][0]["run"]
    whole = yaml_block("gitlab-ci.md")["codebot"]["script"]
    with pytest.raises(subprocess.CalledProcessError):
        run_script([first], GITHUB_SHELL, environment, tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        run_script(whole, GITLAB_SHELL, environment, tmp_path)


def yaml_block(page: str) -> dict[str, Any]:
    block = re.search(r"(?ms)^```yaml\n(.*?)^```", (EXAMPLES / page).read_text())
    assert block is not None
    document: dict[str, Any] = yaml.safe_load(block[1])
    return document


def run_script(
    script: list[str], shell: tuple[str, ...], environment: Mapping[str, str], cwd: Path
) -> str:
    text = "\n".join(script).replace("sleep 15", "sleep 0.1")
    return subprocess.run(
        [*shell, text],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
