"""How boxes end, and that nothing is left of them: by root and by an ordinary user."""

from collections.abc import Callable

import pytest

from hostile.greed import GREEDY, LIMITS
from hostile.variants import USERS, Variant

VariantOf = Callable[[str], Variant]
MANY = 20

as_everybody = pytest.mark.parametrize("user", USERS)


@as_everybody
@pytest.mark.parametrize("unguarded", [False, True])
def test_a_service_that_is_killed_takes_its_boxes_and_their_daemons_along(
    variant_of: VariantOf, user: str, *, unguarded: bool
) -> None:
    assert variant_of(user).ask("survivors", unguarded=unguarded)["left"] == []


@as_everybody
def test_twenty_boxes_at_once_leave_nothing(variant_of: VariantOf, user: str) -> None:
    told = variant_of(user).ask("at_once", count=MANY)
    assert told["up"] == MANY
    assert told["living"] == []
    assert told["after"] == told["before"]


@as_everybody
@pytest.mark.parametrize("name", GREEDY)
def test_greed_ends_a_box_and_the_service_goes_on(
    variant_of: VariantOf, user: str, name: str
) -> None:
    _, expected = GREEDY[name]
    told = variant_of(user).ask("greedy", name=name)
    assert told["reason"] == expected
    assert told["longest"] < 1, "the service stood still"
    assert told["most"] < LIMITS.processes + 1500
