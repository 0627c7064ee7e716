"""Tries at every start whether boxes hold on this machine, and says how to mend it if not."""

import json
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from codebot.domain.box import PROXY_PORT, BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Finding, Sandbox
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.held_folder import held_folder

PROBE = files("codebot.sandbox").joinpath("canary_probe.py").read_bytes()
TIME_LIMIT = timedelta(seconds=20)

SWITCHES = (
    (
        "user/max_user_namespaces",
        "0",
        "User namespaces are switched off: sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "Only root may make user namespaces: sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor keeps user namespaces from programs without a profile: install one for"
            " /usr/bin/bwrap with `userns,` (docs/howto/troubleshooting.md has it), or"
            " sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        ),
    ),
)
"""Settings of the kernel that stand in the way of every sandbox, and how each is changed."""

OTHERWISE = (
    "In a container, let it make user namespaces (Docker: --security-opt seccomp=unconfined"
    " --security-opt apparmor=unconfined --security-opt systempaths=unconfined)."
    " In a chroot nobody can make one: start outside of it, or in a container."
    " CODEBOT_SANDBOX=none works without isolation, for repositories and people you trust."
)


@dataclass(frozen=True, slots=True)
class Place:
    """What the trial needs on this machine: a workspace, a secret, and a service to reach."""

    workspace: Path
    home: Path
    secret: Path
    port: int


async def try_box(sandbox: Sandbox, *, user: str, mark: str) -> Finding:
    """Give what a trial of the sandbox shows; `user` tells who a box runs as.

    `mark` names the trial's folder: one that a crash left behind is removed by the next trial, one
    that is still in use by another process is not.
    """
    try:
        with _place(mark) as place:
            told = await _run_probe(sandbox, place)
            kept = place.workspace.joinpath("held").exists()
    except (SandboxError, FileNotFoundError) as exc:
        detail = exc.detail if isinstance(exc, SandboxError) else str(exc)
        return _failed(detail)
    escapes = [name for name, did in told["escaped"].items() if did]
    lacking = [name for name, did in told["works"].items() if not did]
    if escapes:
        return _failed(f"A box could {', '.join(escapes)}.")
    if lacking or not kept:
        return _failed(f"A box could not {', '.join(lacking) or 'keep what it wrote'}.")
    detail = f"bubblewrap held {len(told['escaped'])} attempts to get out, {user}."
    return Finding("sandbox", ok=True, detail=detail)


async def _run_probe(sandbox: Sandbox, place: Place) -> Mapping[str, Mapping[str, bool]]:
    ports = (str(place.port), str(PROXY_PORT))
    spec = BoxSpec(
        task_id=TaskId("check"),
        argv=("python3", "-ISs", "-", str(place.secret), *ports),
        workspace=place.workspace,
        home=place.home,
        network=Network.REGISTRIES,
        timeout=TIME_LIMIT,
        stdin=PROBE,
    )
    box = await sandbox.start(spec)
    said = b"".join([line async for line in box.stdout()])
    ended = await box.wait()
    try:
        told: Mapping[str, Mapping[str, bool]] = json.loads(said)
    except ValueError:
        words = box.stderr_tail().strip() or f"exit code {ended.code}"
        raise SandboxError(f"A trial of the box failed: {words}") from None
    if ended != Exit(ExitReason.EXITED, 0):
        raise SandboxError(f"A trial of the box ended with {ended}.")
    return told


def _failed(detail: str) -> Finding:
    remedies = [text for name, bad, text in SWITCHES if _kernel_setting(name) == bad]
    remedy = " ".join([*remedies, OTHERWISE])
    return Finding("sandbox", ok=False, detail=detail, remedy=remedy)


def _kernel_setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


@contextmanager
def _place(mark: str) -> Iterator[Place]:
    try:
        with (
            held_folder(f"codebot-check-{mark}-") as top,
            socket.create_server(("127.0.0.1", 0)) as listener,
        ):
            for name in ("tree", "home"):
                (top / name).mkdir(mode=0o700)
            secret = top / "secret"
            secret.write_text("not for boxes")
            yield Place(top / "tree", top / "home", secret, listener.getsockname()[1])
    except OSError as exc:
        place = exc.filename or tempfile.gettempdir()
        raise SandboxError(f"{place} cannot be used: {exc.strerror}.") from exc
