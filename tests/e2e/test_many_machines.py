"""Several nodes on one PostgreSQL database: what one takes in, another does."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.github_service import make_repository
from fakes.git_http import git
from fakes.line import line_to
from fakes.network import far_network, why_none
from fakes.postgres import Postgres, run_postgres, start, stop
from fakes.service import PRELOADED, Process, RunningService, run_service, run_worker

pytestmark = pytest.mark.e2e

CODEBOT = str(Path(sys.executable).with_name("codebot"))

TAKEOVER = 30
"""Seconds until a run of a dead node is claimed by another."""

AWAY = 5
"""Seconds for which a database is away."""

BACK_AT_WORK = 10
"""Seconds after its return until every node works again."""


@dataclass(frozen=True)
class Cluster:
    """A repository and a database for any number of nodes, each with a folder of its own."""

    folder: Path
    url: str

    def api(self, name: str, *arguments: str) -> AbstractContextManager[RunningService]:
        """Take tasks in; without workers unless the arguments say otherwise."""
        folder = self.folder / name
        folder.mkdir()
        return run_service(PRELOADED, folder, *(arguments or ("--workers", "0")), env=self._env)

    def worker(
        self, name: str, *, nap: float = 0, url: str = "", command: Sequence[str] = PRELOADED
    ) -> AbstractContextManager[Process]:
        """Work on one task at a time, with an agent that takes `nap` seconds for it.

        `url` is another way to the same database, `command` another way to start `codebot`.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "agent.sh").write_text(
            f"cat > /dev/null; sleep {nap}; echo '# by {name}' >> shop.py"
        )
        agent = {"CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}"}
        way = {"CODEBOT_DATABASE_URL": url or self.url}
        return run_worker(command, folder, env={**self._env, **agent, **way})

    @property
    def _env(self) -> dict[str, str]:
        return {
            "CODEBOT_DATABASE_URL": self.url,
            "CODEBOT_LOCAL_REPOS": str(self.folder),
            "CODEBOT_LOG_FORMAT": "json",
        }

    def submit(self, api: RunningService, tests: str = "grep -q by shop.py") -> str:
        answer = self.send(api, tests)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def send(self, api: RunningService, tests: str = "grep -q by shop.py") -> httpx.Response:
        body = {
            "repository_url": str(self.folder / "origin.git"),
            "description": "Mend the shop",
            "test_command": tests,
        }
        return api.http.post("/api/tasks/submit", json=body)

    def changed(self, branch: str) -> str:
        """Give the last line of the file that agents change."""
        shown = git("show", f"{branch}:shop.py", cwd=self.folder / "origin.git")
        return shown.splitlines()[-1]

    def branches(self) -> list[str]:
        listed = git("branch", "--format=%(refname:short)", cwd=self.folder / "origin.git")
        return [branch for branch in listed.split("\n") if branch != "main"]


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str) -> Cluster:
    make_repository(tmp_path, {"shop.py": "# a shop\n"})
    return Cluster(tmp_path, postgres_url)


def whole(api: RunningService, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = api.http.get(f"/api/v1/tasks/{task_id}").json()
    return task


def kinds(api: RunningService, task_id: str) -> list[str]:
    found = api.http.get(f"/api/v1/tasks/{task_id}/events").json()["items"]
    return [event["type"] for event in found]


def is_at_work(api: RunningService, task_id: str) -> bool:
    """Say whether an agent was started."""
    found = api.http.get(f"/api/v1/tasks/{task_id}/events").json()["items"]
    return any(event["data"].get("phase") == "agent" for event in found)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Give the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited in vain for {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def completed(api: RunningService, task_id: str) -> bool:
    status = whole(api, task_id)["status"]
    assert status != "failed", whole(api, task_id)
    return bool(status == "completed")


def test_a_task_taken_in_at_one_node_is_done_by_another_and_followed_at_a_third(
    cluster: Cluster,
) -> None:
    with cluster.api("one") as one, cluster.api("two") as two, cluster.worker("three", nap=2):
        task_id = cluster.submit(one)
        wait_for(lambda: is_at_work(two, task_id), "the agent, seen from afar")
        assert "run.started" in kinds(two, task_id)

        wait_for(lambda: completed(two, task_id), "the end")

        assert kinds(one, task_id) == kinds(two, task_id)
        assert kinds(one, task_id)[-1] == "task.finished"
        assert cluster.changed(whole(one, task_id)["branch_name"]) == "# by three"
    assert not (cluster.folder / "one" / "codebot_workspace").exists()


def test_what_a_killed_node_worked_on_is_begun_anew_by_another_within_half_a_minute(
    cluster: Cluster,
) -> None:
    with cluster.api("api") as api, cluster.worker("doomed", nap=40) as doomed:
        task_id = cluster.submit(api)
        wait_for(lambda: is_at_work(api, task_id), "the agent of the first")
        with cluster.worker("heir"):
            doomed.kill()
            took = wait_for(lambda: kinds(api, task_id).count("run.started") == 2, "the heir")
            wait_for(lambda: completed(api, task_id), "the end")

    assert took <= TAKEOVER
    assert cluster.changed(whole_branch(cluster)) == "# by heir"


def test_a_node_that_stood_still_and_wakes_up_writes_and_pushes_nothing(cluster: Cluster) -> None:
    with cluster.api("api") as api, cluster.worker("still", nap=15) as still:
        task_id = cluster.submit(api)
        wait_for(lambda: is_at_work(api, task_id), "the agent of the first")
        still.send_signal(signal.SIGSTOP)
        with cluster.worker("heir"):
            wait_for(lambda: completed(api, task_id), "the end", 90)
            told = kinds(api, task_id)

            still.send_signal(signal.SIGCONT)
            log = cluster.folder / "still" / "stderr"
            wait_for(lambda: "run.lost" in log.read_text(), "it to notice")

            again = cluster.submit(api)
            wait_for(lambda: completed(api, again), "another task, by either")
            assert kinds(api, task_id) == told
            assert cluster.changed(whole(api, task_id)["branch_name"]) == "# by heir"


def test_work_that_was_collected_is_tested_and_published_by_another_node(
    cluster: Cluster,
) -> None:
    with cluster.api("api") as api, cluster.worker("doomed") as doomed:
        task_id = cluster.submit(api, tests="sleep 3; grep -q by shop.py")
        wait_for(lambda: "change.collected" in kinds(api, task_id), "the work of the first")
        doomed.kill()
        with cluster.worker("heir"):
            wait_for(lambda: completed(api, task_id), "the end", 90)

    assert cluster.changed(whole_branch(cluster)) == "# by doomed"


def test_a_database_that_was_away_is_worked_with_again_and_nothing_is_lost(tmp_path: Path) -> None:
    make_repository(tmp_path, {"shop.py": "# a shop\n"})
    with run_postgres() as server:
        cluster = Cluster(tmp_path, server.url())
        with (
            cluster.api("api") as api,
            cluster.worker("busy", nap=AWAY / 2) as busy,
        ):
            first = cluster.submit(api)
            wait_for(lambda: is_at_work(api, first), "the agent")
            with cluster.worker("idle") as idle:
                stop(server)
                time.sleep(AWAY)
                refused = [
                    api.http.get(f"/api/v1/tasks/{first}"),
                    api.http.post(f"/api/v1/tasks/{first}/cancel"),
                    cluster.send(api),
                ]
                again = start(server.folder, server.port)
                try:
                    second = cluster.submit(api)
                    took = wait_for(lambda: "run.started" in kinds(api, second), "the idle")
                    for task_id in (first, second):
                        wait_for(lambda task_id=task_id: completed(api, task_id), "the end", 90)
                    told = [kinds(api, task_id) for task_id in (first, second)]
                finally:
                    for node in (busy, idle, api.process):
                        node.terminate()
                        node.wait(40)
                    stop(again)

    assert took <= BACK_AT_WORK
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "database server" in answer.json()["detail"]
    for kind in ("run.started", "task.finished"):
        assert [kinds_.count(kind) for kinds_ in told] == [1, 1]
    assert sorted(map(cluster.changed, cluster.branches())) == ["# by busy", "# by idle"]
    for name in ("api", "busy", "idle"):
        assert "Traceback" not in (tmp_path / name / "stderr").read_text()


def test_a_node_that_was_cut_off_and_comes_back_pushes_nothing(
    cluster: Cluster, postgres: Postgres
) -> None:
    socket = postgres.folder / f".s.PGSQL.{postgres.port}"
    name = cluster.url.partition("@/")[2].partition("?")[0]
    with line_to(socket) as line, cluster.api("api") as api:
        url = f"postgresql://postgres@127.0.0.1:{line.port}/{name}?sslmode=disable"
        with cluster.worker("far", nap=8, url=url):
            task_id = cluster.submit(api)
            wait_for(lambda: is_at_work(api, task_id), "the agent of the first")
            line.cut()
            with cluster.worker("near"):
                wait_for(lambda: completed(api, task_id), "the end", 60)
                told = kinds(api, task_id)
                tip = cluster.changed(whole_branch(cluster))

                line.heal()
                log = cluster.folder / "far" / "stderr"
                wait_for(lambda: "run.lost" in log.read_text(), "it to notice")
            again = cluster.submit(api)
            wait_for(lambda: completed(api, again), "another task, by the one that came back")

        assert (tip, told) == ("# by near", kinds(api, task_id))
        assert cluster.changed(whole(api, task_id)["branch_name"]) == "# by near"
        assert cluster.changed(whole(api, again)["branch_name"]) == "# by far"


@pytest.mark.skipif(bool(why_none()), reason=why_none())
def test_a_machine_whose_cable_was_out_and_is_in_again_pushes_nothing(tmp_path: Path) -> None:
    make_repository(tmp_path, {"shop.py": "# a shop\n"})
    with far_network() as far, run_postgres(listen_addresses=f"127.0.0.1,{far.here}") as server:
        server.let_in(far.there)
        cluster = Cluster(tmp_path, server.url())
        url = f"postgresql://postgres@{far.here}:{server.port}/postgres?sslmode=disable"
        with (
            cluster.api("api") as api,
            cluster.worker("far", nap=8, url=url, command=(*far.inside, CODEBOT)),
        ):
            task_id = cluster.submit(api)
            wait_for(lambda: is_at_work(api, task_id), "the agent of the first")
            with cluster.worker("near"):
                far.cut()
                took = wait_for(lambda: kinds(api, task_id).count("run.started") == 2, "the near")
                wait_for(lambda: completed(api, task_id), "the end", 60)
                told = kinds(api, task_id)

                far.heal()
                log = cluster.folder / "far" / "stderr"
                wait_for(lambda: "run.lost" in log.read_text(), "it to notice")
            again = cluster.submit(api)
            wait_for(lambda: completed(api, again), "another task, by the one that came back")

            assert took <= TAKEOVER
            assert told == kinds(api, task_id)
            assert cluster.changed(whole(api, task_id)["branch_name"]) == "# by near"
            assert cluster.changed(whole(api, again)["branch_name"]) == "# by far"


def whole_branch(cluster: Cluster) -> str:
    """Give the only branch that tasks have made."""
    (branch,) = cluster.branches()
    return branch
