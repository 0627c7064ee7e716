"""`make bench`: what Codebot promises about its speed, measured beside what it is compared with.

Figures that depend on the machine are ratios within one run: the two sides take turns on the same
cores, three rounds each, and the median counts. A missed figure is told; it is not an error.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

sys.path.insert(0, str(ROOT / "tests"))  # the fake GitHub and the service's runner live there
