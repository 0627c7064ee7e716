"""The whole way of a task on this machine, with nothing configured: `codebot demo`.

A small project with a failing test, the service as a process of its own, a task over HTTP as any
client would send it. Only the model may be played from a script, and then the demo says so.
"""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import yaml

from codebot.demo.client import Client, DemoFailed
from codebot.demo.locking import lock_project, write_files
from codebot.demo.screen import Screen
from codebot.demo.service import (
    BUDGET_USD,
    Place,
    choose_place,
    environment_of,
    is_real,
    running_service,
)
from codebot.intake.progress import progress_line
from codebot.settings import Settings

_TESTS = (sys.executable, "-m", "unittest")
_NAME = ("-c", "user.name=Codebot demo", "-c", "user.email=demo@localhost")
_GIT = ("git", *_NAME, "-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null")
_LOG_TAIL = 20
_LISTENING = 0.2
"""Seconds between two looks for a signal."""


def run_demo(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    show: Callable[[str], None],
    in_color: bool = False,
    keep: bool = False,
) -> int:
    """Play the demo and give its exit code: 0 when the task was completed, else 1.

    Everything happens in a temporary folder, which stays for people to look at. With `keep` the
    service runs on at the end, until it is interrupted.
    """
    screen = Screen(show, in_color)
    scenario = yaml.safe_load((files(__name__) / "scenario.yaml").read_text())
    place = choose_place(Path(tempfile.mkdtemp(prefix="codebot-demo-")))
    try:
        task = dict(scenario["task"])
        if _make_project(place.project, scenario, environ, screen):
            del task["test_command"]  # the project's own files say it now
        _say_who_thinks(settings, screen)
        _say_what_holds(settings, screen)
        env = environment_of(place, settings, environ, scenario["turns"])
        screen.heading(f"The service, on port {place.port}: codebot serve")
        with running_service(place, env) as client:
            status = _play(client, place, task, screen)
            _show_where(place, screen)
            if keep:
                _wait_for_interrupt(place, status, screen)
    except (httpx.HTTPError, DemoFailed) as error:
        screen.heading("The demo failed")
        screen.lines(str(error))
        status = {}
    if status.get("status") == "completed":
        return 0
    _show_log(place.log, screen)
    return 1


def _make_project(
    project: Path, scenario: Mapping[str, Any], environ: Mapping[str, str], screen: Screen
) -> bool:
    """Write the project, commit it, show that a test fails; say whether it has a lock file."""
    project.mkdir()
    write_files(project, scenario["files"])
    is_locked = lock_project(project, scenario["locked"], environ)
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "A cart")):
        subprocess.run([*_GIT, *arguments], cwd=project, check=True)  # noqa: S603 - our own words
    screen.heading(f"A small Python project: {project}")
    screen.lines("\n".join(sorted(path.name for path in project.iterdir() if path.is_file())))
    if not is_locked:
        screen.lines("No registry can be reached: the project does without pytest and uv.lock.")
    _run_tests(project, "The tests before", screen)
    return is_locked


def _run_tests(tree: Path, title: str, screen: Screen) -> None:
    ended = subprocess.run(  # noqa: S603 - our own words
        _TESTS, cwd=tree, capture_output=True, text=True, check=False, timeout=60
    )
    screen.heading(f"{title}: {'they pass' if ended.returncode == 0 else 'they FAIL'}")
    screen.lines(ended.stderr)


def _say_who_thinks(settings: Settings, screen: Screen) -> None:
    if is_real(settings):
        screen.heading(f"The model is real: {settings.anthropic_base_url}, up to ${BUDGET_USD}")
        return
    screen.heading("The model is NOT real: its side of the talk is played from a script")
    screen.lines("Everything else is real: agent program, git, tests, model gateway and HTTP.")
    screen.lines("Set ANTHROPIC_API_KEY to let a real model do the work.")


def _say_what_holds(settings: Settings, screen: Screen) -> None:
    if not settings.is_boxed:
        screen.heading("There is NO box: CODEBOT_SANDBOX=none")
        screen.lines("The agent and the tests run as this user, with all that this user may do.")


def _play(client: Client, place: Place, task: Mapping[str, str], screen: Screen) -> dict[str, Any]:
    """Submit the task, follow it to its end, show what came of it, and give its status."""
    started = time.monotonic()
    task_id = client.submit({**task, "repository_url": str(place.project)})
    screen.heading(f"A task goes in over HTTP: {task_id}")
    screen.lines(task["description"])
    screen.heading("What happens")
    for event in client.events(task_id):
        line = progress_line(event["type"], event["data"])
        if line:
            screen.lines(line)
    took, status = time.monotonic() - started, client.status(task_id)
    screen.heading("The status, as the API shows it")
    screen.lines(json.dumps(status, indent=2))
    screen.heading("The diff")
    screen.lines(client.diff(task_id))
    if status["status"] == "completed":
        _review(place, status["result"]["branch_name"], screen)
    _show_cost(took, client.usage(task_id), screen)
    return status


def _review(place: Place, branch: str, screen: Screen) -> None:
    """Take the branch out anew, as a reviewer would, and run its tests."""
    clone = ("clone", "-q", "--branch", branch, "--", str(place.project), str(place.result))
    subprocess.run([*_GIT, *clone], check=True)  # noqa: S603 - our own words, our own branch
    _run_tests(place.result, "The tests after, on the new branch", screen)


def _show_cost(took: float, usage: Mapping[str, Any], screen: Screen) -> None:
    screen.heading("What it took")
    screen.lines(
        f"{took:.1f} s, {usage['turns']} turns, {usage['input_tokens']:,} + "
        f"{usage['output_tokens']:,} tokens in and out, ${usage['cost_usd']:.2f}"
    )


def _show_where(place: Place, screen: Screen) -> None:
    screen.heading("Where to look")
    screen.lines(f"git -C {shlex.quote(str(place.project))} log --all --graph --patch")
    screen.lines(f"{place.folder}: project, result (the new branch), the service's log and data")


def _wait_for_interrupt(place: Place, status: Mapping[str, Any], screen: Screen) -> None:
    """Let people look at the pull request's page, until Ctrl-C."""
    url = (status.get("result") or {}).get("pr_url") or place.url
    with suppress(KeyboardInterrupt):
        screen.heading("The service runs on until Ctrl-C")
        screen.lines(f"{url}\nAny user name; the password is the API key {place.key}")
        while True:  # a signal just before one long wait would be heard by nobody
            time.sleep(_LISTENING)


def _show_log(log: Path, screen: Screen) -> None:
    if log.exists():
        screen.heading(f"The end of the service's log ({log})")
        screen.lines("\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]))
