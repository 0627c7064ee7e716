"""What a person wrote for this service: taken whole, or refused with file, line and reason."""

import time
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.environment import RecipeOrigin
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.tree import Tree
from codebot.environment.recipes import find_recipes, refused_hosts
from codebot.environment.recipes.codebot_toml import FILE, read_codebot_toml
from codebot.environment.recipes.operators import find_in_table, read_operators_table
from codebot.environment.recipes.reading import LONGEST_TEXT, Unreadable, read_toml
from codebot.environment.recipes.written import KNOWN
from codebot.errors import SetUpFailed

WHOLE = """\
setup = ["./install", "./configure"]
update = "./install --update"
test = "./check"
path = "api"
bin = ["~/tools/bin", "bin"]
keys = ["api/deps.lock"]
egress = ["downloads.example.com"]

[env]
STAGE = "test"
"""


def tree(text: str | bytes) -> Tree:
    content = text.encode() if isinstance(text, str) else text
    return Tree(frozenset({FILE}), {FILE: content})


def why_refused(text: str | bytes) -> str:
    with pytest.raises(SetUpFailed) as raised:
        read_codebot_toml(tree(text))
    assert "No model was asked" in raised.value.hint
    return raised.value.detail


def test_all_that_can_be_said_is_taken() -> None:
    (recipe,) = find_recipes(tree(WHOLE), read_codebot_toml(tree(WHOLE)))
    assert recipe.origin is RecipeOrigin.REPOSITORY
    assert recipe.setup == "./install\n./configure"
    assert (recipe.update, recipe.test, recipe.path) == ("./install --update", "./check", "api")
    assert recipe.env == {"STAGE": "test"}
    assert (recipe.bin, recipe.keys) == (("~/tools/bin", "bin"), ("api/deps.lock",))
    assert refused_hosts(recipe, frozenset()) == (
        "downloads.example.com is asked for, and CODEBOT_EGRESS does not grant it",
    )
    assert refused_hosts(recipe, frozenset({"downloads.example.com"})) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("setup = ", ".codebot.toml is no TOML (line 1: "),
        ('a = 1\nsetup = "x', ".codebot.toml is no TOML (line 2: "),
        (b"\xff\xfe", ".codebot.toml is no TOML (not UTF-8)"),
        ('test = "x"\nsetpu = "y"\n', "line 2: unknown key `setpu` (there are setup, update,"),
        ("[install]\nx = 1\n", "line 1: unknown key `install`"),
        ("setup = 1\n", "line 1: `setup` must be a text"),
        ('test = ["a", 2]\n', "line 1: `test` must be a text, or a list of texts"),
        ('\n\nenv = "A=b"\n', "line 3: `env` must be a table"),
        ("[env]\nA = 1\n", "line 2: `env` cannot hold 'A'"),
        ('env = {"A B" = "1"}\n', "`env` cannot hold 'A B'"),
        ('keys = "uv.lock"\n', "line 1: `keys` must be a list of files or folders"),
        ('keys = ["../secrets"]\n', "line 1: `keys` must be a list of files or folders"),
        ('bin = ["/usr/local/bin"]\n', "line 1: `bin` must be a list of folders"),
        ('bin = ["~/../x"]\n', "line 1: `bin` must be a list of folders"),
        ('path = ".."\n', "line 1: `path` must be a folder of the repository"),
        ('path = "a/../.."\n', "line 1: `path`"),
        ('path = "/etc"\n', "line 1: `path`"),
        ('path = "~/x"\n', "line 1: `path`"),
        ("path = ['a']\n", "line 1: `path`"),
        ('egress = ["*.example.com"]\n', "line 1: `egress` must be a list of full host names"),
        ('egress = ["https://example.com"]\n', "line 1: `egress`"),
        ('egress = ["10.0.0.1"]\n', "line 1: `egress`"),
        ('setup = "a\\u0000b"\n', "line 1: `setup`"),
        ('test = "' + "€" * 20_000 + '"\n', "line 1: `test` must be a text of at most 32,768"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str | bytes, words: str) -> None:
    assert words in why_refused(text)


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "USER", "SHELL", "TMPDIR", "LD_PRELOAD", "LD_AUDIT", "BASH_ENV", "ENV"),
        *("HTTPS_PROXY", "http_proxy", "No_Proxy", "ALL_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO"),
        *("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR"),
    ],
)
def test_a_variable_that_is_not_the_repositorys_is_refused(name: str) -> None:
    assert f"line 2: `env` cannot set {name}: " in why_refused(f'[env]\n{name} = "x"\n')


def test_every_problem_is_told_at_once() -> None:
    assert why_refused('setup = 1\nfoo = 2\n[env]\nPATH = "x"\n').count("line ") == 3


def test_of_many_problems_the_first_are_told_at_no_great_cost() -> None:
    started = time.monotonic()
    told = why_refused("".join(f"k{number} = 1\n" for number in range(11_000)))
    assert time.monotonic() - started < 5, "a second on a loaded machine"
    assert told.count("unknown key") == 20


def test_a_file_beyond_all_measure_is_refused_unread() -> None:
    assert "no file of at most" in why_refused("#" * (LONGEST_TEXT + 1))
    with pytest.raises(SetUpFailed):  # a link, or more than a megabyte: its contents are not read
        read_codebot_toml(Tree(frozenset({FILE})))


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 50_000 + " = 1\n",
        "[" + "a." * 50_000 + "a]\n",
        "x = {" + "a." * 50_000 + "a = 1}\n",
        "'b'" + " . 'c'" * 10_000 + " = 1\n",
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
        ("a" + ".a" * 90 + ".b{n} = 1\n") * 300,
    ],
)
def test_hostile_toml_costs_no_more_than_a_few_times_its_size(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            read_toml(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 32 * 1024**2


def test_dots_in_texts_are_no_names() -> None:
    assert read_toml(f'a = "{"." * 1000}"\n') == {"a": "." * 1000}


@given(st.text() | st.binary())
def test_no_contents_raise_anything_else(text: str | bytes) -> None:
    content = text.encode() if isinstance(text, str) else text
    with suppress(SetUpFailed):
        read_codebot_toml(tree(content))


@given(
    st.dictionaries(
        st.sampled_from(KNOWN),
        st.sampled_from(['""', "1", "[]", "[1]", "{}", "{a = 1}", "1979-05-27", "nan", '["a"]']),
    )
)
def test_no_types_raise_anything_else(entries: dict[str, str]) -> None:
    with suppress(SetUpFailed):
        read_codebot_toml(tree("".join(f"{key} = {value}\n" for key, value in entries.items())))


# --- The operator's table ----------------------------------------------------------------------


def test_the_operator_speaks_of_repositories_by_name_whatever_the_case() -> None:
    found, problems = read_operators_table('["Acme/Shop"]\nsetup = "./a"\n["acme/b.c"]\ntest="x"')
    assert problems == []
    shop = find_in_table(found, Repository(ForgeKind.GITHUB, "github.com", "acme", "sHOP", "-"))
    assert shop is not None
    assert shop.recipe.setup == "./a"
    assert found["acme/b.c"].has_setup is False
    assert (
        find_in_table(found, Repository(ForgeKind.GITHUB, "github.com", "x", "shop", "-")) is None
    )


def test_the_operator_speaks_of_a_folder_by_its_path() -> None:
    found, problems = read_operators_table('["/srv/git/Shop/"]\nsetup = "./a"\n')
    assert problems == []
    path = Path("/srv/git/Shop")
    folder = Repository(ForgeKind.LOCAL, "localhost", "local-c0ffee", "Shop", str(path), path)
    assert find_in_table(found, folder) is not None
    assert find_in_table(found, replace(folder, url="/srv/git/shop")) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "is no TOML (line 1"),
        ('setup = "x"', '["setup"] must be a table by the name of a repository'),
        ("[acme.shop]", '["acme"] must be a table'),
        ('["a/b"]\nx = 1\n["c/d"]\nx = 1\nx2 = 2\n', '["c/d"] line 4: unknown key `x`'),
        ('["a/b"]\n[ "a/b".env ]\nPATH = "x"\n', '["a/b"] line 3: `env` cannot set PATH'),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_line(text: str, words: str) -> None:
    _, problems = read_operators_table(text)
    assert any(words in problem for problem in problems)
