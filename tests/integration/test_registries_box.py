"""Registries as programs in a real box find them, with variables and without."""

from datetime import UTC, datetime
from pathlib import Path

from codebot.gateway.registries.authority import open_authority
from codebot.gateway.registries.upstreams import Registry
from fakes.box_of_registries import egress_to, run_in_box
from fakes.registry import PROJECT, FakeRegistry
from fakes.way_out import INDEX

PAGE = f"https://{INDEX}/simple/{PROJECT}/"
READ = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).status)"


async def in_box(folder: Path, *commands: str) -> list[str]:
    """Give what shell commands in a box of this service print."""
    async with FakeRegistry() as registry:

        async def ask_pip() -> Registry:
            return Registry(f"{registry.url}/simple")

        egress = egress_to(folder, ("python", "java"), ask_pip=ask_pip)
        return await run_in_box(folder, egress, *commands)


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
