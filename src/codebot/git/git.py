"""Git as a subprocess: complete, 5 to 15 ms a call, and the first to get security fixes."""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from codebot.domain.effect import Permit
from codebot.domain.repository import RemoteAccess
from codebot.errors import ConfigError, DiskFull, GitFailed
from codebot.git.environment import Setting, environment
from codebot.git.handover import hand_over
from codebot.git.process import Completed, Ending, run_program
from codebot.git.skeleton import Skeletons
from codebot.git.trouble import Trouble, telling_words, trouble_in

log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT = timedelta(seconds=120)
DEFAULT_MAX_OUTPUT = 64 * 1024 * 1024

MOST_MEMORY = 2 * 1024**3
"""Bytes of one git process. Objects of a kilobyte can unfold to any number of files, or to a file
of any size; and the largest history that is known takes less to walk."""
UNBOUNDED = resource.RLIM_INFINITY
"""For what speaks to a forge: that takes in whole repositories, which it has looked at."""

SOON = timedelta(seconds=30)
"""When a network that failed is worth another try."""

_WORDS_KEPT = 4000


@dataclass(frozen=True, slots=True)
class GitResult:
    """What a git command said. `truncated`: it was stopped at the bound of its output."""

    code: int
    stdout: bytes
    stderr: str
    trouble: Trouble | None = None
    truncated: bool = False

    @property
    def text(self) -> str:
        """Give stdout as text, without the white space around it."""
        return self.stdout.decode(errors="replace").strip()

    @property
    def words(self) -> str:
        """Give what git said went wrong, for people; of very much, how it began and ended."""
        return telling_words(self.stderr, _WORDS_KEPT)


class Git:
    """Runs git with an environment built from nothing.

    `home` is an empty folder of the service's own, made when it is missing; raises `ConfigError`
    where it cannot be.
    """

    def __init__(
        self,
        *,
        home: Path,
        certificate_file: Path | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home.absolute()
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(
                (f"{self._home} cannot be made: {exc.strerror}.",),
                hint=f"Let this user write to {self._home.parent}.",
            ) from exc
        self._certificate_file = certificate_file
        self._proxies = dict(proxies or {})
        self._skeletons = Skeletons(self.run, self._home)

    async def init(self, place: Path, *, bare: bool = True, branch: str | None = None) -> None:
        """Make a repository at `place`: its own folder, or the `.git` in a tree.

        It is on `branch`, else on the one that git chooses. Raises `GitFailed`, and `OSError` where
        nothing can be written.
        """
        await self._skeletons.make(place, bare=bare, branch=branch)

    async def run(
        self,
        *args: str,
        cwd: Path | None = None,
        work_tree: Path | None = None,
        access: RemoteAccess | None = None,
        stdin: bytes | BinaryIO = b"",
        settings: Sequence[Setting] = (),
        timeout: timedelta = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - running out of time is a result
        max_output: int = DEFAULT_MAX_OUTPUT,
        check: bool = True,
    ) -> GitResult:
        """Run one git command; raises `GitFailed` when it fails, unless `check` is off.

        `cwd` is a trusted bare repository, never a tree that an agent touched; without it, the
        command knows no repository. `work_tree` is for a tree that is being filled, and that no
        agent has seen. `settings` are git's, on top of those of every call. The
        network is reachable for the URL of `access` only. A command that ran out of time is
        killed with its children: `Trouble.TIMED_OUT`. A full disk is always `DiskFull`.
        """
        if _verb(args) == "push" and "--dry-run" not in args:
            raise TypeError("A push goes through `push`, which asks for a permit.")
        return await self._finish(
            args, (cwd, work_tree), access, stdin, settings, timeout, max_output, check=check
        )

    async def push(
        self,
        permit: Permit,
        *args: str,
        cwd: Path,
        access: RemoteAccess,
        timeout: timedelta,  # noqa: ASYNC109 - as above
    ) -> GitResult:
        """Run `git push` with these arguments, and say what became of it, whatever that is."""
        del permit
        return await self._finish(
            ("push", *args), (cwd, None), access, b"", (), timeout, DEFAULT_MAX_OUTPUT, check=False
        )

    async def _finish(
        self,
        args: tuple[str, ...],
        where: tuple[Path | None, Path | None],
        access: RemoteAccess | None,
        stdin: bytes | BinaryIO,
        settings: Sequence[Setting],
        timeout: timedelta,  # noqa: ASYNC109 - as above
        max_output: int,
        *,
        check: bool,
    ) -> GitResult:
        started = time.monotonic()
        completed = await self._run(args, where, access, stdin, settings, timeout, max_output)
        result = _read(completed, access)
        elapsed = round((time.monotonic() - started) * 1000)
        log.debug("git.ran", command=_verb(args), code=result.code, ms=elapsed)
        if result.trouble is Trouble.DISK_FULL:
            raise DiskFull(where[1] or where[0] or args[-1])  # where it makes a repository
        if check and (result.code != 0 or result.truncated):
            raise _failure(args, result, timeout)
        return result

    async def _run(
        self,
        args: tuple[str, ...],
        where: tuple[Path | None, Path | None],
        access: RemoteAccess | None,
        stdin: bytes | BinaryIO,
        settings: Sequence[Setting],
        time_limit: timedelta,
        max_output: int,
    ) -> Completed:
        cwd, work_tree = where
        with hand_over(access) as handover:
            env = environment(
                self._home,
                settings=[*settings, *handover.settings],
                access=access,
                certificate_file=self._certificate_file,
                proxies=self._proxies,
            )
            env.update(handover.variables)
            if cwd is not None:
                env["GIT_DIR"] = str(cwd)  # no search upwards, no other repository
            if work_tree is not None:
                env["GIT_WORK_TREE"] = str(work_tree)
            try:
                return await run_program(
                    ("git", *args),
                    env=env,
                    cwd=work_tree or cwd or self._home,
                    stdin=stdin,
                    descriptors=handover.descriptors,
                    time_limit=time_limit,
                    max_output=max_output,
                    max_memory=MOST_MEMORY if access is None else UNBOUNDED,
                )
            except FileNotFoundError as exc:
                raise GitFailed(f"Git cannot be started: {exc.filename} is not there.") from exc


def _read(completed: Completed, access: RemoteAccess | None) -> GitResult:
    stderr = completed.stderr.decode(errors="replace")
    if access is not None and access.token is not None:
        stderr = stderr.replace(access.token.reveal(), "***")  # a server may say it back to us
    failed = completed.code != 0
    trouble = trouble_in(stderr) if failed else None
    if completed.ending is Ending.TIMED_OUT:
        trouble = Trouble.TIMED_OUT
    truncated = completed.ending is Ending.TOO_MUCH_OUTPUT
    return GitResult(completed.code, completed.stdout, stderr, trouble, truncated)


def _failure(args: tuple[str, ...], result: GitResult, timeout: timedelta) -> GitFailed:
    command = f"git {_verb(args)}"
    if result.trouble is Trouble.TIMED_OUT:
        seconds = round(timeout.total_seconds())
        return GitFailed(f"{command} did not end within {seconds} seconds.", retry_after=SOON)
    if result.truncated:
        return GitFailed(f"{command} gave more output than is read.")
    again = SOON if result.trouble is Trouble.UNREACHABLE else None
    said = result.words or f"exit code {result.code}"
    return GitFailed(f"{command} failed: {said}", retry_after=again)


def _verb(args: tuple[str, ...]) -> str:
    """Give the subcommand: the first argument that is no option of git itself."""
    return next((word for word in args if not word.startswith("-")), "")
