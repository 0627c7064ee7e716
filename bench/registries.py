"""What it costs that boxes reach a registry through the service: a large file, and many packages.

The registry is the one that pip of this machine uses. A disturbed line shows in the rounds.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from statistics import median
from urllib.parse import urljoin

import httpx

from bench.measure import ROUNDS, Figure, Figures
from codebot.gateway.registries.upstreams import ask_pip
from codebot.network.client import trust_in
from e2e.github_service import COMMAND, make_repository
from fakes.service import RunningService, run_service

LARGE = "pyarrow"
SIZES = range(35_000_000, 65_000_000)
"""Of a file of about 50 MB."""

_NAMES = """\
aiohttp alembic anyio argon2-cffi arrow babel bcrypt beautifulsoup4 black bleach pyyaml cachetools
celery click cryptography django djangorestframework docutils fastapi flask gunicorn httpx
hypothesis isort jinja2 jsonschema kombu lxml mako markdown marshmallow mypy networkx nltk openpyxl
paramiko pillow psycopg2-binary pydantic pygments pylint pymongo pytest redis requests rich scrapy
sphinx sqlalchemy tornado
"""
PACKAGES = _NAMES.split()
"""Fifty that many projects have; what they need comes along. None that a resolver walks back on."""

FETCH = """
import sys, time, urllib.request
began, size = time.perf_counter(), 0
with urllib.request.urlopen(sys.argv[1]) as answer:
    while piece := answer.read(1 << 20):
        size += len(piece)
print(time.perf_counter() - began)
"""
AGENT = """#!/bin/sh
cat > prompt
python3 fetch.py "$(sed -n 's/.*fetch: *//p' prompt | head -1)" > ~/seconds
rm prompt
echo '# x' >> shop.py
"""
INSTALL = "uv venv -q .venv && uv pip install -q --python .venv -r requirements.txt # {}"
DEADLINE = 600


def measure(folder: Path) -> Figures:
    """Have an agent fetch large files, and set a repository with fifty packages up twice."""
    files = {"shop.py": "# x\n", "fetch.py": FETCH, "requirements.txt": "\n".join(PACKAGES)}
    shop = make_repository(folder, files)
    with run_service(COMMAND, folder, env=_environment(folder)) as service:
        pairs = [_fetch(service, shop, folder, url) for url in islice(_large_files(), ROUNDS)]
        cold, *warm = (_set_up(service, shop, number) for number in range(ROUNDS + 1))
    direct = median(alone for alone, _ in pairs)
    yield Figure("50 MB in a box / from the registry itself", [b / a for a, b in pairs], 1.1,
                 note=f"itself: {direct:.2f} s")  # fmt: skip
    yield Figure(f"{len(PACKAGES)} packages from the warm cache / the first time",
                 [each / cold for each in warm], 0.3, note=f"the first: {cold:.1f} s")  # fmt: skip


def _environment(folder: Path) -> Mapping[str, str]:
    (folder / "fetch.py").write_text(FETCH)
    (folder / "agent.sh").write_text(AGENT)
    return {"CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}"}


def _large_files() -> Iterator[str]:
    """Give the addresses of files of the wanted size, the newest first."""
    registry = asyncio.run(ask_pip())
    if registry is None:
        raise RuntimeError("pip does not say which index it uses.")
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    page = f"{registry.with_credentials}/{LARGE}/"
    files = httpx.get(page, headers=accept, verify=trust_in(None), timeout=60).json()["files"]
    for file in reversed(files):
        if file.get("size") in SIZES:
            yield urljoin(page, file["url"])


def _fetch(service: RunningService, shop: Path, folder: Path, url: str) -> tuple[float, float]:
    """Give the seconds that a file takes outside, when the registry knows it, and in a box."""
    alone = [_fetch_alone(folder, url) for _ in range(2)][-1]
    words = {"description": f"fetch: {url}", "setup_command": "true", "test_command": "true"}
    task_id = _work(service, shop, **words)
    seconds = folder / "codebot_workspace" / task_id / "home" / "seconds"
    return alone, float(seconds.read_text())


def _fetch_alone(folder: Path, url: str) -> float:
    program = (sys.executable, str(folder / "fetch.py"), url)
    return float(subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout)


def _set_up(service: RunningService, shop: Path, number: int) -> float:
    """Give the seconds of a set-up whose layer is not there, whatever the cache has."""
    install = INSTALL.format(number)
    task_id = _work(service, shop, description="Work", setup_command=install, test_command="true")
    told = service.http.get(f"/api/v1/tasks/{task_id}/events", params={"limit": 1000}).json()
    [event] = [each for each in told["items"] if each["type"] == "environment.set_up"]
    if event["data"]["state"] != "ready":
        raise RuntimeError(str(event["data"]))
    return float(event["data"]["seconds"])


def _work(service: RunningService, shop: Path, **fields: str) -> str:
    answer = service.http.post("/api/v1/tasks", json={"repository_url": str(shop), **fields})
    task_id: str = answer.raise_for_status().json()["task_id"]
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        status = service.http.get(f"/api/tasks/{task_id}/status").json()
        if status["status"] in {"completed", "failed"}:
            return task_id
        time.sleep(0.2)
    raise TimeoutError(f"{task_id} did not end.")
