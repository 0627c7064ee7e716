"""Registries as programs in a real box find them, with variables and without."""

import os
from collections.abc import Sequence
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
from fakes.registry import PROJECT, FakeRegistry
from fakes.way_out import INDEX, LARGE

PAGE = f"https://{INDEX}/simple/{PROJECT}/"
READ = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).status)"


async def _here(_: str, __: int) -> Sequence[str]:
    return ("127.0.0.1",)


async def _nothing() -> None:
    return None


def egress_of(folder: Path, registry: FakeRegistry) -> BoxEgress:
    async def ask_pip() -> Registry:
        return Registry(f"{registry.url}/simple")

    return BoxEgress(
        model=lambda _: pytest.fail("the model was asked for"),
        record=lambda _, __: None,
        allowed=AllowList(frozenset()),
        dialler=Dialler(lambda _: None, _here),
        library=Library(
            ask_pip=ask_pip,
            ask_npm=_nothing,
            names=("python", "java"),
            further=(),
            fetcher=Fetcher(lambda _: None, Gate(_here)),
            cache=Cache(folder / "cache", LARGE),
        ),
        open_authority=partial(open_authority, folder / "authority.pem", lambda: datetime.now(UTC)),
        trusted=partial(trust_files, company=None),
    )


async def in_box(folder: Path, *commands: str) -> list[str]:
    """Give what shell commands in a box of this service print."""
    for name in ("tree", "home"):
        (folder / name).mkdir()
    async with FakeRegistry() as registry:
        egress = egress_of(folder, registry)
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


async def test_a_program_finds_registries_by_proxy_and_by_name_and_trusts_them(
    tmp_path: Path,
) -> None:
    read = f"/usr/bin/python3 -c '{READ}' {PAGE}"
    curl = f"curl -sS -o /dev/null -w '%{{http_code}}\\n' {PAGE}"
    assert (
        await in_box(tmp_path, read, f"env -i {read}", curl, f"env -i /usr/bin/{curl}")
        == ["200"] * 4
    )


async def test_the_key_of_the_authority_is_nowhere_in_a_box(tmp_path: Path) -> None:
    """Its own file is not there, and no file or process of the box holds a line of it."""
    file = tmp_path / "authority.pem"
    made = open_authority(file, lambda: datetime.now(UTC))
    line = file.read_text().splitlines()[1]
    places = "/run /etc /home /workspace /tmp /dev/shm /proc/[0-9]*/environ"
    said = await in_box(
        tmp_path,
        f"cat {file} 2>/dev/null",
        f"grep -rlsF -e {line[20:]} {places}",
        f"grep -c -F -e '{made.pem.decode().splitlines()[2]}' /etc/ssl/certs/ca-certificates.crt",
    )
    assert said == ["1"]


async def test_a_host_that_is_no_registry_is_refused_at_once_and_vouched_for_by_nobody(
    tmp_path: Path,
) -> None:
    said = await in_box(
        tmp_path,
        "curl -sS https://evil.example/",
        "curl -sS --noproxy '*' --resolve evil.example:443:127.0.0.1 https://evil.example/",
        f"curl -sS --noproxy '*' --connect-to {INDEX}:443:127.0.0.1:443 -H 'Host: evil.example' "
        f"-o /dev/null -w '%{{http_code}}\\n' {PAGE}",
    )
    assert said[0] == "421"
    assert "403" in said[1]
    assert "curl: (35)" in said[2]
