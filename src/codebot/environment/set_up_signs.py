"""What in a set-up's output tells why it failed, in words for people. Pure."""

import re

from codebot.sandbox.output import last_words

_SIGNS = (
    (r"No interpreter found for (?P<what>Python [^\n]*?)(?: in [a-z ,]+)?\.?$",
     "{what} is not on this machine"),
    (r"current Python version \([\d.]+\)\s+does\s+not\s+satisfy\s+Python(?P<what>[<>=~!\d.,*]+)",
     "Python {what} is not on this machine"),
    (r"Python version \([\d.]+\) is not allowed by the project \((?P<what>[^)\n]+)\)",
     "Python {what} is not on this machine"),
    (r"requires a different Python: [\d.]+ not in '(?P<what>[^'\n]+)'",
     "Python {what} is not on this machine"),
    (r"project's Python requirement: `(?P<what>[^`\n]+)`",
     "Python {what} is not on this machine"),
    (r"(?:go\.mod requires go >= |invalid go version ')(?P<what>[\d.]+)",
     "Go {what} is not on this machine"),
    (r"(?:release version|invalid target release:?|source release) (?P<what>[\d.]+)",
     "Java {what} is not on this machine"),
    (r"^ *CMake (?P<what>[\d.]+) or higher is required", "CMake {what} is not on this machine"),
    (r"feature `edition(?P<what>\d{4})` is required",
     "a Cargo that knows the edition {what} is not on this machine"),
    (r"Unsupported engine.*?\n.*?Expected version: (?P<what>[^\n]+)",
     "Node {what} is not on this machine"),
    (r"No such built-in module: (?P<what>node:\w+)", "a Node with {what} is not on this machine"),
    (r"Codebot cannot fetch that\. (?P<what>[\w.-]+) (?:is not known here|cannot be reached)",
     "the registry {what} cannot be reached from this machine"),
    (r"https://(?P<what>[\w.-]+)[^\s]*[^\n]{0,200}?\b502\b",
     "the registry {what} cannot be reached from this machine"),
    (r"\b502\b[^\n]{0,200}?https://(?P<what>[\w.-]+)",
     "the registry {what} cannot be reached from this machine"),
    (r"^configure: error: (?P<what>[^\n]{1,200}?)\.?$", "its configure says: {what}"),
    (r"(?:Could NOT find|package configuration file provided by) \"?(?P<what>\w+)",
     "CMake does not find {what} on this machine"),
    (r"ERROR: Dependency \"(?P<what>[^\"\n]+)\" not found",
     "Meson does not find {what} on this machine"),
    (r"(?:line \d+|sh: \d+): (?P<what>[\w.+/-]+): (?:command )?not found",
     "the program {what} is not on this machine"),
    (r"fatal error: (?P<what>[\w./+-]+\.h(?:pp)?): No such file or directory",
     "the header {what} is not on this machine"),
    (r"Unable to find installation candidates for (?P<what>[\w.-]+ \([\w.+!-]+\))",
     "Poetry finds no file of {what} that fits"),
    (r"^[ \t]*\u00d7 (?P<what>[^\n]{3,200})$", "{what}"),
    (r"^(?:error|ERROR|fatal): (?P<what>[^\n]{3,200})$", "{what}"),
)  # fmt: skip
_HOSTS = (
    (r"Codebot does not let this box reach (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
    (r"Could not resolve host(?:name)?:? (?P<what>[\w.-]+)",
     "it needs the host {what}, which boxes may not reach (CODEBOT_EGRESS)"),
)  # fmt: skip
_NOT_TO_BE_HAD = (
    r"ERR_PNPM_FETCH_404.*\n(?:.*\n){0,4}?\s*(?P<what>\S+) is not in the npm registry",
    r"npm (?:error|ERR!) 404 +'(?P<what>[^'\n]+)' is not in this registry",
    r"error Couldn't find package \"(?P<what>[^\"\n]+)\"(?: required by .*)? on the",
    r"Because (?P<what>[\w.-]+) was not found in the package registry",
    r"No matching distribution found for (?P<what>[^\n(]+)",
)
_OTHER_NODE = (
    (
        r"EBADENGINE +package: '(?P<who>[^'\n]{1,200})',\n.*EBADENGINE +required: "
        r"\{ node: '(?P<what>[^'\n]{1,200})'"  # npm
    ),
    r"(?P<who>\S{0,200}) *\bUnsupported engine: wanted: \{\"node\":\"(?P<what>[^\"\n]{1,200})\"",
    (
        r"(?P<who>\S{1,200}): The engine \"node\" is incompatible with this module\. "
        r"Expected version \"(?P<what>[^\"\n]{1,200})\""  # Yarn 1
    ),
)
_GONE = tuple(re.compile(pattern) for pattern in _NOT_TO_BE_HAD)
_DOUBTS = tuple(re.compile(pattern) for pattern in _OTHER_NODE)
_PATTERNS, _OUT_OF_REACH = (
    tuple((re.compile(pattern, re.MULTILINE), words) for pattern, words in signs)
    for signs in ((*_HOSTS, *_SIGNS), _HOSTS)
)


def sign_in(output: str) -> str:
    """Give the reason that a set-up's output names, "" where it names none that is known.

    >>> sign_in("error: No interpreter found for Python >=3.14 in search path")
    'Python >=3.14 is not on this machine'
    """
    return _first(_PATTERNS, output)


def host_in(output: str) -> str:
    """Say which host it needs that no box may reach, "" for none.

    >>> host_in("npm error ssh: Could not resolve hostname git.example.com: Name or service")
    'it needs the host git.example.com, which boxes may not reach (CODEBOT_EGRESS)'
    """
    return _first(_OUT_OF_REACH, output)


def _first(patterns: tuple[tuple[re.Pattern[str], str], ...], output: str) -> str:
    tail = last_words(output)
    for pattern, words in patterns:
        found = pattern.search(tail)
        if found:
            return words.format(what=found["what"].strip())
    return ""


def gone_in(output: str) -> str:
    """Name the package that a registry does not have, "" where there is none.

    >>> gone_in("npm error 404  'nope@^1.0.0' is not in this registry.")
    'its registry has no nope@^1.0.0'
    """
    tail = last_words(output)
    found = next(filter(None, (pattern.search(tail) for pattern in _GONE)), None)
    return f"its registry has no {found['what'].strip()}" if found else ""


def doubt_in(output: str) -> str:
    r"""Say what a set-up's output gives reason to doubt even where it ended well, "" for nothing.

    Packages say which Node they are for, and npm and pnpm install them all the same.

    >>> engine = "package: 'a@1.0.0',\nnpm warn EBADENGINE   required: { node: '>=22' },"
    >>> doubt_in(f"npm warn EBADENGINE   {engine}")
    'a@1.0.0 asks for Node >=22, and another one is here'
    """
    tail = last_words(output)
    for pattern in _DOUBTS:
        found = pattern.search(tail)
        if found:
            who = found["who"].rstrip(":") or "the repository"
            return f"{who} asks for Node {found['what']}, and another one is here"
    return ""
