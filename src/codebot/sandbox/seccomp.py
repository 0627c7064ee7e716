"""The filter of system calls of every box, as a program for the kernel.

Classic BPF, built with `struct`. The kernel runs it for every call, and remembers for which
numbers it always allows: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from codebot.errors import SandboxUnavailable
from codebot.sandbox.refused_calls import NUMBER, RULES, Comparison, Condition, Rule
from codebot.sandbox.syscalls import AARCH64, X86_64

KILL = 0x80000000
"""End the whole process (`SECCOMP_RET_KILL_PROCESS`)."""

ALLOW = 0x7FFF0000


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the kernel calls an architecture (`AUDIT_ARCH_`), and its numbers."""

    mark: int
    numbers: Mapping[str, int]


_MACHINES: Mapping[str, _Machine] = MappingProxyType(
    {
        "x86_64": _Machine(0xC000003E, X86_64),
        "aarch64": _Machine(0xC00000B7, AARCH64),
    }
)

_LOAD, _RETURN = 0x20, 0x06  # BPF_LD | BPF_W | BPF_ABS; BPF_RET | BPF_K
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45  # BPF_JMP | ... | BPF_K

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
"""Offsets in `struct seccomp_data`. Both machines put the low half of an argument first."""


def seccomp_program(machine: str) -> bytes:
    """Give the filter for a machine as `uname -m` names it, for bwrap's `--seccomp`.

    Raises `SandboxUnavailable` for a machine whose numbers are not known here.
    """
    return assemble(machine, RULES)


def assemble(machine: str, rules: Iterable[Rule]) -> bytes:
    """Build the filter of these rules alone: the first that holds decides, else a call is allowed.

    Whatever the rules, a call by the numbers of another architecture ends the process.
    """
    known = _MACHINES.get(machine)
    if known is None:
        raise SandboxUnavailable(
            f"The sandbox knows no system calls of this machine ({machine}).",
            hint=f"Run Codebot on {' or '.join(_MACHINES)}.",
        )
    code = [_load(_ARCH_AT), _jump(_IF_EQUAL, known.mark, 1, 0), _answer(KILL)]
    for rule in rules:
        code += _rule(rule, known.numbers)
    return b"".join([*code, _answer(ALLOW)])


def _rule(rule: Rule, numbers: Mapping[str, int]) -> list[bytes]:
    """Give the code of one rule. It jumps nowhere but inside itself, or to its own end.

    So the program may be of any length, though a jump reaches no further than 255.
    """
    calls = [numbers[call] for call in rule.calls if call in numbers]
    if rule.calls and not calls:
        return []
    code = [_answer(rule.answer)]
    for condition in reversed(rule.when):
        code = [*_condition(condition, past=len(code)), *code]
    return [_load(_NUMBER_AT), *_one_of(calls, past=len(code)), *code]


def _condition(condition: Condition, *, past: int) -> list[bytes]:
    """Give code that goes on when the condition holds, and else jumps over `past` further."""
    at = _NUMBER_AT if condition.argument == NUMBER else _ARGUMENTS_AT + 8 * condition.argument
    return [_load(at), *_comparison(condition.comparison, condition.values, past=past)]


def _comparison(comparison: Comparison, values: Sequence[int], *, past: int) -> list[bytes]:
    match comparison:
        case Comparison.IS_ONE_OF:
            return _one_of(values, past=past)
        case Comparison.IS_NONE_OF:
            last = len(values) - 1
            return [_jump(_IF_EQUAL, value, last - i + past, 0) for i, value in enumerate(values)]
        case Comparison.HAS_ANY_BIT:
            return [_jump(_IF_ANY_BIT, value, 0, past) for value in values]
        case Comparison.IS_AT_LEAST:
            return [_jump(_IF_AT_LEAST, value, 0, past) for value in values]


def _one_of(values: Sequence[int], *, past: int) -> list[bytes]:
    """Go on if what was loaded is one of the values, else jump over `past` further."""
    last = len(values) - 1
    return [
        _jump(_IF_EQUAL, value, last - index, past if index == last else 0)
        for index, value in enumerate(values)
    ]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, 0, 0, offset)


def _jump(kind: int, value: int, over_if: int, over_else: int) -> bytes:
    """Skip so many instructions if the comparison holds, and so many if it does not."""
    return _instruction(kind, over_if, over_else, value)


def _answer(action: int) -> bytes:
    return _instruction(_RETURN, 0, 0, action)


def _instruction(code: int, over_if: int, over_else: int, value: int) -> bytes:
    """Give a `struct sock_filter`; raises `struct.error` for a jump that is too long."""
    return struct.pack("HBBI", code, over_if, over_else, value)
