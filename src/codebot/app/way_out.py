"""The way out of boxes, wired: hosts that were named, registries, and what is kept of these."""

from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from pathlib import Path

from starlette.types import ASGIApp

from codebot.domain.egress import Access
from codebot.domain.task import TaskId
from codebot.gateway.egress.dial import Dialler, resolve
from codebot.gateway.egress.policy import AllowList
from codebot.gateway.egress.service import BoxEgress
from codebot.gateway.registries.authority import open_authority
from codebot.gateway.registries.cache import Cache
from codebot.gateway.registries.fetch import Fetcher, Gate
from codebot.gateway.registries.library import Library
from codebot.gateway.registries.trust import trust_files
from codebot.gateway.registries.upstreams import ask_npm, ask_pip
from codebot.network.client import trust_in
from codebot.settings import Settings
from codebot.settings.proxy import proxy_for
from codebot.store.store import utc_now
from codebot.workspace.shelf import Kept

MEBIBYTE = 1024**2


def open_way_out(
    settings: Settings, model: Callable[[TaskId], ASGIApp], record: Callable[[TaskId, Access], None]
) -> BoxEgress:
    """Give the way out of boxes; registries are asked for when a box first needs one."""
    proxy_of = partial(proxy_for, proxies=settings.proxies)
    private = tuple(map(ip_network, settings.egress_private))
    gate = Gate(resolve, private)
    return BoxEgress(
        model=model,
        record=record,
        allowed=AllowList(frozenset(settings.egress)),
        dialler=Dialler(proxy_of, private=private, trust=trust_in(settings.certificate_file)),
        library=_library(settings, Fetcher(proxy_of, gate, settings.certificate_file)),
        open_authority=partial(open_authority, authority_file(settings), utc_now),
        trusted=partial(trust_files, company=settings.certificate_file),
    )


def authority_file(settings: Settings) -> Path:
    """Give where the authority that boxes trust is kept, with its key."""
    return settings.data_dir / "registries" / "authority.pem"


def _library(settings: Settings, fetcher: Fetcher) -> Library:
    """Give what reads the registries, with the cache for all tasks."""
    return Library(
        ask_pip=ask_pip,
        ask_npm=partial(ask_npm, settings.path),
        names=[name for name in settings.registries if "://" not in name],
        further=[name for name in settings.registries if "://" in name],
        fetcher=fetcher,
        cache=_answers(settings),
    )


def _answers(settings: Settings) -> Cache:
    """Give what is kept of registries: a folder, which all processes of the service share."""
    return Cache(settings.data_dir / "registries" / "cache", settings.cache_mb * MEBIBYTE)


def kept_answers(settings: Settings) -> list[Kept]:
    """Give the answers of registries as what could be removed for room."""
    cache = _answers(settings)
    return [
        Kept(path.name, size, used_at, partial(cache.forget, path))
        for used_at, size, path in cache.listed()
    ]
