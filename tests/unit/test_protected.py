import pytest

from codebot.workspace.protected import find_protecting

WORKFLOWS = ".github/workflows/**"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (WORKFLOWS, ".github/workflows/ci.yml"),
        (WORKFLOWS, ".github/workflows/deep/er/ci.yml"),
        (WORKFLOWS, ".GitHub/Workflows/CI.yml"),
        ("**/CODEOWNERS", "CODEOWNERS"),
        ("**/CODEOWNERS", "docs/CODEOWNERS"),
        ("**/CODEOWNERS", "a/b/codeowners"),
        ("**/CODEOWNERS", "CODEOWNERS/x"),
        ("Jenkinsfile", "Jenkinsfile"),
        ("Jenkinsfile", "Jenkinsfile/x"),
        ("ci/", "ci/a"),
        ("*.tf", "main.tf"),
        ("?.sh", "é.sh"),
        ("a/*/c", "a/b/c"),
        ("a/**/c", "a/c"),
        ("a/**/c", "a/b/b/c"),
        ("**", "anything/at/all"),
        ("**/*.pem", "x/y/a.PEM"),
        ("file[0-9].txt", "file7.txt"),
        ("file[]x].txt", "file].txt"),
        ("file[[:digit:]].txt", "file7.txt"),
        (r"a\*b", "a*b"),
    ],
)
def test_a_path_that_a_pattern_names_is_protected(pattern: str, path: str) -> None:
    assert find_protecting(["never", pattern], path) == pattern


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (WORKFLOWS, ".github/labels.yml"),
        (WORKFLOWS, ".github"),
        (WORKFLOWS, ".github/workflows"),
        (WORKFLOWS, "x/.github/workflows/ci.yml"),
        ("**/CODEOWNERS", "docs/CODEOWNERS.md"),
        ("Jenkinsfile", "sub/Jenkinsfile"),
        ("*.tf", "modules/main.tf"),
        ("a/*/c", "a/c"),
        ("a/*/c", "a/b/b/c"),
        (r"a\*b", "axb"),
    ],
)
def test_any_other_path_is_free(pattern: str, path: str) -> None:
    assert find_protecting([pattern], path) is None


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (WORKFLOWS, ".github"),
        (WORKFLOWS, ".github/workflows"),
        (WORKFLOWS, ".GITHUB"),
        ("a/*/c", "a/b"),
        ("**/deploy/*.sh", "x/deploy"),
    ],
)
def test_a_link_in_the_place_of_a_folder_above_is_protected(pattern: str, path: str) -> None:
    assert find_protecting([pattern], path, is_link=True) == pattern


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("**/CODEOWNERS", "docs"), (WORKFLOWS, "docs"), ("a/*/c", "b"), ("a/**/c", "a/b")],
)
def test_any_other_link_is_free(pattern: str, path: str) -> None:
    assert find_protecting([pattern], path, is_link=True) is None
