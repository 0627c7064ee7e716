"""Becomes the user of a box: only where the service runs as root.

    python3 -ISs launcher.py PLAN COMMAND...

PLAN is a descriptor with JSON: `uid`, `parent` (the service's pid), `env` (the command's), and
`mounts`, each with `source`, `target` (a name below `STAGE`) and `writable`. The user of a box
cannot reach folders that belong to root alone. So, in a mount namespace of its own, this brings
each source to a place that it can reach, mapped so that root's files there are the box's own, drops
every privilege, and executes the command, which is bwrap. All of it ends with the box, and nothing
of it is on disk.

It is a program of its own and imports nothing of Codebot: it runs for every box.
"""

import ctypes
import json
import os
import signal
import sys

STAGE = "/tmp"  # noqa: S108 - covered by a file system of this process alone

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 1 << 18
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
MOUNT_ATTR_IDMAP = 0x00100000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""The same numbers on every architecture since Linux 5.2 and 5.12."""

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """`struct mount_attr`: https://man7.org/linux/man-pages/man2/mount_setattr.2.html."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def check(result: int, what: str) -> int:
    """Give the result of a call to the kernel, or raise what it says."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def clone_mount(source: str) -> int:
    """Give a mount of `source` that is attached nowhere yet."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    path = ctypes.c_char_p(os.fsencode(source))
    return check(_libc.syscall(OPEN_TREE, AT_FDCWD, path, flags), source)


def map_owner(mount: int, users: int, source: str, *, writable: bool) -> None:
    """Show root's files in this mount as the box's own, and no set-id program or device at all.

    What only is read may lie on a file system that cannot map owners: then it shows who owns it.
    """
    flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (0 if writable else MOUNT_ATTR_RDONLY)
    for extra in (MOUNT_ATTR_IDMAP, 0):
        attributes = MountAttr(flags | extra, 0, 0, users if extra else 0)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        done = _libc.syscall(
            MOUNT_SETATTR, mount, b"", AT_EMPTY_PATH, ctypes.byref(attributes), size
        )
        if done == 0:
            return
        if writable:
            break
    check(-1, f"{source}: its file system cannot map owners")


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
                file.write(f"0 {uid} 1\n")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(told[1])
        os.close(ready[0])
        os.waitpid(child, 0)


def stage(uid: int, mounts: list[dict[str, object]]) -> None:
    """Bring every source below `STAGE`, seen by this process and what it becomes alone."""
    users = owner_map(uid)
    check(_libc.unshare(CLONE_NEWNS), "a mount namespace")
    check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "/")
    sources = [(clone_mount(str(mount["source"])), mount) for mount in mounts]
    options = ctypes.c_char_p(b"mode=0755,size=1m")
    stage_path = STAGE.encode()
    check(_libc.mount(b"codebot", stage_path, b"tmpfs", MS_NOSUID | MS_NODEV, options), STAGE)
    for cloned, mount in sources:
        source, target = str(mount["source"]), f"{STAGE}/{mount['target']}"
        map_owner(cloned, users, source, writable=bool(mount["writable"]))
        make_place(target, is_folder=os.path.isdir(f"/proc/self/fd/{cloned}"))  # noqa: PTH112
        flags = MOVE_MOUNT_F_EMPTY_PATH
        where = ctypes.c_char_p(target.encode())
        check(_libc.syscall(MOVE_MOUNT, cloned, b"", AT_FDCWD, where, flags), target)
        os.close(cloned)
    os.close(users)


def make_place(target: str, *, is_folder: bool) -> None:
    """Make what a source is mounted on: a folder for a folder, a file for a file."""
    if is_folder:
        os.makedirs(target)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))


def become(uid: int) -> None:
    """Drop to a user that owns nothing but the streams of this box."""
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


def main() -> None:
    """Stage, drop, execute."""
    with open(int(sys.argv[1])) as file:  # noqa: PTH123 - a descriptor
        plan = json.load(file)
    try:
        die_with(plan["parent"])
        stage(plan["uid"], plan["mounts"])
        become(plan["uid"])
        die_with(plan["parent"])  # a change of user forgets it
        os.execve(sys.argv[2], sys.argv[2:], plan["env"])  # noqa: S606 - what it is for
    except OSError as error:
        words = (error.filename, error.strerror or str(error))
        sys.exit(": ".join(["launcher", *filter(None, words)]))


if __name__ == "__main__":
    main()
