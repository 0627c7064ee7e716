"""The options of bwrap's command line, one by one, so that each can be left out."""

from collections.abc import Sequence

from codebot.sandbox.arguments import Part

VALUES = {
    **dict.fromkeys(("--ro-bind", "--ro-bind-try", "--bind", "--symlink", "--setenv", "--file"), 2),
    "--ro-bind-data": 2,
    **dict.fromkeys(("--uid", "--gid", "--hostname", "--cap-drop", "--seccomp", "--proc"), 1),
    **dict.fromkeys(
        ("--dev", "--tmpfs", "--dir", "--remount-ro", "--size", "--perms", "--chdir"), 1
    ),
}
"""How many words follow an option; none follow the others."""


def options(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    """Give every option with its values."""
    words = [word for part in parts for word in part.words]
    found = []
    while words:
        count = 1 + VALUES.get(words[0], 0)
        found.append(tuple(words[:count]))
        words = words[count:]
    assert all(option[0].startswith("--") for option in found)
    return found


def without(parts: Sequence[Part], numbers: Sequence[int]) -> list[Part]:
    """Give the command line without some of its options."""
    kept = [option for index, option in enumerate(options(parts)) if index not in numbers]
    return [Part("kept", option) for option in kept]
