"""What a call costs at most before it is made, and what it cost after: the price list, asked.

https://platform.claude.com/docs/en/about-claude/pricing
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

PROVIDER = "anthropic"
"""Whose price list counts: an API that only speaks the same language may charge otherwise."""

PLACE_SURCHARGE = 1.1
"""Where the account pays for a place to compute in (`inference_geo`), everything costs this much
more; the price list does not know it."""
ANYWHERE = frozenset({"", "global", "not_available"})

MOST_TOKENS = 10**9
"""More in one number of an answer is no count: the longest context is a thousandth of it."""
MILLION = 10**6


@dataclass(frozen=True, slots=True)
class Spent:
    """The tokens of one call, by what they cost. `long_writes` are kept in the cache for an hour.

    Every number is a count that can be: 0 or more, and not beyond all measure.
    """

    fresh: int = 0
    written: int = 0
    long_writes: int = 0
    read: int = 0
    output: int = 0
    searches: int = 0
    surcharge: float = 1.0

    @property
    def input(self) -> int:
        """Everything that went in: what a cache holds was sent to the model as well."""
        return self.fresh + self.written + self.long_writes + self.read


def read_usage(reported: Mapping[str, Any]) -> Spent:
    """Make sense of the `usage` of an answer; a number that cannot be counts as 0.

    >>> read_usage({"input_tokens": 5, "cache_read_input_tokens": 9, "output_tokens": -7})
    Spent(fresh=5, written=0, long_writes=0, read=9, output=0, searches=0, surcharge=1.0)
    """
    lifetimes = _fields(reported, "cache_creation")
    written = _count(reported, "cache_creation_input_tokens")
    long_writes = _count(lifetimes, "ephemeral_1h_input_tokens")
    return Spent(
        fresh=_count(reported, "input_tokens"),
        written=max(written - long_writes, _count(lifetimes, "ephemeral_5m_input_tokens")),
        long_writes=long_writes,
        read=_count(reported, "cache_read_input_tokens"),
        output=_count(reported, "output_tokens"),
        searches=_count(_fields(reported, "server_tool_use"), "web_search_requests"),
        surcharge=_surcharge(reported.get("inference_geo")),
    )


def price(models: tuple[str, ...], spent: Spent) -> tuple[float, bool]:
    """Give dollars, by the first of these models that the list knows, and whether it knows one.

    A call to a model that nobody knows the price of costs what the dearest one would: never
    nothing.
    """
    for model in models:
        found = _list_price(model, spent)
        if found is not None:
            return found, True
    return max(_list_price(name, spent) or 0.0 for name in _dearest_models()), False


@dataclass(frozen=True, slots=True)
class Tariff:
    """The most that a call can cost: `base` for what goes in, `per_token` for what comes out."""

    base: float = 0.0
    per_token: float = 0.0

    def cost(self, output_tokens: int) -> float:
        """Give dollars for this many tokens of output."""
        return self.base + self.per_token * output_tokens


FREE = Tariff()


def worst_input(tokens: int, *, long_cache: bool) -> Spent:
    """Give the dearest way in which so many tokens can go in."""
    kind = "long_writes" if long_cache else "written"
    return replace(Spent(surcharge=PLACE_SURCHARGE), **{kind: tokens})


def find_tariff(model: str, input_tokens: int, *, long_cache: bool) -> Tariff:
    """Give the worst case for so much input: all of it new, or written to a cache, or read.

    `long_cache` says that the request may ask for an hour in the cache, the dearest way.
    """
    found = _tariff(model, input_tokens, long_cache=long_cache)
    if found is not None:
        return found
    most = [
        _tariff(name, input_tokens, long_cache=long_cache) or FREE for name in _dearest_models()
    ]
    return Tariff(max(one.base for one in most), max(one.per_token for one in most))


def _tariff(model: str, tokens: int, *, long_cache: bool) -> Tariff | None:
    surcharge = PLACE_SURCHARGE
    fresh = _list_price(model, Spent(fresh=tokens, surcharge=surcharge))
    with_output = _list_price(model, Spent(fresh=tokens, output=MILLION, surcharge=surcharge))
    if fresh is None or with_output is None:
        return None
    others = [Spent(written=tokens, surcharge=surcharge), Spent(read=tokens, surcharge=surcharge)]
    if long_cache:
        others.append(Spent(long_writes=tokens, surcharge=surcharge))
    base = max(fresh, *(_list_price(model, other) or 0.0 for other in others))
    return Tariff(base, (with_output - fresh) / MILLION)


def _list_price(model: str, spent: Spent) -> float | None:
    import genai_prices  # the list of all prices: 0.1 s and 10 MB that no start waits for

    usage = {
        "input_tokens": spent.fresh,
        "cache_creation_input_tokens": spent.written + spent.long_writes,
        "cache_creation": {
            "ephemeral_5m_input_tokens": spent.written,
            "ephemeral_1h_input_tokens": spent.long_writes,
        },
        "cache_read_input_tokens": spent.read,
        "output_tokens": spent.output,
        "server_tool_use": {"web_search_requests": spent.searches},
    }
    try:
        found = genai_prices.extract_usage({"model": model, "usage": usage}, provider_id=PROVIDER)
        return float(found.calc_price().total_price) * spent.surcharge
    except (LookupError, ValueError):
        return None


@cache
def _dearest_models() -> tuple[str, ...]:
    """Give the models that are the dearest of all by one kind of tokens at least."""
    names = tuple(_names())
    kinds = (
        kind
        for tokens in (1000, MILLION)  # long prompts may cost more by the token
        for kind in (Spent(fresh=tokens), Spent(written=tokens), Spent(long_writes=tokens),
                     Spent(read=tokens), Spent(fresh=tokens, output=tokens))
    )  # fmt: skip
    return tuple({max(names, key=lambda name: _list_price(name, kind) or 0.0) for kind in kinds})


def _names() -> Iterator[str]:
    from genai_prices.data_snapshot import get_snapshot

    for provider in get_snapshot().providers:
        if provider.id == PROVIDER:
            yield from (model.id for model in provider.models)


def _surcharge(place: object) -> float:
    return PLACE_SURCHARGE if isinstance(place, str) and place not in ANYWHERE else 1.0


def _fields(reported: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = reported.get(name)
    return value if isinstance(value, dict) else {}


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(max(value, 0), MOST_TOKENS)
