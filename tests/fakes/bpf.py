"""Runs a program of classic BPF over a system call, as the kernel's filter does."""

import struct
from collections.abc import Iterator

LOAD = 0x20

Instruction = tuple[int, int, int, int]


def instructions(program: bytes) -> list[Instruction]:
    """Give the program as (code, how far to jump, how far to jump otherwise, value)."""
    return list(struct.iter_unpack("HBBI", program))


def answer(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """Give what the program returns for a call; its arguments have 64 bits each."""
    *_, (_, _, _, value) = way(program, arch, number, *arguments)
    return value


def way(program: bytes, arch: int, number: int, *arguments: int) -> Iterator[Instruction]:
    """Give every instruction that is carried out, the answer last."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("IIQ6Q", number, arch, 0, *padded)
    code = instructions(program)
    loaded = at = 0
    while True:
        kind, then, otherwise, value = code[at]
        yield code[at]
        match kind:
            case 0x06:  # RETURN
                return
            case 0x20:  # LOAD
                (loaded,) = struct.unpack_from("I", data, value)
                at += 1
            case 0x15:  # IF_EQUAL
                at += 1 + (then if loaded == value else otherwise)
            case 0x35:  # IF_AT_LEAST
                at += 1 + (then if loaded >= value else otherwise)
            case 0x45:  # IF_ANY_BIT
                at += 1 + (then if loaded & value else otherwise)
            case _:
                raise ValueError(f"no such instruction: {kind:#x}")
