"""Commands in a real box that reaches registries and nothing else."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Network
from codebot.domain.task import TaskId
from codebot.gateway.egress.dial import Dialler
from codebot.gateway.egress.policy import AllowList
from codebot.gateway.egress.service import BoxEgress
from codebot.gateway.registries.authority import open_authority
from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.fetch import Fetcher, Gate
from codebot.gateway.registries.library import Library
from codebot.gateway.registries.trust import trust_files
from codebot.gateway.registries.upstreams import Registry
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.far_registries import FarRegistries
from fakes.way_out import LARGE


async def here(_: str, __: int) -> Sequence[str]:
    return ("127.0.0.1",)


async def nothing() -> None:
    return None


def egress_to(
    folder: Path,
    names: Sequence[str],
    *,
    ask_pip: Callable[[], Awaitable[Registry | None]] = nothing,
    world: FarRegistries | None = None,
) -> BoxEgress:
    """Give the way out to the registries of these ecosystems, which are in `world` if any."""
    fetcher = Fetcher(
        lambda _: world.url if world else None,
        Gate(here),
        certificate_file=world.certificate_file if world else None,
    )
    return BoxEgress(
        model=lambda _: pytest.fail("the model was asked for"),
        record=lambda _, __: None,
        allowed=AllowList(frozenset()),
        dialler=Dialler(lambda _: None, here),
        library=Library(
            ask_pip=ask_pip,
            ask_npm=nothing,
            names=names,
            further=(),
            fetcher=fetcher,
            cache=Cache(folder / "cache", LARGE),
        ),
        open_authority=partial(open_authority, folder / "authority.pem", lambda: datetime.now(UTC)),
        trusted=partial(trust_files, company=None),
    )


async def run_in_box(
    folder: Path, egress: BoxEgress, *commands: str, files: Mapping[str, bytes] | None = None
) -> list[str]:
    """Give what shell commands print in a box of this way out, whose tree holds `files`."""
    for name in ("tree", "home"):
        (folder / name).mkdir()
    for name, content in (files or {}).items():
        file = folder / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    sandbox = BubblewrapSandbox(
        find_bubblewrap(), path=os.environ["PATH"], mark=str(folder), egress=egress
    )
    box = await sandbox.start(
        BoxSpec(
            task_id=TaskId("task-1"),
            argv=("sh", "-c", "\n".join(commands)),
            workspace=folder / "tree",
            home=folder / "home",
            network=Network.REGISTRIES,
            timeout=timedelta(seconds=100),
        )
    )
    said = b"".join([line async for line in box.stdout()]).decode()
    await box.wait()
    await egress.close()
    return (said + box.stderr_tail()).splitlines()
