"""What must be true of a box: every attempt is held, and each argument shows in what it is for.

The layers of a box overlap, so an attempt may still fail when one of them is gone. That is why
each of them is also looked at directly, here by what a process in the box sees of itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from codebot.domain.box import BoxLimits
from codebot.sandbox import arguments, surroundings
from codebot.sandbox.bubblewrap import HOSTS
from hostile.world import PYTHONS

Facts = Mapping[str, Any]
Told = Mapping[str, Any]

LIMITS = BoxLimits()
NAMESPACES = ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup")
WRITABLE = {"/workspace", "/home/agent", "/tmp", "/dev/shm", "/dev/pts", "/proc"}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
ENVIRONMENT = {
    f"PATH=/usr/local/bin:/usr/bin:/bin:{arguments.TOOLS}",
    *("HOME=/home/agent", "USER=agent", "LOGNAME=agent"),
    *("LANG=C.UTF-8", "HOSTNAME=codebot", "CI=true", "PWD=/workspace"),
    f"SHELL={surroundings.SHELL}",
}
LISTINGS = {
    "/": (
        "bin dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var workspace"
    ),
    "/dev": "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
    "/run": "lock shim",
    "/home": "agent",
    "/var": "cache lib local lock log mail opt run spool tmp",
}
ABSENT = {"ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ended by SIGSEGV"}
"""How a kernel says that it was built without something: then there is nothing to escape by."""

PROPERTIES: dict[str, Callable[[Facts, Told], bool]] = {}


def must(name: str) -> Callable[[Callable[[Facts, Told], bool]], Callable[[Facts, Told], bool]]:
    """Register what must be true."""

    def register(function: Callable[[Facts, Told], bool]) -> Callable[[Facts, Told], bool]:
        PROPERTIES[name] = function
        return function

    return register


@must("have no capability and be able to gain none")
def _(facts: Facts, told: Told) -> bool:
    sets = [facts["status"][f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    return all(int(value, 16) == 0 for value in sets) and facts["status"]["NoNewPrivs"] == "1"


@must("be filtered")
def _(facts: Facts, told: Told) -> bool:
    return facts["status"]["Seccomp"] == "2"


for _name in NAMESPACES:

    @must(f"have a namespace of its own: {_name}")
    def _(facts: Facts, told: Told, name: str = _name) -> bool:
        return facts["namespaces"].get(name) != told["namespaces"].get(name, "none")


@must("be user 1000 in no other group")
def _(facts: Facts, told: Told) -> bool:
    return facts["uid"] == [1000] * 6 and facts["groups"] == []


@must("have a session of its own")
def _(facts: Facts, told: Told) -> bool:
    return facts["session"] > 0


@must("have the hostname of a box")
def _(facts: Facts, told: Told) -> bool:
    return facts["hostname"] == "codebot"


@must("have its own environment and nothing else")
def _(facts: Facts, told: Told) -> bool:
    marks = [word for word in facts["environ"] if word.startswith("CODEBOT_BOX=")]
    return len(marks) == 1 and {*facts["environ"]} - {*marks} == ENVIRONMENT


@must("see marks alone in the environment of pid 1")
def _(facts: Facts, told: Told) -> bool:
    words = facts["environ of pid 1"].rstrip("\0").split("\0")
    marks = [word for word in words if not word.startswith("CODEBOT_BORN=")]
    return [word for word in facts["environ"] if word.startswith("CODEBOT_BOX=")] == marks


@must("see no path of the host on the command line of pid 1")
def _(facts: Facts, told: Told) -> bool:
    command = facts["command of pid 1"]
    return "bwrap" in command and told["host"]["folder"] not in command


@must("gain nothing by tracing pid 1")
def _(facts: Facts, told: Told) -> bool:
    first = facts["pid 1"]
    same = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Uid", "Gid")
    return (
        all(first["status"][name] == facts["status"][name] for name in (*same, "Seccomp_filters"))
        and first["namespaces"] == facts["namespaces"]
        and {word.split(" ")[1].partition(":")[0] for word in first["descriptors"]}
        <= {"/memfd", "pipe", "anon_inode"}
    )


@must("see its own processes alone")
def _(facts: Facts, told: Told) -> bool:
    return facts["pids"] == 2


@must("hold no descriptor but its streams")
def _(facts: Facts, told: Told) -> bool:
    kinds = [word.partition(" ")[2].partition(":")[0] for word in facts["descriptors"]]
    return kinds == ["/memfd", "pipe", "pipe"]


for _path, _names in LISTINGS.items():

    @must(f"see in {_path} what was put there")
    def _(facts: Facts, told: Told, path: str = _path, names: str = _names) -> bool:
        return facts["listing"][path] == names.split()


@must("see of /etc what programs need")
def _(facts: Facts, told: Told) -> bool:
    return all(facts["there"].values())


@must("find what programs expect where they expect it")
def _(facts: Facts, told: Told) -> bool:
    links = {path: says for path, says in facts["links"].items() if path not in PYTHONS}
    return links == {place: says for says, place in surroundings.LINKS}


@must("find a Python last on its PATH, under both names")
def _(facts: Facts, told: Told) -> bool:
    return all(facts["links"][path].endswith("/bin/python3") for path in PYTHONS)


@must("see every mount without set-id programs and devices")
def _(facts: Facts, told: Told) -> bool:
    devices = {f"/dev/{name}" for name in DEVICES}
    bound = {mount[4]: set(mount[5].split(",")) for mount in facts["mounts"]}
    return all("nosuid" in flags for flags in bound.values()) and all(
        "nodev" in flags for path, flags in bound.items() if path not in {*devices, "/dev/pts"}
    )


@must("write to its own folders alone")
def _(facts: Facts, told: Told) -> bool:
    bound = {mount[4]: set(mount[5].split(",")) for mount in facts["mounts"]}
    devices = {f"/dev/{name}" for name in DEVICES}
    return {path for path, flags in bound.items() if "rw" in flags} == {*WRITABLE, *devices}


@must("see /proc/sys sealed")
def _(facts: Facts, told: Told) -> bool:
    return any(mount[4] == "/proc/sys" and mount[5].startswith("ro") for mount in facts["mounts"])


@must("have bounded file systems in memory")
def _(facts: Facts, told: Told) -> bool:
    return facts["sizes"] == {
        "/tmp": LIMITS.memory // 4,
        "/dev/shm": arguments.SHM_BYTES,
        "/run": arguments.RUN_BYTES,
    }


@must("share /tmp and /dev/shm as usual, and write to no file of the system")
def _(facts: Facts, told: Told) -> bool:
    expected = {"/tmp": 0o1777, "/dev/shm": 0o1777, "/run": 0o755}
    expected |= dict.fromkeys(surroundings.FOLDERS, 0o755)
    expected |= dict.fromkeys([*surroundings.FILES, "/etc/hosts", "/run/shim"], 0o444)
    return facts["modes"] == expected


@must("be within its limits")
def _(facts: Facts, told: Told) -> bool:
    limits = facts["limits"]
    fixed = {
        "Max open files": LIMITS.open_files,
        "Max file size": LIMITS.file_size,
        "Max core file size": 0,
    }
    processes, seconds = (limits[f"Max {name}"].split()[1] for name in ("processes", "cpu time"))
    return (
        all(limits[name] == f"{value} {value}" for name, value in fixed.items())
        and LIMITS.processes <= int(processes) < LIMITS.processes + 5000
        and seconds.isdigit()
    )


@must("begin in its workspace")
def _(facts: Facts, told: Told) -> bool:
    return facts["folder"] == "/workspace" and facts["umask"] == 0o022


@must("be able to work")
def _(facts: Facts, told: Told) -> bool:
    return bool(facts["may go on"])


@must("know its own user and hosts alone")
def _(facts: Facts, told: Told) -> bool:
    return facts["files"] == {**surroundings.FILES, "/etc/hosts": HOSTS}


def judged(box: Mapping[str, Any], told: Told) -> dict[str, str]:
    """Give what is wrong with a box, by name; nothing is what a test wants to see."""
    if "broken" in box or box["code"]:
        return {"be able to work": str(box.get("broken", f"exit code {box.get('code')}"))}
    wrong = {
        name: f"escaped: {result['how']}"
        for name, result in box["attempts"].items()
        if is_out(result)
    }
    for name, holds in PROPERTIES.items():
        if not holds(box["facts"], told):
            wrong[name] = "is not so"
    if box["set-id files"]:
        wrong["leave no set-id file"] = str(box["set-id files"])
    return wrong


def is_out(result: Mapping[str, Any]) -> bool:
    """Say whether an attempt was not held; one that did not work as meant proves nothing."""
    return bool(result["escaped"]) or result["how"].startswith("BROKEN")


def is_shown(result: Mapping[str, Any]) -> bool:
    """Say whether an attempt did outside what it must not do inside, or cannot on this machine."""
    how: str = result["how"]
    return bool(result["escaped"]) or how.startswith("absent") or how in ABSENT
