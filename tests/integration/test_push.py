from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from codebot.domain.outcome import Change, Checkout
from codebot.domain.repository import RemoteAccess
from codebot.errors import ForgeForbidden, ForgeUnauthorized, PushRejected
from codebot.publish import branch as branch_module
from codebot.publish.branch import push_branch, require_push
from fakes.git_http import Fault, git
from fakes.permits import a_permit
from fakes.workshop import NAME, OWNER, Workshop, open_workshop

BRANCH = "u/codebot/abc1234/do-it"


@dataclass
class Desk:
    """A change that is ready to be pushed."""

    shop: Workshop
    checkout: Checkout
    change: Change

    @property
    def there(self) -> str | None:
        return self.shop.server.tip(OWNER, NAME, BRANCH)

    async def push(
        self,
        *,
        expected: str | None = None,
        commit: str | None = None,
        access: RemoteAccess | None = None,
        branch: str = BRANCH,
    ) -> None:
        await push_branch(
            self.shop.git,
            a_permit(),
            repository=self.checkout.repository,
            commit=commit or self.change.tip_commit,
            branch=branch,
            access=access or self.shop.server.access(OWNER, NAME),
            expected=expected,
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_workshop(tmp_path) as shop:
        checkout = await shop.prepare()
        (checkout.tree / "x").write_text("y")
        yield Desk(shop, checkout, await shop.collect(checkout))


async def test_a_branch_is_pushed_once_and_again_without_harm(desk: Desk) -> None:
    await desk.push()
    assert desk.there == desk.change.tip_commit
    await desk.push()
    await desk.push(expected=desk.change.tip_commit)
    assert desk.shop.server.pushes == 1


async def test_a_branch_goes_on_from_what_was_pushed_before(desk: Desk) -> None:
    await desk.push()
    (desk.checkout.tree / "more").write_text("z")
    more = await desk.shop.collect(desk.checkout)
    await desk.push(expected=desk.change.tip_commit, commit=more.tip_commit)
    assert desk.there == more.tip_commit


async def test_a_branch_of_ours_may_be_replaced_by_a_later_attempt(desk: Desk) -> None:
    await desk.push()
    again = await desk.shop.prepare(2)
    (again.tree / "other").write_text("z")
    other = await desk.shop.collect(again, 2)
    await push_branch(
        desk.shop.git,
        a_permit(),
        repository=again.repository,
        commit=other.tip_commit,
        branch=BRANCH,
        access=desk.shop.server.access(OWNER, NAME),
        expected=desk.change.tip_commit,
    )
    assert desk.there == other.tip_commit


@pytest.mark.parametrize("expected", ["nothing", "our commit"])
async def test_a_persons_commit_is_never_overwritten(desk: Desk, expected: str) -> None:
    if expected == "our commit":
        await desk.push()
    theirs = desk.shop.server.commit(OWNER, NAME, {"theirs": "x"}, branch=BRANCH)
    before = desk.change.tip_commit if expected == "our commit" else None
    with pytest.raises(PushRejected, match="commits that Codebot did not make") as refused:
        await desk.push(expected=before, commit=desk.checkout.base_commit)
    assert desk.there == theirs
    assert refused.value.hint
    assert refused.value.retry_after is None


# --- doubtful ends ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=502),
        Fault(status=500, method="POST"),
        Fault(status=200, method="POST"),
        Fault(cut=True, method="POST"),
        Fault(status=429),
    ],
    ids=str,
)
async def test_a_push_that_failed_on_its_way_is_sent_again(desk: Desk, fault: Fault) -> None:
    desk.shop.server.fail_next("push", fault)
    await desk.push()
    assert desk.there == desk.change.tip_commit


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=502, method="POST", too_late=True),
        Fault(status=200, method="POST", too_late=True),
        Fault(cut=True, method="POST", too_late=True),
    ],
    ids=str,
)
async def test_a_push_whose_answer_was_lost_is_not_sent_again(desk: Desk, fault: Fault) -> None:
    desk.shop.server.fail_next("push", fault)
    await desk.push()
    assert desk.there == desk.change.tip_commit
    branches = git("-C", str(desk.shop.server.path(OWNER, NAME)), "branch", "--list")
    assert branches.splitlines() == ["* main", f"  {BRANCH}"]


async def test_a_remote_that_stays_away_is_tried_again_later(desk: Desk) -> None:
    for _ in range(10):
        desk.shop.server.fail_next("push", Fault(status=503))
    with pytest.raises(PushRejected) as failed:
        await desk.push()
    assert failed.value.retry_after
    assert "submit the task again" in failed.value.hint
    assert len(desk.shop.server.faults["push"]) == 10 - branch_module.TRIES


# --- refusals -----------------------------------------------------------------------------------


async def test_a_refused_token_is_the_forges_word(desk: Desk) -> None:
    with pytest.raises(ForgeUnauthorized) as refused:
        await desk.push(access=desk.shop.server.access(OWNER, NAME, token="ghs_no_good_token"))
    assert "ghs_no_good_token" not in refused.value.sentence
    desk.shop.server.fail_next("push", Fault(status=403))
    with pytest.raises(ForgeForbidden):
        await desk.push()
    assert desk.there is None


async def test_whether_a_branch_may_be_pushed_is_asked_without_pushing(desk: Desk) -> None:
    server = desk.shop.server

    async def ask(access: RemoteAccess) -> None:
        await require_push(
            desk.shop.git,
            repository=desk.checkout.repository,
            commit=desk.checkout.base_commit,
            branch=BRANCH,
            access=access,
        )

    await ask(server.access(OWNER, NAME))
    assert (desk.there, server.pushes) == (None, 0)
    with pytest.raises(ForgeUnauthorized):
        await ask(server.access(OWNER, NAME, token="ghs_no_good_token"))
    server.fail_next("push", Fault(status=403))
    with pytest.raises(ForgeForbidden, match="was refused") as refused:
        await ask(server.access(OWNER, NAME))
    assert "write access" in refused.value.hint
    server.fail_next("push", Fault(status=503))
    await ask(server.access(OWNER, NAME))
    server.commit(OWNER, NAME, {"theirs": "x"}, branch=BRANCH)
    with pytest.raises(PushRejected, match="commits that Codebot did not make"):
        await ask(server.access(OWNER, NAME))


async def test_a_push_that_never_arrives_says_why(desk: Desk) -> None:
    for _ in range(branch_module.TRIES):
        desk.shop.server.fail_next("push", Fault(status=503))
    with pytest.raises(PushRejected, match="returned error: 503"):
        await desk.push()


async def test_a_hook_that_declines_is_quoted(desk: Desk) -> None:
    token = desk.shop.server.token
    hook = desk.shop.server.path(OWNER, NAME) / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho 'branches need a ticket, {token}' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRejected, match="branches need a ticket") as refused:
        await desk.push()
    assert "pre-receive hook declined" in refused.value.detail
    assert token not in refused.value.sentence
    assert refused.value.retry_after is None


async def test_a_name_that_is_in_the_way_is_told(desk: Desk) -> None:
    git("-C", str(desk.shop.server.path(OWNER, NAME)), "branch", "u", "main")
    with pytest.raises(PushRejected, match="does not take the branch"):
        await desk.push()


async def test_a_branch_goes_to_a_folder_as_well(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    git("clone", "-q", str(desk.shop.server.path(OWNER, NAME)), str(folder))
    access = RemoteAccess(str(folder))
    await desk.push(access=access)
    await desk.push(access=access)
    assert git("-C", str(folder), "rev-parse", BRANCH) == desk.change.tip_commit
    with pytest.raises(PushRejected):
        await desk.push(access=access, branch="main")
