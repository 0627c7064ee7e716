"""Which repositories a task may name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.repository import ForgeKind
from codebot.errors import InvalidTask
from codebot.intake.repository_url import RepositoryRules, parse_repository_url

GITHUB = RepositoryRules("github.com")
ENTERPRISE = RepositoryRules("ghe.example.com:8443")
LOOPBACK = RepositoryRules("127.0.0.1:4000", insecure_loopback=True)
URL = "https://github.com/user/repo.git"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        "https://github.com/user/repo",
        "https://github.com/user/repo/",
        "https://github.com/user/repo.git/",
        "HTTPS://GitHub.COM/user/repo",
        "https://github.com:443/user/repo",
        "git@github.com:user/repo.git",
        "git@GITHUB.com:user/repo",
    ],
)
def test_every_spelling_of_a_repository_becomes_one_url(text: str) -> None:
    repository = parse_repository_url(text, GITHUB)
    assert repository.url == URL
    assert (repository.forge, repository.host) == (ForgeKind.GITHUB, "github.com")
    assert repository.full_name == "user/repo"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "repo",
        "user/repo",
        "github.com/user/repo",
        "http://github.com/user/repo",
        "ssh://git@github.com/user/repo",
        "git://github.com/user/repo",
        "file:///etc/passwd",
        "/etc/passwd",
        "../repo",
        "ext::sh -c id",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "https://user:pw@github.com/user/repo",
        "https://token@github.com/user/repo",
        "https://github.com@evil.com/user/repo",
        "https://github.com.evil.com/user/repo",
        "https://evil-github.com/user/repo",
        "https://github.com./user/repo",
        "https://github.com:444/user/repo",
        "https://github.com:443:444/user/repo",
        "https://github.com\\@evil.com/user/repo",
        "https://github.com/user/repo?x=1",
        "https://github.com/user/repo#x",
        "https://github.com/user/repo/tree/main",
        "https://github.com/user",
        "https://github.com//user/repo",
        "https://github.com/user/..",
        "https://github.com/user/.",
        "https://github.com/user/.git",
        "https://github.com/user/repo.git.git",
        "https://github.com/../repo",
        "https://github.com/-user/repo",
        "https://github.com/us%65r/repo",
        "https://github.com/user/re%2e%2e",
        "https://github.com/user/repo\n",
        "https://github.com/user/re\x00po",
        " https://github.com/user/repo",
        "https://g\u0131thub.com/user/repo",
        "https://github.com/üser/repo",
        "git@github.com:user/../repo",
        "git@evil.com:user/repo",
        "root@github.com:user/repo",
        "https://github.com/" + "u" * 40 + "/repo",
        "https://github.com/user/" + "r" * 101,
        "https://github.com/user/" + "r" * 100_000,
        "\ud800",
    ],
)
def test_anything_else_is_refused_and_told_what_is_accepted(text: str) -> None:
    with pytest.raises(InvalidTask) as refused:
        parse_repository_url(text, GITHUB)
    (problem,) = refused.value.problems
    assert problem.field == "repository_url"
    assert "https://github.com/OWNER/REPO" in problem.message


def test_with_an_enterprise_server_its_port_counts_and_github_com_is_foreign() -> None:
    ours = parse_repository_url("https://ghe.example.com:8443/a/b", ENTERPRISE)
    assert ours.url == "https://ghe.example.com:8443/a/b.git"
    assert parse_repository_url("git@ghe.example.com:a/b", ENTERPRISE) == ours
    for foreign in (URL, "https://ghe.example.com/a/b", "git@github.com:user/repo"):
        with pytest.raises(InvalidTask):
            parse_repository_url(foreign, ENTERPRISE)


def test_plain_http_is_for_loopback_alone() -> None:
    ours = parse_repository_url("http://127.0.0.1:4000/a/b", LOOPBACK)
    assert ours.url == "http://127.0.0.1:4000/a/b.git"
    assert parse_repository_url("git@127.0.0.1:a/b", LOOPBACK) == ours
    exposed = RepositoryRules("ghe.example.com", insecure_loopback=True)
    with pytest.raises(InvalidTask):
        parse_repository_url("http://ghe.example.com/a/b", exposed)


@pytest.mark.parametrize(
    ("text", "rules", "mend"),
    [
        (URL, RepositoryRules(None), "GITHUB_TOKEN"),
        (URL, RepositoryRules(None, local_roots=(Path("/srv"),)), "GITHUB_TOKEN"),
        ("/srv/project", GITHUB, "CODEBOT_LOCAL_REPOS"),
        ("/srv/missing", RepositoryRules(None, local_roots=(Path("/srv"),)), "is not there"),
    ],
)
def test_a_refusal_says_what_is_not_set_up(text: str, rules: RepositoryRules, mend: str) -> None:
    with pytest.raises(InvalidTask, match=mend):
        parse_repository_url(text, rules)


def test_a_folder_that_is_missing_is_named_to_who_may_ask_for_every_folder() -> None:
    with pytest.raises(InvalidTask) as refused:
        parse_repository_url("/no/such/shop", RepositoryRules(None, local_roots=(Path("/"),)))
    assert str(refused.value).endswith(
        "is not there, or cannot be read: /no/such/shop; accepted: the path of a Git repository"
    )


def test_patterns_know_no_case_and_let_nothing_else_in() -> None:
    rules = RepositoryRules("github.com", allowed_patterns=("Acme/*", "me/tool-?"))
    for text in ("acme/Thing", "ACME/x", "me/tool-1"):
        parse_repository_url(f"https://github.com/{text}", rules)
    for text in ("acme2/x", "me/tool-12", "you/acme"):
        with pytest.raises(InvalidTask, match=r"Acme/\*"):
            parse_repository_url(f"https://github.com/{text}", rules)


def make_repository(folder: Path, *, bare: bool = False) -> Path:
    inner = folder if bare else folder / ".git"
    for part in ("objects", "refs"):
        (inner / part).mkdir(parents=True)
    (inner / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_a_local_repository_below_a_root_is_taken(tmp_path: Path) -> None:
    rules = RepositoryRules(None, local_roots=(tmp_path,))
    plain = make_repository(tmp_path / "deep" / "näme with space")
    bare = make_repository(tmp_path / "project.git", bare=True)
    for folder, name in ((plain, "näme with space"), (bare, "project")):
        repository = parse_repository_url(str(folder), rules)
        assert (repository.forge, repository.host) == (ForgeKind.LOCAL, "localhost")
        assert (repository.path, repository.url) == (folder, str(folder))
        assert repository.name == name
        assert parse_repository_url(repository.url, rules) == repository


def test_two_local_repositories_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rules = RepositoryRules(None, local_roots=(tmp_path,))
    names = {
        parse_repository_url(str(make_repository(tmp_path / parent / "same")), rules).full_name
        for parent in ("a", "b")
    }
    assert len(names) == 2


def test_no_path_leads_out_of_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", make_repository(tmp_path / "outside")
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    (root / "gitfile").mkdir()
    (root / "gitfile" / ".git").write_text(f"gitdir: {outside}/.git\n")
    (root / "gitlink").mkdir()
    (root / "gitlink" / ".git").symlink_to(outside / ".git")
    (root / "empty").mkdir()
    make_repository(tmp_path / "root-evil")
    rules = RepositoryRules(None, local_roots=(root,))
    for text in (
        str(outside), f"{root}/../outside", f"{root}/link", f"{root}/loop", f"{root}/gitfile",
        f"{root}/gitlink", f"{root}/empty", f"{root}/missing", f"{root}-evil", "/", f"file://{root}",
        f"{root}/" + "x" * 5000,
    ):  # fmt: skip
        with pytest.raises(InvalidTask):
            parse_repository_url(text, rules)


ALMOST = st.from_regex(
    r"(https?://|git@)?(github\.com|GitHub\.com|evil\.com|127\.0\.0\.1)?[:/@]?"
    r"[A-Za-z0-9._%-]{0,6}/[A-Za-z0-9._-]{0,8}(\.git)?/?",
    fullmatch=True,
)


@given(st.text() | ALMOST, st.sampled_from([GITHUB, ENTERPRISE, LOOPBACK]))
def test_a_url_is_refused_or_reads_as_itself(text: str, rules: RepositoryRules) -> None:
    try:
        repository = parse_repository_url(text, rules)
    except InvalidTask:
        return
    assert parse_repository_url(repository.url, rules) == repository
