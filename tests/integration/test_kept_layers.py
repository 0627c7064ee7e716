"""Environments that are set up once: laid below a tree, or copied into it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from codebot.domain.box import Network
from codebot.domain.environment import Layer, Recipe, RecipeOrigin
from codebot.domain.outcome import Checkout
from codebot.environment.set_up import SetUpRun, run_recipe
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.submodule_url import find_source
from codebot.pipeline.kept_layers import KeptLayers, Provided
from codebot.sandbox.boxed import Boxed
from codebot.workspace.layers import Layers
from codebot.workspace.means import Means
from codebot.workspace.places import Places
from codebot.workspace.shelf import Shelf
from fakes.clock import until
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, record, task_id, tip

FILES: dict[str, str | bytes] = {
    "README.md": "hello\n",
    "package-lock.json": "{}",
    ".gitignore": "node_modules/\n",
}
RECIPE = Recipe(
    RecipeOrigin.GUESSED,
    "package-lock.json",
    setup="mkdir -p node_modules junk; echo x > node_modules/m; echo x > junk/j; echo x > ~/tool; "
    "echo changed > README.md",
    keys=("package-lock.json",),
)


@dataclass
class Keeping:
    """Kept layers above real boxes, and how often a set-up ran."""

    shop: Workshop
    below: bool
    ran: int = 0
    kept: KeptLayers = field(init=False)

    def __post_init__(self) -> None:
        self.places = Places(self.shop.git, self.shop.sandbox)
        self.restart()

    def restart(self) -> None:
        self.shelf = Shelf(self.shop.root / "environments")
        holds = self.shop.open_workspaces().holds
        self.kept = KeptLayers(Layers(self.shelf), self.places, self.below, holds)

    async def provide(self, number: int, checkout: Checkout, recipe: Recipe = RECIPE) -> Provided:
        async def run(place: Checkout, recipe: Recipe) -> SetUpRun:
            self.ran += 1
            boxed = Boxed(self.shop.sandbox, task_id(number), place)
            return await run_recipe(boxed, recipe, limit=timedelta(seconds=60))

        return await self.kept.provide(task_id(number), checkout, recipe, run)

    async def layer(self, number: int, checkout: Checkout) -> Layer:
        layer = (await self.provide(number, checkout)).layer
        assert layer is not None
        return layer

    async def sh(self, place: Checkout, script: str) -> str:
        ended = await Boxed(self.shop.sandbox, task_id(1), place).run(
            *("sh", "-c", f"exec 2>&1; {script}"),
            limit=timedelta(seconds=30),
            network=Network.NONE,
            env={},
        )
        return ended.tail.decode()


@pytest.fixture(params=[Means.OVERLAY, Means.COPY])
async def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keeping]:
    async with open_workshop(tmp_path, FILES, boxed=True, means=request.param) as shop:
        yield Keeping(shop, below=request.param is Means.OVERLAY)


async def furnished(keeping: Keeping, number: int) -> Checkout:
    checkout = await keeping.shop.prepare(number)
    layer = await keeping.layer(number, checkout)
    await keeping.places.furnish(task_id(number), checkout, layer)
    return layer.under(checkout)


async def test_the_second_task_finds_what_the_first_one_set_up(keeping: Keeping) -> None:
    for number in (1, 2):
        checkout = await furnished(keeping, number)
        said = await keeping.sh(
            checkout, "cat node_modules/m junk/j ~/tool README.md; git status -s"
        )
        assert said == "x\nx\nx\nhello\n"
    assert keeping.ran == 1


async def test_set_up_finds_the_submodules_and_what_it_builds_in_one_stays(
    keeping: Keeping,
) -> None:
    with_submodules(keeping.shop)
    checkout = await keeping.shop.prepare()
    recipe = replace(RECIPE, setup="cat lib/lib.c lib/in/in.c >lib/in/built; echo >lib/lib.c")
    layer = (await keeping.provide(1, checkout, recipe)).layer
    assert layer is not None
    assert (layer.leftovers, files_in(layer.tree)) == ((), ["lib/in/built"])
    await keeping.places.furnish(task_id(1), checkout, layer)
    place = await keeping.places.open(task_id(1), checkout, "b", checkout.base_commit, layer)
    for tree in (layer.under(checkout), place):
        said = await keeping.sh(tree, "cat lib/lib.c lib/in/built; git -C lib/in status -s")
        assert said == "int lib;\nint lib;\nint in;\n?? built\n"


async def test_a_submodule_that_moves_is_another_environment(keeping: Keeping) -> None:
    with_submodules(keeping.shop)
    await keeping.layer(1, await keeping.shop.prepare(1))
    keeping.shop.server.commit(OWNER, NAME, {"README.md": "other\n"})
    await keeping.layer(2, await keeping.shop.prepare(2))
    assert keeping.ran == 1
    moved = keeping.shop.server.commit(OWNER, "lib", {"lib.c": "int moved;\n"})
    record(keeping.shop, "lib", "../lib.git", moved)
    await keeping.layer(3, await keeping.shop.prepare(3))
    assert keeping.ran == 2


def with_submodules(shop: Workshop) -> None:
    """Put a submodule with another one in it into the repository."""
    rules = RepositoryRules(github_host=shop.server.host, insecure_loopback=True)
    shop.find_source = partial(find_source, rules=rules)
    shop.workspaces = shop.open_workspaces()
    shop.server.create(OWNER, "in", {"in.c": "int in;\n"})
    shop.server.create(OWNER, "lib", {"lib.c": "int lib;\n"})
    outer = record(shop, "in", "../in.git", tip(shop, "in"), into="lib")
    record(shop, "lib", "../lib.git", outer)


def files_in(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]


async def test_what_set_up_left_is_no_part_of_a_change(keeping: Keeping) -> None:
    checkout = await furnished(keeping, 1)
    await keeping.sh(checkout, "echo more >> README.md; echo own > node_modules/own; echo > ~/own")
    change = await keeping.shop.collect(checkout)
    assert [file.path for file in change.files] == ["README.md"]


async def test_however_much_set_up_left_beside_sources_none_of_it_is_a_change(
    keeping: Keeping,
) -> None:
    keeping.shop.server.commit(OWNER, NAME, {"src/a.c": "int a;\n"})
    setup = "cd src; seq -f 'a_file_of_which_there_are_many_%g.c' 3000 | xargs touch; touch 'a\nb'"
    checkout = await keeping.shop.prepare(1)
    layer = (await keeping.provide(1, checkout, replace(RECIPE, setup=setup))).layer
    assert layer is not None
    await keeping.places.furnish(task_id(1), checkout, layer)
    agent = layer.under(checkout)
    await keeping.sh(agent, "touch src/own.c src/axb")
    change = await keeping.shop.collect(agent)
    assert [file.path for file in change.files] == ["src/axb", "src/own.c"]


async def test_tests_see_the_change_and_the_layer_and_nothing_of_the_agent(
    keeping: Keeping,
) -> None:
    base = await keeping.shop.prepare(1)
    layer = await keeping.layer(1, base)
    await keeping.places.furnish(task_id(1), base, layer)
    agent = layer.under(base)
    await keeping.sh(agent, "echo more >> README.md; echo fake > node_modules/m; rm ~/tool")
    change = await keeping.shop.collect(agent)
    place = await keeping.places.open(task_id(1), base, "change", change.tip_commit, layer)
    said = await keeping.sh(place, "cat README.md node_modules/m ~/tool; git status -s")
    assert said == "hello\nmore\nx\nx\n?? junk/\n"
    assert await keeping.sh(place, "git rev-parse HEAD") == f"{change.tip_commit}\n"


async def test_two_tasks_that_begin_at_once_wait_for_one_set_up(keeping: Keeping) -> None:
    checkouts = [await keeping.shop.prepare(number) for number in (1, 2)]
    provided = await asyncio.gather(
        *(keeping.provide(number, checkout) for number, checkout in enumerate(checkouts, 1))
    )
    assert keeping.ran == 1
    assert len({one.layer for one in provided}) == 1


async def test_a_set_up_whose_task_is_cancelled_is_done_by_the_next_who_wants_it(
    keeping: Keeping,
) -> None:
    checkouts = [await keeping.shop.prepare(number) for number in (1, 2)]
    slow = replace(RECIPE, setup=f"echo begun >> ~/begun; sleep 0.5; {RECIPE.setup}")
    first = asyncio.create_task(keeping.provide(1, checkouts[0], slow))
    await until(lambda: any(keeping.shelf.folder.glob(".new-*/home/begun")))
    second = asyncio.create_task(keeping.provide(2, checkouts[1], slow))
    await asyncio.sleep(0.05)  # so that it waits
    first.cancel()
    await asyncio.wait([first])
    await keeping.shop.sandbox.reap(task_id(1))  # as it is done with a task that was cancelled
    await keeping.shop.workspaces.remove(task_id(1))
    provided = await second
    assert provided.run is not None
    assert (provided.run.why, keeping.ran) == ("", 2)
    assert provided.layer is not None
    assert {"begun", "tool"} <= set(files_in(provided.layer.home))


async def test_of_a_set_up_that_fails_all_who_wait_are_told_and_nothing_is_kept(
    keeping: Keeping,
) -> None:
    checkout = await keeping.shop.prepare(1)
    broken = Recipe(RecipeOrigin.GUESSED, "x", setup="echo > ~/half; echo no such package; exit 3")
    provided = await asyncio.gather(*(keeping.provide(1, checkout, broken) for _ in range(2)))
    for one in provided:
        assert one.layer is None
        assert one.run is not None
        assert (one.run.why, one.run.output) == ("ended with exit code 3", "no such package\n")
    assert list(keeping.shelf.folder.iterdir()) == []


@pytest.mark.parametrize("then", ["true", "git -c user.name=x -c user.email=x commit -qm x"])
async def test_what_set_up_adds_to_gits_index_is_left_by_it_all_the_same(
    keeping: Keeping, then: str
) -> None:
    checkout = await keeping.shop.prepare(1)
    recipe = replace(RECIPE, setup=f"echo x >made; echo changed >README.md; git add -A; {then}")
    layer = (await keeping.provide(1, checkout, recipe)).layer
    assert layer is not None
    assert (layer.leftovers, files_in(layer.tree)) == (("made",), ["made"])


@pytest.mark.parametrize("place", ["lib/in", ".", "~"])
async def test_a_set_up_that_marks_folders_for_overlays_has_failed(
    keeping: Keeping, place: str
) -> None:
    mark = 'import os; os.setxattr(".", "user.overlay.opaque", b"y")'
    setup = f"mkdir -p lib/in; cd {place}; python3 -c '{mark}'"
    checkout = await keeping.shop.prepare(1)
    run = (await keeping.provide(1, checkout, replace(RECIPE, setup=setup))).run
    assert run is not None
    assert run.why == "left folders with marks of overlays, or that nobody may read"
    assert list(keeping.shelf.folder.iterdir()) == []


async def test_links_in_what_a_set_up_left_lead_nowhere(keeping: Keeping) -> None:
    setup = "mkdir -p junk; ln -s / junk/root; ln -s . junk/again; ln -s nowhere junk/lost"
    checkout = await keeping.shop.prepare(1)
    assert (await keeping.provide(1, checkout, replace(RECIPE, setup=setup))).layer is not None


async def test_gits_files_in_the_home_of_a_set_up_decide_nothing(keeping: Keeping) -> None:
    git = "mkdir -p ~/.config/git; cd $_; echo '*.x' >ignore; echo '* eol=crlf' >attributes"
    checkout = await keeping.shop.prepare(1)
    layer = (await keeping.provide(1, checkout, replace(RECIPE, setup=f"echo >a.x; {git}"))).layer
    assert layer is not None
    assert layer.leftovers == ("a.x",)
    place = await keeping.places.open(task_id(1), checkout, "b", checkout.base_commit, layer)
    assert await keeping.sh(place, "cat README.md") == "hello\n"


async def test_a_set_up_that_breaks_the_tree_of_its_own_has_failed(keeping: Keeping) -> None:
    checkout = await keeping.shop.prepare(1)
    run = (await keeping.provide(1, checkout, replace(RECIPE, setup="rm -rf .git"))).run
    assert run is not None
    assert run.why.startswith("left a tree that is no checkout any more: fatal: not a git")
    assert list(keeping.shelf.folder.iterdir()) == []


async def test_a_set_up_that_leaves_more_than_can_be_kept_out_of_changes_has_failed(
    keeping: Keeping,
) -> None:
    checkout = await keeping.shop.prepare(1)
    littering = replace(RECIPE, setup="seq -f junk-%g 10001 | xargs touch")
    run = (await keeping.provide(1, checkout, littering)).run
    assert run is not None
    assert run.why == "left more than 10,000 paths that .gitignore does not name"


async def test_only_the_files_that_decide_make_a_layer_anew(keeping: Keeping) -> None:
    await furnished(keeping, 1)
    keeping.shop.server.commit(OWNER, NAME, {"README.md": "other\n"})
    assert "other" in await keeping.sh(await furnished(keeping, 2), "cat README.md")
    assert keeping.ran == 1
    keeping.shop.server.commit(OWNER, NAME, {"package-lock.json": "{1}"})
    await furnished(keeping, 3)
    assert keeping.ran == 2


async def test_without_files_that_decide_every_commit_does(keeping: Keeping) -> None:
    recipe = Recipe(RecipeOrigin.TASK, "the task", setup="echo > ~/x")
    await keeping.provide(1, await keeping.shop.prepare(1), recipe)
    keeping.shop.server.commit(OWNER, NAME, {"README.md": "other\n"})
    await keeping.provide(2, await keeping.shop.prepare(2), recipe)
    assert keeping.ran == 2


async def test_another_version_of_what_it_was_built_for_makes_a_layer_anew(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkout = await keeping.shop.prepare(1)
    await keeping.layer(1, checkout)
    newer = tmp_path / "python3.99"
    newer.touch()
    find = keeping.shop.sandbox.find
    monkeypatch.setattr(
        type(keeping.shop.sandbox),
        "find",
        lambda _, name: newer if name == "python3" else find(name),
    )
    await keeping.layer(1, checkout)
    assert keeping.ran == 2


UPDATED = Recipe(
    RecipeOrigin.REPOSITORY,
    ".codebot.toml",
    setup="echo set up >>~/told; mkdir node_modules; echo x >node_modules/m",
    update="cat README.md >>~/told; cat node_modules/m",
)


async def test_what_has_an_update_is_set_up_once_and_updated_for_other_commits(
    keeping: Keeping,
) -> None:
    said = []
    for number, words in enumerate(("one\n", "two\n", "two\n"), 1):
        keeping.shop.server.commit(OWNER, NAME, {"README.md": words, "other": str(number)})
        checkout = await keeping.shop.prepare(number)
        layer = (await keeping.provide(number, checkout, UPDATED)).layer
        assert layer is not None
        place = await keeping.places.open(task_id(1), checkout, "x", checkout.base_commit, layer)
        said.append(await keeping.sh(place, "cat ~/told README.md; git status -s"))
    assert said == ["set up\none\n", "set up\ntwo\ntwo\n", "set up\ntwo\ntwo\n"]
    assert keeping.ran == 3
    again = await keeping.provide(4, await keeping.shop.prepare(4), UPDATED)
    assert (again.run, keeping.ran) == (None, 3)


async def test_an_update_that_fails_gives_way_to_a_set_up(keeping: Keeping) -> None:
    recipe = replace(UPDATED, update="echo half >~/half; exit 1")
    await keeping.provide(1, await keeping.shop.prepare(1), recipe)
    keeping.shop.server.commit(OWNER, NAME, {"README.md": "two\n"})
    provided = await keeping.provide(2, await keeping.shop.prepare(2), recipe)
    assert provided.run is not None
    assert provided.run.why == ""
    assert provided.layer is not None
    assert "half" not in files_in(provided.layer.home)
    assert keeping.ran == 3


async def test_files_that_decide_go_before_an_update(keeping: Keeping) -> None:
    recipe = replace(UPDATED, keys=("package-lock.json",))
    for number, lock in enumerate(("{1}", "{2}"), 1):
        keeping.shop.server.commit(OWNER, NAME, {"package-lock.json": lock})
        layer = (await keeping.provide(number, await keeping.shop.prepare(number), recipe)).layer
        assert layer is not None
        assert (layer.home / "told").read_text() == "set up\n"


async def test_a_layer_stays_for_the_run_and_is_missed_after_a_restart_if_it_went(
    keeping: Keeping,
) -> None:
    layer = await keeping.layer(1, await keeping.shop.prepare(1))
    name = layer.tree.parent.name
    assert not keeping.shelf.evict(name)
    keeping.kept.holds.release(task_id(1))
    keeping.restart()
    assert keeping.kept.hold(task_id(1), layer)
    assert not keeping.shelf.evict(name)
    keeping.kept.holds.release(task_id(1))
    assert keeping.shelf.evict(name)
    assert not keeping.kept.hold(task_id(1), layer)
