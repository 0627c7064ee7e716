"""The composition root: settings in, wired objects out. The only package that knows them all.

`parts.py` wires what works on tasks, of what the modules named after its subjects make; `serve.py`
puts HTTP before it, `run.py` does one task without a server, `checks.py` only asks.
"""

from codebot.app.checks import check_parts
from codebot.app.rehearse import rehearse_repository
from codebot.app.run import run_task
from codebot.app.serve import serve

__all__ = ["check_parts", "rehearse_repository", "run_task", "serve"]
