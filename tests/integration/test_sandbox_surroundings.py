"""A box has what a plain container has: docs/explanation/box-and-container.md, row by row.

Where the page says that they differ, the row here shows how the box is.
"""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Network
from codebot.domain.task import TaskId
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.limiting import NICENESS
from codebot.sandbox.program import find_bubblewrap
from codebot.sandbox.surroundings import SHELL
from fakes.egress import NoEgress

PAGE = Path(__file__).parents[2] / "docs/explanation/box-and-container.md"

HOST_NAME = """
import socket
name = socket.gethostname()
print(name, socket.getfqdn(), socket.gethostbyname(name))
print(sorted({found[4][0] for found in socket.getaddrinfo(name, 80)}))
"""
SERVE_ON_HOST_NAME = """
import socket
with socket.create_server((socket.gethostname(), 0)) as server:
    socket.create_connection((socket.gethostname(), server.getsockname()[1])).close()
with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
    socket.create_connection(("ip6-localhost", server.getsockname()[1])).close()
print("reached")
"""
UNKNOWN_NAME = """
import socket, time
begun = time.monotonic()
try:
    socket.getaddrinfo("example.com", 80)
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME, time.monotonic() - begun < 1)
"""
NAME_SERVER = """
import socket
asked = socket.socket(type=socket.SOCK_DGRAM)
servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")]
asked.connect((servers[0], 53))
asked.send(b"?")
try:
    asked.recv(1)
except ConnectionRefusedError:
    print("refused at once")
"""
OUTSIDE = """
import errno, socket, struct
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
group = struct.pack("4sl", socket.inet_aton("224.1.1.1"), socket.INADDR_ANY)
for attempt in (
    lambda: sock.connect(("192.0.2.1", 80)),
    lambda: sock.sendto(b"x", ("255.255.255.255", 9)),
    lambda: socket.create_connection(("192.0.2.1", 80)),
    lambda: sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group),
):
    try:
        attempt()
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
"""
NUMBERS = """
import socket
print(socket.getservbyname("https"), socket.getprotobyname("udp"))
"""
USER = """
import getpass, grp, os, pwd
me = pwd.getpwuid(os.getuid())
print(me.pw_name, getpass.getuser(), me.pw_dir, os.path.expanduser("~agent"), me.pw_shell)
print(grp.getgrgid(os.getgid()).gr_name, pwd.getpwnam("root").pw_uid, pwd.getpwnam("nobody").pw_uid)
"""
TIME = """
import time, zoneinfo
print(time.tzname[0], time.localtime(0).tm_hour, zoneinfo.ZoneInfo("Europe/Berlin"))
"""
TEMPORARY = """
import os, stat, subprocess, tempfile
for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/var/lock"):
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        file.write("#!/bin/sh\\necho it runs")
    os.chmod(file.name, 0o755)
    print(oct(stat.S_IMODE(os.stat(folder).st_mode)), subprocess.check_output([file.name]))
print(tempfile.gettempdir())
"""
FOLDERS = "stat -c %A /etc /home /media /mnt /opt /root /srv /sys /var /var/cache /var/lib /var/log"
NOT_WRITABLE = (
    "for place in / /etc /usr /var/lib /run /sys /opt; do test -w $place || echo no; done"
)
STREAMS = """
echo one | cat /dev/stdin
echo two > /dev/stdout
cat <(echo three) /dev/null
head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c
echo x 2>/dev/null >/dev/full || echo full
"""
TERMINALS = """
import os, pty, termios
leader, follower = pty.openpty()
termios.tcgetattr(follower)
print(os.ttyname(follower).startswith("/dev/pts/"), pty.spawn(["sh", "-c", "test -t 0"]))
"""
PROCESSORS = """
import os
shown = open("/sys/devices/system/cpu/online").read().strip()
print(bool(shown), os.sysconf("SC_NPROCESSORS_ONLN") == len(os.sched_getaffinity(0)) > 0)
"""
SHARED_MEMORY = """
from multiprocessing import Lock, shared_memory
import ctypes
held = shared_memory.SharedMemory(create=True, size=1 << 20); held.close(); held.unlink()
with Lock(): pass
libc = ctypes.CDLL(None)
print(libc.shmget(0, 4096, 0o1600) >= 0, libc.semget(0, 1, 0o1600) >= 0)
print(libc.msgget(0, 0o1600) >= 0, libc.mq_open(b"/queue", 0o102, 0o600, None) >= 0)
"""
TRACED = """
import ctypes, mmap, os, time
child = os.fork()
if child == 0:
    time.sleep(5)
print(ctypes.CDLL(None).ptrace(16, child, None, None))
mmap.mmap(-1, 15 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
"""
FILES = """
import ctypes, fcntl, os, socket
with open("big", "wb") as big:
    big.truncate(3 << 30)
    fcntl.flock(big, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(big, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.unlink("big")
open("A", "w").close()
os.link("A", "B"), os.symlink("A", "C"), os.mkfifo("D"), os.setxattr("A", "user.x", b"y")
print(os.path.exists("a"), ctypes.CDLL(None).inotify_init1(0) >= 0)
with socket.socket(socket.AF_UNIX) as named: named.bind("socket")
with socket.socket(socket.AF_UNIX) as abstract: abstract.bind("\\0name")
"""
LOCALE = """
import locale, sys
locale.setlocale(locale.LC_ALL, "")
print(locale.getlocale()[1], sys.getfilesystemencoding(), sys.stdout.encoding)
"""
LIMITS = """
import resource
names = ("NOFILE", "CORE", "FSIZE", "AS", "STACK")
print({name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names})
"""
PORTS = """
import socket
try:
    socket.create_server(("127.0.0.1", 80))
except PermissionError:
    print("not below 1024")
"""
OWNERS = (
    "stat -c %U /usr/bin/env; touch mine; stat -c %U mine; chown root mine 2>/dev/null || echo no"
)
SET_ID = "touch f; chmod u+s f 2>/dev/null || echo no; chmod g+s . 2>/dev/null || echo no"

SOCKETS = """
import errno, socket
for asked in ((2, 1, 0), (10, 2, 17), (1, 1, 0), (16, 3, 0), (2, 2, 136), (40, 1, 0)):
    try:
        socket.socket(*asked).close()
        print("yes", end=" ")
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
"""
OTHERS = """
import errno, os
open("mine", "w").close()
for attempt in (lambda: os.chown("mine", 0, -1), lambda: os.setuid(65534), lambda: os.setgid(0)):
    try:
        attempt()
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
"""

ROWS: dict[str, tuple[str, str]] = {
    "its own host name": (
        HOST_NAME,
        "codebot codebot 127.0.1.1\n['127.0.1.1', '::1']",
    ),
    "`hostname -f`": ("hostname -f; cat /etc/hostname", "codebot\ncodebot"),
    "loopback": (SERVE_ON_HOST_NAME, "reached"),
    "names of the internet": (UNKNOWN_NAME, "True True"),
    "`/etc/resolv.conf`": (NAME_SERVER, "refused at once"),
    "other networks, broadcast, multicast": (
        OUTSIDE,
        "ENETUNREACH ENETUNREACH ENETUNREACH ENODEV",
    ),
    "services and protocols": (NUMBERS, "443 17"),
    "ports below 1024": (PORTS, "not below 1024"),
    "the user": (USER, f"agent agent /home/agent /home/agent {SHELL}\nagent 0 65534"),
    "whose files": (OWNERS, "nobody\nagent\nno"),
    "set-id bits": (SET_ID, "no\nno"),
    "the time zone": (TIME + "print(open('/etc/timezone').read())", "UTC 0 Europe/Berlin\nEtc/UTC"),
    "what system it is": ("grep -c ^ID= /etc/os-release; wc -c < /etc/machine-id", "1\n33"),
    "what is installed": ("dpkg-query -W -f '${Status}\\n' dpkg", "install ok installed"),
    "temporary files": (TEMPORARY, "0o1777 b'it runs\\n'\n" * 5 + "/tmp"),
    "the usual folders": (FOLDERS, "drwxr-xr-x\n" * 12),
    "what can be written": (NOT_WRITABLE, "no\n" * 7),
    "`/dev`": (STREAMS, "one\ntwo\nthree\n3\n3\nfull"),
    "terminals": (TERMINALS, "True 0"),
    "`/proc`": (
        "cat /proc/self/comm; test $(ls /proc | grep -c '^[0-9]') -lt 9 && echo few",
        "cat\nfew",
    ),
    "mounts": (
        "grep -c . /etc/mtab > n; findmnt -n -o TARGET / ; test $(cat n) -gt 9 && echo y",
        "/\ny",
    ),
    "processors": (PROCESSORS, "True True"),
    "memory": ("grep -c MemTotal /proc/meminfo; ls /sys/fs 2>/dev/null", "1"),
    "shared memory, semaphores, queues": (SHARED_MEMORY, "True True\nTrue True"),
    "debuggers and sanitizers": (TRACED, "0"),
    "files": (FILES, "False True"),
    "the language": (LOCALE, "UTF-8 utf-8 utf-8"),
    "limits of a process": (
        LIMITS,
        "{'NOFILE': 4096, 'CORE': 0, 'FSIZE': 4294967296, 'AS': -1, 'STACK': 8388608}",
    ),
    "`umask` and priority": ("umask; nice", f"0022\n{min(os.nice(0) + NICENESS, 19)}"),
    "no terminal": ("tty; test -t 0 || echo none; env | grep -c ^TERM", "not a tty\nnone\n0"),
    "the environment": (
        "env | sed 's/=.*//' | grep -v -e ^CODEBOT_BOX -e ^_$ -e SHLVL | sort | tr '\\n' ' '",
        "CI HOME HOSTNAME LANG LOGNAME PATH PWD SHELL USER",
    ),
    "signals": ("grep SigIgn /proc/self/status | cut -f2", "0" * 16),
    "kinds of sockets": (SOCKETS, "yes yes yes yes EPROTONOSUPPORT EAFNOSUPPORT"),
    "becoming somebody else": (OTHERS, "EINVAL EINVAL EINVAL"),
    "becoming root": (
        "id -u; sudo -n true 2>/dev/null || echo no; cat /proc/self/uid_map | wc -l",
        "1000\nno\n1",
    ),
}
"""A row's first cell; a program, of Python where it imports something; and what it prints."""

Run = Callable[[str], Awaitable[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    for name in ("tree", "home"):
        (tmp_path / name).mkdir(mode=0o700)
    sandbox = BubblewrapSandbox(
        find_bubblewrap(), path="/usr/bin", mark=str(tmp_path), egress=NoEgress()
    )

    async def run(program: str) -> str:
        shell = ("python3", "-c") if "import " in program else ("bash", "-c")
        spec = BoxSpec(
            task_id=TaskId("task"),
            argv=(*shell, program),
            workspace=tmp_path / "tree",
            home=tmp_path / "home",
            network=Network.NONE,
            timeout=timedelta(seconds=20),
        )
        box = await sandbox.start(spec)
        said = b"".join([line async for line in box.stdout()])
        await box.wait()
        return said.decode() + box.stderr_tail()

    return run


def test_every_row_of_the_page_has_a_test() -> None:
    cells = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(set(cells) - {"what"}) == sorted(ROWS)


@pytest.mark.parametrize("row", ROWS)
async def test_a_box_is_as_the_page_says(run: Run, row: str) -> None:
    program, expected = ROWS[row]
    assert (await run(program)).strip() == expected.strip()
