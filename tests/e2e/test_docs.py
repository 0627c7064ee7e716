import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fakes.console_blocks import Step, read_steps, run_steps

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.splitlines()
PAGES = [name for name in TRACKED if name.endswith(".md") and (ROOT / name).is_file()]
PAGES_WITH_STEPS = [name for name in PAGES if "```console" in (ROOT / name).read_text()]
LARGEST_TEXT = 2_000_000


@pytest.mark.e2e
@pytest.mark.parametrize("name", PAGES_WITH_STEPS)
def test_what_a_page_tells_to_type_works(name: str, tmp_path: Path) -> None:
    steps = read_steps(_on_a_free_port((ROOT / name).read_text()))
    home = tmp_path / "home"
    home.mkdir()
    env = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
    }

    assert run_steps(steps, cwd=tmp_path, env=env, timeout=100) == ""


def _on_a_free_port(page: str) -> str:
    """Keep out of the way of a service that runs on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return re.sub(r"\b5000\b", str(probe.getsockname()[1]), page)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        (Step(1, "echo one; echo two", ("one", "two"), fails=False), ""),
        (Step(1, "echo abc", ("a...c",), fails=False), ""),
        (Step(1, "false", (), fails=True), ""),
        (Step(1, "echo one", ("two",), fails=False), "something else"),
        (Step(1, "false", (), fails=False), "did not end as written"),
        (Step(1, "true", (), fails=True), "did not end as written"),
        (Step(1, "sleep 60", (), fails=False), "did not end as written"),
    ],
)
def test_a_page_that_tells_something_else_is_caught(
    step: Step, complaint: str, tmp_path: Path
) -> None:
    said = run_steps([step], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, timeout=2)

    assert complaint in said
    assert bool(complaint) == bool(said)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_between_pages_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for link in _links(page):
        target, _, anchor = unquote(link).partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{name} links to {link}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{name} links to {link}: no such heading"


def _links(page: Path) -> Iterator[str]:
    for token in _inline_tokens(page):
        link = token.attrGet("href") or token.attrGet("src")
        if link and not re.match(r"[a-z]+:", str(link)):
            yield str(link)


def _inline_tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield from token.children or ()


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings, and those given by hand."""
    text = page.read_text()
    headings = re.findall(r"(?m)^#{1,6} (.+?)\s*$", text)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("an address of a package registry", r"https?://[\w.-]*(pypi|npmjs|pythonh)[\w.-]*"),
        ("a path of somebody's machine", r"(?<![\w.])/(work|farm|root)/|\.\./(shared|\.library)"),
    ],
)
def test_the_repository_is_about_no_machine_in_particular(what: str, pattern: str) -> None:
    found = [
        f"{name}: {match[0]}"
        for name in TRACKED
        if (file := ROOT / name).is_file() and file.stat().st_size < LARGEST_TEXT
        for match in re.finditer(pattern, file.read_text(errors="replace"))
    ]
    assert not found, f"{what} stands in {found}"


def test_what_is_generated_in_the_pages_is_up_to_date() -> None:
    check = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    ended = subprocess.run(check, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
