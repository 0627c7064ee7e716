"""Which command a repository's files ask for, without running anything."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.tree import Tree
from codebot.verify.command import LONGEST_CLUE, MAKEFILES, find_test_command, make_targets
from codebot.verify.node_command import NOT_BUILT

READ = [*MAKEFILES, "pyproject.toml", "setup.cfg", "tox.ini", "package.json"]
PACKAGE = json.dumps({"scripts": {"test": "vitest run"}})
WORKSPACE = {"package.json": json.dumps({"workspaces": ["packages/*"]})}
MEMBER = {"packages/a/package.json": PACKAGE}
TOX_AND_PYTEST = {"tox.ini": "[tox]\n[pytest]\n"}
PLACEHOLDER = json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})


def tree(files: dict[str, str | bytes]) -> Tree:
    contents = {
        path: text.encode() if isinstance(text, str) else text for path, text in files.items()
    }
    return Tree(frozenset(files), contents)


def entry(build: str = "esbuild", prepare: str = "", **more: object) -> dict[str, str | bytes]:
    scripts = {"test": "mocha", "build": build, "prepare": prepare}
    return {"package.json": json.dumps({"scripts": scripts, **more})}


@pytest.mark.parametrize(
    ("files", "command", "clue"),
    [
        ({"Makefile": "all:\n\ttrue\n\ntest: all\n\tpytest\n"}, "make test", "Makefile"),
        ({"makefile": "lint test:\n"}, "make test", "makefile"),
        ({"GNUmakefile": "test::\n", "Makefile": "x:\n"}, "make test", "GNUmakefile"),
        ({"Makefile": "a b \\\n  test: c\n"}, "make test", "Makefile"),
        ({"Makefile": b"# caf\xe9\ntest:\n"}, "make test", "Makefile"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pytest", "pyproject.toml"),
        ({"pyproject.toml": "[tool.pytest]\n"}, "pytest", "pyproject.toml"),
        ({"pyproject.toml": "[a]\r\n [ tool . pytest ] # x\r\n"}, "pytest", "pyproject.toml"),
        ({"pytest.ini": ""}, "pytest", "pytest.ini"),
        ({"setup.cfg": "[metadata]\n[tool:pytest]\n"}, "pytest", "setup.cfg"),
        ({"tox.ini": "[pytest]\n[tox]\n"}, "pytest", "tox.ini"),
        ({"tests/unit/test_a.py": "", "a.py": ""}, "pytest", "tests/unit/test_a.py"),
        ({"test_a.py": ""}, "pytest", "test_a.py"),
        ({"pkg/tests/a_test.py": ""}, "pytest", "pkg/tests/a_test.py"),
        ({"pytest.ini": "", "uv.lock": ""}, "uv run --frozen pytest", "pytest.ini"),
        ({"pytest.ini": "", "poetry.lock": ""}, "poetry run pytest", "pytest.ini"),
        ({"tox.ini": "[tox]\n"}, "tox", "tox.ini"),
        ({"tox.ini": "[testenv]\n"}, "tox", "tox.ini"),
        ({"setup.cfg": "[metadata]\n[tox:tox]\n"}, "tox", "setup.cfg"),
        ({"pyproject.toml": "[tool.tox]\n"}, "tox", "pyproject.toml"),
        ({"pyproject.toml": "[tool.tox.env_run_base]\n"}, "tox", "pyproject.toml"),
        ({"tox.toml": ""}, "tox", "tox.toml"),
        ({"noxfile.py": "import nox"}, "nox", "noxfile.py"),
        ({"manage.py": "", "a/tests/test_a.py": ""}, "python manage.py test", "manage.py"),
        ({"my site/manage.py": ""}, "cd 'my site' && python manage.py test", "my site/manage.py"),
        ({"manage.py": "", "pytest.ini": ""}, "pytest", "pytest.ini"),
        ({"manage.py": "", "tox.ini": "[tox]\n"}, "tox", "tox.ini"),
        ({"manage.py": "", "uv.lock": ""}, "python manage.py test", "manage.py"),
        ({"package.json": PACKAGE}, "npm test", "package.json"),
        ({"package.json": "\ufeff" + PACKAGE}, "npm test", "package.json"),
        ({"package.json": PACKAGE, "package-lock.json": ""}, "npm test", "package.json"),
        ({"package.json": PACKAGE, "pnpm-lock.yaml": ""}, "pnpm test", "package.json"),
        ({"package.json": PACKAGE, "yarn.lock": ""}, "yarn test", "package.json"),
        ({"package.json": PACKAGE, "bun.lock": ""}, "bun run test", "package.json"),
        ({**WORKSPACE, **MEMBER}, "npm test --workspaces --if-present", "package.json"),
        (
            {**WORKSPACE, **MEMBER, "yarn.lock": "__metadata:\n  version: 8\n"},
            "yarn workspaces foreach --all run test",
            "package.json",
        ),
        (
            {**WORKSPACE, **MEMBER, "yarn.lock": "# yarn lockfile v1\n"},
            "npm test --workspaces --if-present",
            "package.json",
        ),
        (
            {"package.json": "{}", "pnpm-workspace.yaml": "", "pnpm-lock.yaml": "", **MEMBER},
            "pnpm --recursive --no-bail test",
            "package.json",
        ),
        ({**WORKSPACE, **MEMBER, "bun.lock": ""}, "bun run --filter '*' test", "package.json"),
        (
            {"package.json": "{}", "lerna.json": "", **MEMBER},
            "npx lerna run --no-bail test",
            "package.json",
        ),
        ({**WORKSPACE, **MEMBER, "package.json": PACKAGE}, "npm test", "package.json"),
        (entry(main="./lib/a.js"), f"npm run build || {NOT_BUILT}; npm test", "package.json"),
        (
            {**entry(exports={".": {"import": "./a.mjs"}}), "pnpm-lock.yaml": ""},
            f"pnpm run build || {NOT_BUILT}; pnpm test",
            "package.json",
        ),
        (
            {**entry(workspaces=["a"]), "a/package.json": json.dumps({"main": "dist/a.js"})},
            f"npm run build || {NOT_BUILT}; npm test",
            "package.json",
        ),
        ({**entry(main="./lib/a.js"), "lib/a.js": ""}, "npm test", "package.json"),
        ({**entry(main="lib/a.js", prepare="npm run build")}, "npm test", "package.json"),
        ({**entry(main="lib/a.js", build="")}, "npm test", "package.json"),
        ({**entry(exports={"./*": "./dist/*.js"}, types="./a.d.ts")}, "npm test", "package.json"),
        ({"package.json": PLACEHOLDER, "go.mod": ""}, "go test ./...", "go.mod"),
        ({"Cargo.toml": ""}, "cargo test", "Cargo.toml"),
        ({"pom.xml": ""}, "mvn -B test", "pom.xml"),
        ({"pom.xml": "", "mvnw": ""}, "./mvnw -B test", "pom.xml"),
        ({"build.gradle": ""}, "gradle test", "build.gradle"),
        ({"build.gradle.kts": "", "gradlew": ""}, "./gradlew test", "build.gradle.kts"),
        (
            {"tox.ini": "[tox]\n", "poetry.lock": "", "test_a.py": ""},
            "poetry run pytest",
            "test_a.py",
        ),
        ({"Gemfile": "", "spec/a_spec.rb": ""}, "bundle exec rspec", "Gemfile"),
        ({"Gemfile": "", "Rakefile": ""}, "bundle exec rake test", "Rakefile"),
        ({"composer.json": PACKAGE}, "composer test", "composer.json"),
        ({"phpunit.xml.dist": ""}, "vendor/bin/phpunit", "phpunit.xml.dist"),
        ({"mix.exs": ""}, "mix test", "mix.exs"),
        ({"a.sln": "", "a/a.csproj": ""}, "dotnet test a.sln", "a.sln"),
        (
            {"src/a.sln": "", "samples/b.sln": "", "a/a.fsproj": ""},
            "dotnet test src/a.sln",
            "src/a.sln",
        ),
        (
            {"contrib/a.sln": "", "contrib/a.csproj": "", "Makefile": "check:\n"},
            "make check",
            "Makefile",
        ),
        ({"build/a.sln": "", "a.vcxproj": "", "Makefile": "check:\n"}, "make check", "Makefile"),
        ({"Makefile": "check:\n"}, "make check", "Makefile"),
        ({"Makefile": "check:\n", "package.json": PACKAGE}, "npm test", "package.json"),
        ({"go.mod": "", "third_party/tests/test_a.py": ""}, "go test ./...", "go.mod"),
        ({"Makefile": "test:\n", "package.json": PACKAGE}, "make test", "Makefile"),
        ({"Makefile": "build:\n", "package.json": PACKAGE}, "npm test", "package.json"),
        ({"pytest.ini": "", "tox.ini": "[tox]\n"}, "pytest", "pytest.ini"),
        ({"Makefile": "test:\n\ttox\n", "tox.ini": "[tox]\n"}, "tox", "tox.ini"),
        ({"Makefile": "test:\n\t@A=1 tox -p all\n", **TOX_AND_PYTEST}, "pytest", "tox.ini"),
        ({"Makefile": "test:\n\tnox\n", "noxfile.py": ""}, "nox", "noxfile.py"),
        ({"Makefile": "test:\n\ttox -e py\n", **TOX_AND_PYTEST}, "make test", "Makefile"),
        ({"Makefile": "test:\n\tnox -s a\n", "noxfile.py": ""}, "make test", "Makefile"),
        ({"Makefile": "test:\n\tpytest\nall:\n\ttox\n", **TOX_AND_PYTEST}, "make test", "Makefile"),
        ({"Makefile": "test:\n\ttox\n"}, "make test", "Makefile"),
        (
            {"Makefile": "test: lint\n\tpytest\nlint:\n\tpre-commit run -a\n", "test_a.py": ""},
            "pytest",
            "test_a.py",
        ),
        (
            {"Makefile": "test: a\n\tx\na: test\n\ty\nb:\n\tpre-commit run\n", "test_a.py": ""},
            "make test",
            "Makefile",
        ),
    ],
)
def test_a_clue_names_its_command(files: dict[str, str | bytes], command: str, clue: str) -> None:
    found = find_test_command(None, tree(files))
    assert found is not None
    assert (found.command, found.source) == (command, f"detected from {clue}")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": "make test"},
        {"Makefile": "TEST := x\ntest = 1\n.PHONY: test\n\ttest:\n# test:\n"},
        {"Makefile": "define help\ntest: like this\nendef\n"},
        {"Makefile": "test := 1\ntest ::= 2\ntest :::= 3\n"},
        {"GNUmakefile": "build:\n", "Makefile": "test:\n"},
        {"package.json": PLACEHOLDER},
        {"package.json": '{"scripts": {"test": " "}}'},
        {"package.json": '{"scripts": ["test"]}'},
        {"package.json": "[" * 100_000},
        {"package.json": "{" + " " * 20_000_000 + "}"},
        {"package.json": '{"scripts": {"test": ' + "9" * 10_000 + "}}"},
        {"package.json": b'{"scripts": {"test": "\xff'},
        {"pyproject.toml": "[tool.pytest"},
        {"pyproject.toml": "a = " + "[" * 100_000},
        {"pyproject.toml": '[project]\nname = "pytest"\n'},
        {"pyproject.toml": "[tool.pytester]\n# [tool.pytest]\n[x.tool.pytest]\n"},
        {"tox.ini": "[toxic]\n"},
        {"package.json": "{}", **MEMBER},
        {**WORKSPACE, "packages/a/package.json": PLACEHOLDER},
        {**WORKSPACE, "examples/a/package.json": PACKAGE},
        {**WORKSPACE, "packages/a/package.json": "[" * 100_000},
        {"setup.cfg": "[tox]\n", "pyproject.toml": "[tool.toxic]\n"},
        {"sub/go.mod": ""},
        {"scripts/test_me.py": "", "tests/data.py": ""},
        {"a.py": "", "docs/test_plan.md": ""},
    ],
)
def test_what_says_nothing_gives_nothing(files: dict[str, str | bytes]) -> None:
    assert find_test_command(None, tree(files)) is None


THEN, END = " || ended=$?;", " && (exit ${ended:-0})"
BOTH = {"package.json": PACKAGE, "package-lock.json": ""}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({**BOTH, "pytest.ini": ""}, f"pytest{THEN} npm test{END}"),
        ({**BOTH, "uv.lock": "", "test_a.py": ""}, f"uv run --frozen pytest{THEN} npm test{END}"),
        ({**BOTH, "manage.py": ""}, f"python manage.py test{THEN} npm test{END}"),
        ({**BOTH, "a/manage.py": ""}, f"(cd a && python manage.py test){THEN} npm test{END}"),
        ({**BOTH, "tox.ini": "[tox]\n"}, f"tox{THEN} npm test{END}"),
        ({**BOTH, "setup.py": "['pytest']", "tests/test_a.py": ""}, f"pytest{THEN} npm test{END}"),
        ({**BOTH, "setup.py": "['nose']", "tests/test_a.py": ""}, "npm test"),
        ({"package.json": PACKAGE, "pytest.ini": ""}, "pytest"),
        ({**BOTH, "package.json": PLACEHOLDER, "pytest.ini": ""}, "pytest"),
        ({**BOTH, "Makefile": "test:\n\tpytest\n"}, "make test"),
    ],
)
def test_a_frontend_beside_python_is_tested_with_it(
    files: dict[str, str | bytes], command: str
) -> None:
    found = find_test_command(None, tree(files))
    assert found is not None
    assert found.command == command


@pytest.mark.parametrize("more", [{}, {"scripts": {"test": "npm run build && ava", "build": "b"}}])
def test_what_is_built_before_both_hides_no_failure_of_the_first(more: dict[str, object]) -> None:
    files = {**entry(main="dist/a.js", **more), "package-lock.json": "", "pytest.ini": ""}
    found = find_test_command(None, tree(files))
    assert found is not None
    assert found.command == f"npm run build || {NOT_BUILT}; pytest{THEN} npm test{END}"


@pytest.mark.parametrize(
    ("files", "alone"),
    [
        ({"package.json": '{"scripts": {"test": "xo && ava"}}'}, "ava"),
        ({"package.json": '{"scripts": {"test": "ava"}}'}, None),
        ({"package.json": '{"scripts": {"test": "xo && ava", "build": 1}, "main": "a.js"}'}, "ava"),
        (
            {"package.json": '{"scripts": {"test": "xo && ava", "build": "b"}, "main": "a.js"}'},
            "npm run build || echo 'Not built. The tests may do without.'; ava",
        ),
        (
            {
                "package.json": '{"scripts": {"test": "run-p l spec", "spec": "s", "l": "xo"}}',
                "yarn.lock": "",
            },
            "yarn run spec",
        ),
        ({"Makefile": "test: lint\n\tpython3.6 -m pytest\n", "test_a.py": ""}, "pytest"),
        (
            {"Makefile": "test:\n\tuv run -p 3.6 pytest\n", "pytest.ini": "", "uv.lock": ""},
            "uv run --frozen pytest",
        ),
        ({"Makefile": "test:\n\tcc a.c\n"}, None),
        ({**BOTH, "pytest.ini": ""}, "pytest"),
        ({**BOTH, "manage.py": ""}, "python manage.py test"),
    ],
)
def test_of_a_command_that_checks_more_the_tests_are_known(
    files: dict[str, str | bytes], alone: str | None
) -> None:
    found = find_test_command(None, tree(files))
    assert found is not None
    assert (found.alone and found.alone.command) == alone


ALL_OF_IT = "[tool.uv.workspace]\nmembers = ['libs/*']\n[tool.pytest.ini_options]\n"
MEMBERS: dict[str, str | bytes] = {
    "uv.lock": "",
    "libs/a/pyproject.toml": "[tool.pytest.ini_options]\n",
    "libs/b/pyproject.toml": "[tool.pytest]\n",
    "libs/c/pyproject.toml": "[project]\n",
    "examples/d/pyproject.toml": "[tool.pytest]\n",
}
ROOT = "uv run --frozen pytest"


@pytest.mark.parametrize(
    ("manifest", "folders"),
    [
        (ALL_OF_IT + 'testpaths = ["tests"]\n', ". libs/a libs/b"),
        (ALL_OF_IT + "testpaths = [\n  'tests', './libs/a/tests/',\n]\n", ". libs/b"),
        (ALL_OF_IT + "testpaths = 'libs'\n", ""),
        (ALL_OF_IT + "testpaths = ['libs/*/tests']\n", ""),
        (ALL_OF_IT + "testpaths = ['.']\n", ""),
        (ALL_OF_IT, ""),
        ("[tool.pytest.ini_options]\ntestpaths = 'tests'\n", ""),
    ],
)
def test_packages_that_pytest_at_the_top_leaves_out_are_tested_as_well(
    manifest: str, folders: str
) -> None:
    found = find_test_command(None, tree({"pyproject.toml": manifest, **MEMBERS}))
    assert found is not None
    if not folders:
        assert (found.command, found.alone) == (ROOT, None)
        return
    assert f"for each in {folders}; do (cd $each && {ROOT}) ||" in found.command
    assert found.part == ROOT


def test_the_word_of_the_task_comes_first() -> None:
    found = find_test_command("./check.sh", tree({"Makefile": "test:\n"}))
    assert found is not None
    assert (found.command, found.source, found.is_detected) == ("./check.sh", "task", False)


def test_a_clue_beyond_all_measure_is_not_read() -> None:
    padded = PACKAGE + " " * LONGEST_CLUE
    assert find_test_command(None, tree({"package.json": padded})) is None


def test_a_clue_costs_no_more_than_its_size() -> None:
    files = tree({"pyproject.toml": "a" + ".a" * 3000 + " = 1\n"})
    tracemalloc.start()
    try:
        assert find_test_command(None, files) is None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1024**2, "tomllib would take 40 MB; of a clue of 1 MiB, a terabyte"


def test_a_path_without_contents_is_no_reason_to_fail() -> None:
    assert find_test_command(None, Tree(frozenset({"Makefile", "package.json"}))) is None


@given(st.dictionaries(st.sampled_from(READ), st.binary() | st.text().map(str.encode)))
def test_no_contents_raise(files: dict[str, bytes]) -> None:
    find_test_command(None, Tree(frozenset(files), files))


@given(st.text(alphabet="test :=#\\\n\tdefine"))
def test_no_makefile_raises(makefile: str) -> None:
    assert all(" " not in target for target in make_targets(makefile))


@given(st.sets(st.text()))
def test_no_paths_raise(paths: set[str]) -> None:
    find_test_command(None, Tree(frozenset(paths)))
