import time

import pytest

from codebot.workspace.symlinks import find_leaving, why_it_leaves


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("/etc/passwd", "to an absolute path"),
        ("//etc", "to an absolute path"),
        ("..", "out of the tree"),
        ("../x", "out of the tree"),
        ("x/../../y", "out of the tree"),
        ("./.././x", "out of the tree"),
        (".git/config", "into .git"),
        (".GIT", "into .git"),
        ("x/.Git/hooks", "into .git"),
        ("git~1", "into .git"),
        ("a", "in circles"),
    ],
)
def test_a_link_that_leaves_is_told_apart(target: str, where: str) -> None:
    assert why_it_leaves("a", {"a": target}) == where


@pytest.mark.parametrize("target", ["x", "./x", "x/../y", ".", "", "x/", ".gitignore", "nowhere/x"])
def test_a_link_within_the_tree_stays(target: str) -> None:
    assert find_leaving({"a": target}) == {}


def test_a_link_below_may_go_up_as_far_as_the_top() -> None:
    assert find_leaving({"d/e/a": "../../x", "d/e/b": "../../../x"}) == {"d/e/b": "out of the tree"}


@pytest.mark.parametrize(
    "links",
    [
        {"d": ".", "a": "d/d/../.."},
        {"b": "/etc", "a": "b/passwd"},
        {"x/up": "..", "a": "x/up/up2", "up2": ".."},
        {"deep/down/here": "../..", "a": "deep/down/here/.."},
        {"g": "x/y", "x/y": "../.git", "a": "g/config"},
    ],
)
def test_a_chain_of_links_is_followed(links: dict[str, str]) -> None:
    assert "a" in find_leaving(links)


def test_a_folder_that_was_a_link_makes_another_link_leave() -> None:
    assert find_leaving({"a": "d/../..", "d": "x/y"}) == {}
    assert find_leaving({"a": "d/../.."}) == {"a": "out of the tree"}


def test_thousands_of_endless_links_are_read_in_passing() -> None:
    links = {f"x{number}": f"x{number + 1}/" + "a/" * 2000 for number in range(2000)}
    started = time.process_time()
    assert len(find_leaving(links)) == 2000
    assert time.process_time() - started < 5
