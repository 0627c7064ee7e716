"""Which registries this machine uses: asked of pip and npm, so that a company's mirror counts.

Whoever set this machine up told them about a mirror, with its credentials if need be. These never
leave the service.
"""

import asyncio
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import quote, unquote, urlsplit

import structlog

from codebot.gateway.registries.table import PYTHON_INDEX
from codebot.sandbox.held_folder import held_folder

log = structlog.get_logger(__name__)

_ASK_SECONDS = 30
_CONFIGURED = re.compile(
    r"^(?P<scope>:env:|install|global)\.index-url='(?P<url>[^']+)'$", re.MULTILINE
)
_SCOPES = (":env:", "install", "global")
"""Strongest first: https://pip.pypa.io/en/stable/topics/configuration/#precedence-override-order"""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry: its address, without credentials and last slash, and who we are there."""

    url: str
    credentials: tuple[str, str] | None = None

    @property
    def host(self) -> str:
        """The host alone."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, named or not."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def path(self) -> str:
        """The path that all of its addresses begin with, "" mostly."""
        return urlsplit(self.url).path

    @property
    def with_credentials(self) -> str:
        """The address with who we are in it, for a program that is to ask for itself."""
        if self.credentials is None:
            return self.url
        parts = urlsplit(self.url)
        user, password = (quote(each, safe="") for each in self.credentials)
        return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


def read_registry(url: str) -> Registry | None:
    """Read an address; None when it is none of http(s), as a folder of wheels is.

    >>> read_registry("https://me%40corp:pw@mirror.example/simple/")
    Registry(url='https://mirror.example/simple', credentials=('me@corp', 'pw'))
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    known = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Registry(bare.geturl().rstrip("/"), known)


async def ask_pip() -> Registry | None:
    """Give the Python index that pip on this machine uses, None when it cannot be told.

    Nothing is asked where there is no pip, and a pip that was told nothing uses the public index:
    its own word for that costs a start of the service half a second of CPU time.
    """
    public = Registry(f"https://{PYTHON_INDEX.host}/simple")
    if find_spec("pip") is None:
        return public
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    configured = await _ask(*pip, "config", "list")
    if configured is None:
        return None
    found = {match["scope"]: match["url"] for match in _CONFIGURED.finditer(configured)}
    for scope in _SCOPES:
        if scope in found:
            return read_registry(found[scope])
    return public


async def ask_npm(path: str) -> Registry | None:
    """Give the registry that the npm on this PATH uses, None without npm.

    npm begins a cache with a log in it whatever it is asked: not in this user's HOME.
    """
    npm = shutil.which("npm", path=path)
    if npm is None:
        return None
    with held_folder("codebot-npm-") as cache:
        said = await _ask(npm, "config", "get", "registry", "--cache", str(cache))
    return read_registry((said or "").strip())


async def _ask(*argv: str) -> str | None:
    """Give what a program prints; None when it fails. It reads the environment of the service."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        log.warning("registry.unknown", program=argv[0], error=type(error).__name__)
        return None
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        log.warning("registry.unknown", program=argv[0], error="TimeoutError")
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(errors="replace") if process.returncode == 0 else None
