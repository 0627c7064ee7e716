"""Files that were written for other services: what of them is a recipe here, and what is told."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.environment import Recipe, RecipeOrigin
from codebot.domain.tree import Tree
from codebot.environment.recipes import find_recipes
from codebot.environment.recipes.reading import LONGEST_TEXT, Unreadable, read_json, read_yaml

COPILOT = ".github/workflows/copilot-setup-steps.yml"
CURSOR = ".cursor/environment.json"
OPENHANDS = ".openhands/setup.sh"
DEVCONTAINER = ".devcontainer/devcontainer.json"

VENV = 'uv venv --quiet --seed --clear "$HOME/venv"'

STEPS = """\
name: Copilot Setup Steps
on: workflow_dispatch
jobs:
  copilot-setup-steps:
    runs-on: ubuntu-latest
    env:
      STAGE: test
      PATH: /x
      TOKEN: ${{ secrets.TOKEN }}
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
      - uses: acme/our-own@v1
      - name: Install
        run: |
          pip install -e .
          pip install pytest
      - run: npm ci
        working-directory: web
        env: {A: "b c"}
      - run: echo ${{ github.sha }}
      - run: Get-Item x
        shell: pwsh
      - run: never
        if: false
      - run: ls ..
        working-directory: ../..
      - run: maybe
        continue-on-error: true
"""


def read(path: str, text: str | bytes) -> tuple[Recipe, ...]:
    content = text.encode() if isinstance(text, str) else text
    return find_recipes(Tree(frozenset({path}), {path: content}))


def test_copilots_steps_run_one_after_the_other_each_in_a_shell_of_its_own() -> None:
    (recipe,) = read(COPILOT, STEPS)
    assert (recipe.origin, recipe.source) == (RecipeOrigin.FOREIGN, COPILOT)
    assert recipe.setup.splitlines() == [
        f"{VENV} --python 3.12 2>/dev/null || {VENV}",
        'export VIRTUAL_ENV="$HOME/venv"',
        "bash -eo pipefail -c 'pip install -e .",
        "pip install pytest",
        "'",
        "bash -eo pipefail -c 'cd web",
        "export A='\"'\"'b c'\"'\"'",
        "npm ci'",
        "bash -eo pipefail -c maybe || true",
    ]
    assert recipe.bin[0] == "~/venv/bin"
    assert recipe.env == {"STAGE": "test"}
    assert recipe.builds, "nobody knows what such a script looks at"


def test_what_of_copilots_steps_means_nothing_here_is_named() -> None:
    (recipe,) = read(COPILOT, STEPS)
    assert recipe.notes == (
        "asks for Python 3.12",
        "skipped the action 'acme/our-own@v1'",
        "skipped the step 'echo ${{ github.sha }}': it has an expression of GitHub's",
        "skipped the step 'Get-Item x': its shell is another one",
        "skipped the step 'never': its condition does not hold",
        "skipped the step 'ls ..': its folder is outside of the repository",
        "the variable 'PATH' was left out",
        "the variable 'TOKEN' was left out",
    )


def test_actions_alone_are_no_recipe() -> None:
    steps = "jobs: {copilot-setup-steps: {steps: [{uses: actions/setup-node@v4}]}}"
    assert read(COPILOT, steps) == ()


def test_package_managers_that_actions_set_up_are_installed() -> None:
    steps = (
        "jobs: {copilot-setup-steps: {steps: [{uses: pnpm/action-setup@v4, with: {version: 9}}]}}"
    )
    assert "npm install --global" in read(COPILOT, steps)[0].setup
    assert "pnpm@9" in read(COPILOT, steps)[0].setup


def test_cursors_install_is_a_recipe_and_its_machine_is_not() -> None:
    (recipe,) = read(CURSOR, '{"install": "npm ci", "start": "dockerd", "snapshot": "s-1"}')
    assert recipe.setup == "npm ci"
    assert recipe.notes == ("skipped `snapshot`", "skipped `start`")


def test_openhands_script_is_run_as_the_file_that_it_is() -> None:
    (recipe,) = read(OPENHANDS, "#!/bin/bash\npip install -e .\n")
    assert recipe.setup.endswith("bash .openhands/setup.sh")
    assert recipe.bin[0] == "~/venv/bin"


def test_a_development_containers_commands_come_in_their_order() -> None:
    text = """{
      // the image
      "image": "mcr.example.com/x", /* and */ "features": {"a": {}},
      "postCreateCommand": {"a": "echo 'it is'", "b": ["npm", "ci"]},
      "onCreateCommand": ["echo", "a b"],
      "updateContentCommand": "make deps",
      "containerEnv": {"A": "1", "B": "${localEnv:HOME}"},
    }"""
    (recipe,) = read(DEVCONTAINER, text)
    assert recipe.setup.splitlines() == [
        "echo 'a b'",
        "bash -c 'make deps'",
        "bash -c 'echo '\"'\"'it is'\"'\"''",
        "npm ci",
    ]
    assert recipe.env == {"A": "1"}
    assert recipe.notes == ("skipped `features`", "the variable 'B' was left out")


ONE_STEP = "jobs: {{copilot-setup-steps: {{steps: [{}]}}}}\n"
BOMB = (
    "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    + "jobs: {copilot-setup-steps: {env: *a29, steps: *a29}}\n"
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "jobs: {copilot-setup-steps: {steps: &s [*s, {run: [*s]}]}}",
        "jobs: &j {copilot-setup-steps: *j, steps: *j}",
        "[" * 60_000,
        "a: " * 30_000,
        "? " * 60_000,
        "- " * 60_000,
        "!!python/object/apply:os.system ['true']",
        "jobs: {copilot-setup-steps: {steps: 1}}",
        "jobs: {copilot-setup-steps: [steps]}",
        "{[a]: b}",
        "a: 1\n" * 1_000_000,
        'jobs: {copilot-setup-steps: {steps: [{run: "a\\0b"}]}}',
        "\0",
        b"\xff\xfe\x00\x01",
        "",
    ],
)
def test_hostile_yaml_gives_nothing_and_costs_nothing(text: str | bytes) -> None:
    started = time.monotonic()
    assert read(COPILOT, text) == ()
    assert time.monotonic() - started < 5, "a few seconds on a loaded machine"


@pytest.mark.parametrize("path", [CURSOR, DEVCONTAINER])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"install": ' + "9" * 10_000 + "}",
        '{"install": ["npm ci"], "postCreateCommand": {"a": {"b": "c"}}}',
        '{"install": 1, "postCreateCommand": [1, "a"]}',
        '{"install": "", "postCreateCommand": " "}',
        '{"a": "' * 1000,
        '{"install": "a\\u0000b", "postCreateCommand": ["a", "\\u0000"]}',
        '{"install": "a \\ud800", "postCreateCommand": "\\udfff"}',
        json.dumps({"install": "€" * 50_000}, ensure_ascii=False),
        json.dumps({"postCreateCommand": "'" * 40_000}),
        "/*" * 50_000,
        '"' * 100_001,
        "{" + " " * LONGEST_TEXT + "}",
        b"\xff",
        "null",
    ],
)
def test_hostile_json_gives_nothing_and_costs_nothing(path: str, text: str | bytes) -> None:
    started = time.monotonic()
    assert read(path, text) == ()
    assert time.monotonic() - started < 10, "a few seconds on a loaded machine"


@pytest.mark.parametrize("key", ["name", "if", "shell", "working-directory", "env", "with", "uses"])
@pytest.mark.parametrize("value", ["[]", "{}", "*a29", "{a: *a29}"])
def test_a_step_may_hold_anything_anywhere(key: str, value: str) -> None:
    steps = BOMB.partition("jobs:")[0] + ONE_STEP.format(f"{{run: make, {key}: {value}}}")
    started = time.monotonic()
    read(COPILOT, steps)
    assert time.monotonic() - started < 5, "a few seconds on a loaded machine"


def test_a_variable_that_no_program_can_be_given_is_left_out_and_named() -> None:
    for value in (r"\u0000", r"\ud800", "€" * 20_000):
        text = f'{{"containerEnv": {{"A": "{value}", "B": "b"}}, "postCreateCommand": "make"}}'
        (recipe,) = read(DEVCONTAINER, text)
        assert (recipe.env, recipe.notes) == ({"B": "b"}, ("the variable 'A' was left out",))


def test_many_steps_are_cut_and_that_is_told() -> None:
    steps = json.dumps({"jobs": {"copilot-setup-steps": {"steps": [{"run": "x"}] * 150}}})
    (recipe,) = read(COPILOT, steps)
    assert recipe.setup.count("bash -eo pipefail -c x") == 100
    assert recipe.notes == ("skipped all steps after the first 100",)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_is_read_as_it_was_written(value: object) -> None:
    assert read_json(json.dumps(value)) == value


@given(st.text(alphabet='{}[]",:/*\\ \n a'))
def test_no_json_raises_anything_else(text: str) -> None:
    with suppress(Unreadable):
        read_json(text)


@given(st.text(alphabet="{}[]&*!|>-?:,#'\" \n\ta1"))
def test_no_yaml_raises_anything_else(text: str) -> None:
    with suppress(Unreadable):
        read_yaml(text)
