"""Boxes of bubblewrap: namespaces, an allow-list of paths, no network but the way handed over.

Every command that touches a workspace runs in one of these. It sees a system of its own: what is
named in `arguments.py`, and nothing else of the host. It has no capability, cannot get one, and
ends with everything it started.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import structlog

from codebot.domain.box import (
    HOST_ADDRESS,
    HOSTNAME,
    BoxLimits,
    BoxPaths,
    BoxSpec,
    Network,
    Outfit,
)
from codebot.domain.ports import Box, Egress, Finding
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox import arguments
from codebot.sandbox.arguments import SHIM, Part, Shown, View, box_parts, can_cover
from codebot.sandbox.cgroup import Cgroups, Group
from codebot.sandbox.disk import FEWEST_FILES, has_room
from codebot.sandbox.fork_server import ForkServer, Order
from codebot.sandbox.guarded import Guard
from codebot.sandbox.identity import box_user
from codebot.sandbox.limiting import OOM_SCORE, limiting_words, limits_in_force, niceness_of
from codebot.sandbox.marks import MARK, mark_of, reap_marked, short_mark
from codebot.sandbox.namespace import PidNamespace
from codebot.sandbox.opening import Containment, Opening
from codebot.sandbox.own_network import can_open_network, names_finding
from codebot.sandbox.program import STANDARD_PATH, Bubblewrap
from codebot.sandbox.running import RunningBox
from codebot.sandbox.seccomp import seccomp_program
from codebot.sandbox.spawn import Spawned, file_in_memory, streams
from codebot.sandbox.staging import Staging
from codebot.sandbox.surroundings import FILES, HOME, WORKSPACE, variables
from codebot.sandbox.uppers import Uppers, uppers_of
from codebot.sandbox.watch import Watch

log = structlog.get_logger(__name__)

PYTHON = Path("/usr/bin/python3")
SHIM_SOURCE = files("codebot.sandbox").joinpath("shim.py").read_bytes()
STAGE = "/tmp"  # noqa: S108 - as the launcher has it, in a mount namespace of its own
HOSTS = (
    "127.0.0.1 localhost\n"
    "::1 localhost ip6-localhost ip6-loopback\n"
    f"::1 {HOSTNAME}\n{HOST_ADDRESS} {HOSTNAME}\n"
)


class BubblewrapSandbox:
    """Starts commands in boxes. One for each service: it watches the limits of all its boxes."""

    name = "bubblewrap"
    paths_are_fixed = True

    def __init__(
        self,
        program: Bubblewrap,
        *,
        path: str,
        mark: str,
        egress: Egress,
        limits: BoxLimits = BoxLimits(),  # noqa: B008 - frozen
        read_only: Sequence[Path] = (),
        tools: Mapping[str, Path] = MappingProxyType({}),
        cgroups: Cgroups | None = None,
        user_of: Callable[[TaskId], int | None] = box_user,
        parts: Callable[[View], list[Part]] = box_parts,
    ) -> None:
        """Show `read_only` to every box; give commands what of `path` they can see as PATH.

        `tools` are programs that every box finds last on PATH, whatever the machine has.

        `mark` must be the same after a restart. `user_of` names the user that boxes of a task
        drop to, and `parts` builds bwrap's arguments.
        """
        self._program = program
        self._read_only = tuple(read_only)
        self._path = _visible(path, self._read_only)
        self._tools = {name: path.resolve() for name, path in tools.items()}
        self._mark = mark
        self._egress = egress
        self._limits = limits
        self._cgroups = cgroups
        self._user_of = user_of
        self._parts = parts
        self._filter = seccomp_program(os.uname().machine)
        self._trial: asyncio.Future[bool] | None = None
        self._guard = Guard()
        self._forks = ForkServer()
        self._watch = Watch(limits, str(program.program), self._guard)

    async def check(self) -> Sequence[Finding]:
        """Try in a box what boxes must not be able to do."""
        from codebot.sandbox.canary import try_box

        user = "as this user" if self._user_of(TaskId("")) is None else "as one user for each task"
        tried = await try_box(self, user=user, mark=short_mark(self._mark))
        network = names_finding(opened=await self._opens_network())
        return [tried, limits_in_force(self._limits, self._cgroups), network]

    def paths(self, workspace: Path, home: Path) -> BoxPaths:
        """Give the places that are the same in every box."""
        del workspace, home
        return BoxPaths(WORKSPACE, HOME)

    def has(self, program: str) -> bool:
        """Say whether commands find a program of this name on their PATH."""
        return self.find(program) is not None

    def find(self, program: str) -> Path | None:
        """Give the program of this name that commands find on their PATH, None where none is."""
        found = shutil.which(program, path=self._path)
        return self._tools.get(program) if found is None else Path(found)

    def has_room(self, folder: Path) -> bool:
        """Say whether boxes may write there: where they may not, the largest one is ended."""
        return has_room(folder, space=self._limits.free_disk, files=FEWEST_FILES)

    async def start(self, spec: BoxSpec) -> Box:
        """Start the command; raises `SandboxError`, or `FileNotFoundError` for its program."""
        _require_folders(spec)
        self._require_program(spec)
        with ExitStack() as undo:
            group = self._cgroups.open(self._limits) if self._cgroups else None
            if group is not None:
                undo.callback(group.remove)
            uppers = Uppers(uppers_of(spec))
            undo.callback(uppers.release)
            opening = Opening(spec.network)
            undo.callback(opening.close)
            has_network = opening.has_channel and await self._opens_network()
            outfit = await self._outfit(spec.network)
            spawned = self._spawn(spec, opening, group, outfit, has_network=has_network)
            first = await opening.first_pid(spawned)
            undo.pop_all()
        cage = Containment(
            PidNamespace(spawned.process.pid, first),
            spec,
            egress=self._egress,
            channel=opening.channel(),
            group=group,
            uppers=uppers,
        )
        box = RunningBox(spec, spawned, cage)
        self._watch.add(box, first, spec)
        return box

    async def reap(self, task_id: TaskId | None = None) -> int:
        """End what a crash left running, of one task or of all; say how many processes."""
        ended = await reap_marked(self._mark, task_id)
        if self._cgroups is not None and task_id is None:
            self._cgroups.reap()
        return ended

    async def _outfit(self, network: Network) -> Outfit:
        return Outfit() if network is Network.NONE else await self._egress.outfit(network)

    async def _opens_network(self) -> bool:
        """Say whether the launcher makes the network of a box; tried once."""
        if self._trial is None:
            trial = can_open_network(self._forks, self._guard.environment)
            self._trial = asyncio.ensure_future(trial)
        return await asyncio.shield(self._trial)

    def _spawn(
        self,
        spec: BoxSpec,
        opening: Opening,
        group: Group | None,
        outfit: Outfit,
        *,
        has_network: bool,
    ) -> Spawned:
        """Begin bwrap, as another user where this is root, with all it is told in memory."""
        with ExitStack() as stack:

            def keep(content: bytes) -> int:
                return stack.enter_context(file_in_memory(content))

            contents = {path: text.encode() for path, text in FILES.items()}
            contents["/etc/hosts"] = (HOSTS + _hosts_lines(outfit)).encode()
            if opening.has_channel:
                contents[SHIM] = SHIM_SOURCE
            held = {path: keep(content) for path, content in contents.items()}
            covers = {path: keep(outfit.files[path]) for path in filter(can_cover, outfit.files)}
            filter_ = keep(self._filter)
            uid = self._user_of(spec.task_id)
            staged = Staging(self._program, uid, layered=bool(uppers_of(spec)))
            view = replace(
                self._view(spec, staged, held, filter_, outfit),
                covers=covers,
                has_network=has_network,
            )
            told = [*arguments.words(self._parts(view)), "--info-fd", str(opening.info)]
            args = keep("\0".join(told).encode(errors="surrogateescape") + b"\0")
            inside = (*opening.shim(_python()), *spec.argv)
            argv = [*self._limiting(spec, uid), staged.program, "--args", str(args), "--", *inside]
            descriptors = [*held.values(), *covers.values(), filter_, args, *opening.descriptors]
            # By these it is found should it be left with its work half done.
            env = {MARK: mark_of(self._mark, spec.task_id), **self._guard.environment}
            order = Order(
                *(argv, env, uid),
                network=has_network,
                mounts=staged.mounts,
                niceness=niceness_of(spec),
                oom_score=OOM_SCORE,
                group=None if group is None else group.door,
            )
            return self._begin(order, keep(spec.stdin), descriptors)

    def _begin(self, order: Order, stdin: int, descriptors: Sequence[int]) -> Spawned:
        """Let the launcher fork; descriptors keep their numbers, which bwrap was told."""
        try:
            with streams() as ends:
                given = {each: each for each in descriptors}
                given |= {0: stdin, 1: ends.out_writer, 2: ends.err_writer}
                env = self._guard.environment
                return ends.of(self._forks.fork(order, given, env=env))
        except OSError as error:
            raise SandboxError(f"No process can be made for a box: {error}.") from error

    def _view(
        self,
        spec: BoxSpec,
        staged: Staging,
        held: Mapping[str, int],
        filter_: int,
        outfit: Outfit,
    ) -> View:
        shown = dict.fromkeys((*self._read_only, *_python_needs(), *spec.read_only))
        return View(
            workspace=staged.over(spec.layers, spec.workspace),
            home=staged.over(spec.home_layers, spec.home),
            shown=(
                *(
                    Shown(staged.at(path, writable=False), str(path))
                    for path in shown
                    if not path.is_relative_to("/usr")
                ),
                *(
                    Shown(staged.at(path, writable=False), f"{arguments.TOOLS}/{name}")
                    for name, path in self._tools.items()
                ),
            ),
            python=str(_python()),
            env={
                **variables(path=":".join((*spec.path, self._path, arguments.TOOLS)), home=HOME),
                "HOSTNAME": HOSTNAME,
                MARK: mark_of(self._mark, spec.task_id),
                **outfit.env,
                **spec.env,
            },
            files=held,
            filter=filter_,
            tmp_bytes=max(self._limits.memory // 4, 64 * 1024**2),
        )

    def _limiting(self, spec: BoxSpec, uid: int | None) -> list[str]:
        """Give what sets the limits that the kernel keeps for each process or user."""
        return limiting_words(self._limits, spec, own_user=uid is None)

    def _require_program(self, spec: BoxSpec) -> None:
        """Raise `FileNotFoundError` for a program that no box could see."""
        program = spec.argv[0]
        if program.startswith("/"):
            found = os.path.lexists(program)
            if found and not os.access(program, os.X_OK):
                raise SandboxError(f"{program} cannot be started: it is not executable.")
        else:
            found = "/" in program or shutil.which(program, path=self._path) is not None
        if not found:
            raise FileNotFoundError(2, "No such program in a box", program)


def _require_folders(spec: BoxSpec) -> None:
    for folder in (spec.workspace, spec.home, *spec.layers, *spec.home_layers):
        if not folder.is_dir():
            raise SandboxError(
                f"{spec.argv[0]} cannot be started: {folder}: No such file or directory."
            )


def _visible(path: str, shown: Sequence[Path]) -> str:
    """Give the folders of a PATH that a box can see, what is shown of programs, and every system's.

    Who names a toolchain wants its programs found: of rustup's, PATH has only what points at them.

    >>> _visible("/opt/go/bin:/home/me/bin:/usr/bin", [Path("/opt/go")])
    '/opt/go/bin:/usr/bin:/usr/local/bin:/bin'
    """
    folders = [Path(entry) for entry in path.split(":") if entry.startswith("/")]
    seen = [str(one) for one in folders if any(map(one.is_relative_to, (*shown, Path("/usr"))))]
    named = [str(folder / "bin") for folder in shown if (folder / "bin").is_dir()]
    return ":".join(dict.fromkeys([*seen, *named, *STANDARD_PATH.split(":")]))


def _hosts_lines(outfit: Outfit) -> str:
    """Give what the hosts file says of names that mean the box itself, one a line."""
    return "".join(f"127.0.0.1 {name}\n" for name in outfit.hosts)


def _python() -> Path:
    """Give the Python that runs the shim in a box: the system's, else this service's own."""
    return PYTHON if PYTHON.exists() else Path(sys.base_prefix) / "bin" / "python3"


def _python_needs() -> tuple[Path, ...]:
    return () if PYTHON.exists() else (Path(sys.base_prefix),)
