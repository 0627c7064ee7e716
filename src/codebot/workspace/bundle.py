"""The head of a git bundle: which commit it brings, and where its pack begins.

The service takes the pack with `git index-pack --strict`. `git fetch BUNDLE` is no way in: git
2.39 ignores `transfer.fsckObjects` there, and trees with `.git`, `..` or a hostile `.gitmodules`
went through. https://git-scm.com/docs/gitformat-bundle
"""

import re
from typing import BinaryIO

from codebot.errors import ChangeRefused

_LONGEST_LINE = 4096
_MOST_LINES = 1000
_SIGNATURES = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_TIP = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) HEAD\n")
_NO_REF = re.compile(rb"[-@]")


def read_bundle_head(file: BinaryIO) -> str:
    """Give the commit that HEAD has in the bundle; `file` then stands where the pack begins.

    Raises `ChangeRefused` for anything that git does not write with `bundle create - HEAD ^BASE`.
    """
    tips: list[str] = []
    if file.readline(_LONGEST_LINE) in _SIGNATURES:
        for _ in range(_MOST_LINES):
            line = file.readline(_LONGEST_LINE)
            if line == b"\n" and len(tips) == 1:
                return tips[0]
            if tip := _TIP.fullmatch(line):
                tips.append(tip[1].decode())
            elif not _NO_REF.match(line):
                break
    raise ChangeRefused("What came out of the workspace is no bundle of commits.")
