"""What a task's boxes reached and were refused, as text for a terminal or a program."""

import json
from collections.abc import Iterable, Sequence

from codebot.intake.bodies import access_body, time_text
from codebot.intake.progress import plain
from codebot.store.egress import AccessTotal

NOTHING = (
    "Nothing is on record: its boxes asked for nothing, or it had none (CODEBOT_SANDBOX=none)."
)

_HEADINGS = ("VERDICT", "HOST", "PORT", "TIMES", "SENT", "RECEIVED", "LAST", "REASON")
_NUMBERS = {"PORT", "TIMES", "SENT", "RECEIVED"}
"""Columns whose ends stand below each other. What was sent and received is in bytes."""


def access_table(totals: Sequence[AccessTotal]) -> str:
    """Give the accesses as a table in plain text, or a sentence where there are none."""
    if not totals:
        return NOTHING
    rows = [_HEADINGS, *map(_cells, totals)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def access_json(totals: Iterable[AccessTotal]) -> str:
    """Give the accesses as `/api/v1/tasks/{task_id}/egress` does."""
    return json.dumps({"items": [access_body(each) for each in totals]}, indent=2)


def _cells(total: AccessTotal) -> tuple[str, ...]:
    numbers = (total.count, total.sent, total.received)
    return (
        total.verdict,
        plain(total.host),
        str(total.port),
        *(f"{number:,}" for number in numbers),
        time_text(total.last_at) or "",
        plain(total.reason),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
        for heading, cell, width in zip(_HEADINGS, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()
