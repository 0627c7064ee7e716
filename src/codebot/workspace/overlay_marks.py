"""Marks by which overlays hide what lies below: nothing that is laid below a tree may bear any.

An overlay that an ordinary user mounts keeps its marks in attributes that every program can set:
a folder with `user.overlay.opaque` takes the commit's own files out of an agent's workspace, and
their removal would be the agent's change.
https://docs.kernel.org/filesystems/overlayfs.html#user-xattr
"""

import errno
import os
from pathlib import Path

MARKS = "user.overlay."


def hides_what_is_below(top: Path) -> bool:
    """Say whether a folder or one in it has such a mark, or cannot be looked at.

    Links are not followed; nothing may change in there meanwhile.
    """
    left = [str(top)]
    while left:
        folder = left.pop()
        try:
            if _has_mark(folder):
                return True
            with os.scandir(folder) as entries:
                left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return True
    return False


def _has_mark(folder: str) -> bool:
    try:
        names = os.listxattr(folder, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return False
        raise
    return any(name.startswith(MARKS) for name in names)
