import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

import codebot
from codebot.sandbox.held_folder import held_folder
from fakes.child import ending
from fakes.service import KEY, run_service

COMMAND = [sys.executable, "-m", "codebot"]
SCENARIO = yaml.safe_load((files("codebot.demo") / "scenario.yaml").read_text())
CANARY = "canary-{}-0123456789abcdef"
UNBOXED = {"CODEBOT_SANDBOX": "none"}
"""For what has nothing to do with boxes: the trial of one takes most of a short run's time."""

pytestmark = pytest.mark.e2e


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    given = {"PATH": os.environ["PATH"], "HOME": str(cwd)} | dict(env or {})
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, env=given, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in SCENARIO["files"].items():
        (folder / name).write_text(text)
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "A cart")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    (tmp_path / "turns.json").write_text(json.dumps({"turns": SCENARIO["turns"]}))
    return folder


def test_serve_says_the_documented_lines_and_ends_on_sigterm(tmp_path: Path) -> None:
    keys = {"CODEBOT_API_KEYS": f"{KEY},another-key-2"}
    with run_service(COMMAND, tmp_path, "--workers", "2", env=keys) as service:
        port = service.http.base_url.port
        assert service.stdout.splitlines()[:5] == [
            "HTTP API enabled with 2 API key(s)",
            f"Starting server on port {port}...",
            f"API endpoints: http://localhost:{port}/api/tasks/submit",
            f"http://localhost:{port}/api/tasks/{{task_id}}/status",
            f"http://localhost:{port}/api/tasks",
        ]
        assert "Isolation" not in service.stdout
    assert service.process.returncode == 0


def test_a_service_takes_all_the_open_files_that_it_may_have(tmp_path: Path) -> None:
    few = ["/usr/bin/prlimit", "--nofile=256:1024", *COMMAND]
    with run_service(few, tmp_path) as service:  # and its boxes begin, with fewer than usual
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    [allowed] = [line.split()[3:5] for line in limits.splitlines() if "open files" in line]
    assert allowed == ["1024", "1024"]


def test_without_a_box_the_service_says_so_at_every_start(tmp_path: Path) -> None:
    with run_service(COMMAND, tmp_path, env={"CODEBOT_SANDBOX": "none"}) as service:
        assert "Isolation is off (CODEBOT_SANDBOX=none)" in service.stdout


def test_a_second_service_on_the_same_data_or_workspaces_is_refused(tmp_path: Path) -> None:
    with run_service(COMMAND, tmp_path):
        keys = {"CODEBOT_API_KEYS": KEY, "CODEBOT_LOCAL_REPOS": str(tmp_path)}
        second = run("serve", "--port", "1", cwd=tmp_path, env=keys)

        other_data = {"CODEBOT_DATA_DIR": str(tmp_path / "other")}
        third = run("serve", "--port", "1", cwd=tmp_path, env=keys | other_data)

    assert second.returncode == third.returncode == 78
    assert "Traceback" not in second.stderr + third.stderr
    assert "its own CODEBOT_DATA_DIR" in second.stderr
    assert "its own CODEBOT_WORK_DIR" in third.stderr


def test_debug_starts_again_when_the_code_changes(tmp_path: Path) -> None:
    """On a copy of the package, so that no file of the real one is touched."""
    copy = tmp_path / "copy" / "codebot"
    shutil.copytree(Path(codebot.__file__).parent, copy)
    with run_service(COMMAND, tmp_path, "--debug", env={"PYTHONPATH": str(copy.parent)}) as service:
        assert service.stdout.count("Starting server") == 1
        with (copy / "errors.py").open("a") as module:
            module.write("# changed\n")
        deadline = time.monotonic() + 30
        while service.stdout.count("Starting server") < 2:
            assert time.monotonic() < deadline, service.stderr
            time.sleep(0.05)


def test_run_does_one_task_and_says_how_to_look_at_it(tmp_path: Path, project: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(yaml.safe_dump(SCENARIO["task"] | {"repository_url": "project"}))
    env = {"ANTHROPIC_BASE_URL": f"scripted:{tmp_path}/turns.json"}
    ended = run("run", "--task-prompt-file", str(task), cwd=tmp_path, env=env)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    for name in ("codebot_data", "codebot_workspace"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
    assert "The agent works" in ended.stdout
    *_, look, tested, used = ended.stdout.splitlines()
    assert look.startswith("Look at it: git -C ")
    assert tested == "Truly tested: yes"
    assert used.startswith("Used: ")
    shown = subprocess.run(
        look.removeprefix("Look at it: "), shell=True, capture_output=True, text=True, check=True
    )
    assert "+    return sum(prices) * (100 - discount_percent) / 100" in shown.stdout


@pytest.mark.parametrize(
    "prompt",
    [
        "Just mend it.",
        '{"repository_url": "project"}',
        '{"repository_url": "nowhere", "description": "Mend it"}',
        '{"repository_url": "project", "description": "Mend it", "colour": "red"}',
    ],
)
def test_run_refuses_what_is_no_task(tmp_path: Path, project: Path, prompt: str) -> None:
    ended = run("run", "--task-prompt", prompt, cwd=tmp_path)

    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("codebot: ")
    assert "Traceback" not in ended.stderr
    assert not [*tmp_path.glob("codebot_*")]


KEEPS = """\
setup = ["mkdir deps junk", "echo set up >>~/told", "echo 1 >deps/one", "echo 2 >junk/two"]
test = "cat ~/told deps/one junk/two && grep mended shop"
keys = ["lock"]
"""


def test_without_overlays_a_task_goes_its_whole_way_on_what_the_one_before_set_up(
    tmp_path: Path,
) -> None:
    """Layers and trees are copied then; nobody can tell from what comes of a task."""
    folder = tmp_path / "shop"
    folder.mkdir()
    files = {".codebot.toml": KEEPS, "lock": "", "shop": "", ".gitignore": "/deps\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "A shop")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    works = "cat deps/one junk/two && echo mended >shop && rm -r junk && echo x >~/told"
    env = {"CODEBOT_AGENT": f"command:sh -c '{works}'", "CODEBOT_OVERLAY": "off"}
    prompt = '{"repository_url": "shop", "description": "Mend the shop"}'
    for told in ("Set up from .codebot.toml in", "Set up before, and kept"):
        ended = run("run", "--task-prompt", prompt, cwd=tmp_path, env=env)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert f"  {told}" in ended.stdout
        assert "Tests: passed" in ended.stdout
        assert "Changed: 1 file(s)" in ended.stdout
        assert ended.stdout.endswith("Truly tested: yes\n")
    kept = run("environments", "list", "--json", cwd=tmp_path)
    assert len(json.loads(kept.stdout)) == 1
    assert list((tmp_path / "codebot_data").glob("templates/*")) == []


@pytest.mark.parametrize("setting", ["CODEBOT_DATA_DIR", "CODEBOT_WORK_DIR"])
def test_run_names_the_folder_that_cannot_be_used(
    tmp_path: Path, project: Path, setting: str
) -> None:
    prompt = json.dumps({"repository_url": "project", "description": "Mend it"})
    env = {"CODEBOT_AGENT": "command:true", setting: "turns.json/below"}
    ended = run("run", "--task-prompt", prompt, cwd=tmp_path, env=env)

    assert ended.returncode == 78
    assert "turns.json/below cannot be used: Not a directory. Let this user" in ended.stderr
    assert setting in ended.stderr


def test_run_without_a_credential_for_the_model_begins_nothing(
    tmp_path: Path, project: Path
) -> None:
    prompt = json.dumps({"repository_url": "project", "description": "Mend it"})
    ended = run("run", "--task-prompt", prompt, cwd=tmp_path, env={"ANTHROPIC_BASE_URL": ""})

    assert ended.returncode == 78, ended.stdout + ended.stderr
    assert "Set ANTHROPIC_API_KEY" in ended.stderr
    assert not [*tmp_path.glob("codebot_*")]


def test_run_shows_what_the_tests_printed_and_where_all_of_it_is(
    tmp_path: Path, project: Path
) -> None:
    command = "for n in $(seq 300); do echo line $n of the tests; done; exit 3"
    prompt = {"repository_url": str(project), "description": "Mend it", "test_command": command}
    (tmp_path / "agent").write_text("echo mended >> $(ls | head -n 1); echo I mended it\n")
    ended = run(
        *("run", "--task-prompt", json.dumps(prompt)),
        cwd=tmp_path,
        env={"CODEBOT_AGENT": f"command:sh {tmp_path / 'agent'}", "CODEBOT_SANDBOX": "none"},
    )
    assert ended.returncode == 1, ended.stderr
    lines = ended.stdout.splitlines()
    shown = lines.index("  line 300 of the tests")
    assert lines[shown - 20].startswith("The tests printed (")
    tests_log = Path(lines[shown + 1].removeprefix("All of it: "))
    agent_log = Path(lines[shown + 2].removeprefix("What the agent did: "))
    assert "line 1 of the tests\n" in tests_log.read_text()
    assert "I mended it" in agent_log.read_text()
    assert not (agent_log.parent.stat().st_mode & 0o077)


def test_run_removes_what_a_killed_run_left_and_nothing_of_one_that_lives(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    (temporary / "codebot-run-left").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    prompt = json.dumps({"repository_url": "project", "description": "Do nothing"})
    env = {"CODEBOT_AGENT": "command:true", "TMPDIR": str(temporary)}
    with held_folder("codebot-run-") as held:
        run("run", "--task-prompt", prompt, cwd=tmp_path, env=env)
        assert [*temporary.iterdir()] == [held]


@contextmanager
def run_that_works(folder: Path, project: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a run whose agent works, and goes on working."""
    prompt = json.dumps({"repository_url": str(project), "description": "Do nothing"})
    given = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    started = subprocess.Popen(
        [*COMMAND, "run", "--task-prompt", prompt],
        cwd=folder,
        env=given | UNBOXED | {"CODEBOT_AGENT": "command:sleep 60"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with ending(started) as running:
        assert running.stdout is not None
        assert any(line == "The agent works\n" for line in running.stdout)
        yield running


def test_a_run_that_is_interrupted_leaves_no_workspace(tmp_path: Path, project: Path) -> None:
    with run_that_works(tmp_path, project) as running:
        running.terminate()
        assert running.wait(timeout=30) == 130
    assert [*(tmp_path / "codebot_workspace" / "run").iterdir()] == []


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path, project: Path) -> None:
    works = tmp_path / "codebot_workspace" / "run"
    with run_that_works(tmp_path, project) as killed:
        killed.kill()
        killed.wait()
    left = {path.stem for path in works.iterdir()}
    assert len(left) == 1
    prompt = json.dumps({"repository_url": str(project), "description": "Do nothing"})
    run(
        "run",
        "--task-prompt",
        prompt,
        cwd=tmp_path,
        env=UNBOXED | {"CODEBOT_AGENT": "command:true"},
    )
    [failed] = works.iterdir()
    assert failed.name not in left
    assert (failed / "tests.log").exists()


def test_a_service_that_cannot_start_announces_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("This is no database.")
    settings = {"CODEBOT_API_KEYS": KEY, "CODEBOT_LOCAL_REPOS": str(tmp_path)}
    ended = run("serve", cwd=tmp_path, env=settings | {"CODEBOT_DATABASE_URL": "sqlite:///broken"})

    assert ended.returncode == 78, "it would not start by itself either"
    assert ended.stdout == ""
    assert "not a database" in ended.stderr


def test_run_points_at_no_agents_log_where_no_agent_worked(tmp_path: Path, project: Path) -> None:
    prompt = {"repository_url": str(project), "description": "x", "setup_command": "exit 3"}
    env = {"CODEBOT_AGENT": "command:true", "CODEBOT_SANDBOX": "none"}
    ended = run("run", "--task-prompt", json.dumps(prompt), cwd=tmp_path, env=env)

    assert ended.returncode == 1, ended.stderr
    assert "Failed: The set-up of the task ended with exit code 3" in ended.stdout
    assert "What the agent did" not in ended.stdout


def test_a_task_that_fails_is_exit_1(tmp_path: Path, project: Path) -> None:
    prompt = json.dumps({"repository_url": "project", "description": "Do nothing"})
    ended = run("run", "--task-prompt", prompt, cwd=tmp_path, env={"CODEBOT_AGENT": "command:true"})

    assert ended.returncode == 1, ended.stderr
    assert "Failed: The agent made no changes" in ended.stdout


def test_doctor_looks_at_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = run("doctor", cwd=tmp_path, env={"ANTHROPIC_API_KEY": "sk-not-asked"})

    assert ended.returncode == 0, ended.stdout + ended.stderr
    for name in ("settings", "git", "model", "store", "data directory", "disk"):
        assert f"ok    {name}: " in ended.stdout
    assert not any(tmp_path.iterdir())


def test_doctor_is_exit_1_where_something_is_missing(tmp_path: Path) -> None:
    ended = run("doctor", cwd=tmp_path)

    assert ended.returncode == 1
    assert "FAIL  model: " in ended.stdout


def test_doctor_is_exit_78_where_the_settings_are_wrong(tmp_path: Path) -> None:
    ended = run("doctor", cwd=tmp_path, env={"ANTHROPIC_API_KEY_FILE": CANARY.format("x" * 20)})

    assert ended.returncode == 78
    assert "FAIL  settings: ANTHROPIC_API_KEY_FILE looks like the key itself" in ended.stdout
    assert "canary" not in ended.stdout + ended.stderr


def test_a_run_tells_of_a_key_in_quotes_on_stderr(tmp_path: Path) -> None:
    env = {"ANTHROPIC_API_KEY": "'a-key-in-quotes'", "CODEBOT_SANDBOX": "none"}
    ended = run("run", "--task-prompt", '{"description": "x"}', cwd=tmp_path, env=env)

    assert "codebot: ANTHROPIC_API_KEY begins and ends with a quote" in ended.stderr


def test_no_secret_shows_in_any_output(tmp_path: Path, project: Path) -> None:
    secret = {name: CANARY.format(name) for name in ("key", "model", "flag", "token", "proxy")}
    (tmp_path / "token").write_text(secret["token"])
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY={secret['model']}\n")
    env = {
        "CODEBOT_API_KEYS": f"{KEY},{secret['key']}",
        "GITHUB_TOKEN_FILE": "token",
        "GITHUB_API_URL": "https://127.0.0.1:1/api/v3",
        "HTTPS_PROXY": f"http://user:{secret['proxy']}@127.0.0.1:1",
        "CODEBOT_AGENT": f"command:echo {' '.join(secret.values())}",
        "CODEBOT_LOG_LEVEL": "debug",
    }
    flags = ("--webhook-secret", secret["flag"])
    with run_service(COMMAND, tmp_path, *flags, env=env) as service:
        task = {"repository_url": str(project), "description": "Say what you know"}
        task_id = service.http.post("/api/tasks/submit", json=task).json()["task_id"]
        deadline = time.monotonic() + 30
        while service.http.get(f"/api/tasks/{task_id}/status").json()["status"] != "failed":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        shown = [
            service.http.get(f"/api/v1/tasks/{task_id}{part}").text
            for part in ("/events", "/log", "/diff")
        ]
    assert "canary" not in "".join([service.stdout, service.stderr, *shown])
    assert "***" in "".join(shown)
    assert "--webhook-secret shows its value to every user" in service.stderr
