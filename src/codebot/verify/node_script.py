"""Which part of a Node script runs tests, where it checks other things as well. Pure.

Scripts named `test` often are all that maintainers check: a linter first, then the tests, types at
the end. Such a check may fail on a whole branch for years; the tests behind it then never run.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase

DEEPEST = 8
"""Scripts that call scripts."""

MOST_PARTS = 100
LONGEST_SCRIPT = 4_000
"""Characters; nobody writes more than that."""

MAY_FAIL = "echo 'It failed. The tests may do without.'"


class Kind(Enum):
    """What a part of a script does."""

    TESTS = auto()
    CHECKS = auto()
    OTHER = auto()


Part = tuple[Kind, str]

_PART = re.compile(r"""(?:[^'"&;|\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""")
_BETWEEN = re.compile(r"&&|;")
_CALL = re.compile(
    r"(?P<before>(?:(?:cross-env|env|c8|nyc)(?: --?\S+)* )?(?:\w+=\S+ |lcov |-- )*)"
    r"(?:npm|pnpm|yarn|bun)(?: run(?:-script)?)?(?: (?:-s|--silent))* (?P<name>[\w:.-]+)"
    r"(?P<after>(?: .*)?)"
)
_SEVERAL = re.compile(r"(?:run-[sp]|npm-run-all2?|run)(?: --?[\w-]+)*(?P<names>(?: [\w:.*-]+)+)")
_MATCHING = re.compile(r"""pnpm run ["']?/(?P<at_start>\^?)(?P<word>[\w:-]+)(?:\.\*)?\$?/["']?""")
_TESTS = re.compile(
    r"(?:^|[\s/])(?:vitest|jest|_?mocha|ava|tap|tape|uvu|borp|jasmine|qunit|lab|c8|nyc|bun test|"
    r"react-scripts test|lerna run test\S*|turbo(?: run)? test\S*)(?=\s|$)"
    r"|\b(?:npm|pnpm|yarn)\b.*\s(?:-r|--recursive|--workspaces|-ws|workspaces)\s.*\btest(?=\s|$)"
    r"|\b(?:node|tsx|ts-node)\b.*(?:\s--test\b|[\s/]tests?(?:[/.\s]|$))"
)
_CHECKS = re.compile(
    r"(?:(?:npx|pnpm exec|yarn) )?(?:eslint|oxlint|xo|standard|ts-standard|prettier|oxfmt|biome|"
    r"dprint|tsd|tslint|tstyche|knip|sherif|size-limit|publint|attw|check-dts|type-coverage|cspell|"
    r"markdownlint\S*|commitlint|stylelint|depcheck|playwright|cypress|karma|airtap|wtr|"
    r"web-test-runner)(?=\s|$)"
)
_NAMED: dict[Kind, frozenset[str]] = {
    Kind.CHECKS: frozenset(
        {"lint", "types", "type", "typecheck", "check", "format", "fmt", "style", "size", "tsd"}
    ),
    Kind.TESTS: frozenset({"unit", "spec", "specs", "coverage", "cov", "cover"}),
}
"""What scripts are called by what they do."""

_WRITES_NOTHING = re.compile(r"\s--?no-?emit(?=\s|$)", re.IGNORECASE)


def part_that_tests(scripts: Mapping[str, str], name: str = "test", run: str = "npm run") -> str:
    """Give what a script runs of tests; "" where it runs none, or nothing else.

    `run` is how the package manager runs a script. What comes before the tests may be what they
    need, or one more check: it is run, and may fail.

    >>> part_that_tests({"test": "npm run lint && npm run unit", "lint": "xo", "unit": "ava"})
    'npm run unit'
    >>> part_that_tests({"test": "tsc && mocha", "pretest": "eslint ."})
    "tsc || echo 'It failed. The tests may do without.'; mocha"
    >>> part_that_tests({"test": "jest"}), part_that_tests({"test": "eslint ."})
    ('', '')
    """
    parts = _Scripts(scripts, run).parts_of(name)
    kinds = [kind for kind, _ in parts]
    if Kind.TESTS not in kinds or set(kinds) == {Kind.TESTS}:
        return ""
    last = len(kinds) - kinds[::-1].index(Kind.TESTS)
    before = (part for kind, part in parts[:last] if kind is Kind.OTHER)
    tests = (part for kind, part in parts if kind is Kind.TESTS)
    return "".join(f"{part} || {MAY_FAIL}; " for part in before) + " && ".join(tests)


@dataclass(frozen=True, slots=True)
class _Scripts:
    """The scripts of a manifest, and what is known of them so far."""

    given: Mapping[str, str]
    run: str
    known: dict[str, list[Part]] = field(default_factory=dict)

    def parts_of(self, name: str, depth: int = DEEPEST) -> list[Part]:
        """Give the parts of a script, with what package managers run before and after it."""
        if name not in self.known:
            self.known[name] = []  # for one that calls itself
            lines = (self.given.get(each, "") for each in (f"pre{name}", name, f"post{name}"))
            found = [
                part
                for line in lines
                if len(line) <= LONGEST_SCRIPT
                for each in _split(line)
                for part in self._within(name, each, depth)
            ]
            self.known[name] = found[:MOST_PARTS]
        return self.known[name]

    def _within(self, name: str, part: str, depth: int) -> Iterator[Part]:
        """Give what a part of a script calls, where that checks things, too; else the part."""
        called = self._called(part) if depth else []
        if not called:
            yield _kind(name, part), part
        for other in called:
            below = self.parts_of(other, depth - 1)
            kinds = {kind for kind, _ in below}
            if Kind.CHECKS in kinds:
                yield from below
            elif kinds:
                itself = part if len(called) == 1 else f"{self.run} {other}"
                yield Kind.TESTS if Kind.TESTS in kinds else Kind.OTHER, itself

    def _called(self, part: str) -> list[str]:
        """Give the names of the scripts that a part calls, in their order."""
        if matching := _MATCHING.fullmatch(part):
            at_start, word = matching["at_start"], matching["word"]
            return [
                name for name in self.given if (name.startswith(word) if at_start else word in name)
            ]
        if one := _CALL.fullmatch(part):
            return [one["name"]] if one["name"] in self.given else []
        if several := _SEVERAL.fullmatch(part):
            wanted = several["names"].split()
            return [name for glob in wanted for name in self.given if fnmatchcase(name, glob)]
        return []


def _split(line: str) -> list[str]:
    """Give what a line runs one after the other; the line itself where it is more than that.

    >>> _split("a 'x && y' && b; c"), _split("a | b && c"), _split("")
    (["a 'x && y'", 'b', 'c'], ['a | b && c'], [])
    """
    parts = [part.strip() for part in _PART.findall(line)]
    between = [one.strip() for one in _PART.split(line)]
    is_plain = all(_BETWEEN.fullmatch(one) for one in between if one)
    return [part for part in (parts if is_plain else [line.strip()]) if part]


def _kind(name: str, part: str) -> Kind:
    """Say what a part that calls no script does, by itself and by its script's name.

    >>> _kind("test:types", "vitest --typecheck").name, _kind("test", "tsc --noEmit").name
    ('CHECKS', 'CHECKS')
    >>> _kind("unit", "bnt").name, _kind("test", "tsc -b").name
    ('TESTS', 'OTHER')
    """
    words = frozenset(re.split(r"[:._-]", name))
    if words & _NAMED[Kind.CHECKS] or _CHECKS.match(part) or _WRITES_NOTHING.search(part):
        return Kind.CHECKS
    is_test = words & _NAMED[Kind.TESTS] or _TESTS.search(part)
    return Kind.TESTS if is_test else Kind.OTHER
