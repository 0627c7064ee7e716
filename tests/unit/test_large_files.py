"""Whom the forge's credential is shown to, when its large files are elsewhere."""

import pytest

from codebot.domain.repository import RemoteAccess
from codebot.domain.secret import Secret
from codebot.lfs.batch import Action
from codebot.lfs.server import headers_for

FORGE = RemoteAccess("https://forge.example/acme/shop.git", Secret("s3cret"))


@pytest.mark.parametrize(
    "href",
    [
        "https://elsewhere.example/x",
        "https://forge.example.evil.example/x",
        "https://forge.example:8443/x",
        "http://forge.example/x",
        "https://forge.example@evil.example/x",
        "https://evil.example/https://forge.example/x",
    ],
)
def test_another_host_gets_what_the_forge_gave_for_it_and_no_credential(href: str) -> None:
    assert headers_for(Action(href=href), FORGE) == {}
    given = {"Authorization": "RemoteAuth t1ck3t", "X-Amz-Date": "now"}
    assert headers_for(Action(href=href, header=given), FORGE) == given


def test_the_forge_itself_gets_the_credential_unless_it_gave_something_for_it() -> None:
    href = "https://forge.example/large/x"
    assert headers_for(Action(href=href), FORGE)["Authorization"].startswith("Basic ")
    given = {"authorization": "RemoteAuth t1ck3t"}
    assert headers_for(Action(href=href, header=given), FORGE) == given


def test_the_length_and_the_host_are_ours_to_say() -> None:
    given = {"Host": "a", "Content-Length": "1", "transfer-encoding": "chunked"}
    assert headers_for(Action(href="https://elsewhere.example/x", header=given), FORGE) == {}
