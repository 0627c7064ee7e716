"""The system calls that no box may make, and why. Data: `seccomp.py` builds the filter from it.

Namespaces keep a box from seeing the host; these rules keep it from the parts of the kernel that
namespaces do not cover (vsock, keyrings), that have let processes out before (bpf, io_uring,
new namespaces), and from leaving a set-id program in a workspace, whose files belong to
somebody on the host.
"""

import errno
from dataclasses import dataclass
from enum import Enum, auto

from codebot.sandbox.syscalls import FIRST_UNKNOWN


def refusal(number: int) -> int:
    """Give the answer that makes a call fail with this error, and the caller go on.

    >>> hex(refusal(errno.EPERM))
    '0x50001'
    """
    return 0x00050000 | number


NOT_ALLOWED = refusal(errno.EPERM)
NOT_THERE = refusal(errno.ENOSYS)
"""For what programs can do without: the C library then takes the older call, which is filtered."""


class Comparison(Enum):
    """How a condition compares."""

    HAS_ANY_BIT = auto()
    IS_ONE_OF = auto()
    IS_NONE_OF = auto()
    IS_AT_LEAST = auto()


NUMBER = -1
"""In place of an argument: the number of the call itself."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for an argument, counted from 0, or for the `NUMBER`.

    `values` is one mask for `HAS_ANY_BIT`, and one number for `IS_AT_LEAST`.
    Only the low 32 bits are looked at. All arguments that conditions name are of 32 bits at most
    to the kernel, too: it ignores the rest, and so a rule cannot be passed by setting it.
    """

    argument: int
    comparison: Comparison
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that get `answer` when every condition holds, and why. No calls means all."""

    name: str
    calls: tuple[str, ...]
    answer: int
    why: str
    when: tuple[Condition, ...] = ()


def _has(argument: int, mask: int) -> Condition:
    return Condition(argument, Comparison.HAS_ANY_BIT, (mask,))


def _is(argument: int, *values: int) -> Condition:
    return Condition(argument, Comparison.IS_ONE_OF, values)


def _is_not(argument: int, *values: int) -> Condition:
    return Condition(argument, Comparison.IS_NONE_OF, values)


SET_ID = 0o6000
CREATING = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: only then does open look at the mode
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, -NEWCGROUP, -NEWUTS, -NEWIPC, -NEWUSER, -NEWPID, -NEWNET."""

SETTING_TRACE_OPTIONS, SUSPEND_SECCOMP = (0x4200, 0x4206), 1 << 21
"""PTRACE_SETOPTIONS, PTRACE_SEIZE: https://man7.org/linux/man-pages/man2/ptrace.2.html"""

TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
ROUTE = 0
PROTOCOLS = (0, 1, 6, 17, 58, 262)  # the usual one, ICMP, TCP, UDP, ICMPv6, MPTCP
PERSONALITIES = (0, 8, 0x40000, 0xFFFFFFFF)  # Linux, linux32, ADDR_NO_RANDOMIZE, only asking

RULES: tuple[Rule, ...] = (
    Rule(
        "newer calls",
        (),
        NOT_THERE,
        "nobody has thought about them yet; nor about those of x32, which begin at 1 << 30",
        (Condition(NUMBER, Comparison.IS_AT_LEAST, (FIRST_UNKNOWN,)),),
    ),
    # Conditions first: what they let pass looks at its arguments, and the kernel cannot remember
    # its answer for such calls. All others cost next to nothing from the second time on.
    Rule(
        "set-id file by openat",
        ("openat",),
        NOT_ALLOWED,
        "a set-id program in the workspace would run as the service's user, or as root",
        (_has(2, CREATING), _has(3, SET_ID)),
    ),
    Rule(
        "set-id file by open",
        ("open",),
        NOT_ALLOWED,
        "as openat",
        (_has(1, CREATING), _has(2, SET_ID)),
    ),
    Rule(
        "set-id bit",
        ("chmod", "fchmod", "creat", "mknod"),
        NOT_ALLOWED,
        "as openat",
        (_has(1, SET_ID),),
    ),
    Rule("set-id bit at", ("fchmodat", "mknodat"), NOT_ALLOWED, "as openat", (_has(2, SET_ID),)),
    Rule(
        "clone into namespaces",
        ("clone",),
        NOT_ALLOWED,
        "in a user namespace of its own a process has every capability",
        (_has(0, NEW_NAMESPACES),),
    ),
    Rule(
        "terminal",
        ("ioctl",),
        NOT_ALLOWED,
        "TIOCSTI and TIOCLINUX type into the terminal that a person sits at; TIOCSETD loads "
        "line disciplines, the kernel's oldest drivers",
        (_is(1, TIOCSTI, TIOCLINUX, TIOCSETD),),
    ),
    Rule(
        "socket family",
        ("socket",),
        refusal(errno.EAFNOSUPPORT),
        "a network namespace is no wall for AF_VSOCK; the others are drivers nobody tests",
        (_is_not(0, UNIX, INET, INET6, NETLINK),),
    ),
    Rule(
        "netlink protocol",
        ("socket",),
        refusal(errno.EPROTONOSUPPORT),
        "programs ask for interfaces and addresses; the rest configures the kernel",
        (_is(0, NETLINK), _is_not(2, ROUTE)),
    ),
    Rule(
        "transport protocol",
        ("socket",),
        refusal(errno.EPROTONOSUPPORT),
        "asking for SCTP, DCCP or SMC loads their drivers into the host's kernel",
        (_is(0, INET, INET6), _is_not(2, *PROTOCOLS)),
    ),
    Rule(
        "socket pair family",
        ("socketpair",),
        refusal(errno.EAFNOSUPPORT),
        "as socket",
        (_is_not(0, UNIX),),
    ),
    Rule(
        "personality",
        ("personality",),
        NOT_ALLOWED,
        "others switch protections of memory off; these run tests for 32 bits and sanitizers",
        (_is_not(0, *PERSONALITIES),),
    ),
    Rule(
        "tracing without a filter",
        ("ptrace",),
        NOT_ALLOWED,
        "what else is traced are processes of this box, under this filter; where the kernel was "
        "asked to lift it (SUSPEND_SECCOMP), privileges of the host alone would stand in the way",
        (_is(0, *SETTING_TRACE_OPTIONS), _has(3, SUSPEND_SECCOMP)),
    ),
    Rule(
        "clone3",
        ("clone3",),
        NOT_THERE,
        "its flags lie in memory, where no filter sees them; the C library then takes clone",
    ),
    Rule(
        "modes in memory",
        ("openat2", "fchmodat2"),
        NOT_THERE,
        "as clone3 for openat2; fchmodat2 is newer than the programs that need it",
    ),
    Rule(
        "descriptors of others",
        ("pidfd_getfd", "kcmp"),
        NOT_ALLOWED,
        "no debugger and no sanitizer needs them",
    ),
    Rule(
        "keyrings",
        ("add_key", "request_key", "keyctl"),
        NOT_ALLOWED,
        "keys of the service's user are not namespaced",
    ),
    Rule(
        "mounts",
        (
            *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr"),
            *("move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
        ),
        NOT_ALLOWED,
        "changes what the box sees",
    ),
    Rule(
        "namespaces",
        ("unshare", "setns"),
        NOT_ALLOWED,
        "as clone into namespaces; and leaves those of the box",
    ),
    Rule(
        "programs in the kernel",
        ("bpf", "perf_event_open", "userfaultfd"),
        NOT_ALLOWED,
        "the interfaces that most ways from a process into the kernel have led through",
    ),
    Rule(
        "io_uring",
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
        NOT_ALLOWED,
        "makes calls that no filter sees",
    ),
    Rule(
        "files without a path",
        ("open_by_handle_at", "name_to_handle_at", "fanotify_init"),
        NOT_ALLOWED,
        "a handle opens files that no mount of the box shows",
    ),
    Rule(
        "modules",
        ("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
        NOT_ALLOWED,
        "changes the host's kernel",
    ),
    Rule(
        "clock",
        ("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
        NOT_ALLOWED,
        "there is one clock for all",
    ),
    Rule(
        "administration",
        (
            *("reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd"),
            *("syslog", "vhangup", "lookup_dcookie", "iopl", "ioperm", "modify_ldt"),
        ),
        NOT_ALLOWED,
        "for whoever runs the machine: syslog shows the host's kernel log to anybody",
    ),
)
