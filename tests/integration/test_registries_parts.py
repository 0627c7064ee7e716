"""Parts of files of registries: asked for alone, and whatever comes in their place is used."""

import asyncio

import pytest

from codebot.gateway.registries import parts
from codebot.gateway.registries.cache import Cache, Draft
from codebot.gateway.registries.parts import is_that_part
from fakes.registry import PROJECT, FakeRegistry
from fakes.way_out import PACKAGES, Outside, client_of, outside

ARCHIVE = f"/{PROJECT}/-/{PROJECT}-1.0.0.tgz"
WHOLE = bytes(range(200))


async def get(place: Outside, asked: str = "") -> tuple[int, bytes, str]:
    """Ask for the archive, or a part of it; give status, body and what is told of the part."""
    async with client_of(place, PACKAGES) as client:
        answer = await client.get(ARCHIVE, headers={"Range": asked} if asked else {})
    return answer.status_code, answer.content, answer.headers.get("content-range", "")


def ranges(registry: FakeRegistry) -> list[str | None]:
    return [heard.get("range") for _, _, heard in registry.asked]


async def test_a_part_of_what_is_not_kept_is_fetched_alone_and_kept() -> None:
    async with (
        FakeRegistry(archive=WHOLE, gives_parts=True) as registry,
        outside(registry=registry) as place,
    ):
        for asked, body in (
            ("bytes=-5", WHOLE[-5:]),
            ("bytes=10-19", WHOLE[10:20]),
            ("bytes=190-20000", WHOLE[-10:]),
        ):
            for _ in range(2):
                status, part, told = await get(place, asked)
                assert (status, part) == (206, body)
                assert told.endswith("/200")
        assert ranges(registry) == ["bytes=-5", "bytes=10-19", "bytes=190-20000"]
        assert await get(place) == (200, WHOLE, "")


async def test_the_rest_of_a_download_is_no_part_to_keep() -> None:
    async with (
        FakeRegistry(archive=bytes(10_000_000), gives_parts=True) as registry,
        outside(registry=registry) as place,
    ):
        status, body, _ = await get(place, "bytes=1000-")
    assert (status, len(body)) == (200, 10_000_000)


async def test_boxes_that_want_the_same_part_at_once_make_one_request() -> None:
    async with (
        FakeRegistry(archive=WHOLE, gives_parts=True) as registry,
        outside(registry=registry) as place,
    ):
        got = await asyncio.gather(*(get(place, "bytes=-5") for _ in range(4)))
    assert {(status, body) for status, body, _ in got} == {(206, WHOLE[-5:])}
    assert ranges(registry) == ["bytes=-5"]


async def test_a_whole_file_in_the_place_of_a_part_is_given_and_kept_and_not_asked_for_twice() -> (
    None
):
    async with FakeRegistry(archive=WHOLE) as registry, outside(registry=registry) as place:
        assert await get(place, "bytes=-5") == (200, WHOLE, "")
        assert (await get(place, "bytes=-5"))[:2] == (206, WHOLE[-5:])
        assert await get(place) == (200, WHOLE, "")
    assert ranges(registry) == ["bytes=-5"]


async def test_whole_files_that_come_for_several_parts_are_copied_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Draft] = []
    really = Cache.begin

    def begin(cache: Cache) -> Draft:
        begun.append(really(cache))
        return begun[-1]

    monkeypatch.setattr(Cache, "begin", begin)
    async with FakeRegistry(archive=WHOLE) as registry, outside(registry=registry) as place:
        asked = ("bytes=-5", "bytes=0-9", "bytes=-7", "")
        got = await asyncio.gather(*(get(place, one) for one in asked))
    assert [body for _, body, _ in got] == [WHOLE] * 4
    assert len(begun) == 1


@pytest.mark.parametrize("status", [404, 416, 500])
async def test_what_is_said_of_a_part_that_is_none_goes_on_to_the_client(status: int) -> None:
    async with FakeRegistry(status=status) as registry, outside(registry=registry) as place:
        assert (await get(place, "bytes=500-600"))[:2] == (status, b"broken")
    assert ranges(registry) == ["bytes=500-600"]


@pytest.mark.parametrize("told", ["bytes 0-4/200", "bytes 195-199/*", "bytes 5-1/9", "x", ""])
async def test_another_part_than_was_asked_for_is_not_handed_on_and_not_kept(told: str) -> None:
    async with (
        FakeRegistry(archive=WHOLE, gives_parts=True, told={"content-range": told}) as registry,
        outside(registry=registry) as place,
    ):
        assert await get(place, "bytes=-5") == (200, WHOLE, "")
    assert ranges(registry) == ["bytes=-5", None]


async def test_a_part_that_is_too_long_is_no_part_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LONGEST_PART", 9)
    async with (
        FakeRegistry(archive=WHOLE, gives_parts=True) as registry,
        outside(registry=registry) as place,
    ):
        assert await get(place, "bytes=0-9") == (200, WHOLE, "")
    assert ranges(registry) == ["bytes=0-9", None]


@pytest.mark.parametrize(
    ("asked", "told", "size"),
    [
        ("bytes=0-4", "bytes 0-4/5", 5),
        ("bytes=0-", "bytes 0-4/5", 5),
        ("bytes=0-99", "bytes 0-4/5", 5),
        ("bytes=-99", "bytes 0-4/5", 5),
        ("bytes=-2", "bytes 3-4/5", 2),
    ],
)
def test_what_was_asked_for_is_known_by_what_is_told_of_it(
    asked: str, told: str, size: int
) -> None:
    assert is_that_part(asked, told, size)
    assert not is_that_part(asked, told, size - 1)
    assert not is_that_part("bytes=1-3", told, size)
