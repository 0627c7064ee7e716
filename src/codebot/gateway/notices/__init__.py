"""What the gateway says to a model: texts beside this module, filled with `$names`."""

from importlib.resources import files
from string import Template


def wrap_up(used: str) -> str:
    """Give the words for an agent whose budget comes to its end; `used` says what of it is gone."""
    return _fill("wrap_up", used=used)


def left_out(kind: str) -> str:
    """Give what stands in a request in the place of a part that the gateway does not pass on."""
    return _fill("left_out", kind=kind)


def _fill(name: str, **values: str) -> str:
    text = files(__package__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(text).substitute(values)
