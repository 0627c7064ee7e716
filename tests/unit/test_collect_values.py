import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.outcome import ChangedFile
from codebot.errors import ChangeRefused
from codebot.workspace.bundle import read_bundle_head
from codebot.workspace.listings import NOTHING, Touch, read_difference, read_touches
from codebot.workspace.messages import LONGEST_MESSAGE, clean_message

A, B = "a" * 40, "b" * 40


def test_a_bundles_head_names_its_tip_and_leaves_the_pack() -> None:
    file = io.BytesIO(f"# v2 git bundle\n-{A} base\n{B} HEAD\n\nPACK...".encode())
    assert read_bundle_head(file) == B
    assert file.read() == b"PACK..."


@pytest.mark.parametrize(
    "head",
    [
        "",
        "PACK",
        "# v9 git bundle\n",
        "# v2 git bundle\n\nPACK",
        f"# v2 git bundle\n{B} refs/heads/x\n\n",
        f"# v2 git bundle\n{A} HEAD\n{B} HEAD\n\n",
        f"# v2 git bundle\n{B} HEAD\n",
        "# v2 git bundle\n" + f"-{A} x\n" * 2000 + f"{B} HEAD\n\n",
        "# v2 git bundle\n-" + "x" * 10_000 + f"\n{B} HEAD\n\n",
    ],
)
def test_anything_else_than_one_bundle_of_head_is_refused(head: str) -> None:
    with pytest.raises(ChangeRefused):
        read_bundle_head(io.BytesIO(head.encode()))


def test_a_difference_tells_renames_binaries_and_gitlinks() -> None:
    raw = [f":100644 100644 {A} {B} R090", "old.py", "new.py"]
    raw += [f":000000 160000 {A} {B} A", "sub", f":160000 000000 {A} {B} D", "gone"]
    raw += [f":100644 100644 {A} {B} M", "logo.png"]
    counts = ["1\t2\t", "old.py", "new.py", "1\t0\tsub", "0\t1\tgone", "-\t-\tlogo.png", ""]
    difference = read_difference("\0".join(raw + counts).encode())
    assert [(touch.path, touch.mode) for touch in difference.touches] == [
        ("old.py", NOTHING),
        ("new.py", "100644"),
        ("sub", "160000"),
        ("gone", NOTHING),
        ("logo.png", "100644"),
    ]
    assert difference.files[0] == ChangedFile("new.py", 1, 2)
    assert difference.files[-1] == ChangedFile("logo.png", 0, 0)


def test_each_commit_tells_what_it_touches_and_a_merge_what_is_as_in_no_parent() -> None:
    log = f"\0{A}\0\n:000000 120000 0 1 A\0:a\0:100644 000000 1 0 D\0\nb\0\0"
    log += f"{B}\0\0::100644 000000 100755 1 2 3 MM\0c d\0\0{A}\0"
    assert list(read_touches(log.encode())) == [
        Touch(A, ":a", "120000", (NOTHING,), "1"),
        Touch(A, "\nb", NOTHING, ("100644",), "0"),
        Touch(B, "c d", "100755", ("100644", NOTHING), "3"),
    ]


def test_two_paths_that_are_no_text_stay_two() -> None:
    records = b":000000 120000 0 1 A\0\xff\0:000000 120000 0 1 A\0\xfe\0"
    first, second = read_touches(b"\0" + A.encode() + b"\0\n" + records)
    assert first.path != second.path


def test_paths_of_other_encodings_become_text() -> None:
    raw = f":000000 100644 {A} {B} A\0".encode() + b"\xff.py\0"
    assert read_difference(raw + b"1\t0\t\xff.py\0").files == (ChangedFile("\ufffd.py", 1, 0),)


@pytest.mark.parametrize(
    "trailer",
    [
        "Co-authored-by: Claude <noreply@anthropic.com>",
        "co-authored-by: someone",
        "🤖 Generated with [Claude Code](https://claude.com/claude-code)",
        "Generated-by: a tool",
        "Claude-Session: https://claude.ai/code/1",
    ],
)
def test_advertising_and_co_authors_are_left_out(trailer: str) -> None:
    message = f"Fix the door\n\nIt squeaked.\n\n{trailer}\nRefs: #12\n"
    assert clean_message(message, "-") == "Fix the door\n\nIt squeaked.\n\nRefs: #12\n"


def test_a_message_of_nothing_but_advertising_gives_way_to_the_fallback() -> None:
    assert clean_message("Co-authored-by: x\n", "Do it") == "Do it\n"
    assert clean_message("", "") == "Change files\n"


def test_words_about_generating_stay() -> None:
    text = "Generate with care\n\nThe report is generated with jinja2.\n"
    assert clean_message(text, "-") == text


@given(st.text(st.characters(), max_size=300), st.text(max_size=20))
def test_any_text_becomes_a_message_git_can_keep(message: str, fallback: str) -> None:
    cleaned = clean_message(message * 40, fallback)
    assert cleaned.strip()
    assert len(cleaned) <= LONGEST_MESSAGE + 1
    assert "\0" not in cleaned
    cleaned.encode()
