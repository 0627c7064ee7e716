"""A dependency of the demo's project, and the lock file that uv makes for it."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from uv import find_uv_bin

from codebot.gateway.registries.upstreams import ask_pip

_LONGEST_LOCK = 30
_UV = {
    "UV_HTTP_RETRIES": "0",
    "UV_HTTP_TIMEOUT": "10",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_SYSTEM_CERTS": "true",
}
"""A registry that does not answer at once is none for a demo. Whom this system trusts, uv trusts:
a company's mirror shows a certificate of the company's own."""


def lock_project(project: Path, files: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Let the project have `files` and what uv locks for them; False, and neither, if it cannot."""
    write_files(project, files)
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(  # noqa: S603 - the uv that Codebot brings along
            (find_uv_bin(), "lock", "--quiet", "--no-cache", "--python", sys.executable),
            cwd=project,
            env={**_index(environ), **environ, **_UV},
            check=True,
            timeout=_LONGEST_LOCK,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return True
    for name in (*files, "uv.lock"):
        (project / name).unlink(missing_ok=True)
    return False


def _index(environ: Mapping[str, str]) -> dict[str, str]:
    """Give uv the index that pip was told of, unless uv was told itself."""
    if environ.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        return {}
    found = asyncio.run(ask_pip())
    return {} if found is None else {"UV_DEFAULT_INDEX": found.with_credentials}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files of these names and texts."""
    for name, text in files.items():
        (folder / name).write_text(text)
