"""The network of a box: its ports, the names it knows, the files that make it trust them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Network, Outfit
from codebot.domain.task import TaskId
from codebot.sandbox import bubblewrap
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.egress import NoEgress

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LISTENING = """
import socket, sys
for port in map(int, sys.argv[1:]):
    try:
        socket.create_connection(("files.example.com", port), 2).close()
        print("open")
    except OSError as error:
        print(type(error).__name__)
"""


def hosts_first_free_port() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


@dataclass(frozen=True)
class Place:
    sandbox: BubblewrapSandbox
    egress: NoEgress
    folder: Path

    async def say(self, *argv: str, stdin: str = "") -> list[str]:
        """Give the lines that a command in a box prints."""
        spec = BoxSpec(
            task_id=TaskId("task-1"),
            argv=argv,
            workspace=self.folder,
            home=self.folder,
            network=Network.REGISTRIES,
            timeout=timedelta(seconds=60),
            stdin=stdin.encode(),
        )
        box = await self.sandbox.start(spec)
        said = b"".join([line async for line in box.stdout()]).decode()
        await box.wait()
        return (said + box.stderr_tail()).splitlines()


@pytest.fixture
def place_with(tmp_path: Path) -> Callable[[Outfit], Place]:
    def make(outfit: Outfit) -> Place:
        egress = NoEgress(outfit_of_all=outfit)
        sandbox = BubblewrapSandbox(
            find_bubblewrap(), path="/usr/bin", mark=str(tmp_path), egress=egress
        )
        return Place(sandbox, egress, tmp_path)

    return make


async def test_a_box_hands_over_both_ports_and_knows_the_names_for_them(
    place_with: Callable[[Outfit], Place],
) -> None:
    place = place_with(Outfit(hosts=("files.example.com",)))
    tried = await place.say("python3", "-", "3128", "443", "80", stdin=LISTENING)
    assert tried == ["open", "open", "ConnectionRefusedError"]
    assert hosts_first_free_port() == 1024


async def test_where_bwrap_alone_makes_networks_a_box_has_the_proxy_alone(
    place_with: Callable[[Outfit], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cannot(*_: object) -> bool:
        return False

    monkeypatch.setattr(bubblewrap, "can_open_network", cannot)
    place = place_with(Outfit(hosts=("files.example.com",)))
    tried = await place.say("python3", "-", "3128", "443", stdin=LISTENING)
    assert tried == ["open", "ConnectionRefusedError"]
    [(_, _, doors)] = place.egress.served
    assert doors.tls is None
    [found] = [one for one in await place.sandbox.check() if one.name == "network"]
    assert "proxy alone" in found.detail


async def test_a_box_sees_its_own_file_where_the_host_has_another(
    place_with: Callable[[Outfit], Place],
) -> None:
    given = {BUNDLE: b"ours", "/run/new": b"fresh", "/usr/share/no-such-file": b"nowhere"}
    place = place_with(Outfit(files=given, env={"OURS": "told"}))
    shown = "cat $0 /run/new; echo; echo $OURS; cat /usr/share/no-such-file; echo x > $0"
    said = await place.say("sh", "-c", shown, BUNDLE)
    assert said[:2] == ["oursfresh", "told"]
    assert "No such file" in said[2]
    assert "Permission denied" in said[3] or "Read-only" in said[3]
    assert (await place_with(Outfit()).say("head", "-c4", BUNDLE)) == ["----"]
