"""Attempts to write to the system, to mount, and to leave namespaces."""

import os
import signal
import stat
import struct
from contextlib import suppress

from .trying import (
    AT_CWD,
    NEW_MOUNTS,
    NEW_NETWORK,
    NEW_USER,
    Absent,
    World,
    attempt,
    call,
    checked,
    libc,
    made,
)

for _folder in ("/usr", "/usr/bin", "/etc", "/", "/dev", "/run", "/etc/ssl/certs"):

    @attempt(f"write to {_folder}", root=True)
    def _(world: World, folder: str = _folder) -> object:
        return made(f"{folder}/codebot-{world['marker']}")


for _file in (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches"),
    *("/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"),
):

    @attempt(f"write to {_file}", root=True)
    def _(world: World, file: str = _file) -> object:
        if not os.path.exists(file):
            raise Absent(file)
        os.close(os.open(file, os.O_WRONLY))
        return file


@attempt("write to /sys", root=True)
def _(world: World) -> object:
    os.close(os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY))
    return True


@attempt("see the hardware in /sys")
def _(world: World) -> object:
    shown = {"": {"devices", "kernel"}, "devices": {"system"}, "devices/system": {"cpu", "node"}}
    return [
        f"/sys/{folder}/{name}"
        for folder, names in shown.items()
        for name in os.listdir(f"/sys/{folder}")
        if name not in names
    ]


@attempt("read the kernel's memory or log in /proc", root=True)
def _(world: World) -> object:
    for name in ("/proc/kcore", "/dev/mem", "/dev/kmsg", "/proc/kmsg"):
        with suppress(OSError):
            os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
            return name
    return None


@attempt("open a disk", root=True)
def _(world: World) -> object:
    names = [f"/dev/{name}" for name in os.listdir("/dev")]
    disks = [name for name in names if stat.S_ISBLK(os.lstat(name).st_mode)]
    if not disks:
        raise Absent("no disk in /dev")
    os.close(os.open(disks[0], os.O_RDONLY))
    return disks[0]


@attempt("make a device", root=True)
def _(world: World) -> object:
    os.mknod("device", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    os.unlink("device")
    return True


def own_mounts() -> None:
    """Keep what is tried away from the host's mounts, where that is possible."""
    libc.unshare(NEW_MOUNTS)
    libc.mount(None, b"/", None, 0x4000 | 1 << 18, None)


@attempt("mount a file system", root=True)
def _(world: World) -> object:
    own_mounts()
    return checked(libc.mount(b"x", b".", b"tmpfs", 0, None)) == 0


@attempt("make the root writable", root=True)
def _(world: World) -> object:
    own_mounts()
    return checked(libc.mount(None, b"/", None, 0x20 | 0x1000, None)) == 0  # REMOUNT | BIND


@attempt("take a mount away", root=True)
def _(world: World) -> object:
    own_mounts()
    return checked(libc.umount2(b"/proc", 2)) == 0  # MNT_DETACH


@attempt("clone a mount", root=True)
def _(world: World) -> object:
    os.close(call(world, "open_tree", AT_CWD, b"/", 1))
    return True


@attempt("open a file system", root=True)
def _(world: World) -> object:
    os.close(call(world, "fsopen", b"tmpfs", 0))
    return True


@attempt("change the root", root=True)
def _(world: World) -> object:
    os.chroot(".")
    return True


@attempt("leave a chroot the old way", root=True)
def _(world: World) -> object:
    inode = os.stat("/").st_ino
    os.makedirs("jail", exist_ok=True)
    os.chroot("jail")
    for _ in range(64):
        os.chdir("..")
    return os.stat(".").st_ino == inode or None


@attempt("make a user namespace", root=True)
def _(world: World) -> object:
    return checked(libc.unshare(NEW_USER)) == 0


@attempt("make a mount namespace", root=True)
def _(world: World) -> object:
    return checked(libc.unshare(NEW_MOUNTS)) == 0


@attempt("make a network namespace", root=True)
def _(world: World) -> object:
    return checked(libc.unshare(NEW_NETWORK)) == 0


@attempt("clone into a user namespace", root=True)
def _(world: World) -> object:
    return waited(call(world, "clone", NEW_USER | signal.SIGCHLD, 0, 0, 0, 0))


@attempt("clone into a user namespace with high bits set", root=True)
def _(world: World) -> object:
    return waited(call(world, "clone", 1 << 40 | NEW_USER | signal.SIGCHLD, 0, 0, 0, 0))


@attempt("clone3 into a user namespace", root=True)
def _(world: World) -> object:
    arguments = struct.pack("11Q", NEW_USER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    return waited(call(world, "clone3", arguments, len(arguments)))


def waited(child: int) -> int:
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


@attempt("enter the namespaces of the service", root=True)
def _(world: World) -> object:
    descriptor = os.open(f"/proc/{world['service']}/ns/net", os.O_RDONLY)
    return call(world, "setns", descriptor, 0) == 0


@attempt("enter a namespace by a descriptor", root=True)
def _(world: World) -> object:
    descriptor = os.open("/proc/self/ns/net", os.O_RDONLY)
    return call(world, "setns", descriptor, 0) == 0
