"""Begins every box of a service: a process that is there already, and forks one for each.

    python3 -ISs launcher.py CHANNEL

CHANNEL is a descriptor of a socket pair. A message on it asks for a box: it carries descriptors,
the first of which holds a marshalled mapping, and the others are the command's own, to be known in
it by `numbers`. The mapping says what to execute (`argv`, `env`), how it gives way (`niceness`,
`oom_score`), the file by which it joins a control group (`group`, or None), the service's pid
(`parent`), whether to make a network (`network`), who to become (`uid`; None: this very user), and
`mounts`, each with `source`, `target` (a name below `STAGE`) and `writable`. The answer is the pid
of the box's process, or the number of the error for which there is none.

That process is a child of the *service* (CLONE_PARENT), which waits for it and takes it along when
it ends. To start Python for it took twice what a whole box takes now.

A network of its own is empty but for its loopback address. It is made here and not by bwrap, since
in it every port is to be open to every user: the box's first process takes 443 without a capability
for it. (bwrap's own belongs to a user namespace that it has left by then.)

The user of a box cannot reach folders that belong to root alone. So, in a mount namespace of its
own, this brings each source to a place that it can reach, mapped so that root's files there are the
box's own, drops every privilege, and executes the command, which is bwrap. All of it ends with the
box, and nothing of it is on disk.

A mount with `layers` is an overlay: these folders show through below `source`, the topmost first,
and `scratch` is the empty folder beside it that an overlay asks for. An ordinary user (`uid` is
null) may mount in a user namespace of its own, in which it stays who it is.

It is a program of its own, imports nothing of Codebot, and has one thread: so it can fork.
"""

import ctypes
import fcntl
import marshal
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

STAGE = "/tmp"  # noqa: S108 - covered by a file system of this process alone

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
MOUNT_ATTR_IDMAP = 0x00100000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""The same numbers on every architecture since Linux 5.2 and 5.12."""

CLONE_PARENT = 0x00008000
CLONE = {"x86_64": 56, "aarch64": 220}
"""The older call: a container may refuse the newer one, whose flags cannot be looked at."""

PR_SET_PDEATHSIG = 1
MOST_DESCRIPTORS = 253
"""Of one message: https://man7.org/linux/man-pages/man7/unix.7.html."""

ANSWER = struct.Struct("i")
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a service to end: this ends with it, and boxes may have to begin until then."""

STORE = 65534
"""Who owns on disk what an overlay itself makes as root (its scratch, what marks deleted files):
root of the disk is the box's user, and two users cannot be one."""

OVERLAY = ("index=off", "volatile")
"""Nothing is kept beside an upper folder, and its disk is not flushed at the end of every box: the
scratch folder, which would tell of that, is a new one each time."""
OF_ROOT = ("redirect_dir=on", "metacopy=off")
"""Without the first, renaming a folder of a layer is refused (EXDEV), and `git mv` fails. By the
second a file could be a name for another one's content."""
OF_A_USER = ("userxattr",)
"""The only attributes that an ordinary user may set; redirections are off with them."""
AF_INET, SOCK_DGRAM = 2, 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
FIRST_FREE_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
"""Of the network of whoever opens it: the host's own is another one."""

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)
for _call in (_python.PyOS_BeforeFork, _python.PyOS_AfterFork_Parent, _python.PyOS_AfterFork_Child):
    _call.restype = None


class MountAttr(ctypes.Structure):
    """`struct mount_attr`: https://man7.org/linux/man-pages/man2/mount_setattr.2.html."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class Interface(ctypes.Structure):
    """`struct ifreq` with flags: https://man7.org/linux/man-pages/man7/netdevice.7.html."""

    _fields_ = (
        ("name", ctypes.c_char * 16),
        ("flags", ctypes.c_short),
        ("rest", ctypes.c_char * 22),
    )


def check(result: int, what: str) -> int:
    """Give the result of a call to the kernel, or raise what it says."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def open_network() -> None:
    """Enter an empty network in which every user may listen on every port.

    Where /proc/sys is sealed, ports below 1024 stay root's.
    """
    if os.getuid() != 0:
        be_mighty()
    check(_libc.unshare(CLONE_NEWNET), "a network of its own")
    bring_up("lo")
    try:
        write(FIRST_FREE_PORT, "0")
    except OSError:
        return


def be_mighty() -> None:
    """Enter a user namespace as the same user: what that gives ends with the next program."""
    ids = {"uid_map": os.getuid(), "gid_map": os.getgid()}
    check(_libc.unshare(CLONE_NEWUSER), "a user namespace")
    write("/proc/self/setgroups", "deny")
    for name, own in ids.items():
        write(f"/proc/self/{name}", f"{own} {own} 1\n")


def bring_up(name: str) -> None:
    """Switch a network interface on."""
    asked = Interface(name.encode())
    control = check(_libc.socket(AF_INET, SOCK_DGRAM, 0), name)
    check(_libc.ioctl(control, SIOCGIFFLAGS, ctypes.byref(asked)), name)
    asked.flags |= IFF_UP
    check(_libc.ioctl(control, SIOCSIFFLAGS, ctypes.byref(asked)), name)
    os.close(control)


def write(path: str, text: str) -> None:
    """Write to a file of the kernel."""
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)


def clone_mount(source: str, *, whole: bool) -> int:
    """Give a mount of `source` that is attached nowhere yet; `whole` with all mounted below it.

    In a user namespace only the whole can be had: what a mount covers is nobody's to uncover.
    """
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if whole else 0)
    path = ctypes.c_char_p(os.fsencode(source))
    return check(_libc.syscall(OPEN_TREE, AT_FDCWD, path, flags), source)


def restrict(mount: int, users: int | None, source: str, *, writable: bool) -> None:
    """Let this mount have no set-id program or device, and show root's files as the box's own.

    What only is read may lie on a file system that cannot map owners: then it shows who owns it.
    Without `users` nothing is mapped.
    """
    flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (0 if writable else MOUNT_ATTR_RDONLY)
    if users is not None and set_attributes(mount, flags | MOUNT_ATTR_IDMAP, users):
        return
    if users is not None and writable:
        check(-1, f"{source}: its file system cannot map owners")
    if not set_attributes(mount, flags, 0):
        check(-1, source)


def set_attributes(mount: int, flags: int, users: int) -> bool:
    """Set attributes of a mount; `users` is the user namespace that maps its owners, or 0."""
    attributes = MountAttr(flags, 0, 0, users)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    told = ctypes.byref(attributes)
    return bool(_libc.syscall(MOUNT_SETATTR, mount, b"", AT_EMPTY_PATH, told, size) == 0)


def owner_map(uid: int) -> int:
    """Give a user namespace in which root of the disk is `uid`: only its map is of interest."""
    ready, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready[0])
        os.close(told[1])
        status = 0 if _libc.unshare(CLONE_NEWUSER) == 0 else 1
        os.write(ready[1], bytes([status]))
        os.read(told[0], 1)
        os._exit(status)
    os.close(ready[1])
    os.close(told[0])
    try:
        if os.read(ready[0], 1) != b"\0":
            raise OSError("this system allows no user namespaces")
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w") as file:  # noqa: PTH123
                file.write(f"0 {uid} 1\n{STORE} 0 1\n")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(told[1])
        os.close(ready[0])
        os.waitpid(child, 0)


def leave(uid: int | None) -> int | None:
    """Enter a mount namespace of its own; give who owns what there, None without another user."""
    users = None if uid is None else owner_map(uid)
    if uid is None:
        be_mighty()
    check(_libc.unshare(CLONE_NEWNS), "a mount namespace")
    check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "/")
    return users


def stage(uid: int | None, mounts: list[dict[str, object]]) -> None:
    """Bring every source below `STAGE`, seen by this process and what it becomes alone."""
    users = leave(uid)
    parts = [part for number, mount in enumerate(mounts) for part in parts_of(number, mount)]
    cloned = [clone_mount(str(part["source"]), whole=users is None) for part in parts]
    options = ctypes.c_char_p(b"mode=0755,size=1m")
    stage_path = STAGE.encode()
    check(_libc.mount(b"codebot", stage_path, b"tmpfs", MS_NOSUID | MS_NODEV, options), STAGE)
    for descriptor, part in zip(cloned, parts, strict=True):
        restrict(descriptor, users, str(part["source"]), writable=bool(part["writable"]))
        attach(descriptor, f"{STAGE}/{part['target']}")
    for number, mount in enumerate(mounts):
        if mount.get("layers"):
            lay_over(number, mount, OF_A_USER if uid is None else OF_ROOT)
    if users is not None:
        os.close(users)


def parts_of(number: int, mount: dict[str, object]) -> list[dict[str, object]]:
    """Give what has to be brought below `STAGE` for a mount: itself, or what its overlay is of.

    An upper folder and its scratch have to be on one mount: it is that of the folder they lie in.
    """
    layers = mount.get("layers")
    if not isinstance(layers, list) or not layers:
        return [mount]
    own = f"overlay/{number}"
    above = os.path.dirname(str(mount["source"]))  # noqa: PTH120
    lower = [
        {"source": layer, "target": f"{own}/{depth}", "writable": False}
        for depth, layer in enumerate(layers)
    ]
    return [*lower, {"source": above, "target": f"{own}/upper", "writable": True}]


def attach(mount: int, target: str) -> None:
    """Put a mount where it is to be seen."""
    make_place(target, is_folder=os.path.isdir(f"/proc/self/fd/{mount}"))  # noqa: PTH112
    where = ctypes.c_char_p(target.encode())
    moved = _libc.syscall(MOVE_MOUNT, mount, b"", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH)
    check(moved, target)
    os.close(mount)


def lay_over(number: int, mount: dict[str, object], manner: tuple[str, ...]) -> None:
    """Mount an overlay, and take away the paths to what it is made of: it holds all that itself."""
    own, target = f"{STAGE}/overlay/{number}", f"{STAGE}/{mount['target']}"
    layers = mount["layers"]
    depth = len(layers) if isinstance(layers, list) else 0
    name = os.path.basename(str(mount["source"]))  # noqa: PTH119
    told = (
        "lowerdir=" + ":".join(f"{own}/{lower}" for lower in range(depth)),
        f"upperdir={own}/upper/{name}",
        f"workdir={own}/upper/{os.path.basename(str(mount['scratch']))}",  # noqa: PTH119
        *(*OVERLAY, *manner),
    )
    os.makedirs(target)  # noqa: PTH103
    options = ctypes.c_char_p(",".join(told).encode())
    where = ctypes.c_char_p(target.encode())
    kind = b"overlay"
    check(_libc.mount(kind, where, kind, MS_NOSUID | MS_NODEV, options), f"the layers of {name}")
    for part in (*map(str, range(depth)), "upper"):
        path = ctypes.c_char_p(f"{own}/{part}".encode())
        check(_libc.umount2(path, MNT_DETACH), part)


def make_place(target: str, *, is_folder: bool) -> None:
    """Make what a source is mounted on: a folder for a folder, a file for a file."""
    if is_folder:
        os.makedirs(target)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))


def become(uid: int | None) -> None:
    """Drop to a user that owns nothing but the streams of this box.

    An ordinary user stays who it is: what it may in its namespace ends where it executes a command.
    """
    if uid is None:
        return
    for stream in (0, 1, 2):  # so that /dev/stderr can be opened anew in the box
        os.fchown(stream, uid, uid)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def die_with(parent: int) -> None:
    """End with the service, from now on and if it has ended already."""
    check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "the death signal")
    if os.getppid() != parent:
        sys.exit("the service is gone")


def give_way(niceness: int, oom_score: int) -> None:
    """Be worth less than the service, as is all that this becomes."""
    os.nice(niceness)
    with suppress(OSError):  # less than this process has is nobody's to ask for
        write("/proc/self/oom_score_adj", str(oom_score))


def take(descriptors: list[int], numbers: list[int]) -> None:
    """Let the descriptors be known by these numbers in what is executed.

    They are brought out of the way first: one may have the number that another is to get.
    """
    above = max(numbers) + 1
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, above) for each in descriptors]
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number)


def begin(plan: dict[str, Any]) -> None:
    """Join the group, make the network, stage, drop, execute; ends with what stands in the way."""
    try:
        if plan["group"]:
            write(plan["group"], "0")
        if plan["network"]:
            open_network()
        if plan["mounts"]:
            stage(plan["uid"], plan["mounts"])
        become(plan["uid"])
        die_with(plan["parent"])  # a change of user forgets it
        for changed in (*DEAF_TO, signal.SIGPIPE, signal.SIGXFSZ):  # here; the command's are not
            signal.signal(changed, signal.SIG_DFL)
        os.execve(plan["argv"][0], plan["argv"], plan["env"])  # noqa: S606 - what it is for
    except OSError as error:
        words = (error.filename, error.strerror or str(error))
        sys.exit(": ".join(["launcher", *filter(None, words)]))


def fork_for_parent() -> int:
    """Fork a child of whoever this is a child of; give its pid, and 0 in the child itself.

    `os.fork` cannot: https://man7.org/linux/man-pages/man2/clone.2.html. What Python needs to know
    of it: https://docs.python.org/3/c-api/sys.html#c.PyOS_BeforeFork.
    """
    _python.PyOS_BeforeFork()
    flags = CLONE_PARENT | signal.SIGCHLD
    pid: int = _python.syscall(CLONE[os.uname().machine], flags, 0, 0, 0, 0)
    number = ctypes.get_errno()
    (_python.PyOS_AfterFork_Parent if pid else _python.PyOS_AfterFork_Child)()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


def serve(channel: socket.socket) -> list[int]:
    """Fork a process for each box that is asked for, until the service is gone.

    Gives the descriptors of its message in the process of a box, and nothing in this one.
    """
    while True:
        word, descriptors, _, _ = socket.recv_fds(channel, 1, MOST_DESCRIPTORS)
        if not word:
            return []
        for descriptor in descriptors:  # `recv_fds` forgets the flag that says so
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only parameter
        try:
            if fork_for_parent() == 0:
                return descriptors
        except OSError as error:
            channel.send(ANSWER.pack(-(error.errno or 1)))
        for descriptor in descriptors:
            os.close(descriptor)


def live(channel: socket.socket, descriptors: list[int]) -> None:
    """Be the process of a box; the service is told of it when it can find and end it."""
    with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor
        request = marshal.load(file)  # noqa: S302 - of the service, which runs the same Python
    die_with(request["parent"])
    os.setsid()
    give_way(request["niceness"], request["oom_score"])
    channel.send(ANSWER.pack(os.getpid()))
    take(descriptors[1:], request["numbers"])
    begin(request)


def main() -> None:
    """Serve the service that started this; in the process of a box, begin it."""
    for deaf_to in DEAF_TO:
        signal.signal(deaf_to, signal.SIG_IGN)
    os.umask(0o022)
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    if descriptors := serve(channel):
        live(channel, descriptors)


if __name__ == "__main__":
    main()
