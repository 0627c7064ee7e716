"""What the routes need from the rest of the product, in one frozen value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request

from codebot.domain.ports import Finding, Queue
from codebot.intake.keys import ApiKeys
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.request_keys import Turns
from codebot.store.store import Store


def _no_findings() -> Sequence[Finding]:
    return ()


@dataclass(frozen=True, slots=True)
class Service:
    """The wired service, as the HTTP routes see it.

    `new_id` gives UUIDv7s as text, `now` aware UTC. `workers` is the number of tasks worked on at
    once. `checks` gives what was found at start, for `/health`; `turns` are those of
    requests with a key. `sweep_soon` has the folder of a task removed that ended while it waited.
    """

    keys: ApiKeys
    queue: Queue
    store: Store
    rules: RepositoryRules
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    version: str
    workers: int
    checks: Callable[[], Sequence[Finding]] = field(default=_no_findings)
    turns: Turns = field(default_factory=Turns)
    sweep_soon: Callable[[], None] = field(default=lambda: None)


def service_of(request: Request) -> Service:
    """Give the service that a request is for; `build_api` left it with the application."""
    service: Service = request.app.state.service
    return service
