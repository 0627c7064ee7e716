"""`codebot egress`, `codebot environments`, `codebot backup`: what is on record, and kept."""

import os
from pathlib import Path

from codebot.cli.call import DONE, Call, read
from codebot.domain.task import TaskId
from codebot.settings import Command


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
