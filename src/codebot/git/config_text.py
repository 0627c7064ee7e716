"""Settings as the text of a configuration file: one write, in place of a process for each."""

from collections.abc import Iterable

from codebot.git.environment import Setting

_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def as_config(settings: Iterable[Setting]) -> str:
    r"""Give what git reads these from, in their order; see git-config(1), "Syntax".

    >>> print(as_config([("lfs.url", "x;#\t"), ('filter.a"b.clean', "say \\"), ("safe.x", "")]))
    [lfs]
        url = "x;#\t"
    [filter "a\"b"]
        clean = "say \\"
    [safe]
        x = ""
    <BLANKLINE>
    """
    return "".join(_lines(key, value) for key, value in settings)


def _lines(key: str, value: str) -> str:
    section, _, rest = key.partition(".")
    subsection, _, name = rest.rpartition(".")
    named = f'{section} "{subsection.translate(_QUOTED)}"' if subsection else section
    return f'[{named}]\n    {name} = "{value.translate(_QUOTED)}"\n'
