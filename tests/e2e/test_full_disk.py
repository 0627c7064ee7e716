"""A service whose data directory has no room left, and then some."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.github_service import is_over, open_shop, wait_for
from fakes import small_disk
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

WAITS = "cat > /dev/null; while ! test -e {go}; do sleep 0.05; done; echo '# mended' >> shop.py"


def test_without_room_nothing_is_accepted_and_with_room_it_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    data, go = tmp_path / "codebot_data", tmp_path / "go"
    settings = {
        "CODEBOT_SANDBOX": "none",
        "CODEBOT_MAX_WORKERS": "1",
        "CODEBOT_DRAIN_TIMEOUT": "1",
        small_disk.VARIABLE: str(data),
    }
    with open_shop(tmp_path) as usual:
        shop = replace(usual, agent=WAITS.format(go=go), settings=settings)
        with shop.serve() as service:
            running = shop.submit(service)
            wait_for(service, running, lambda status: status["status"] == "running")
            disk = Path(f"/proc/{service.process.pid}/root{data}")
            small_disk.fill(disk)

            refused = submit_until_refused(service, shop.github.web_url)
            known = listed(service)
            assert refused["code"] == "store_unavailable"
            assert "The disk that holds the database is full." in refused["detail"]

            small_disk.make_room(disk)
            later = shop.submit(service)
            assert listed(service) == [later, *known]
            go.touch()
            assert wait_for(service, running, is_over)["status"] == "completed"


def submit_until_refused(service: RunningService, forge: str) -> dict[str, Any]:
    """Take what room the log of the database still has; give the first refusal."""
    body = {"repository_url": f"{forge}/octo/shop.git", "description": "x" * 50_000}
    for _ in range(300):
        answer = service.http.post("/api/v1/tasks", json=body)
        if not answer.is_success:
            assert answer.status_code == 503
            refused: dict[str, Any] = answer.json()
            return refused
    raise AssertionError("a full disk took everything")


def listed(service: RunningService) -> list[str]:
    answer = service.http.get("/api/tasks", params={"limit": "1000"})
    return [task["task_id"] for task in answer.json()["tasks"]]
