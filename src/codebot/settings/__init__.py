"""What the operator decides: one frozen `Settings`, read from flags, environment and `.env`.

This package is the only reader of the environment. `table.py` is the list of every setting,
`parse.py` reads one value, `load.py` puts them together and finds every problem at once.
"""

import os
from collections.abc import Mapping

from codebot.settings.load import Reading, load_settings, read_settings
from codebot.settings.model import Command, GitHubApp, GitHubSettings, Settings
from codebot.settings.reference import settings_reference
from codebot.settings.table import SETTINGS, Setting

__all__ = [
    "SETTINGS",
    "Command",
    "GitHubApp",
    "GitHubSettings",
    "Reading",
    "Setting",
    "Settings",
    "environment",
    "load_settings",
    "read_settings",
    "settings_reference",
]


def environment() -> Mapping[str, str]:
    """Give the environment of this process, for the command line to read settings from."""
    return os.environ  # noqa: TID251 - the one place
