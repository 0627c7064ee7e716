"""Everything that a box must prevent, outside first and then inside, by root and by a user."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from codebot.sandbox.refused_calls import RULES
from hostile.attempts import ATTEMPTS, NEEDS_ROOT
from hostile.judge import PROPERTIES, is_out, is_shown, judged
from hostile.variants import USERS, Variant

BoxOf = Callable[[str], Mapping[str, Any]]
VariantOf = Callable[[str], Variant]

as_everybody = pytest.mark.parametrize("user", USERS)


@as_everybody
@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_succeeds_outside_is_held_inside(
    variant_of: VariantOf, box_of: BoxOf, user: str, name: str
) -> None:
    outside = variant_of(user).told["outside"][name]
    if user == "root" or name not in NEEDS_ROOT:
        assert is_shown(outside), f"it proves nothing: {outside['how']}"
    inside = box_of(user)["attempts"][name]
    assert not is_out(inside), inside["how"]


@as_everybody
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_box_must(variant_of: VariantOf, box_of: BoxOf, user: str, name: str) -> None:
    box = box_of(user)
    assert PROPERTIES[name](box["facts"], variant_of(user).told), box["facts"]


@as_everybody
def test_a_box_ends_well_and_leaves_no_set_id_file(box_of: BoxOf, user: str) -> None:
    assert (box_of(user)["code"], box_of(user)["set-id files"]) == (0, [])


@as_everybody
def test_a_box_is_nobody_on_the_host(variant_of: VariantOf, user: str) -> None:
    neighbour = variant_of(user).told["neighbour"]
    ids = {word for line in neighbour["users"] for word in line.split()[1:]}
    assert len(ids) == 1, "one user and its group, and no further group"
    if user == "root":
        assert ids == {str(neighbour["expected"])}
    assert "0" not in ids


@as_everybody
def test_every_rule_answers_in_a_real_box(variant_of: VariantOf, user: str) -> None:
    told = variant_of(user).ask("dyed")
    assert told["passed"] == []
    assert told["tried"] > 2 * len(RULES)


# --- Each layer alone ----------------------------------------------------------------------------


BY_NAMESPACES = (
    *("file of the service", "other task", "another task", "of the host", "the service"),
    *("namespace", "mount", "chroot", "the root", "device", "disk", "write to", "the host's"),
)


@as_everybody
def test_without_a_filter_namespaces_and_mounts_still_hold(
    variant_of: VariantOf, user: str
) -> None:
    variant = variant_of(user)
    wrong = judged(variant.ask("inside", unfiltered=True), variant.told)
    assert "keep a key in the kernel" in wrong, "the filter is still there"
    assert not [name for name in wrong if any(word in name for word in BY_NAMESPACES)]


@as_everybody
def test_what_leaks_into_bwrap_stays_there(variant_of: VariantOf, user: str) -> None:
    variant = variant_of(user)
    wrong = judged(variant.ask("leaking"), variant.told)
    assert set(wrong) == {"see marks alone in the environment of pid 1"}, "where it did leak"


@as_everybody
def test_it_is_the_launchers_network_that_keeps_a_box_from_the_hosts(
    variant_of: VariantOf, user: str
) -> None:
    variant = variant_of(user)
    wrong = judged(variant.ask("networkless"), variant.told)
    assert any("reach" in name or "network" in name for name in wrong), wrong


@as_everybody
def test_even_a_bwrap_that_stays_root_leaves_no_capability(
    variant_of: VariantOf, user: str
) -> None:
    variant = variant_of(user)
    assert judged(variant.ask("inside", undropped=True), variant.told) == {}


@as_everybody
def test_a_box_in_which_user_namespaces_can_be_made_does_not_begin(
    variant_of: VariantOf, box_of: BoxOf, user: str
) -> None:
    number = box_of(user)["options"].index("--disable-userns")
    assert "broken" in variant_of(user).ask("inside", options=[number])
