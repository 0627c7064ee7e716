"""What is kept of registries: whole answers for everybody, and nothing that one box could plant."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.fetch import Fetcher
from fakes.registry import JSON, PROJECT, FakeRegistry
from fakes.way_out import INDEX, LARGE, PACKAGES, Outside, client_of, outside

PAGE = f"/simple/{PROJECT}/"
ARCHIVE = f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz"


async def get(place: Outside, host: str, path: str, **headers: str) -> httpx.Response:
    async with client_of(place, host) as client:
        return await client.get(path, headers=headers)


def paths(registry: FakeRegistry) -> list[str]:
    return [path for _, path, _ in registry.asked]


# --- Everybody reads what one has fetched ----------------------------------------------------


async def test_the_second_box_needs_no_registry(tmp_path: Path) -> None:
    async with FakeRegistry() as registry, outside(registry=registry, folder=tmp_path) as place:
        first = [await get(place, PACKAGES, ARCHIVE), await get(place, INDEX, PAGE)]
    async with (
        FakeRegistry(status=500) as registry,
        outside(registry=registry, folder=tmp_path) as place,
    ):
        again = [await get(place, PACKAGES, ARCHIVE), await get(place, INDEX, PAGE)]
    assert [one.content for one in again] == [one.content for one in first]
    assert [one.headers["content-type"] for one in again] == [
        one.headers["content-type"] for one in first
    ]


async def test_a_page_that_is_old_is_asked_for_again_and_given_if_that_fails(
    tmp_path: Path,
) -> None:
    async with FakeRegistry() as registry, outside(registry=registry, folder=tmp_path) as place:
        page = await get(place, INDEX, PAGE)
        place.library.now = lambda: 2e10
        registry.status = 503
        old = await get(place, INDEX, PAGE)
    assert (old.status_code, old.content) == (200, page.content)
    assert paths(registry) == [PAGE, PAGE]


async def test_many_boxes_that_want_the_same_make_one_request() -> None:
    async with (
        FakeRegistry(archive=bytes(5_000_000)) as registry,
        outside(registry=registry) as place,
    ):
        got = await asyncio.gather(*(get(place, PACKAGES, ARCHIVE) for _ in range(5)))
    assert {len(one.content) for one in got} == {5_000_000}
    assert paths(registry) == [f"/npm{ARCHIVE}"]


async def test_a_box_that_goes_away_does_not_take_the_download_from_another() -> None:
    async with (
        FakeRegistry(archive=bytes(20_000_000)) as registry,
        outside(registry=registry) as place,
        client_of(place, PACKAGES) as client,
    ):
        async with client.stream("GET", ARCHIVE) as gone:
            await anext(gone.aiter_bytes())
            staying = asyncio.create_task(get(place, PACKAGES, ARCHIVE))
            await asyncio.sleep(0.1)
        assert len((await staying).content) == 20_000_000


async def test_a_part_of_what_is_kept_can_be_had_and_nothing_if_the_client_has_it() -> None:
    async with (
        FakeRegistry(archive=bytes(range(200))) as registry,
        outside(registry=registry) as place,
    ):
        await get(place, PACKAGES, ARCHIVE)
        parts = {
            asked: await get(place, PACKAGES, ARCHIVE, Range=asked)
            for asked in ("bytes=10-19", "bytes=190-", "bytes=-5", "bytes=500-", "bytes=9-3", "x")
        }
    assert parts["bytes=10-19"].content == bytes(range(10, 20))
    assert parts["bytes=10-19"].headers["content-range"] == "bytes 10-19/200"
    assert parts["bytes=190-"].content == bytes(range(190, 200))
    assert parts["bytes=-5"].content == bytes(range(195, 200))
    assert parts["bytes=500-"].status_code == 416
    assert [parts[odd].status_code for odd in ("bytes=9-3", "x")] == [200, 200]


@pytest.mark.parametrize("gives_parts", [True, False])
async def test_whether_parts_can_be_had_is_told_before_anything_is_kept(
    *, gives_parts: bool
) -> None:
    """A resolver asks so before it reads the end of a wheel: else it takes the whole of each."""
    async with (
        FakeRegistry(gives_parts=gives_parts) as registry,
        outside(registry=registry) as place,
        client_of(place, PACKAGES) as client,
    ):
        told = await client.head(ARCHIVE)
    assert told.headers.get("accept-ranges") == ("bytes" if gives_parts else None)


# --- Nobody plants anything ------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [
        {"Range": "bytes=0-1"},
        {"If-None-Match": '"x"'},
        {"If-Modified-Since": "Wed, 21 Oct 2065 07:28:00 GMT"},
        {"Authorization": "Bearer mine"},
        {"Accept-Encoding": "br"},
        {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"},
        {"Cookie": "session=mine"},
    ],
    ids=lambda planted: next(iter(planted)),
)
async def test_nothing_that_one_box_says_changes_what_others_get(planted: dict[str, str]) -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        await get(place, PACKAGES, f"{ARCHIVE}?v=evil", **planted)
        later = await get(place, PACKAGES, ARCHIVE)
    assert (later.status_code, later.content) == (200, registry.archive)
    known = {"host", "accept", "accept-encoding", "user-agent", "authorization", "connection"}
    for _, path, heard in registry.asked:
        assert path == f"/npm{ARCHIVE}"
        assert heard.keys() - {name.lower() for name in planted.keys() & {"Range"}} <= known
        assert heard["authorization"] == "Basic bWU6c2VjcmV0"


async def test_each_form_of_a_page_is_kept_by_itself() -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        for accept in ("text/html", JSON, "application/x-evil", f"{JSON}, */*"):
            await get(place, INDEX, PAGE, Accept=accept)
        asked = [heard["accept"] for _, _, heard in registry.asked]
    assert asked == ["text/html, */*;q=0.1", f"{JSON}, */*;q=0.1"]


async def test_bytes_that_the_index_does_not_promise_are_not_kept_and_not_given_whole() -> None:
    async with FakeRegistry() as registry, outside(registry=registry) as place:
        await get(place, PACKAGES, f"/{PROJECT}")
        right, registry.archive = registry.archive, registry.archive[:-1] + b"!"
        with pytest.raises(httpx.RemoteProtocolError):
            await get(place, PACKAGES, ARCHIVE)
        registry.archive = right
        assert (await get(place, PACKAGES, ARCHIVE)).content == right


# --- The folder ------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path, LARGE)
    made.open()
    return made


def keep(cache: Cache, key: str, body: bytes) -> None:
    draft = cache.begin()
    draft.write(body)
    cache.keep(draft, key, {"etag": key})
    draft.file.close()


def read(cache: Cache, key: str) -> bytes | None:
    entry = cache.find(key)
    if entry is None:
        return None
    with entry.file:
        return entry.read(0, LARGE)


def test_the_least_recently_used_goes_first(cache: Cache) -> None:
    clock = iter(range(1000, 2000))
    cache.now = lambda: next(clock)
    for key in "abc":
        keep(cache, key, bytes(10_000))
        read(cache, key)
    read(cache, "a")
    assert cache.evict(15_000) >= 15_000
    assert [key for key in "abc" if read(cache, key) is not None] == ["a"]
    assert cache.size() == sum(file.stat().st_size for file in cache.folder.rglob("*/*/*"))


def test_no_more_than_the_budget_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 50_000)
    cache.open()
    for key in range(20):
        keep(cache, str(key), bytes(10_000))
        assert cache.size() <= 50_000
    keep(cache, "huge", bytes(100_000))
    assert read(cache, "huge") is None
    assert [*(tmp_path / "drafts").iterdir()] == []


def test_what_is_evicted_can_be_read_to_its_end(cache: Cache) -> None:
    keep(cache, "a", b"body")
    entry = cache.find("a")
    assert entry
    cache.evict(LARGE)
    assert (cache.size(), read(cache, "a"), entry.read(0, 10)) == (0, None, b"body")
    entry.close()


def test_what_a_crash_left_is_removed_and_what_another_service_writes_is_not(cache: Cache) -> None:
    (cache.folder / "drafts" / "left").write_bytes(b"half")
    alive = cache.begin()
    keep(cache, "a", b"body")
    again = Cache(cache.folder, LARGE)
    again.open()
    assert [*(cache.folder / "drafts").iterdir()] == [alive.path]
    assert again.size() == cache.size() > 4
    alive.file.close()


@pytest.mark.parametrize("damage", [b"", b"x", b"{}\n", b"[]", b'{"size": 1, "headers": {}}'])
def test_an_entry_that_is_damaged_is_none(cache: Cache, damage: bytes) -> None:
    keep(cache, "a", b"body")
    [file] = [file for file in cache.folder.rglob("*") if file.is_file()]
    file.write_bytes(damage)
    assert read(cache, "a") is None
    assert not file.exists()


async def test_a_full_disk_is_told_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    async with FakeRegistry() as registry, outside(registry=registry) as place:
        await place.library.catalog()
        monkeypatch.setattr(Cache, "begin", full)
        answer = await get(place, PACKAGES, ARCHIVE)
    assert (answer.status_code, "No space left" in answer.text) == (502, True)


# --- Where the service connects --------------------------------------------------------------


Resolver = Callable[[str, int], object]


async def test_a_name_is_dialled_by_the_addresses_that_were_looked_at() -> None:
    """A name that means something else the second time leads nowhere else."""
    asked: list[str] = []

    async with FakeRegistry() as registry, outside(registry=registry) as place:
        fetcher: Fetcher = place.library.fetcher

        async def once(host: str, port: int) -> tuple[str, ...]:
            asked.append(host)
            return ("127.0.0.1",)

        object.__setattr__(fetcher.gate, "resolve", once)
        await get(place, PACKAGES, ARCHIVE)
    assert asked == ["127.0.0.1"]
