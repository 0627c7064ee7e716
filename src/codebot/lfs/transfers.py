"""Large files to and from where a repository lives: a forge's server, or a folder here.

Bringing gives the reason for each object that cannot be had: a file that stays a pointer is no
failure. Sending is all or nothing: a branch whose pointers lead nowhere is worse than none.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from codebot.domain.effect import Permit
from codebot.domain.outcome import LargeObject
from codebot.domain.repository import RemoteAccess
from codebot.errors import (
    CloneFailed,
    CodebotError,
    ForgeForbidden,
    ForgeUnauthorized,
    PushRejected,
)
from codebot.lfs.batch import Answered
from codebot.lfs.objects import ObjectStore, WrongContent, find_object, read_file
from codebot.lfs.server import Server, ServerFailed

AT_ONCE = 4
TRIES = 3

_REFUSED_CREDENTIAL: dict[int, type[CodebotError]] = {401: ForgeUnauthorized, 403: ForgeForbidden}


@dataclass(frozen=True, slots=True)
class LargeFileTransfers:
    """Brings and sends objects; `proxy_of` says by which proxy an address is reached."""

    proxy_of: Callable[[str], str | None] = lambda _: None
    certificate_file: Path | None = None

    async def bring(
        self, objects: Sequence[LargeObject], access: RemoteAccess, store: ObjectStore
    ) -> dict[LargeObject, str]:
        """Put objects into `store`; give the reason for each that is not there then.

        Raises `CloneFailed`, to be tried again, when the network is at fault.
        """
        if access.url.startswith("/"):
            return await _copy_all(objects, folders_of(Path(access.url)), store)
        async with self._server(access) as server:
            try:
                answers = await server.ask("download", objects)
            except ServerFailed as failure:
                _raise_if_passing(failure)
                return dict.fromkeys(objects, failure.words)
            return await _Bringing(server, store).bring(objects, answers)

    async def send(
        self,
        permit: Permit,
        objects: Sequence[LargeObject],
        access: RemoteAccess,
        store: ObjectStore,
    ) -> None:
        """Make sure that each object is where the repository lives; what is there stays.

        The permit is that of the branch which names them: it goes second.

        Raises `PushRejected`, with `retry_after` when the network was at fault, and
        `ForgeUnauthorized` and `ForgeForbidden` for a credential that is refused.
        """
        del permit
        if access.url.startswith("/"):
            await _keep_all(objects, store, folders_of(Path(access.url))[0])
            return
        async with self._server(access) as server:
            await _send_with_patience(server, objects, store)

    def _server(self, access: RemoteAccess) -> Server:
        return Server(access, self.proxy_of, self.certificate_file)


DIRECT = LargeFileTransfers()
"""For where nothing goes through a proxy."""


@dataclass(frozen=True, slots=True)
class _Bringing:
    server: Server
    store: ObjectStore

    async def bring(
        self, objects: Sequence[LargeObject], answers: Sequence[Answered]
    ) -> dict[LargeObject, str]:
        by_oid = {answer.oid: answer for answer in answers}
        turns = asyncio.Semaphore(AT_ONCE)

        async def bring_one(one: LargeObject) -> str:
            async with turns:
                return await self._bring(one, by_oid.get(one.oid))

        reasons = await asyncio.gather(*map(bring_one, objects), return_exceptions=True)
        for reason in reasons:
            if isinstance(reason, BaseException):
                raise reason
        return {one: str(why) for one, why in zip(objects, reasons, strict=True) if why}

    async def _bring(self, one: LargeObject, answer: Answered | None) -> str:
        """Bring one object; give the reason when it is not to be had."""
        action = None if answer is None else answer.action("download")
        if answer is not None and answer.error is not None:
            return f"the forge answered {answer.error.code}: {answer.error.words}"
        if action is None:
            return "the forge says nothing of it"
        try:
            async with aclosing(self.server.get(action)) as chunks:
                await self.store.put(one, chunks)
        except WrongContent as wrong:
            return f"its content {wrong}"
        except ServerFailed as failure:
            _raise_if_passing(failure)
            return failure.words
        return ""


def folders_of(repository: Path) -> tuple[ObjectStore, ...]:
    """Give where a repository on this machine keeps its objects; the first is for new ones."""
    places = [_common_folder(repository / ".git"), repository]
    return tuple(ObjectStore.of(place) for place in places if (place / "objects").is_dir())


def _common_folder(own: Path) -> Path:
    """Follow the `.git` of a linked worktree to the folder that all of them share."""
    if own.is_file():
        own = own.parent / own.read_text().removeprefix("gitdir:").strip()
    common = own / "commondir"
    return own / common.read_text().strip() if common.is_file() else own


async def _copy_all(
    objects: Sequence[LargeObject], sources: Sequence[ObjectStore], store: ObjectStore
) -> dict[LargeObject, str]:
    reasons: dict[LargeObject, str] = {}
    for one in objects:
        found = find_object(sources, one)
        if found is None:
            reasons[one] = "it is not in the repository's own folder"
            continue
        try:
            await store.put(one, read_file(found))
        except WrongContent as wrong:
            reasons[one] = f"its content {wrong}"
    return reasons


async def _keep_all(objects: Sequence[LargeObject], store: ObjectStore, place: ObjectStore) -> None:
    for one in objects:
        if not place.has(one):
            try:
                await place.put(one, read_file(_require(store, one)))
            except OSError as exc:
                raise PushRejected(f"{place.folder} takes no large file: {exc.strerror}.") from exc


async def _send_with_patience(
    server: Server, objects: Sequence[LargeObject], store: ObjectStore
) -> None:
    for left in reversed(range(TRIES)):
        try:
            await _send_all(server, objects, store)
        except ServerFailed as failure:
            if left == 0 or failure.retry_after is None or failure.status:
                raise _rejection(server.access.url, failure) from failure
        else:
            return


async def _send_all(server: Server, objects: Sequence[LargeObject], store: ObjectStore) -> None:
    """Ask what is missing there, and send that."""
    answers = {answer.oid: answer for answer in await server.ask("upload", objects)}
    for one in objects:
        answer = answers.get(one.oid)
        if answer is None:
            raise ServerFailed("it says nothing of a large file that it was told of")
        if answer.error is not None:
            raise ServerFailed(f"it takes no such file: {answer.error.words}", answer.error.code)
        upload, verify = answer.action("upload"), answer.action("verify")
        if upload is not None:
            await server.put(upload, one, _require(store, one))
        if verify is not None:
            await server.verify(verify, one)


def _require(store: ObjectStore, one: LargeObject) -> Path:
    if not store.has(one):
        raise PushRejected(
            f"The content of a large file ({one.oid[:12]}) is gone from the workspace.",
            hint="Submit the task again.",
        )
    return store.path(one)


def _raise_if_passing(failure: ServerFailed) -> None:
    if failure.retry_after is not None:
        raise CloneFailed(
            f"Large files (Git LFS) could not be fetched: {failure.words}.",
            hint="Check the network and the proxy, then submit the task again.",
            retry_after=failure.retry_after,
        ) from failure


def _rejection(url: str, failure: ServerFailed) -> CodebotError:
    said = f"Large files (Git LFS) could not be sent to {url}: {failure.words}."
    if failure.status in _REFUSED_CREDENTIAL:
        return _REFUSED_CREDENTIAL[failure.status](
            said, hint="Give the App or the token write access to the contents of the repository."
        )
    hint = "Check the repository's Git LFS and its quota there, then retry."
    return PushRejected(said, hint=hint, retry_after=failure.retry_after)
