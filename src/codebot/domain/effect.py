"""Changes of the outside world: each has a name, and none is made without a permit.

Whatever pushes, opens or writes where others see it takes a `Permit` as an argument, so that it
cannot be called without one; and only the record of effects (`store/effects.py`) gives one, once it
is on disk that the change is about to be made.
"""

from dataclasses import dataclass
from enum import StrEnum


class EffectKind(StrEnum):
    """Every kind of change that the service makes to the outside world."""

    BRANCH = "branch"
    PULL_REQUEST = "pull_request"


@dataclass(frozen=True, slots=True)
class Effect:
    """One change: its kind, and a name that is the same however often it is tried."""

    kind: EffectKind
    name: str


class Permit:
    """Leave to make one change of the outside world now."""

    __slots__ = ("effect",)

    def __init__(self, effect: Effect, *, seal: object) -> None:
        """Only `issue_permit` has the seal; raises `TypeError` for anybody else."""
        if seal is not _SEAL:
            raise TypeError("Only the record of effects gives permits.")
        self.effect = effect


_SEAL = object()


def issue_permit(effect: Effect) -> Permit:
    """Give leave for an effect; for `store/effects.py` alone."""
    return Permit(effect, seal=_SEAL)
