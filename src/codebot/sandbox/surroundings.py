"""What a box finds of a system: variables, files of its own, and what it sees of the host's. Data.

Programs and tests expect what a plain container has, so a box has it, too, and nothing that is an
opinion: docs/explanation/box-and-container.md compares them row by row.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from glob import glob
from os.path import exists
from pathlib import Path

from codebot.domain.box import HOST_ADDRESS, HOSTNAME

WORKSPACE = Path("/workspace")
HOME = Path("/home/agent")
USER, USER_ID = "agent", "1000"
"""Inside, whoever it is outside: Claude Code refuses to skip permission prompts as root."""

SHELL = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"

SYSTEM_USERS = (
    *(("root", "0"), ("daemon", "1"), ("bin", "2"), ("sys", "3"), ("games", "5"), ("man", "6")),
    *(("mail", "8"), ("www-data", "33"), ("nobody", "65534")),
)
"""Those that every Debian has, for programs that look them up. None of them is anybody here."""

SYSTEM_GROUPS = (
    *(("root", "0"), ("daemon", "1"), ("bin", "2"), ("sys", "3"), ("adm", "4"), ("tty", "5")),
    *(("mail", "8"), ("games", "60"), ("www-data", "33"), ("users", "100"), ("nogroup", "65534")),
)


def _passwd() -> Iterator[str]:
    for name, number in SYSTEM_USERS:
        yield f"{name}:x:{number}:{number}:{name}:/nonexistent:/usr/sbin/nologin"
    yield f"{USER}:x:{USER_ID}:{USER_ID}:{USER}:{HOME}:{SHELL}"


def _group() -> Iterator[str]:
    for name, number in (*SYSTEM_GROUPS, (USER, USER_ID)):
        yield f"{name}:x:{number}:"


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


FILES: Mapping[str, str] = {
    "/etc/passwd": _lines(*_passwd()),
    "/etc/group": _lines(*_group()),
    "/etc/shells": _lines("/bin/sh", "/bin/bash"),
    "/etc/hostname": _lines(HOSTNAME),
    "/etc/host.conf": _lines("multi on"),
    "/etc/machine-id": _lines("c0deb070c0deb070c0deb070c0deb070"),
    "/etc/timezone": _lines("Etc/UTC"),
    # Nobody listens there, which a program that asks by itself is told at once; the C library does
    # not ask at all. Without a file some would wait, or break.
    "/etc/resolv.conf": _lines("nameserver 127.0.0.1", "options timeout:1 attempts:1"),
    # As glibc has it, but for the first line: a name that has both is reached by IPv4 first, as in
    # a container, whose servers often listen there alone.
    "/etc/gai.conf": _lines(
        *(
            f"precedence ::ffff:{HOST_ADDRESS}/128 100",
            "precedence ::1/128 50",
            "precedence ::/0 40",
        ),
        *("precedence 2002::/16 30", "precedence ::/96 20", "precedence ::ffff:0:0/96 10"),
    ),
    "/etc/nsswitch.conf": _lines(
        *("passwd: files", "group: files", "shadow: files", "hosts: files", "networks: files"),
        *("protocols: files", "services: files", "ethers: files", "rpc: files"),
    ),
}

LINKS = (
    ("usr/bin", "/bin"),
    ("usr/sbin", "/sbin"),
    ("usr/lib", "/lib"),
    ("usr/lib64", "/lib64"),
    ("/usr/share/zoneinfo/Etc/UTC", "/etc/localtime"),
    ("/proc/self/mounts", "/etc/mtab"),
    ("/tmp", "/run/lock"),  # noqa: S108 - the box's own
    ("/run", "/var/run"),
    ("/run/lock", "/var/lock"),
    ("/tmp", "/var/tmp"),  # noqa: S108 - the box's own
)
"""What a link says, and where it stands."""

FOLDERS = (
    *("/etc", "/home", "/sys", "/media", "/mnt", "/opt", "/root", "/srv"),
    *("/var/cache", "/var/lib", "/var/local", "/var/log", "/var/mail", "/var/opt", "/var/spool"),
)
"""Nobody's to write to, and most of them empty: programs look whether they are there."""

ETC = (
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "alternatives"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "protocols", "services", "rpc", "networks"),
    *("ethertypes", "terminfo", "mime.types", "magic", "fonts", "perl", "maven"),
    *("os-release", "lsb-release", "debian_version"),
)
"""Of /etc only what programs need and nobody keeps a secret in (/etc/ssl/private is one)."""

ETC_PATTERNS = ("java-*-openjdk", "python3*", "php/*/cli", "php/*/mods-available")

STATE = (
    "/var/lib/dpkg",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
)
"""What is installed, and how many processors there are. The rest of /sys tells about the host."""


def variables(*, path: str, home: Path) -> dict[str, str]:
    """Give the environment of every command: what a login sets, and what every CI service does."""
    return {
        "PATH": path,
        "HOME": str(home),
        "USER": USER,
        "LOGNAME": USER,
        "SHELL": SHELL,
        "LANG": "C.UTF-8",
        "CI": "true",
    }


def host_paths() -> tuple[str, ...]:
    """Give what a box sees of the host besides /usr, as far as there is such a thing here."""
    matching = _matching(*map(_last_change, ("/etc", "/etc/php")))
    return tuple(path for path in (*_NAMED, *matching, *STATE) if exists(path))  # noqa: PTH110 - each box


_NAMED = tuple(f"/etc/{name}" for name in ETC)


@lru_cache(maxsize=1)
def _matching(*last_changes: float) -> tuple[str, ...]:
    """Give what fits the patterns, which takes longer than all the rest of a box's surroundings."""
    del last_changes
    return tuple(path for name in ETC_PATTERNS for path in sorted(glob(f"/etc/{name}")))  # noqa: PTH207


def _last_change(folder: str) -> float:
    return Path(folder).stat().st_mtime if Path(folder).exists() else 0
