"""Layers that are made once and kept, and the budget that all that is kept has together."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from codebot.workspace.budget import Budget
from codebot.workspace.layers import LayerKey, Layers
from codebot.workspace.shelf import SPARED, Kept, Shelf

KEY = LayerKey("acme/shop", "main", "uv sync", (("uv.lock", "1a2b"),), (("uv", "0.9"),))
LATER = 10_000.0


class SetUp:
    """A set-up that takes a moment, and counts how often it ran."""

    def __init__(self) -> None:
        self.ran = 0

    async def __call__(self, tree: Path, home: Path) -> Mapping[str, str]:
        self.ran += 1
        await asyncio.sleep(0.02)
        (tree / "node_modules").mkdir()
        (home / "venv").write_text("x" * 100_000)
        return {"recipe": "uv.lock"}


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(Shelf(tmp_path / "environments", clock=lambda: 1000.0))


async def test_two_tasks_that_want_a_layer_at_once_set_up_once(layers: Layers) -> None:
    set_up = SetUp()
    first, second = await asyncio.gather(layers.hold(KEY, set_up), layers.hold(KEY, set_up))
    assert set_up.ran == 1
    assert first.tree == second.tree
    assert sorted((first.is_new, second.is_new)) == [False, True]
    assert (first.tree / "node_modules").is_dir()
    assert first.facts == {"recipe": "uv.lock", "repository": "acme/shop", "branch": "main"}


@pytest.mark.parametrize(
    "other",
    [
        {"repository": "acme/other"},
        {"branch": "release"},
        {"recipe": "uv sync --extra dev"},
        {"keys": (("uv.lock", "other"),)},
        {"tools": (("uv", "0.10"),)},
    ],
)
async def test_a_layer_serves_only_what_it_was_made_for(
    layers: Layers, other: dict[str, object]
) -> None:
    set_up = SetUp()
    await layers.hold(KEY, set_up)
    assert (await layers.hold(KEY, set_up)).is_new is False
    assert layers.take(replace(KEY, **other)) is None  # type: ignore[arg-type]
    assert (await layers.hold(replace(KEY, **other), set_up)).is_new  # type: ignore[arg-type]


async def test_of_a_set_up_that_failed_nothing_is_kept(layers: Layers) -> None:
    async def fail(tree: Path, _: Path) -> Mapping[str, str]:
        (tree / "half").touch()
        raise RuntimeError("no such package")

    with pytest.raises(RuntimeError, match="no such package"):
        await layers.hold(KEY, fail)
    assert list(layers.shelf.folder.iterdir()) == []


async def test_layers_can_be_listed_and_removed_unless_a_task_holds_them(layers: Layers) -> None:
    held = await layers.hold(KEY, SetUp())
    (kept,) = layers.kept()
    assert kept.about is not None
    assert kept.about.facts["repository"] == "acme/shop"
    assert not layers.remove(kept.name)
    held.hold.release()
    assert layers.remove(kept.name)
    assert layers.kept() == []


# --- The budget ---------------------------------------------------------------------------------


class Fake:
    """A cache of things in memory."""

    def __init__(self, *things: tuple[str, int, float], held: str = "") -> None:
        self.things = {name: (size, used_at) for name, size, used_at in things}
        self.held = held

    def kept(self) -> list[Kept]:
        def evict(name: str) -> bool:
            return name != self.held and bool(self.things.pop(name))

        return [
            Kept(name, size, used_at, lambda name=name: evict(name))  # type: ignore[misc]
            for name, (size, used_at) in self.things.items()
        ]


async def test_what_was_not_used_for_longest_goes_first_over_all_caches() -> None:
    first, second = Fake(("a", 10, 1), ("b", 10, 4)), Fake(("c", 10, 2), ("d", 10, 3))
    freed = await Budget(20, [first.kept, second.kept], lambda: LATER).hold_down()
    assert (freed, set(first.things), set(second.things)) == (20, {"b"}, {"d"})


async def test_within_the_budget_nothing_is_removed() -> None:
    cache = Fake(("a", 10, 1), ("b", 10, 2))
    assert await Budget(20, [cache.kept], lambda: LATER).hold_down() == 0


async def test_what_is_held_stays_and_the_next_one_goes() -> None:
    cache = Fake(("a", 10, 1), ("b", 10, 2), ("c", 10, 3), held="a")
    await Budget(20, [cache.kept], lambda: LATER).hold_down()
    assert set(cache.things) == {"a", "c"}


async def test_what_was_just_used_stays_whatever_the_budget() -> None:
    cache = Fake(("a", 10, LATER - SPARED + 1), ("b", 10, 1))
    await Budget(0, [cache.kept], lambda: LATER).hold_down()
    assert set(cache.things) == {"a"}


async def test_a_running_tasks_layer_outlives_a_budget_of_nothing(layers: Layers) -> None:
    held = await layers.hold(KEY, SetUp())
    other = await layers.hold(replace(KEY, branch="other"), SetUp())
    other.hold.release()
    assert await Budget(0, [layers.kept], lambda: LATER).hold_down() > 100_000
    assert [kept.name for kept in layers.kept()] == [held.hold.folder.name]
