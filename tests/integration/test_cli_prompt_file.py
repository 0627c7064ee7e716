import json
from pathlib import Path

import pytest

from codebot.errors import InvalidRequest
from codebot.intake.prompt_file import LARGEST, read_prompt, read_prompt_file
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.submission import task_request

URL = "https://github.com/user/repo.git"
RULES = RepositoryRules("github.com")


def test_json_and_yaml_say_the_same() -> None:
    fields = {"repository_url": URL, "description": "Add dark mode\nsupport", "ticket_id": "F-1"}
    yaml = f"repository_url: {URL}\ndescription: |-\n  Add dark mode\n  support\nticket_id: F-1\n"

    assert read_prompt(json.dumps(fields).encode(), Path("/")) == fields
    assert read_prompt(yaml.encode(), Path("/")) == fields


def test_a_yaml_value_is_the_text_it_is_written_as() -> None:
    document = f"repository_url: {URL}\ndescription: yes\nticket_id: 007\nbase_branch:\n"

    assert read_prompt(document.encode(), Path("/")) == {
        "repository_url": URL,
        "description": "yes",
        "ticket_id": "007",
    }


def test_a_yaml_null_is_not_given_but_a_quoted_one_is_a_text() -> None:
    document = 'description: "null"\nticket_id: null\ntest_command: ~\nbase_branch: NULL\n'

    assert read_prompt(document.encode(), Path("/")) == {"description": "null"}


def test_a_file_may_say_how_the_repository_is_set_up() -> None:
    document = f"repository_url: {URL}\ndescription: Mend\nsetup_command: make deps\n"
    request = task_request(read_prompt(document.encode(), Path("/")), RULES)

    assert request.setup_command == "make deps"


def test_a_local_directory_is_seen_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "one.yaml").write_text("repository_url: ../project\ndescription: Mend\n")
    fields = read_prompt_file(tmp_path / "tasks" / "one.yaml")

    assert fields["repository_url"] == str(tmp_path / "project")


@pytest.mark.parametrize(
    "url",
    [URL, "git@github.com:user/repo", "file:///etc", "ext::sh -c id", "~nobody-of-this-name/a"],
)
def test_an_address_stays_what_it_is(url: str) -> None:
    document = json.dumps({"repository_url": url}).encode()

    assert read_prompt(document, Path("/somewhere"))["repository_url"] == url


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Just mend it.",
        b"- a\n- b\n",
        b"{not json",
        b'{"description": "a", "description": "b"}',
        b"description: a\ndescription: b\n",
        b"a: [1, 2",
        b"a: !!python/object/apply:os.system [id]\nb: - c",
        b"description: \xff\xfe",
        b"[" * 100_000,
        b"{" + b'"a":{' * 100_000,
        b"a: " + b"x" * LARGEST,
        b"a: \x00",
    ],
)
def test_what_is_no_such_document_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_prompt(content, Path("/"))


def test_a_yaml_tag_makes_no_object() -> None:
    document = b"description: !!python/object/apply:os.system [id]\n"

    assert read_prompt(document, Path("/")) == {"description": ["id"]}


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        read_prompt_file(tmp_path / "missing.yaml")
    with pytest.raises(InvalidRequest, match="Is a directory"):
        read_prompt_file(tmp_path)
