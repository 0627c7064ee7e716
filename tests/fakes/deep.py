"""Folders in folders, deeper than any path can name and than Python can walk."""

import os
from pathlib import Path


def make_deep(folder: Path, levels: int) -> None:
    """Make a folder with so many below it, each in the one before."""
    folder.mkdir(parents=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
