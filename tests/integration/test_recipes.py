"""Recipes in a real box, through the whole way of a task: taken, told, or refused."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from codebot.domain.environment import SetUpState
from codebot.domain.outcome import Verdict, VerdictState
from codebot.domain.ports import Sandbox
from codebot.environment.operators_table import read_environments
from codebot.errors import ConfigError
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.at_once import at_once
from fakes.egress import NoEgress
from fakes.story import Act, Story, open_story

MENDS = "echo '# mended' >> shop.py"
COPILOT = ".github/workflows/copilot-setup-steps.yml"
STEPS = "jobs: {{copilot-setup-steps: {{steps: [{{run: {command}}}, {{uses: acme/own@v1}}]}}}}\n"
DEVCONTAINER = ".devcontainer/devcontainer.json"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return BubblewrapSandbox(
        find_bubblewrap(), path="/usr/bin", mark=str(tmp_path), egress=NoEgress()
    )


def act(script: str = MENDS) -> Act:
    return Act(script, turns=0)


def verdict_of(story: Story) -> Verdict:
    recorded = at_once(story.store.steps.result(story.run.id, "verify", 1))
    assert recorded is not None
    return TypeAdapter(Verdict).validate_json(recorded)


async def test_what_a_repository_says_is_done_in_its_folder_with_its_variables(
    tmp_path: Path, box: Sandbox
) -> None:
    says = """
setup = ["test $STAGE = check", "mkdir tools", "cp tool.sh tools/tool", "chmod +x tools/tool"]
test = "tool"
path = "api"
env = {STAGE = "check"}
bin = ["tools"]
"""
    files = {
        ".codebot.toml": says,
        "api/tool.sh": "#!/bin/bash\ngrep mended ../shop.py && test $STAGE = check\n",
    }
    async with open_story(tmp_path, act(), test_command=None, sandbox=box, files=files) as story:
        assert (await story.tell()).failure is None
        verdict = verdict_of(story)
        assert (verdict.state, verdict.command) == (VerdictState.PASSED, "tool")
        assert verdict.source == "detected from .codebot.toml"
        assert story.data("change.collected")["files"] == 1


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("setup = ", ".codebot.toml is no TOML (line 1: "),
        ('a.b = 1\ntests = "x"', "line 2: unknown key `tests`"),
        ('path = "../.."', "line 1: `path` must be a folder of the repository"),
        ('[env]\nLD_PRELOAD = "./x.so"', "line 2: `env` cannot set LD_PRELOAD"),
        ("a" + ".a" * 50_000 + " = 1", "has a name of more than 100 parts in line 1"),
        ('path = "nowhere"\nsetup = "true"', "The set-up of .codebot.toml ended with exit code"),
    ],
)
async def test_a_repositorys_word_that_is_wrong_costs_nothing(
    tmp_path: Path, box: Sandbox, says: str, words: str
) -> None:
    async with open_story(tmp_path, act(), sandbox=box, files={".codebot.toml": says}) as story:
        error = await story.fail()
        assert error.code == "set_up_failed"
        assert words in error.detail
        assert story.agent.jobs == []


async def test_the_operators_word_goes_before_the_repositorys(tmp_path: Path, box: Sandbox) -> None:
    table = '["Local/Shop"]\nsetup = "echo ready >ready"\ntest = "grep ready ready"\n'
    async with open_story(
        tmp_path,
        act(),
        test_command=None,
        sandbox=box,
        environments=table,
        files={".codebot.toml": "is no TOML"},
    ) as story:
        await story.tell()
        assert story.data("environment.set_up")["source"] == "the operator's table"
        assert verdict_of(story).state == VerdictState.PASSED


async def test_a_foreign_file_that_fails_is_told_and_the_next_one_tried(
    tmp_path: Path, box: Sandbox
) -> None:
    files = {
        COPILOT: STEPS.format(command="nothing-of-this-name"),
        ".cursor/environment.json": '{"install": "echo ready >ready", "start": "dockerd"}',
    }
    async with open_story(
        tmp_path, act(), test_command="grep ready ready", sandbox=box, files=files
    ) as story:
        await story.tell()
        told = story.data("environment.set_up")
        assert (told["state"], told["source"]) == (SetUpState.READY, ".cursor/environment.json")
        (failure,) = told["failures"]
        assert failure.startswith(f"the set-up of {COPILOT} ended with exit code 127: ")
        assert failure.endswith("the program nothing-of-this-name is not on this machine")
        assert told["notes"] == ["skipped `start`"]
        log = await story.store.logs.text(story.task.id)
        assert log.startswith(f"# {failure}\n")
        assert "nothing-of-this-name: command not found\n" in log.partition("# session")[0]
        assert verdict_of(story).state == VerdictState.PASSED


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sleep 1000", "did not end within 2 seconds (CODEBOT_SETUP_TIMEOUT)"),
        ("yes", "did not end within 2 seconds"),
        ("sleep 1000 & exit 3", "ended with exit code 3"),
        ("kill -9 $$", "ended with exit code -9"),
        ("echo x >/etc/passwd", "ended with exit code 1"),
        ("sudo apt-get install x", "ended with exit code 127"),
    ],
)
async def test_a_foreign_recipe_that_hangs_floods_or_breaks_out_only_fails(
    tmp_path: Path, box: Sandbox, command: str, words: str
) -> None:
    files = {DEVCONTAINER: f'{{"postCreateCommand": "{command}"}} // so it is'}
    async with open_story(tmp_path, act(), sandbox=box, files=files, setup_limit=2) as story:
        await story.tell()
        told = story.data("environment.set_up")
        assert told["state"] == SetUpState.FAILED
        assert f"the set-up of {DEVCONTAINER} {words}" in told["reason"]
        assert len(story.agent.jobs) == 1, "the work goes on, and is told"


async def test_a_host_that_is_not_granted_is_told(tmp_path: Path, box: Sandbox) -> None:
    says = 'setup = "true"\negress = ["downloads.example.com"]\n'
    async with open_story(tmp_path, act(), sandbox=box, files={".codebot.toml": says}) as story:
        await story.tell()
        (note,) = story.data("environment.set_up")["notes"]
        assert note == "downloads.example.com is asked for, and CODEBOT_EGRESS does not grant it"


async def test_a_toolchain_that_is_missing_is_named(tmp_path: Path, box: Sandbox) -> None:
    async with open_story(
        tmp_path, act(), test_command=None, sandbox=box, files={"mix.exs": "", "mix.lock": ""}
    ) as story:
        await story.tell()
        told = story.data("environment.set_up")
        assert told["reason"] == "mix.lock needs mix, not found on this machine"


async def test_failing_tests_of_packages_for_another_node_are_the_environment(
    tmp_path: Path, box: Sandbox
) -> None:
    told = "npm warn EBADENGINE   package: 'a@1',\\nnpm warn EBADENGINE   required: { node: '>=99'"
    files = {".cursor/environment.json": json.dumps({"install": f'printf "{told}"'})}
    files |= {"Makefile": "test:\n\tfalse\n"}
    async with open_story(tmp_path, act(), test_command=None, sandbox=box, files=files) as story:
        await story.tell()
        verdict = verdict_of(story)
        assert verdict.state is VerdictState.ENVIRONMENT
        assert verdict.reason == (
            "The tests could not run: a@1 asks for Node >=99, and another one is here."
        )


async def test_a_toolchain_that_no_box_sees_is_told_from_one_that_is_missing(
    tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = tmp_path / "of-my-home" / "mix"
    mix.parent.mkdir()
    mix.write_text("#!/bin/sh\n")
    mix.chmod(0o755)
    monkeypatch.setenv("PATH", f"{mix.parent}:/usr/bin")
    async with open_story(
        tmp_path, act(), test_command=None, sandbox=box, files={"mix.exs": ""}
    ) as story:
        await story.tell()
        told = story.data("environment.set_up")["reason"]
        assert told == f"mix.exs needs {mix}, which boxes do not see (CODEBOT_SANDBOX_PATHS)"


C_TEST = """\
#include <stdio.h>
#include <string.h>
int main(void) {
    char line[100] = "";
    FILE *shop = fopen(SHOP, "r");
    while (shop && fgets(line, sizeof line, shop)) {}
    return strncmp(line, "# mended", 8) != 0;
}
"""
CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(shop C)
enable_testing()
add_executable(check check.c)
target_compile_definitions(check PRIVATE SHOP="${CMAKE_SOURCE_DIR}/shop.py")
add_test(NAME check COMMAND check)
"""
CONFIGURE = """\
#!/bin/sh
top=$(dirname "$0")
cat >Makefile <<END
all:
\tcc -DSHOP='"$top/shop.py"' -o check $top/check.c
check: all
\t./check
END
"""
MAKEFILE = "check:\n\tcc -DSHOP='\"shop.py\"' -o /tmp/check check.c && /tmp/check\n"


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"CMakeLists.txt": CMAKE}, "CMakeLists.txt"),
        ({"configure": CONFIGURE, "Makefile.am": ""}, "configure"),
        ({"Makefile": MAKEFILE}, "Makefile"),
    ],
)
async def test_a_program_in_c_is_built_and_tested(
    tmp_path: Path, box: Sandbox, files: dict[str, str], source: str
) -> None:
    async with open_story(
        tmp_path,
        act(),
        test_command=None,
        sandbox=box,
        files={**files, "check.c": C_TEST},
    ) as story:
        assert (await story.tell()).failure is None
        assert story.data("environment.set_up")["source"] == source
        assert verdict_of(story).state == VerdictState.PASSED
        assert story.data("change.collected")["files"] == 1


def test_an_operators_table_that_is_wrong_is_refused_at_start(tmp_path: Path) -> None:
    file = tmp_path / "environments.toml"
    file.write_text('["a/b"]\nsetpu = "x"\n["c/d"]\npath = "/"\n')
    with pytest.raises(ConfigError) as raised:
        read_environments(file)
    assert len(raised.value.problems) == 2
    assert '["a/b"] line 2: unknown key `setpu`' in raised.value.problems[0]


def test_an_operators_table_that_cannot_be_read_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_environments(tmp_path)
    assert read_environments(None) == {}
