"""`codebot egress`, `environments`, `backup`, `migrate`: what is on record, and kept."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codebot.cli.call import DONE, Call, read
from codebot.domain.task import TaskId
from codebot.settings import Command

if TYPE_CHECKING:
    from codebot.store.postgres.migrating import Plan


def egress(call: Call) -> int:
    """Show what is on record; a service may run on the same store meanwhile, or none."""
    import asyncio

    from codebot.intake.accesses import access_json, access_table
    from codebot.store.egress import read_egress

    settings = read(call, Command.RUN).checked()
    task_id = TaskId(os.fsencode(call.arguments.task).decode(errors="replace"))
    database = settings.database
    place = database if isinstance(database, Path) else database.reveal()
    totals = asyncio.run(read_egress(place, task_id))
    print(call.redactor(access_json(totals) if call.arguments.json else access_table(totals)))
    return DONE


def environments(call: Call) -> int:
    """List or remove what is kept; a service may run meanwhile: what a task stands on stays."""
    from codebot.app import environments as kept

    settings, told = read(call, Command.RUN).checked(), call.arguments
    if told.what == "remove":
        print(call.redactor(kept.remove_environments(settings, told.names, every=told.all)))
    elif told.json:
        print(call.redactor(kept.environments_json(settings)))
    else:
        print(call.redactor(kept.environments_table(settings)))
    return DONE


def backup(call: Call) -> int:
    """Copy the database to a file, whether a service runs or not, and say what came of it."""
    import time

    from codebot.errors import ConfigError
    from codebot.store.sqlite.backup import back_up

    database = read(call, Command.RUN).checked().database
    if not isinstance(database, Path):
        raise ConfigError(
            ("CODEBOT_DATABASE_URL names a PostgreSQL database: back it up with pg_dump.",)
        )
    began = time.monotonic()
    made = back_up(database, call.arguments.file)
    size, seconds = made.size / (1 << 20), time.monotonic() - began
    words = f"{made.file}: {made.tasks} tasks, {size:.1f} MiB, in {seconds:.1f} seconds."
    print(call.redactor(words))
    return DONE


def migrate(call: Call) -> int:
    """Bring a database that nodes share to this version, a step at a time; say what was done."""
    settings = read(call, Command.RUN).checked()
    if isinstance(settings.database, Path):
        print("Nothing to do: a SQLite database is brought up to date by the next start.")
        return DONE
    import asyncio

    from codebot.store.postgres import migrating

    url = (settings.database_direct or settings.database).reveal()
    if call.arguments.plan:
        words = _planned(asyncio.run(migrating.plan_migration(url)))
    elif call.arguments.pre:
        words = _added(asyncio.run(migrating.migrate_before(url)))
    else:
        words = _taken_away(asyncio.run(migrating.migrate_after(url)))
    print(call.redactor(words))
    return DONE


def _planned(plan: "Plan") -> str:
    if plan.revision is None and not plan.after:
        return (
            f"{plan.database} has no tables yet. The first start, or --pre, makes all of them, in"
            f" {len(plan.before)} steps."
        )
    stands = "has no tables yet" if plan.revision is None else f"is at revision {plan.revision}"
    return "\n".join(
        [
            f"{plan.database} {stands}.",
            f"--pre adds, before the first node of this version starts: {_listed(plan.before)}",
            f"--post takes away, once every node is of this version: {_listed(plan.after)}",
        ]
    )


def _added(plan: "Plan") -> str:
    if not plan.before:
        return f"{plan.database} has all that this version needs."
    if plan.revision is None:
        return f"{plan.database}: made all tables, in {len(plan.before)} steps."
    left = " Run `codebot migrate --post` once every node is of this version." if plan.after else ""
    return (
        f"{plan.database}: added {_listed(plan.before)}. Nodes of the version before that run go"
        f" on; none of them can start any more.{left}"
    )


def _taken_away(plan: "Plan") -> str:
    if not plan.after:
        return f"{plan.database}: there is nothing to take away."
    return f"{plan.database}: done {_listed(plan.after)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
