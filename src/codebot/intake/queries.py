"""Query parameters: plain numbers and words, unknown and repeated ones refused."""

import re
from collections import Counter
from collections.abc import Collection

from starlette.datastructures import QueryParams

from codebot.errors import FieldProblem, InvalidRequest

_LONGEST_NAME = 100
_MOST_PROBLEMS = 50


class Query:
    """The query of one request; collects what is wrong with it and says it all at once."""

    def __init__(self, parameters: QueryParams, known: Collection[str]) -> None:
        """Look for parameters that are not `known`, or there more than once."""
        counts = Counter(name for name, _ in parameters.multi_items())
        self._values = dict(parameters.multi_items())
        self._problems = []
        for name, count in counts.items():
            if name not in known:
                accepted = f"is not known; the parameters are {', '.join(known)}"
                self._problems.append(FieldProblem(name[:_LONGEST_NAME], accepted))
            elif count > 1:
                self._problems.append(FieldProblem(name, "is given more than once"))

    def number(self, name: str, *, default: int, lowest: int, highest: int) -> int:
        """Read a decimal number without sign or blanks."""
        text = self._values.get(name)
        if text is None:
            return default
        digits = len(str(highest))
        value = int(text) if re.fullmatch(f"[0-9]{{1,{digits}}}", text) else -1
        if not lowest <= value <= highest:
            message = f"must be a whole number from {lowest} to {highest}"
            self._problems.append(FieldProblem(name, message))
        return value

    def word(self, name: str, words: Collection[str]) -> str | None:
        """Read one of a few words; None when the parameter is absent."""
        text = self._values.get(name)
        if text is not None and text not in words:
            message = f"must be one of {', '.join(words)}"
            self._problems.append(FieldProblem(name, message))
        return text

    def check(self) -> None:
        """Raise `InvalidRequest` with every problem that was found."""
        if self._problems:
            raise InvalidRequest(tuple(self._problems[:_MOST_PROBLEMS]))
