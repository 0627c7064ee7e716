"""A task on GitHub, end to end: the service as a process, real git over HTTP, the fake GitHub."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codebot.publish.markdown import BREAK
from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

GIT = r"/octo/shop\.git/"
CALLS = {
    "installation": ("GET", r"/installation$"),
    "token": ("POST", r"/access_tokens$"),
    "repository": ("GET", r"/repos/octo/shop$"),
    "identity": ("GET", r"/app$"),
    "fetch": ("GET", GIT + r"info/refs"),
    "fetch of objects": ("POST", GIT + "git-upload-pack"),
    "look-up": ("GET", r"/pulls$"),
    "push": ("POST", GIT + "git-receive-pack"),
    "pull request": ("POST", r"/pulls$"),
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield shop


@pytest.mark.parametrize("flavour", ["api.github.com", "ghes-3.19"])
def test_a_task_becomes_a_pull_request(tmp_path: Path, flavour: str) -> None:
    with open_shop(tmp_path, flavour) as shop, shop.serve() as service:
        task_id = shop.submit(service, ticket_id="SHOP-7", ticket_summary="Mend it")
        status = wait_for(service, task_id, is_over)

        assert status["status"] == "completed", status
        branch = f"u/codebot/SHOP-7/{task_id[-7:]}/mend-it"
        assert status["result"]["branch_name"] == branch
        [pull] = shop.pulls()
        assert status["result"]["pr_url"].endswith(f"/octo/shop/pull/{pull.number}")
        assert (pull.head, pull.base, pull.draft) == (branch, "main", False)
        assert "grep -q mended shop.py" in pull.body
        assert "Mend the shop" in pull.body
        assert "# mended" in shop.git("show", f"{branch}:shop.py")
        author = shop.git("log", "-1", "--format=%an <%ae>", branch)
        assert author.startswith("codebot[bot] <900+codebot[bot]@users.noreply.")


def test_the_base_branch_is_checked_out_and_the_base_of_the_pull_request(shop: Shop) -> None:
    shop.git("branch", "release/1.0", "main")
    with shop.serve() as service:
        task_id = shop.submit(service, base_branch="release/1.0")
        assert wait_for(service, task_id, is_over)["status"] == "completed"
        assert shop.pulls()[0].base == "release/1.0"

        missing = shop.submit(service, base_branch="release/9.9")
        status = wait_for(service, missing, is_over)
        assert status["status"] == "failed"
        assert "release/9.9" in status["error"]


def test_an_agents_own_commit_pings_nobody_closes_nothing_and_skips_no_ci(shop: Shop) -> None:
    words = "Mend it [skip ci]\n\nFixes #1 as @octo/owners asked."
    shop.agent = f"echo '# mended' >> shop.py; git commit -qam '{words}'"
    with shop.serve() as service:
        status = wait_for(service, shop.submit(service), is_over)

    assert status["status"] == "completed", status
    message = shop.git("log", "-1", "--format=%B", status["result"]["branch_name"])
    assert message.replace(BREAK, "").strip() == words, "it reads as it was written"
    assert not any(power in message for power in ("[skip ci]", "Fixes", "@octo"))


def test_failing_tests_get_two_more_rounds_and_then_a_draft(shop: Shop) -> None:
    with shop.serve() as service:
        task_id = shop.submit(service, test_command="echo the shelf is empty; exit 3")
        status = wait_for(service, task_id, is_over)

        assert status["status"] == "failed"
        assert "exit code 3" in status["error"]
        assert "the shelf is empty; exit 3" in status["error"]
        [pull] = shop.pulls()
        assert pull.draft
        assert "the shelf is empty" in pull.body
        assert status["result"]["pr_url"].endswith(f"/pull/{pull.number}")
        assert shop.launches == 3
        task = service.http.get(f"/api/v1/tasks/{task_id}").json()
        assert (task["outcome"], task["failure"]["code"]) == ("tests_failed", "tests_failed")


def test_an_agent_that_changes_nothing_fails_with_its_closing_words(shop: Shop) -> None:
    shop.agent = "cat > /dev/null; echo 'The shop is fine as it is.'"
    with shop.serve() as service:
        status = wait_for(service, shop.submit(service), is_over)

    assert status["status"] == "failed"
    assert status["error"].startswith("The agent made no changes: The shop is fine as it is.")
    assert shop.pulls() == []


@pytest.mark.parametrize(
    "kind", ["401", "403", "secondary", "429", "500", "502", "html", "empty", "cut"]
)
def test_any_fault_of_github_at_any_call_costs_no_finished_work(shop: Shop, kind: str) -> None:
    faults = {
        name: shop.github.fail_next(kind, method, path, retry_after=1)
        for name, (method, path) in CALLS.items()
        if kind != "403" or name in {"push", "pull request"}  # elsewhere it is an answer
    }
    with shop.serve() as service:
        task_id = shop.submit(service)
        status = wait_for(service, task_id, is_over, deadline=90)

        assert status["status"] == "completed", events(service, task_id)[-4:]
        assert shop.launches == 1
        assert len(shop.pulls()) == 1
        assert faults["pull request"].hits == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after it took effect"])
def test_a_pull_request_is_opened_once_whatever_became_of_the_first_answer(
    shop: Shop, *, after: bool
) -> None:
    shop.github.fail_next("502", "POST", r"/pulls$", after=after)
    with shop.serve() as service:
        status = wait_for(service, shop.submit(service), is_over)

        assert status["status"] == "completed"
        assert len(shop.pulls()) == 1


STEPS = ["prepare", "work", "collect", "verify", "publish"]
MOMENTS = [(kind, step) for step in STEPS for kind in ("step.started", "step.finished")]


@pytest.mark.parametrize(("moment", "step"), MOMENTS[:-1])
def test_a_service_killed_at_any_step_goes_on_where_it_was(
    shop: Shop, moment: str, step: str
) -> None:
    shop.agent = "sleep 0.3; " + shop.agent
    with shop.serve() as service:
        task_id = shop.submit(service, test_command="sleep 0.3; grep -q mended shop.py")
        _wait_for_event(service, task_id, moment, step)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with shop.serve() as service:
        status = wait_for(service, task_id, is_over)
        happened = events(service, task_id)

    assert status["status"] == "completed", (status, happened)
    assert len(shop.pulls()) == 1
    finished = [
        (event["data"]["step"], event["data"]["round"])
        for event in happened
        if event["type"] == "step.finished"
    ]
    assert sorted(finished) == sorted(set(finished)), "a finished step was done again"
    if MOMENTS.index((moment, step)) >= MOMENTS.index(("step.finished", "work")):
        assert shop.launches == 1, "the agent's finished work was done again"
    branches = [name for name in shop.git("branch").split() if name.startswith("u/codebot/")]
    assert len(branches) == 1


def _wait_for_event(service: RunningService, task_id: str, kind: str, step: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if any(
            event["type"] == kind and event["data"].get("step") == step
            for event in events(service, task_id)
        ):
            return
        time.sleep(0.005)  # or the cores are busy with looking
    raise AssertionError(f"{kind} {step} has not happened")


def test_the_agent_can_use_git_and_its_commits_are_kept(shop: Shop) -> None:
    shop.agent = """cat > /dev/null
    git log --format=%s > ~/history && git status --short
    echo '# mended' >> shop.py && git commit -qam 'Mend it for good'
    """
    with shop.serve() as service:
        assert wait_for(service, shop.submit(service), is_over)["status"] == "completed"
    assert shop.noted("history") == "A shop\n"
    assert "Mend it for good" in shop.git("log", "--all", "--format=%s").splitlines()


def test_no_process_of_the_agent_survives_the_service(shop: Shop) -> None:
    shop.agent = "(setsid sleep 300 &); echo up > ~/up; sleep 300"
    with shop.serve() as service:
        shop.submit(service)
        until = time.monotonic() + 20
        while shop.noted("up") != "up\n":
            assert time.monotonic() < until
            time.sleep(0.02)
        first = shop.living()
        assert len(first) >= 3
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    shop.agent = "echo again"
    with shop.serve():
        assert not set(first) & set(shop.living())


def test_a_sigterm_lets_a_run_end_and_interrupts_it_resumably_after_the_drain_time(
    shop: Shop,
) -> None:
    shop.agent = "sleep 2; " + shop.agent
    with shop.serve("--drain-timeout", "30") as service:
        patient = shop.submit(service)
        wait_for(service, patient, lambda status: status["status"] == "running")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    with shop.serve("--drain-timeout", "0") as service:
        assert wait_for(service, patient, is_over)["status"] == "completed"
        hasty = shop.submit(service)
        wait_for(service, hasty, lambda status: status["status"] == "running")
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    with shop.serve() as service:
        status = wait_for(service, hasty, is_over)
        kinds = [event["type"] for event in events(service, hasty)]
        assert status["status"] == "completed"
        assert "run.interrupted" in kinds
    assert len(shop.pulls()) == 2
