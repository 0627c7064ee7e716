"""Where the demo shows what it does."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Screen:
    """Headings stand out on a terminal; elsewhere everything is plain lines."""

    show: Callable[[str], None]
    in_color: bool

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.show(f"\n\033[1m{text}\033[0m" if self.in_color else f"\n== {text}")

    def lines(self, text: str) -> None:
        """Show a text, indented."""
        for line in text.rstrip().splitlines():
            self.show(f"  {line}".rstrip())
