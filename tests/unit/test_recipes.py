"""Which recipes the files of a commit give: one row for each clue, and what comes before what."""

import json
import re

import pytest

from codebot.domain.environment import Environment, Recipe, RecipeOrigin, SetUpState
from codebot.domain.tree import Tree
from codebot.environment.recipes import Said, find_recipes, written_for
from codebot.environment.recipes.python_plain import PIP
from codebot.verify.command import find_test_command

PYTEST = "[tool.pytest.ini_options]\n"
CMAKE = (
    'cmake -S . -B "$HOME/build" -DBUILD_TESTING=ON && cmake --build "$HOME/build" --parallel'
    ' && ctest --test-dir "$HOME/build" --output-on-failure'
)
INSTALL = 'npm install --global --prefix "$HOME/.local" --loglevel=error'
PROJECT = '[project]\nname = "a"\n'


def tree(files: dict[str, str]) -> Tree:
    return Tree(frozenset(files), {path: text.encode() for path, text in files.items()})


def recipes(files: dict[str, str], test: str | None = None) -> tuple[Recipe, ...]:
    """Find the recipes as the step does: for the command that the tests run by."""
    given = tree(files)
    command = find_test_command(test, given)
    return find_recipes(given, written_for(given, Said()), command.command if command else "")


def first(files: dict[str, str], test: str | None = None) -> Recipe:
    return recipes(files, test)[0]


def package(**entries: object) -> str:
    return json.dumps({"scripts": {"test": "jest"}, **entries})


@pytest.mark.parametrize(
    ("files", "source", "words", "command"),
    [
        (
            {"uv.lock": "", "pyproject.toml": PYTEST},
            "uv.lock",
            "uv sync --frozen --all-groups",
            "uv run --frozen pytest",
        ),
        (
            {"poetry.lock": "", "pyproject.toml": PYTEST},
            "poetry.lock",
            "uv tool install --quiet poetry\npoetry install",
            "poetry run pytest",
        ),
        (
            {"pdm.lock": "", "pyproject.toml": PYTEST},
            "pdm.lock",
            "pdm install --frozen-lockfile",
            "pdm run pytest",
        ),
        (
            {"Pipfile.lock": "", "pytest.ini": ""},
            "Pipfile.lock",
            "pipenv sync --dev",
            "pipenv run pytest",
        ),
        (
            {"pyproject.toml": PYTEST + "[tool.poetry.group.dev.dependencies]\n"},
            "pyproject.toml (Poetry)",
            "poetry install",
            "poetry run pytest",
        ),
        ({"pyproject.toml": PYTEST + PROJECT}, "pyproject.toml", "-e .", "pytest"),
        ({"setup.py": "", "pytest.ini": ""}, "setup.py", "-e .", "pytest"),
        ({"setup.cfg": "[metadata]\nname = a\n", "pytest.ini": ""}, "setup.cfg", "-e .", "pytest"),
        (
            {"requirements.txt": "", "test_a.py": ""},
            "requirements.txt",
            "-r requirements.txt",
            "pytest",
        ),
        ({"tests/test_a.py": ""}, "test files", "pip install --quiet --python", "pytest"),
        ({"tox.ini": "[testenv]\n"}, "tox.ini", "tox run -e py --notest", "tox run -e py"),
        (
            {"noxfile.py": "def tests(session):\n"},
            "noxfile.py",
            "--force-python python3 -s tests --install-only",
            "nox -r --force-python python3 -s tests",
        ),
        (
            {"package.json": package(), "package-lock.json": ""},
            "package-lock.json",
            "npm ci",
            "npm test",
        ),
        ({"package.json": package()}, "package.json", "npm install --no-package-lock", "npm test"),
        (
            {"package.json": package(packageManager="pnpm@9.1.0+sha512.ab"), "pnpm-lock.yaml": ""},
            "pnpm-lock.yaml",
            f"pnpm@9.1.0 || {INSTALL} pnpm@9\npnpm install --frozen-lockfile",
            "pnpm test",
        ),
        (
            {"package.json": package(), "pnpm-lock.yaml": "lockfileVersion: '6.0'\n"},
            "pnpm-lock.yaml",
            "pnpm@8\n",
            "pnpm test",
        ),
        (
            {"package.json": package(), "yarn.lock": "# yarn lockfile v1\n"},
            "yarn.lock",
            "yarn@1\nyarn install --frozen-lockfile",
            "yarn test",
        ),
        (
            {"package.json": package(), "yarn.lock": "__metadata:\n  version: 8\n"},
            "yarn.lock",
            "@yarnpkg/cli-dist@4\nyarn install --immutable",
            "yarn test",
        ),
        (
            {"package.json": package(packageManager="bun@1.2.3"), "bun.lock": ""},
            "bun.lock",
            f"bun@1.2.3 || {INSTALL} bun@1\nbun install --frozen-lockfile",
            "bun run test",
        ),
        ({"go.mod": ""}, "go.mod", "go mod download", "go test ./..."),
        ({"Cargo.toml": "", "Cargo.lock": ""}, "Cargo.lock", "cargo fetch --locked", "cargo test"),
        ({"Cargo.toml": ""}, "Cargo.toml", "cargo fetch", "cargo test"),
        ({"pom.xml": ""}, "pom.xml", "mvn -B -ntp -q test-compile", "mvn -B test"),
        ({"pom.xml": "", "mvnw": ""}, "pom.xml", "./mvnw -B", "./mvnw -B test"),
        ({"build.gradle": ""}, "build.gradle", "gradle --no-daemon testClasses", "gradle test"),
        (
            {"build.gradle.kts": "", "gradlew": ""},
            "build.gradle.kts",
            "./gradlew --no-daemon testClasses",
            "./gradlew test",
        ),
        (
            {"Gemfile": "", "Gemfile.lock": "", "spec/a_spec.rb": ""},
            "Gemfile.lock",
            "bundle install",
            "bundle exec rspec",
        ),
        (
            {"composer.json": package(), "composer.lock": ""},
            "composer.lock",
            "composer install",
            "composer test",
        ),
        ({"mix.exs": "", "mix.lock": ""}, "mix.lock", "mix deps.get", "mix test"),
        ({"b/B Tests.csproj": ""}, "b/B Tests.csproj", "dotnet restore 'b/B Tests.csproj'", ""),
        (
            {"CMakeLists.txt": "", "contrib/a/a.csproj": "", "contrib/a.sln": ""},
            "CMakeLists.txt",
            "cmake -S .",
            CMAKE,
        ),
        (
            {"CMakeLists.txt": "", "build/VS/a.sln": "", "build/VS/a.vcxproj": ""},
            "CMakeLists.txt",
            "cmake -S .",
            CMAKE,
        ),
        (
            {"CMakeLists.txt": ""},
            "CMakeLists.txt",
            'cmake -S . -B "$HOME/build"',
            CMAKE,
        ),
        ({"configure": ""}, "configure", '"$top/configure"', 'make -C "$HOME/build" check'),
        ({"configure.ac": ""}, "configure.ac", "autoreconf", 'make -C "$HOME/build" check'),
        (
            {"meson.build": ""},
            "meson.build",
            'meson setup "$HOME/build"',
            'meson test -C "$HOME/build" --print-errorlogs',
        ),
        ({"Makefile": "check:\n\t./check\n"}, "Makefile", "", "make check"),
        ({"Makefile": "test:\n\t./check\n"}, "Makefile", "", "make test"),
    ],
)
def test_a_clue_gives_its_recipe(
    files: dict[str, str], source: str, words: str, command: str
) -> None:
    recipe = first(files)
    test = find_test_command(None, tree(files), recipe)
    assert (recipe.origin, recipe.source) == (RecipeOrigin.GUESSED, source)
    assert words in recipe.setup
    assert recipe.setup or not words
    if command:
        assert test is not None
        assert test.command == command


@pytest.mark.parametrize("files", [{}, {"README.md": "pip install x"}, {"docs/conf.py": ""}])
def test_what_says_nothing_gives_no_recipe(files: dict[str, str]) -> None:
    assert recipes(files) == ()


# --- Python ------------------------------------------------------------------------------------


def test_extras_groups_and_requirements_that_are_there_are_installed_and_no_others() -> None:
    pyproject = (
        PYTEST
        + PROJECT
        + "[project.optional-dependencies]\ntesting = []\ndocs = []\n"
        + "[dependency-groups]\ndev = []\nlint = []\n"
    )
    setup = first(
        {
            "pyproject.toml": pyproject,
            "requirements.txt": "",
            "requirements/tests.txt": "",
            "requirements/dev.txt": "",
            "requirements/docs.txt": "",
        }
    ).setup
    assert "-e '.[testing]' -r requirements.txt -r requirements/tests.txt --group dev" in setup
    assert "docs" not in setup
    assert "lint" not in setup


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("setup.cfg", "[metadata]\nname = a\n[options.extras_require]\ntest =\n  x\ndocs = y\n"),
        ("setup.py", "setup(extras_require={'test': ['x'], \"docs\": []})"),
        ("setup.py", "extras_require = {}\nextras_require['test'] = ['x']\n"),
    ],
)
def test_extras_are_found_in_older_manifests(file: str, text: str) -> None:
    assert "-e '.[test]'" in first({file: text, "pytest.ini": ""}).setup


def test_uv_installs_the_extras_that_tests_are_named_after_else_all() -> None:
    extras = "[project.optional-dependencies]\n{} = []\n"
    named = {"uv.lock": "", "pyproject.toml": PYTEST + PROJECT + extras.format("test")}
    other = {"uv.lock": "", "pyproject.toml": PYTEST + PROJECT + extras.format("postgres")}
    assert first(named).setup.startswith("uv sync --frozen --all-groups --extra test")
    assert first(other).setup.startswith("uv sync --frozen --all-groups --all-extras ||\nuv sync")


EXTRAS = "[project.optional-dependencies]\n"


@pytest.mark.parametrize(
    ("extras", "installed"),
    [
        ("docs = []\ntest-suite = []\nall = []\n", "-e '.[test-suite]' || {"),
        ("test = []\ntest_gpu = []\n", "-e '.[test]'\n"),
        ("docs = []\ncomplete = []\n", "-e '.[complete]' || {"),
        ("docs = []\nlatest = []\n", "-e .\n"),
    ],
)
def test_where_no_extra_is_plainly_the_tests_the_next_best_name_is_taken(
    extras: str, installed: str
) -> None:
    setup = first({"pyproject.toml": PYTEST + PROJECT + EXTRAS + extras}).setup
    assert installed in setup


def test_what_extras_at_a_guess_need_is_no_condition_for_the_project_itself() -> None:
    files = {"pyproject.toml": PYTEST + PROJECT + EXTRAS + "all = []\n", "requirements.txt": ""}
    setup = first(files).setup
    assert f"|| {{ {PIP} -e . -r requirements.txt; echo 'Not installed: " in setup


def test_settings_of_tools_alone_are_no_package() -> None:
    assert "-e ." not in first({"pyproject.toml": PYTEST, "requirements.txt": ""}).setup


def test_what_tox_and_nox_name_is_installed_in_place_of_what_files_are_called() -> None:
    tox = (
        "[testenv]\nextras =\n    cli\n    testing\ndependency_groups = unit\n"
        "deps =\n    -r{toxinidir}/checks/needs.txt\n    -r gone.txt\n    {[base]deps}\n"
    )
    groups = "[dependency-groups]\nunit = []\nlint = []\n"
    files = {"pyproject.toml": PYTEST + PROJECT + groups, "tox.ini": tox}
    setup = first({**files, "checks/needs.txt": "", "requirements-dev.txt": ""}).setup
    assert "-e '.[cli,testing]' -r checks/needs.txt --group unit\n" in setup
    nox = (
        "@nox.session\ndef lint(session):\n    session.install('flake8')\n"
        "@nox.session\ndef tests(session):\n"
        '    session.install("-r", "needs.txt", "-e", ".[cli]", "attrs>=20", *others)\n'
        '    session.install("--group=unit", *PYPROJECT["groups"]["tests"], f"a=={b}")\n'
        '    session.run("pytest", "x")\n'
        "def docs(session):\n    session.install('sphinx')\n"
    )
    files = {"pyproject.toml": PYTEST + PROJECT + groups, "noxfile.py": nox, "needs.txt": ""}
    setup = first(files).setup
    assert "-e '.[cli]' -r needs.txt --group unit\n" in setup
    assert "python\" 'attrs>=20' || for one in" in setup
    assert "sphinx" not in setup
    assert "flake8" not in setup


def test_what_tox_and_hatch_install_is_installed_as_far_as_it_is_spelled_out() -> None:
    tox = (
        "[pytest]\n[testenv]\ndeps =\n    attrs>=20  # x\n    -r x.txt\n    {env:A}\n    py39: b\n"
    )
    assert "'attrs>=20' || for one in" in first({"tox.ini": tox, "setup.py": ""}).setup
    within = "[tool:pytest]\n[testenv]\ndeps =\n    attrs>=20\n"
    assert "'attrs>=20' || for one in" in first({"setup.cfg": within, "setup.py": ""}).setup
    newer = PYTEST + PROJECT + '[tool.tox.env_run_base]\ndeps = ["attrs>=20"]\n'
    assert "'attrs>=20' || for one in" in first({"pyproject.toml": newer}).setup
    hatch = PYTEST + PROJECT + '[tool.hatch.envs.default]\ndependencies = ["freezegun"]\n'
    assert " freezegun || for one in" in first({"pyproject.toml": hatch}).setup


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ('"python -m unittest discover -p *tests.py"', "python -m unittest discover -p *tests.py"),
        ('"pytest {args:tests}"', "pytest tests"),
        ('["coverage run -m pytest {args}", "coverage report"]',
         "coverage run -m pytest && coverage report"),
        ('"hatch run other:test"', None),
        ('"pytest {root}/tests"', None),
    ],
)  # fmt: skip
def test_hatch_says_how_the_tests_run_and_with_which_extras(
    script: str, command: str | None
) -> None:
    hatch = f"""[tool.hatch.envs.test]\nfeatures = ["i18n"]\nscripts.test = {script}\n"""
    files = {"pyproject.toml": PROJECT + hatch}
    found = find_test_command(None, tree(files), first(files))
    assert (found.command if found else None) == command
    assert "-e '.[i18n]'" in first(files).setup


def test_what_tox_refers_to_is_installed_each_by_itself_where_not_all_of_it_can_be() -> None:
    tox = (
        "[pytest]\n[core]\ndeps =\n    attrs\n    {[core]deps}\n"
        "[testenv]\ndeps =\n    {[core]deps}\n    {[gone]deps}\n    rich\n"
    )
    setup = first({"tox.ini": tox, "setup.py": ""}).setup
    pip = 'uv pip install --quiet --python "$HOME/venv/bin/python"'
    each = f'for one in attrs rich; do {pip} "$one" || true; done'
    assert f"{pip} attrs rich || {each}\n" in setup


def test_a_makefile_that_builds_finds_what_that_needs() -> None:
    files = {
        "Makefile": "test:\n\tpython setup.py build_ext --inplace\n\tpytest\n",
        "pyproject.toml": '[build-system]\nrequires = ["setuptools>=77", "cython >=0.29"]\n',
        "setup.py": "",
    }
    assert "'setuptools>=77' 'cython >=0.29' || for one in" in first(files).setup
    assert "cython" not in first({**files, "Makefile": "test:\n\tpytest\n"}).setup


def test_what_only_developers_need_may_fail() -> None:
    setup = first({"requirements-devel.txt": "", "setup.py": "", "pytest.ini": ""}).setup
    assert "-e . -r requirements-devel.txt || { uv pip install" in setup
    assert "-e .; echo 'Not installed: requirements-devel.txt." in setup
    tests = first({"requirements-test.txt": "", "setup.py": "", "pytest.ini": ""}).setup
    assert "-r requirements-test.txt ||" not in tests


def test_tox_hands_on_what_pytest_is_asked_by() -> None:
    plain = {"tox.ini": "[tox]\nenvlist = py39\n[testenv]\npassenv = A\n"}
    own = {"tox.ini": "[tox]\nenvlist = unit\n[testenv:unit]\npassenv = A\n"}
    asked = [first(files).env["TOX_OVERRIDE"] for files in (plain, own)]
    assert asked == [
        "testenv.pass_env+=PYTEST_ADDOPTS",
        "testenv:unit.pass_env+=PYTEST_ADDOPTS",
    ]


@pytest.mark.parametrize(
    ("file", "text", "environment", "passing"),
    [
        ("setup.cfg", "[tox:tox]\nenvlist = py{310,311}\n", "py311", "testenv"),
        (
            "pyproject.toml",
            (
                "[tool.tox]\nlegacy_tox_ini = '''\n[tox]\nenv_list = lint, py311-test\n"
                "[testenv:py311-test]\npass_env = A\n'''\n"
            ),
            "py311-test",
            "testenv:py311-test",
        ),
        (
            "pyproject.toml",
            '[tool.tox]\nenv_list = ["lint", "3.11", "3.12"]\n',
            "3.11",
            "tool.tox.env_run_base",
        ),
        (
            "pyproject.toml",
            '[tool.tox]\nenv_list = ["unit"]\n[tool.tox.env.unit]\npass_env = ["A"]\n',
            "unit",
            "tool.tox.env.unit",
        ),
        (
            "tox.toml",
            'env_list = [{ product = [["py310", "py311"], ["redis", "plain"]] }, 1, {}]\n',
            "py311-plain",
            "env_run_base",
        ),
        ("tox.toml", 'env_list = "py311"\n', "py", "env_run_base"),
        ("tox.toml", "env_list = [", "py", "env_run_base"),
    ],
)
def test_tox_is_run_wherever_its_settings_stand(
    file: str, text: str, environment: str, passing: str
) -> None:
    recipe, *_ = find_recipes(tree({file: text}), test="tox", python="3.11")
    assert (recipe.source, recipe.usual_test) == (file, f"tox run -e {environment}")
    assert recipe.env["TOX_OVERRIDE"] == f"{passing}.pass_env+=PYTEST_ADDOPTS"


def test_tox_takes_the_first_file_that_says_something_to_it() -> None:
    files = {"tox.ini": "[flake8]\n", "setup.cfg": "[tox:tox]\nenvlist = py39\n", "tox.toml": ""}
    recipe, *_ = find_recipes(tree(files), test="tox", python="3.11")
    assert recipe.source == "setup.cfg"


def test_tools_that_a_makefile_calls_are_installed() -> None:
    setup = first({"Makefile": "test:\n\ttox -e py\n", "setup.py": "", "tox.ini": ""}).setup
    assert "uv tool install --quiet tox" in setup


@pytest.mark.parametrize(
    ("lock", "install"),
    [
        ({"pnpm-lock.yaml": ""}, "pnpm install --no-lockfile"),
        ({"yarn.lock": ""}, "yarn install --no-lockfile"),
        (
            {"yarn.lock": "__metadata:\n  version: 8\n"},
            "trap 'cp \"$lock\" yarn.lock' EXIT\nyarn install --no-immutable",
        ),
        ({"package-lock.json": ""}, "npm install --no-package-lock"),
    ],
)
def test_what_is_locked_and_not_to_be_had_is_installed_unlocked_by_the_same_manager(
    lock: dict[str, str], install: str
) -> None:
    found = recipes({"package.json": package(), **lock})
    bare = [f"{name} (no install scripts)" for name in lock]
    assert [recipe.source for recipe in found][:3] == [*lock, *bare, "package.json"]
    assert install in found[2].setup


def test_a_version_of_a_manager_that_is_not_to_be_had_gives_way_to_its_next_of_kin() -> None:
    files = {"package.json": package(packageManager="yarn@4.10.0+sha512.ab"), "yarn.lock": ""}
    setup = first(files).setup
    assert "@yarnpkg/cli-dist@4.10.0 || npm install" in setup
    assert "@yarnpkg/cli-dist@4\nyarn install" in setup
    assert "--silent" not in setup


@pytest.mark.parametrize(
    ("files", "install", "scripts"),
    [
        ({}, "npm install --no-package-lock --ignore-scripts", "npm rebuild"),
        ({"package-lock.json": ""}, "npm ci --ignore-scripts", "npm rebuild"),
        ({"pnpm-lock.yaml": ""}, "pnpm install --frozen-lockfile --ignore-scripts", "pnpm rebuild"),
        (
            {"yarn.lock": ""},
            "yarn install --frozen-lockfile --ignore-scripts --ignore-engines",
            "npm rebuild",
        ),
        (
            {"yarn.lock": "__metadata:\n  version: 8\n"},
            "yarn install --immutable --mode=skip-build",
            "yarn rebuild",
        ),
    ],
)
def test_a_script_that_fails_keeps_the_other_packages_and_scripts_from_nothing(
    files: dict[str, str], install: str, scripts: str
) -> None:
    found = recipes({"package.json": package(), **files})[1]
    assert found.source == f"{next(iter(files), 'package.json')} (no install scripts)"
    assert install in found.setup
    assert f"\n{scripts} || echo " in found.setup
    assert set(files) <= set(found.keys)


def test_a_failed_lock_leads_to_the_manifest_and_its_own_way_of_running_tests() -> None:
    files = {"poetry.lock": "", "pyproject.toml": PYTEST + PROJECT}
    found = recipes(files)
    sources = ["poetry.lock", "poetry.lock, installed by uv", "pyproject.toml"]
    assert [recipe.source for recipe in found] == sources
    test = find_test_command(None, tree(files), found[2])
    assert test is not None
    assert test.command == "pytest"


@pytest.mark.parametrize("file", ["tox.ini", "noxfile.py"])
def test_where_tox_or_nox_cannot_make_its_environment_pytest_runs_in_another(file: str) -> None:
    files = {file: "[tox]\n", "setup.py": ""}
    by_itself, other, *_ = recipes(files)
    assert (by_itself.source, other.source) == (file, "setup.py")
    assert "-c 'import pytest'" in other.setup
    test = find_test_command(None, tree(files), other)
    assert test is not None
    assert test.command == "pytest"


def test_a_project_that_cannot_be_built_does_with_its_dependencies() -> None:
    pyproject = PYTEST + PROJECT + 'dependencies = ["attrs"]\noptional-dependencies.test = []\n'
    _, alone = recipes({"pyproject.toml": pyproject})
    assert alone.source == "pyproject.toml (its dependencies alone)"
    assert "-r pyproject.toml --extra test\nprintf" in alone.setup
    assert "workspace.pth" in alone.setup


@pytest.mark.parametrize(
    ("envlist", "python", "environment"),
    [
        ("py{310,311}-{mypy,test}", "3.11", "py311-test"),
        ("lint, 3.1{0-5}-mypy, 3.1{0-5}-tests", "3.11", "3.11-tests"),
        ("py{311,312}-dj42-{postgres,sqlite}", "3.12", "py312-dj42-sqlite"),
        ("{3.10,3.11}-linux-integration-redis, {3.10,3.11}-unit", "3.11", "3.11-unit"),
        ("py311-djmain, py311-dj52", "3.11", "py311-dj52"),
        ("py{38,39}-crypto", "3.11", "py-crypto"),
        ("pypy3, py39, lint", "", "py"),
        ("lint, unit", "3.11", "unit"),
        ("style, docs", "3.11", "style"),
        ("py{{", "3.11", "py"),
        ("{!,?}" * 60, "3.11", "py"),
        ("py{0-9999}", "3.11", "py311"),
    ],
)
def test_tox_runs_the_environment_of_the_python_that_is_here(
    envlist: str, python: str, environment: str
) -> None:
    given = tree({"tox.ini": f"[tox]\nenvlist = {envlist}\n[testenv]\n"})
    recipe, *_ = find_recipes(given, test="tox", python=python)
    assert recipe.usual_test == f"tox run -e {environment}"


@pytest.mark.parametrize(
    ("makefile", "folders"),
    [
        ("test:\n\t. venv/bin/activate; pytest\n", ["venv"]),
        ("VENV_ROOT=.venv\ntest:\n\t$(VENV_ROOT)/bin/pytest\n", [".venv"]),
        ("test:\n\tenv/bin/python -m pytest; .venv/bin/ruff .\n", [".venv", "env"]),
        ("test:\n\tpython -m venv venv2; /usr/bin/env pytest\n", []),
    ],
)
def test_a_makefile_finds_its_own_venv(makefile: str, folders: list[str]) -> None:
    setup = first({"Makefile": makefile, "setup.py": ""}).setup
    links = [line for line in setup.splitlines() if "ln -s" in line]
    assert links == [f'test -e {name} || ln -s "$HOME/venv" {name}' for name in folders]


def test_what_poetry_cannot_install_uv_installs_as_it_is_locked() -> None:
    optional = "[tool.poetry.group.test]\noptional = true\n[tool.poetry.group.docs]\n"
    files = {"poetry.lock": "", "pyproject.toml": PYTEST + optional}
    by_poetry, by_uv, *_ = recipes(files)
    assert "poetry install --all-extras --with test ||" in by_poetry.setup
    assert (by_uv.source, by_uv.runner) == ("poetry.lock, installed by uv", "")
    assert "poetry export --all-groups" in by_uv.setup
    assert by_uv.setup.count("--no-deps -e .") == 1
    no_package = {**files, "pyproject.toml": f"{PYTEST}[tool.poetry]\npackage-mode = false\n"}
    assert "-e ." not in recipes(no_package)[1].setup


def test_what_poetry_would_lock_is_told_by_its_own_library() -> None:
    found = recipes({"pyproject.toml": PYTEST + "[tool.poetry.group.dev.dependencies]\n"})
    assert found[1].source == "pyproject.toml (Poetry), installed by uv"
    assert "--with poetry-core" in found[1].setup


@pytest.mark.parametrize(
    "more", [{"uv.lock": ""}, {"poetry.lock": ""}, {}], ids=["uv", "poetry", "-"]
)
@pytest.mark.parametrize(
    ("pinned", "taken"), [("3.9", "3.11"), ("3.11.4\n", "3.11"), ("3.11\n", None), ("", None)]
)
def test_a_python_that_is_only_pinned_gives_way_to_the_one_that_is_here(
    more: dict[str, str], pinned: str, taken: str | None
) -> None:
    files = tree({"pyproject.toml": PYTEST + PROJECT, ".python-version": pinned, **more})
    recipe = find_recipes(files, None, "pytest", "3.11")[0]
    assert recipe.env.get("UV_PYTHON") == taken
    assert "UV_PYTHON" not in find_recipes(files, None, "pytest")[0].env  # it is not known


# --- Several languages, monorepos --------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "name"),
    [({"uv.lock": ""}, "UV_FROZEN"), ({"Gemfile": "", "Gemfile.lock": ""}, "BUNDLE_FROZEN")],
)
def test_what_keeps_a_lock_file_as_it_is_is_not_for_agents(
    files: dict[str, str], name: str
) -> None:
    environment = Environment(SetUpState.READY, first(files))
    assert name in environment.variables
    assert name not in environment.variables_of_agents


def test_what_a_person_wrote_of_a_variable_goes_before_what_pins() -> None:
    recipe = first({"uv.lock": "", ".codebot.toml": 'env = {UV_FROZEN = "0"}\n'})
    assert recipe.variables["UV_FROZEN"] == "0"


def test_what_runs_the_tests_is_set_up_first_and_the_other_may_fail() -> None:
    files = {
        "uv.lock": "",
        "pyproject.toml": PYTEST,
        "package.json": package(),
        "package-lock.json": "",
    }
    python, node = first(files), first(files, "npm test")
    assert python.source == "uv.lock"
    assert "\nnpm ci || " in python.setup
    assert "; } || echo 'Not set up: package-lock.json. " in python.setup
    assert {".venv/bin", "node_modules/.bin"} <= {*python.bin}
    assert "package-lock.json" in python.keys
    assert node.source == "package-lock.json"
    assert node.programs == ("npm",)


@pytest.mark.parametrize("manifest", ["package-lock.json", "pnpm-lock.yaml", "yarn.lock"])
def test_of_a_python_project_and_its_frontend_both_are_set_up_for_the_tests_of_both(
    manifest: str,
) -> None:
    files = {"setup.py": "", "pytest.ini": "", "package.json": package(), manifest: ""}
    found = recipes(files)
    assert {recipe.source for recipe in found} == {"setup.py"}
    assert f"|| echo 'Not set up: {manifest}. " in found[0].setup
    made = "test:\n\tpytest\n\tnpx mocha\n"
    unlocked = first({"setup.py": "", "package.json": package(), "Makefile": made})
    assert unlocked.source == "setup.py"
    assert "npm install" in unlocked.setup


@pytest.mark.parametrize(
    ("folder", "test"), [("tests", None), ("pkg/test_e2e", None), ("web", "cd web && pytest")]
)
def test_what_is_locked_in_the_folder_of_the_tests_is_set_up_there(
    folder: str, test: str | None
) -> None:
    node = {f"{folder}/package.json": package(), f"{folder}/package-lock.json": ""}
    files = {"setup.py": "", "test_a.py": "", **node}
    python = first(files, test)
    assert f"sh -ec 'cd {folder}\n" in python.setup
    assert f"|| echo 'Not set up: {folder}/package-lock.json. " in python.setup
    assert set(node) <= {*python.keys}
    assert "node_modules/.bin" not in python.bin


@pytest.mark.parametrize("folder", ["docs/tests", "web", "a/b/tests", "latest"])
def test_what_is_locked_elsewhere_is_nothing_that_tests_call(folder: str) -> None:
    node = {f"{folder}/package.json": package(), f"{folder}/package-lock.json": ""}
    assert "npm" not in first({"setup.py": "", "test_a.py": "", **node}).setup


def test_a_makefile_says_whose_tools_it_calls() -> None:
    both = {"uv.lock": "", "package.json": package(), "package-lock.json": ""}
    assert first({**both, "Makefile": "test:\n\t@npm test\n"}).source == "package-lock.json"
    assert first({**both, "Makefile": "test:\n\tpytest\n"}).source == "uv.lock"


def test_a_toolchain_that_is_missing_is_not_made_up_for_by_another_language() -> None:
    found = recipes({"go.mod": "", "Makefile": "test:\n\tgo test ./...\n"})
    assert [recipe.source for recipe in found] == ["go.mod"]


def test_a_path_moves_everything_below_it() -> None:
    files = {
        ".codebot.toml": 'path = "./services/api/"\nenv = {STAGE = "test"}\n',
        "services/api/uv.lock": "",
        "services/api/pyproject.toml": PYTEST,
        "package-lock.json": "",
    }
    recipe = first(files)
    test = find_test_command(None, tree(files), recipe)
    assert (recipe.source, recipe.path) == ("uv.lock", "services/api")
    assert recipe.keys == ("services/api/uv.lock", "services/api/pyproject.toml")
    assert recipe.env["STAGE"] == "test"
    assert test is not None
    assert test.command == "uv run --frozen pytest"


def test_the_only_project_of_a_repository_is_found_below_a_top_that_says_nothing() -> None:
    files = {"README.md": "", "api/requirements.txt": "", "api/tests/test_a.py": "", "docs/x": ""}
    recipe = first(files)
    assert (recipe.source, recipe.path) == ("requirements.txt", "api")
    assert first(files, "cd api && pytest").path == "", "who names a command knows the folders"
    assert first({**files, "setup.py": ""}).path == ""
    assert first({**files, "b/setup.py": "", "b/tests/test_b.py": ""}).path == ""


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"lib/CMakeLists.txt": "", "lib/tests/a.c": ""}, "CMakeLists.txt"),
        ({"web/package.json": package(), "web/src/a.test.ts": ""}, "package.json"),
        ({"api/go.mod": "", "api/a_test.go": ""}, "go.mod"),
        ({"lib/configure.ac": "", "lib/tests/a.c": "", "docs/setup.py": ""}, "configure.ac"),
        ({"lib/meson.build": "", "lib/tests/a.c": "", "b/setup.py": ""}, "meson.build"),
    ],
)
def test_the_only_project_may_be_of_any_language(files: dict[str, str], source: str) -> None:
    recipe = recipes({"README.md": "", **files})[0]
    assert (recipe.source, recipe.path) == (source, next(iter(files)).partition("/")[0])


def test_what_is_needed_may_lie_where_the_tests_are_run() -> None:
    files = {"site/manage.py": "", "site/requirements.txt": ""}
    assert "-r site/requirements.txt" in first(files).setup


# --- Order -------------------------------------------------------------------------------------


EVERYTHING = {
    ".github/workflows/copilot-setup-steps.yml": (
        "jobs:\n  copilot-setup-steps:\n    steps:\n      - run: make deps\n"
    ),
    ".cursor/environment.json": '{"install": "./install"}',
    ".openhands/setup.sh": "echo hello\n",
    "package-lock.json": "",
    "package.json": package(),
    ".devcontainer/devcontainer.json": '{"postCreateCommand": "npm i"}',
}


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "", "requirements-dev.txt": "", "test_a.py": ""},
        {"setup.py": "", "requirements-dev.txt": "", "test_a.py": ""},
        {"package.json": package()},
        {"package.json": package(), "package-lock.json": ""},
    ],
)
def test_no_failure_hides_in_what_is_tried_instead(files: dict[str, str]) -> None:
    for recipe in recipes(files):
        instead = re.findall(r"\|\| \{[^}]*\}", recipe.setup)
        assert not any("&&" in each for each in instead)  # where a shell goes on after a failure


def test_pnpm_that_this_node_cannot_start_gives_way_and_fetches_no_other_one() -> None:
    files = {"package.json": package(packageManager="pnpm@11.13.1"), "pnpm-lock.yaml": ""}
    for recipe in recipes(files):
        install = recipe.setup.splitlines()
        assert f"pnpm --version >/dev/null 2>&1 || {INSTALL} pnpm@10" in install
        assert recipe.env["COREPACK_ROOT"]


@pytest.mark.parametrize(
    ("python", "wanted"),
    [("3.11", ["django5", "always", "rest"]), ("3.9", ["django4", "always", "rest", "old"])],
)
def test_what_tox_installs_under_conditions_is_the_chosen_environments(
    python: str, wanted: list[str]
) -> None:
    tox = (
        "[tox]\nenvlist = {py39}-django4, {py310,py311}-django5, latest\n[testenv]\ndeps =\n"
        "    django4: django4\n    django5: django5\n    !latest: rest\n    always\n"
        "    py39, latest: old\n    latest: https://example.com/main.tar.gz\n"
    )
    given = tree({"tox.ini": tox, "setup.py": "", "pytest.ini": ""})
    setup = find_recipes(given, None, "pytest", python)[0].setup
    found = re.search(r"\|\| for one in ([\w ]+);", setup)
    assert found is not None
    assert sorted(found[1].split()) == sorted(wanted)


def test_what_is_known_better_is_tried_first() -> None:
    assert [recipe.source for recipe in recipes(EVERYTHING)] == [
        ".github/workflows/copilot-setup-steps.yml",
        ".cursor/environment.json",
        ".openhands/setup.sh",
        "package-lock.json",
        "package-lock.json (no install scripts)",
        "package.json",
        ".devcontainer/devcontainer.json",
    ]


def test_what_a_person_wrote_for_this_service_is_the_only_one() -> None:
    files = {**EVERYTHING, ".codebot.toml": 'setup = "make env"\ntest = "make check"\n'}
    (recipe,) = recipes(files)
    assert (recipe.origin, recipe.setup) == (RecipeOrigin.REPOSITORY, "make env")
    test = find_test_command(None, tree(files), recipe)
    assert test is not None
    assert (test.command, test.source) == ("make check", "detected from .codebot.toml")


def test_the_task_goes_before_the_operator_and_both_before_the_repository() -> None:
    given = tree({".codebot.toml": "no TOML"})
    operator = written_for(tree({".codebot.toml": 'setup = "x"'}), Said())
    assert operator is not None
    assert written_for(given, Said(operator=operator)) is operator
    task = written_for(given, Said("./install", operator))
    assert task is not None
    assert (task.recipe.origin, task.recipe.setup) == (RecipeOrigin.TASK, "./install")


def test_a_task_that_says_how_to_set_up_leaves_the_rest_to_the_repository() -> None:
    says = (
        'setup = "x"\nupdate = "y"\ntest = "./check"\npath = "api"\nkeys = ["a"]\n[env]\nA = "1"\n'
    )
    files = tree({".codebot.toml": says})
    (recipe,) = find_recipes(files, written_for(files, Said("./install")))
    assert (recipe.source, recipe.setup, recipe.update, recipe.keys) == (
        "the task",
        "./install",
        "",
        (),
    )
    assert (recipe.path, recipe.env) == ("api", {"A": "1"})
    test = find_test_command(None, files, recipe)
    assert test is not None
    assert (test.command, test.source) == ("./check", "detected from .codebot.toml")


def test_who_says_how_the_tests_run_is_named_whoever_sets_up() -> None:
    files = {**EVERYTHING, ".codebot.toml": 'test = "./check"'}
    test = find_test_command(None, tree(files), first(files))
    assert test is not None
    assert test.source == "detected from .codebot.toml"


def test_a_written_word_on_the_tests_is_laid_over_a_guess() -> None:
    recipe = first({**EVERYTHING, ".codebot.toml": 'test = "./check"\negress = ["a.example.com"]'})
    assert recipe.origin is RecipeOrigin.FOREIGN
    assert (recipe.test, recipe.egress) == ("./check", ("a.example.com",))


def test_written_that_there_is_nothing_to_do_is_an_answer() -> None:
    (recipe,) = recipes({**EVERYTHING, ".codebot.toml": 'setup = ""\n'})
    assert recipe.setup == ""


# --- What is built of a commit's own files -----------------------------------------------------


@pytest.mark.parametrize(
    ("files", "builds"),
    [
        ({"uv.lock": "", "a.py": ""}, False),
        ({"uv.lock": "", "a/b.pyx": ""}, True),
        ({"setup.py": "", "pytest.ini": "", "src/fast.c": ""}, True),
        ({"package.json": package(), "package-lock.json": ""}, False),
        ({"package.json": json.dumps({"scripts": {"prepare": "tsc -p ."}})}, True),
        ({"package.json": json.dumps({"scripts": {"prepare": "husky"}})}, False),
        ({"CMakeLists.txt": ""}, True),
        ({"pom.xml": ""}, True),
        ({"Cargo.lock": ""}, False),
    ],
)
def test_what_is_built_of_the_repositorys_own_files_fits_no_other_commit(
    files: dict[str, str],
    builds: bool,  # noqa: FBT001 - a table
) -> None:
    assert first(files).builds is builds


# --- What decides about an environment ----------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "further"),
    [
        ({"requirements/test.txt": "-r base.txt", "requirements/base.txt": ""}, "base.txt"),
        ({"requirements.txt": "-c constraints.txt", "constraints.txt": ""}, "constraints.txt"),
        ({"package.json": '{"workspaces": ["a"]}', "a/b/package.json": ""}, "a/b/package.json"),
        ({"pnpm-lock.yaml": "", "pnpm-workspace.yaml": "", "a/package.json": ""}, "a/package.json"),
    ],
)
def test_what_the_files_name_decides_as_they_do(files: dict[str, str], further: str) -> None:
    given = {"pytest.ini": "", **files} if "requirements" in "".join(files) else files
    assert any(key.endswith(further) for key in first(given).keys)


def test_a_packages_own_manifest_decides_nothing_outside_of_a_workspace() -> None:
    files = {"package.json": package(), "a/package.json": "", "node_modules/a/package.json": ""}
    assert first(files).keys == ("package.json",)
