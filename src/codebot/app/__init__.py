"""The composition root: settings in, wired objects out. The only package that knows them all.

`parts.py` wires what works on tasks, of what the modules named after its subjects make; `serve.py`
puts HTTP before it, `worker.py` does what others take in, `run.py` does one task without a server,
`checks.py` only asks. Nothing is imported here: a command waits for what it needs alone.
"""
