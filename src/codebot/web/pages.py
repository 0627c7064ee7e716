"""The pages of the service: a pull request of a task, and the API's interactive document.

They need no JavaScript but for the document, and load nothing from elsewhere. Whoever mounts them
sees to it that `/tasks/` is behind an API key.
"""

import shlex
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from codebot.domain.task import TaskId
from codebot.errors import NotFound
from codebot.store.pull_requests import PullRequestRecord
from codebot.store.store import Store
from codebot.web.rendering import LONGEST_DIFF, diff_lines, markdown, render

STATIC = Path(__file__).parent / "static"

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI sets styles from its script and draws its icons from data: addresses.
_DOCUMENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_pages(app: Starlette, store: Store) -> None:
    """Add `/tasks/{task_id}/pull-request`, `/docs` and `/static` to the application."""

    async def pull_request(request: Request) -> Response:
        """Show a pull request that a task opened, also when the task itself is gone."""
        record = await store.pull_requests.get(TaskId(request.path_params["task_id"]))
        if record is None:
            raise NotFound("There is no pull request of a task with this id.")
        return _page(_PAGE_POLICY, pull_request_page(record, await store.diffs.get(record.task_id)))

    async def document(_: Request) -> Response:
        """Show the API's document, ready to be tried out."""
        return _page(_DOCUMENT_POLICY, render("docs.html"))

    app.add_route("/tasks/{task_id}/pull-request", pull_request)
    app.add_route("/docs", document)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def pull_request_page(record: PullRequestRecord, diff: str | None) -> str:
    """Give the page of a pull request; its body holds the task, the evidence and the cost."""
    shown = (diff or "")[:LONGEST_DIFF]
    return render(
        "pull_request.html",
        record=record,
        pull_request=record.pull_request,
        body=markdown(record.body),
        diff=list(diff_lines(shown)) if shown else [],
        is_cut=len(diff or "") > LONGEST_DIFF,
        commands=_commands(record),
    )


def _commands(record: PullRequestRecord) -> list[str]:
    """Say how to get the branch; a local repository has it already."""
    head, base = shlex.quote(record.head), shlex.quote(record.base)
    if record.repository_url.startswith("/"):
        git = f"git -C {shlex.quote(record.repository_url)}"
        return [f"{git} diff {base}...{head}", f"{git} switch {base}", f"{git} merge {head}"]
    return [f"git fetch origin {head}", f"git switch {head}"]


def _page(policy: str, html: str) -> Response:
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(html, headers=headers)
