"""Signs in an output that a command could not do its work here at all. Pure.

There is no exit code for it: a shell's 126 and 127 get lost in `make` (2), and a runner that lacks
a module ends like one whose tests fail. So the words of the programs are read, and never believed
alone: the base of the change must have shown the same sign (`verdict.py`).
"""

import re

from codebot.domain.box import Exit, ExitReason
from codebot.sandbox.output import last_words
from codebot.verify.results import Results
from codebot.verify.services import service_in

NOT_EXECUTABLE = 126
NOT_FOUND = 127
USAGE = 4
NO_TESTS = 5
"""Of pytest: https://docs.pytest.org/en/stable/reference/exit-codes.html"""

NEEDS = "it needs {}, which boxes do not have"

_SIGNS: tuple[tuple[str, str], ...] = (
    (r"\b(?:/bin/)?(?:ba|da)?sh: (?:line )?\d*:? ?(?P<what>[\w.+/-]+): (?:command )?not found",
     "the program {what} is not installed where the tests run"),
    (r"sh: (?:line )?\d*:? ?(?:\.: cannot open )?(?P<what>[\w.+/-]+/[\w.+-]+): No such file\b",
     "there is no {what} where the tests run"),
    (r"make(?:\[\d+\])?: (?P<what>[\w.+/-]+): No such file or directory",
     "the program {what} is not installed where the tests run"),
    (r"(?:Failed to spawn: `|Command not found: |Command ')(?P<what>[\w.+-]+)[`']?",
     "the program {what} is not installed where the tests run"),
    (r"env: .(?P<what>[\w.+-]+)(?:\\r)?.: No such file or directory",
     "the program {what} is not installed where the tests run"),
    (r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<what>[a-z][\w+-]*)'$",
     "the program {what} is not installed where the tests run"),
    (r"bundler: command not found: (?P<what>[\w.+-]+)",
     "the program {what} is not installed where the tests run"),
    (r"error: no such command: `(?P<what>[\w.+-]+)`",
     "the program cargo-{what} is not installed where the tests run"),
    (r"error: linker `(?P<what>[\w.+/-]+)` not found",
     "the linker {what} is not installed where the tests run"),
    (r"Error: spawn (?P<what>[\w.+/-]+) ENOENT",
     "the program {what} is not installed where the tests run"),
    (r"(?P<what>[\w.+/-]+): bad interpreter: No such file or directory",
     "the program {what} is not installed where the tests run"),
    (r"(?P<what>JAVA_HOME) (?:environment variable )?is not (?:set|defined)",
     "Java is not installed where the tests run ({what})"),
    (r"A compatible (?P<what>\.NET SDK) was not found", "the {what} that it asks for is not here"),
    (r"toolchain '(?P<what>[\w.-]+)' is not installed", "the Rust toolchain {what} is not here"),
    ((r"(?:InterpreterNotFound: |could not find python interpreter with spec\(s\): )"
     r"(?P<what>[\w.]+)"), "the Python interpreter {what} is not here"),
    (r"cannot load such file -- (?P<what>[\w./-]+) \(LoadError\)",
     "the Ruby library {what} is not installed where the tests run"),
    (r"Can't locate (?P<what>[\w/]+)\.pm in @INC",
     "the Perl module {what} is not installed where the tests run"),
    (r"(?P<what>[\w.+-]+): cannot open shared object file: No such file",
     "the library {what} is not installed where the tests run"),
    (r"fatal error: (?P<what>[\w./+-]+): No such file or directory",
     "the header {what} is not installed where the tests run"),
    (r"Executable doesn't exist at (?P<what>[\w./+-]+)",
     "the browser {what} is not installed where the tests run"),
    (r"(?P<what>[\w.+/-]+): Permission denied\n(?:.*\n){0,5}?make.*Error 12[67]",
     "{what} may not be executed"),
    (r"(?:ModuleNotFoundError|ImportError): No module named '?(?P<what>[\w.]+)",
     "the Python module {what} is not installed where the tests run"),
    (r"No module named (?P<what>[\w.]+)\n?$",
     "the Python module {what} is not installed where the tests run"),
    (r"error: unrecognized arguments: (?P<what>--[\w-]+)",
     "the plugin of pytest that knows {what} is not installed where the tests run"),
    (r"Error(?: \[ERR_\w+\])?: Cannot find (?:module|package) '(?P<what>[@\w./-]+)'",
     "the package {what} is not installed where the tests run"),
    (r"Failed to import module \"(?P<what>[@\w./-]+)\"\. Please ensure it is installed",
     "the package {what} is not installed where the tests run"),
    (r"No such built-in module: (?P<what>node:\w+)", "a Node with {what} is not on this machine"),
    (r"\bnode: bad option: (?P<what>--[\w-]+)", "a Node that knows {what} is not on this machine"),
    (r"^Could not find '(?P<what>[^'\n]*\*[^'\n]*)'$",
     "a Node that finds tests by patterns ({what}) is not on this machine"),
    (r"Unknown file extension \"(?P<what>\.[mc]?ts)\"",
     "a Node that runs {what} files is not on this machine"),
    (r"Codebot does not let this box reach (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
    (r"Codebot cannot fetch that\. (?P<what>[\w.-]+) (?:is not known here|cannot be reached)",
     "the registry {what} cannot be reached from this machine"),
    (r"Could not resolve host: (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
    (r"No interpreter found for (?P<what>Python [\w.<>=, *]+)",
     "{what} is not on this machine"),
    (r"requires rustc (?P<what>[\d.]+) or newer", "it needs rustc {what} or newer"),
    (r"go: go\.mod requires go >= (?P<what>[\d.]+)", "it needs Go {what} or newer"),
    (r"^note: module requires Go (?P<what>[\d.]+)", "it needs Go {what} or newer"),
    (r"make.*\*\*\* \[(?P<what>[^\]\n]+)\] Error 127",
     "a program that make calls ({what}) is not installed where the tests run"),
    (r"make.*\*\*\* \[(?P<what>[^\]\n]+)\] Error 126",
     "a file that make calls ({what}) may not be executed"),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern, re.MULTILINE), words) for pattern, words in _SIGNS)


def why_not_tried(ended: Exit, output: str, results: Results | None, command: str) -> str:
    """Say in half a sentence why the command could not do its work, "" where it seems it could.

    Tests that ran and failed are the proof that it could; else the words of the output tell. Where
    all that ran was well, something else in the command was not: a browser's part, a linter.

    >>> why_not_tried(Exit(ExitReason.EXITED, 2), "make: tox: No such file or directory", None, "")
    'the program tox is not installed where the tests run'
    """
    if ended.reason is not ExitReason.EXITED or ended.code == 0:
        return ""
    if results is not None and results.has_run and results.bad:
        return ""
    told = _first_sign(output)
    if told:
        return told
    if ended.code == NOT_FOUND:
        return f"a program of `{command}` is not installed where the tests run"
    if ended.code == NOT_EXECUTABLE:
        return f"`{command}` names a file that may not be executed"
    return ""


def _first_sign(output: str) -> str:
    tail = last_words(output)
    for pattern, words in _PATTERNS:
        found = pattern.search(tail)
        if found:
            return words.format(what=found["what"])
    service = service_in(output)
    return NEEDS.format(service) if service else ""
