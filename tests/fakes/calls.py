"""Calls that the filter of system calls refuses, by the rule that does."""

import errno
from collections.abc import Mapping

from codebot.sandbox.refused_calls import NOT_ALLOWED, NOT_THERE, RULES, refusal
from codebot.sandbox.syscalls import FIRST_UNKNOWN

CREAT, TMPFILE, SIGCHLD = 0o100, 0o20200000, 17
NO_FAMILY, NO_PROTOCOL = refusal(errno.EAFNOSUPPORT), refusal(errno.EPROTONOSUPPORT)

REFUSED: Mapping[str, list[tuple[str | int, tuple[int, ...], int]]] = {
    "newer calls": [
        (number, (), NOT_THERE)
        for number in (
            FIRST_UNKNOWN,
            FIRST_UNKNOWN + 1,
            600,
            1 << 30 | 59,
            1 << 30 | 520,
            0xFFFFFFFF,
        )
    ],
    "set-id file by openat": [
        ("openat", (0, 0, 1 | CREAT, 0o4755), NOT_ALLOWED),
        ("openat", (0, 0, 1 | TMPFILE, 0o2755), NOT_ALLOWED),
    ],
    "set-id file by open": [
        ("open", (0, CREAT, 0o6777), NOT_ALLOWED),
        ("open", (0, TMPFILE, 0o4000), NOT_ALLOWED),
    ],
    "set-id bit": [
        (call, (0, mode), NOT_ALLOWED)
        for call in ("chmod", "fchmod", "creat", "mknod")
        for mode in (0o4755, 0o2755, 0o104755)
    ],
    "set-id bit at": [(call, (0, 0, 0o4755), NOT_ALLOWED) for call in ("fchmodat", "mknodat")],
    "clone into namespaces": [
        ("clone", (SIGCHLD | flag,), NOT_ALLOWED)
        for flag in (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30)
    ],
    "terminal": [("ioctl", (0, ask), NOT_ALLOWED) for ask in (0x5412, 0x541C, 0x5423)],
    "socket family": [("socket", (family, 2, 0), NO_FAMILY) for family in (0, 17, 31, 38, 40, 44)],
    "netlink protocol": [("socket", (16, 3, protocol), NO_PROTOCOL) for protocol in (4, 9, 12, 15)],
    "transport protocol": [
        ("socket", (family, 1, protocol), NO_PROTOCOL)
        for family in (2, 10)
        for protocol in (33, 132, 255, 256)
    ],
    "socket pair family": [("socketpair", (family, 1, 0), NO_FAMILY) for family in (2, 30, 40)],
    "personality": [("personality", (0x400000,), NOT_ALLOWED)],
    "tracing without a filter": [
        ("ptrace", (request, 0, 0, 1 << 21 | 1), NOT_ALLOWED) for request in (0x4200, 0x4206)
    ],
    "clone3": [("clone3", (), NOT_THERE)],
    "modes in memory": [("openat2", (), NOT_THERE), ("fchmodat2", (), NOT_THERE)],
    **{
        rule.name: [(call, (), NOT_ALLOWED) for call in rule.calls]
        for rule in RULES
        if not rule.when and rule.answer == NOT_ALLOWED
    },
}
"""Of each rule: calls that it alone refuses, by name or number, with arguments and the answer."""
