"""The filter of system calls: each rule is shown by running the program, with it and without."""

import re
import struct
from pathlib import Path

import pytest

from codebot.errors import SandboxUnavailable
from codebot.sandbox.refused_calls import NOT_ALLOWED, RULES, Rule
from codebot.sandbox.seccomp import ALLOW, KILL, assemble, seccomp_program
from codebot.sandbox.syscalls import AARCH64, FIRST_UNKNOWN, NAMES, X86_64
from fakes.bpf import LOAD, answer, instructions, way
from fakes.calls import REFUSED

MACHINES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
I386, ARM, RISCV64 = 0x40000003, 0x40000028, 0xC00000F3

READ = {"x86_64": 0, "aarch64": 63}
SIGCHLD = 17
CREAT = 0o100

LET_PASS: list[tuple[str, tuple[int, ...]]] = [
    ("openat", (0, 0, 0, 0o6000)),  # who creates nothing may leave anything in the mode
    ("openat", (0, 0, 1 | CREAT, 0o1777)),
    ("open", (0, 0, 0o6000)),
    ("open", (0, CREAT, 0o777)),
    ("chmod", (0, 0o1777)),
    ("fchmod", (0, 0o755)),
    ("fchmodat", (0, 0, 0o644)),
    ("mknodat", (0, 0, 0o010644)),
    ("clone", (0x01200000 | SIGCHLD,)),  # fork
    ("clone", (0x003D0F00,)),  # a thread
    ("ioctl", (0, 0x5401)),
    ("personality", (0xFFFFFFFF,)),
    ("personality", (0x40000,)),
    *[("ptrace", (request, 2, 0, 1)) for request in (0, 16, 0x4200, 0x4206, 0x4207)],
    ("ptrace", (5, 2, 0, 1 << 21)),  # what is written to memory is no option
    ("socketpair", (1, 1, 0)),
    *[
        ("socket", (1, 1, 0)),
        ("socket", (2, 1, 6)),
        ("socket", (10, 2, 17)),
        ("socket", (16, 3, 0)),
    ],
    *[("socket", (2, 1, 262)), ("socket", (10, 2, 58)), ("socket", (2, 1 | 0o2000000, 0))],
]

on_both_machines = pytest.mark.parametrize("machine", MACHINES)


def asked(program: bytes, machine: str, call: str | int, arguments: tuple[int, ...]) -> int | None:
    """Give the answer, or None where the machine has no such call."""
    arch, numbers = MACHINES[machine]
    number = call if isinstance(call, int) else numbers.get(call)
    return None if number is None else answer(program, arch, number, *arguments)


@on_both_machines
@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_refuses_and_without_it_the_call_passes(machine: str, name: str) -> None:
    program = seccomp_program(machine)
    without = assemble(machine, [rule for rule in RULES if rule.name != name])
    for call, arguments, expected in REFUSED[name]:
        assert asked(program, machine, call, arguments) in (expected, None), (call, arguments)
        assert asked(without, machine, call, arguments) in (ALLOW, None), (call, arguments)


def test_every_rule_has_a_name_of_its_own_and_an_example() -> None:
    assert sorted(REFUSED) == sorted(rule.name for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_call_of_a_rule_is_tried(rule: Rule) -> None:
    tried = {call for call, _, _ in REFUSED[rule.name] if isinstance(call, str)}
    assert tried == set(rule.calls)
    assert rule.why


@on_both_machines
def test_the_newest_call_that_is_known_passes(machine: str) -> None:
    assert asked(seccomp_program(machine), machine, FIRST_UNKNOWN - 1, ()) == ALLOW


@on_both_machines
def test_the_numbers_of_another_architecture_end_the_process(machine: str) -> None:
    arch, _ = MACHINES[machine]
    for other in {I386, ARM, RISCV64, *(mark for mark, _ in MACHINES.values())} - {arch}:
        assert answer(seccomp_program(machine), other, READ[machine]) == KILL
        assert answer(assemble(machine, []), other, READ[machine]) == KILL


@on_both_machines
@pytest.mark.parametrize(("call", "arguments"), LET_PASS)
def test_what_programs_need_passes(machine: str, call: str, arguments: tuple[int, ...]) -> None:
    assert asked(seccomp_program(machine), machine, call, arguments) in (ALLOW, None)


@on_both_machines
def test_bits_that_the_kernel_ignores_change_no_answer(machine: str) -> None:
    program = seccomp_program(machine)
    examples = [(call, arguments) for calls in REFUSED.values() for call, arguments, _ in calls]
    for call, arguments in [*examples, *LET_PASS]:
        high = tuple(argument | 0xDEAD << 32 for argument in arguments)
        expected = asked(program, machine, call, arguments)
        assert asked(program, machine, call, high) == expected, (call, arguments)


@on_both_machines
def test_the_kernel_can_remember_its_answer_for_calls_without_conditions(machine: str) -> None:
    arch, _ = MACHINES[machine]
    program = seccomp_program(machine)
    looked_at = {value for kind, *_, value in way(program, arch, READ[machine]) if kind == LOAD}
    assert looked_at == {0, 4}  # number and architecture


@on_both_machines
def test_no_jump_leaves_the_program_and_every_way_ends_in_an_answer(machine: str) -> None:
    many = assemble(machine, RULES * 20)  # longer than any jump reaches
    for program in (seccomp_program(machine), many, assemble(machine, [])):
        code = instructions(program)
        assert len(code) < 4096  # more, no kernel takes
        assert code[-1] == (0x06, 0, 0, ALLOW)
        for at, (kind, then, otherwise, _) in enumerate(code):
            if kind not in (LOAD, 0x06):
                assert at + 1 + max(then, otherwise) < len(code)
    assert asked(many, machine, "unshare", ()) == NOT_ALLOWED


def test_a_rule_that_is_too_long_for_a_jump_is_no_program() -> None:
    names = tuple(X86_64)
    with pytest.raises(struct.error):
        assemble("x86_64", [Rule("long", names * 6, KILL, "")])


def test_a_machine_whose_numbers_are_not_known_gets_no_filter() -> None:
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        seccomp_program("riscv64")


def test_every_rule_names_calls_that_exist() -> None:
    assert {call for rule in RULES for call in rule.calls} == NAMES


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
SURE = {
    "x86_64": {"open": 2, "ioctl": 16, "socket": 41, "clone": 56, "ptrace": 101, "openat": 257},
    "aarch64": {"ioctl": 29, "mount": 40, "openat": 56, "ptrace": 117, "socket": 198, "clone": 220},
}
"""From the manual, so that there is something to compare with where there are no headers."""


@on_both_machines
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    _, numbers = MACHINES[machine]
    text = HEADERS[machine].read_text() if HEADERS[machine].exists() else ""
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    kernel = {name: int(number) for name, number in found} | SURE[machine]
    wrong = {call for call in numbers if numbers[call] != kernel.get(call, numbers[call])}
    assert not wrong
    assert not found or set(numbers) - set(kernel) <= {"fchmodat2", "open_tree_attr"}  # 6.6, 6.15


def test_numbers_stand_for_one_call_each_and_new_ones_are_the_same_everywhere() -> None:
    for numbers in (X86_64, AARCH64):
        assert len(set(numbers.values())) == len(numbers)
        assert max(numbers.values()) < FIRST_UNKNOWN
    assert {call: n for call, n in X86_64.items() if n >= 424} == {
        call: n for call, n in AARCH64.items() if n >= 424
    }
