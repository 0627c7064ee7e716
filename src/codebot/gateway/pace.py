"""How often and how much at once one run may ask: calls that cost nothing have bounds, too."""

import time
from collections import deque
from collections.abc import Callable

MOST_AT_ONCE = 8
"""Calls under way: an agent makes one at a time, and a few more with helpers of its own."""
MOST_A_MINUTE = 600
MINUTE = 60.0


class Pace:
    """Counts the calls of the last minute.

    >>> pace = Pace(2, now=lambda: 0.0)
    >>> pace.allows(), pace.allows(), pace.allows()
    (True, True, False)
    """

    def __init__(
        self, most: int = MOST_A_MINUTE, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow `most` calls a minute."""
        self._now = now
        self._calls: deque[float] = deque(maxlen=most)

    def allows(self) -> bool:
        """Count one more call, if it may be made now."""
        now = self._now()
        if len(self._calls) == self._calls.maxlen and now - self._calls[0] < MINUTE:
            return False
        self._calls.append(now)
        return True
