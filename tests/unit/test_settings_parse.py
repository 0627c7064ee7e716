from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.domain.secret import Secret
from codebot.settings import SETTINGS, Settings, parse, settings_reference
from codebot.settings.model import is_loopback


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        (parse.integer(1, 10), "10", 10),
        (parse.integer(-5, 10), "-5", -5),
        (parse.number(0, 10), "0.25", 0.25),
        (parse.seconds(0, 60), "1.5", timedelta(seconds=1.5)),
        (parse.switch, "Yes", True),
        (parse.switch, "off", False),
        (parse.secret, "s3cret,with;signs", Secret("s3cret,with;signs")),
        (parse.listed(parse.secret), "a,b\nc , a", (Secret("a"), Secret("b"), Secret("c"))),
        (parse.repository_pattern, "pallets/*", "pallets/*"),
        (parse.host, "::1", "::1"),
        (parse.host, "[::1]", "::1"),
        (parse.app_id, "Iv23liABC", "Iv23liABC"),
        (parse.url, "https://ghe.example.org:8443/git/", "https://ghe.example.org:8443/git"),
        (parse.model_endpoint, "http://litellm:4000", "http://litellm:4000"),
        (parse.model_endpoint, "scripted:/a/b.json", Path("/a/b.json")),
        (parse.agent, "command:sh -c 'echo hi'", ("sh", "-c", "echo hi")),
        (parse.database, "sqlite:///a/b.db", Path("a/b.db")),
        (parse.database, "sqlite:////a/b.db", Path("/a/b.db")),
        (parse.database, "postgresql://r:p@db/codebot", Secret("postgresql://r:p@db/codebot")),
    ],
)
def test_a_good_text_gives_its_value(read: Callable[[str], Any], given: str, value: object) -> None:
    assert read(given) == value


@pytest.mark.parametrize(
    ("read", "given"),
    [
        *[(parse.integer(1, 10), given) for given in ("0", "11", "", "1.0", "0x1", "٣", "9" * 40)],
        *[(parse.number(0, 10), given) for given in ("nan", "inf", "-1", "ten", "1e9")],
        *[(parse.seconds(0, 10), given) for given in ("nan", "11", "1 hour")],
        *[(parse.switch, given) for given in ("maybe", "2")],
        *[(parse.secret, given) for given in ("two words", "ümlaut", "a\nb", "a\x00b")],
        *[(parse.listed(parse.text), given) for given in ("a,,b", ",a", "a,", " , ")],
        *[(parse.repository_pattern, given) for given in ("pallets", "a/b/c", "a b/c", "/", "-")],
        *[(parse.host, given) for given in ("a b", "http://a", "a/b")],
        *[
            (parse.url, given)
            for given in (
                "github.com",
                "ftp://github.com",
                "https://",
                "https://u:p@github.com",
                "https://a?b",
                "https://a#b",
                "https://a b",
                "https://a:99999",
                "https://[::1",
            )
        ],
        *[(parse.model_endpoint, given) for given in ("scripted:turns.json", "scripted:", "x")],
        *[(parse.agent, given) for given in ("codex", "command:", "command:'a", "claude --x")],
        *[
            (parse.database, given)
            for given in (
                *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?mode=memory"),
                *("mysql://a/b", "/a/b"),
            )
        ],
        (parse.text, "a\x1bb"),
        (parse.path, "a\nb"),
        (parse.path, "~nobody-of-this-name/a"),
    ],
)
def test_a_bad_text_is_refused(read: Callable[[str], Any], given: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has|names) "):
        read(given)


def test_what_is_not_built_yet_says_so() -> None:
    with pytest.raises(ValueError, match="not built yet"):
        parse.built("auto", "none", later=("docker",))("docker")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("localhost.example.org", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, answer: bool) -> None:  # noqa: FBT001 - a table
    assert is_loopback(host) is answer


def test_every_default_can_be_read_and_every_field_exists() -> None:
    for setting in SETTINGS:
        if setting.default:
            setting.parse(setting.default)
        assert not setting.field or setting.field in Settings.__dataclass_fields__


def test_the_reference_names_every_setting_once() -> None:
    page = settings_reference()

    for setting in SETTINGS:
        assert page.count(f"\n| `{setting.name}` |") == 1
        assert setting.flag in page
