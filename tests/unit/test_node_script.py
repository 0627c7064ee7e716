"""What of a Node script tests, where it checks other things, too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.verify.node_script import part_that_tests

LINT = {"lint": "eslint ."}
MAY_FAIL = "echo 'It failed. The tests may do without.'"


@pytest.mark.parametrize(
    ("scripts", "alone"),
    [
        ({"test": "xo && ava && tsd"}, "ava"),
        ({"test": "xo; c8 ava; tsd"}, "c8 ava"),
        ({"test": "jest", "pretest": "npm run lint", **LINT}, "jest"),
        ({"test": "tap", "posttest": "npm run lint", **LINT}, "tap"),
        ({"test": "npm run lint && node --test", **LINT}, "node --test"),
        ({"test": "yarn lint && yarn unit", "unit": "mocha", **LINT}, "yarn unit"),
        ({"test": "run-p lint test:*", "test:unit": "bnt", **LINT}, "npm run test:unit"),
        ({"test": "run-s -c lint unit", "unit": "a-runner", **LINT}, "npm run unit"),
        (
            {"test": "pnpm run /^test:/", "test:size": "size-limit", "test:spec": "vitest"},
            "npm run test:spec",
        ),
        ({"test": "vitest run && npm run types", "types": "vitest --typecheck"}, "vitest run"),
        ({"test": "tsc --noEmit && node test/all.js"}, "node test/all.js"),
        ({"test": "prettier -c . && pnpm -r test"}, "pnpm -r test"),
        (
            {"test": "npm run lint && A=1 npm run unit -- --all", "unit": "date && jest", **LINT},
            "A=1 npm run unit -- --all",
        ),
        (
            {"test": "npm run build && eslint . && mocha && semgrep", "build": "tsc"},
            f"npm run build || {MAY_FAIL}; mocha",
        ),
        ({"test": "eslint 'a && b' && uvu tests"}, "uvu tests"),
        ({"test": "xo && ava 'one && two' && tsd"}, "ava 'one && two'"),
        ({"test": "eslint test && ava"}, "ava"),
        ({"test": "vitest run", "pretest": "tsdown"}, f"tsdown || {MAY_FAIL}; vitest run"),
    ],
)
def test_what_is_no_test_is_left_out(scripts: dict[str, str], alone: str) -> None:
    assert part_that_tests(scripts) == alone


@pytest.mark.parametrize(
    "scripts",
    [
        {},
        {"test": "jest"},
        {"test": "TZ=UTC npm run t", "t": "date && jest"},
        {"test": "eslint ."},
        {"test": "eslint . | tee log && jest"},
        {"test": "npm run test"},
        {"test": "npm run a", "a": "npm run b", "b": "npm run a && eslint ."},
        {"test": "xo && " + "x" * 5_000 + " && ava"},
    ],
)
def test_where_all_is_tests_or_nothing_is_clear_nothing_is_left_out(
    scripts: dict[str, str],
) -> None:
    assert part_that_tests(scripts) == ""


def test_scripts_that_call_each_other_a_thousandfold_cost_little() -> None:
    calls = {f"s{n}": " && ".join([f"npm run s{n + 1}"] * 300) for n in range(200)}
    assert part_that_tests({"test": "npm run s0 && eslint . && ava", **calls}).endswith("ava")


@given(st.text(alphabet="""ab &|;'"\\$()=:-./\n""", max_size=60))
def test_no_script_raises(script: str) -> None:
    part_that_tests({"test": script, "a": script, "lint": "xo"})
