"""A value that must not be seen: it prints as `***` and has to be asked for by name."""

from typing import final


@final
class Secret:
    """A credential. `repr`, `str` and f-strings show `***`; `reveal()` gives the value.

    >>> key = Secret("hunter2")
    >>> f"{key} {key!r}"
    '*** ***'
    >>> key.reveal()
    'hunter2'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep the value out of sight."""
        self._value = value

    def reveal(self) -> str:
        """Give the value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Show nothing."""
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Show nothing in an f-string either."""
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        """Say whether both hold the same value (not constant-time: use hmac for login checks)."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash by value."""
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse to be pickled: that would write the value down."""
        msg = "a Secret does not leave the process"
        raise TypeError(msg)
