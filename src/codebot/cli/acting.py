"""`codebot cancel` and `codebot retry`: what is asked of a running service about a task."""

import os

from codebot.cli.call import DONE, Call, read
from codebot.settings import Command, Settings


def cancel(call: Call) -> int:
    """Have a task end."""
    return _act(call, "cancel")


def retry(call: Call) -> int:
    """Have a task that failed worked on once more."""
    return _act(call, "retry")


def _act(call: Call, action: str) -> int:
    from codebot.client.service import ServiceClient

    settings = read(call, Command.CALL).checked()
    task_id = os.fsencode(call.arguments.task).decode(errors="replace")
    words = ServiceClient(_address(settings), settings.api_keys).act(task_id, action)
    print(call.redactor(f"{words}."))
    return DONE


def _address(settings: Settings) -> str:
    """Say where the service of these settings is reached from its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
