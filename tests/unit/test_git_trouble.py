from pathlib import Path

import pytest

from codebot.domain.repository import RemoteAccess
from codebot.errors import GitFailed
from codebot.git.environment import environment, protocol_of
from codebot.git.git import GitResult
from codebot.git.trouble import Trouble, trouble_in

SAID = [
    ("fatal: Authentication failed for 'https://h/o/r.git/'", Trouble.UNAUTHORIZED),
    (
        "fatal: could not read Username for 'https://h': terminal prompts disabled",
        Trouble.UNAUTHORIZED,
    ),
    ("fatal: unable to access 'u': The requested URL returned error: 403", Trouble.FORBIDDEN),
    ("fatal: unable to access 'u': The requested URL returned error: 301", Trouble.MOVED),
    ("fatal: unable to access 'u': The requested URL returned error: 429", Trouble.UNREACHABLE),
    ("error: RPC failed; HTTP 502 curl 22 The requested URL", Trouble.UNREACHABLE),
    ("fatal: unable to access 'u': Could not resolve host: h", Trouble.UNREACHABLE),
    ("fatal: unable to access 'u': Empty reply from server", Trouble.UNREACHABLE),
    ("error: RPC failed; curl 18 transfer closed with outstanding data", Trouble.UNREACHABLE),
    (
        "fatal: unable to access 'u': server certificate verification failed. CAfile: none",
        Trouble.UNTRUSTED,
    ),
    ("fatal: repository 'https://h/o/r.git/' not found", Trouble.NOT_FOUND),
    ("fatal: '/srv/x' does not appear to be a git repository", Trouble.NOT_FOUND),
    ("fatal: write error: No space left on device", Trouble.DISK_FULL),
    ("fatal: not a git repository: '/mirrors/x.git'", Trouble.DAMAGED),
    ("error: object file ./objects/1f/0c is empty", Trouble.DAMAGED),
    ("fatal: Unable to create '/m/packed-refs.lock': File exists.", Trouble.LOCKED),
    ("fatal: couldn't find remote ref refs/heads/x", Trouble.NO_SUCH_REF),
    ("fatal: remote error: access denied or repository not exported: /x", Trouble.REFUSED),
    ("fatal: remote error: upload-pack: not our ref 1f0c", Trouble.BROKEN_THERE),
    (
        "remote: aborting due to possible repository corruption on the remote side.\n\nearly EOF",
        Trouble.BROKEN_THERE,
    ),
    (
        "error: object 1f0c: duplicateEntries: x\nfatal: fsck error in packed object",
        Trouble.FLAWED,
    ),
    (
        (
            "remote: fatal: could not fetch 1f0c from promisor remote\n"
            "remote: aborting due to possible repository corruption on the remote side."
        ),
        Trouble.PARTIAL,
    ),
    (
        (
            "error: inflate: data stream error (incorrect data check)\nerror: inflate returned -3\n"
            "fatal: unpack-objects failed"
        ),
        Trouble.BROKEN_THERE,
    ),
    ("fatal: pack has bad object at offset 12: inflate returned -3", Trouble.BROKEN_THERE),
    ("fatal: protocol error: bad pack header", Trouble.UNREACHABLE),
    ("fatal: bad revision 'x'", None),
    ("", None),
]


@pytest.mark.parametrize(("stderr", "trouble"), SAID)
def test_gits_words_have_one_meaning(stderr: str, trouble: Trouble | None) -> None:
    assert trouble_in(stderr) is trouble


def test_what_a_server_says_of_its_own_disk_is_not_taken_for_ours() -> None:
    stderr = "remote: fatal: No space left on device\nfatal: the remote end hung up unexpectedly"
    assert trouble_in(stderr) is Trouble.UNREACHABLE


def test_what_git_says_of_checks_that_it_does_not_know_is_not_said_on() -> None:
    said = "warning: Skipping unknown msg id 'badx'\nremote: gone    \nfatal: no\n"
    assert GitResult(128, b"", said).words == "remote: gone\nfatal: no"


def test_of_very_much_people_read_how_it_began_and_how_it_ended() -> None:
    words = GitResult(128, b"", "error: the cause\n" + "noise\n" * 9_000 + "fatal: the end\n").words
    assert words.startswith("error: the cause\n")
    assert words.endswith("fatal: the end")
    assert len(words) < 5_000


@pytest.mark.parametrize(
    "url",
    ["http://example.org/o/r", "ssh://h/r", "ext::sh -c x", "file:///x", "git@h:o/r", "rel/x", ""],
)
def test_only_https_loopback_and_folders_are_spoken_to(url: str) -> None:
    with pytest.raises(GitFailed):
        protocol_of(url)


@pytest.mark.parametrize("host", ["127.0.0.1:81", "localhost", "[::1]:9"])
def test_http_is_for_this_machine_only(host: str) -> None:
    assert protocol_of(f"http://{host}/o/r.git") == "http"


def test_proxies_are_for_commands_that_reach_out() -> None:
    def env(access: RemoteAccess | None) -> dict[str, str]:
        return environment(
            Path("/h"),
            settings=(),
            access=access,
            certificate_file=Path("/ca.pem"),
            proxies={"HTTPS_PROXY": "http://proxy:3128"},
        )

    reaching, staying = env(RemoteAccess("https://h/o/r.git")), env(None)
    assert reaching["https_proxy"] == "http://proxy:3128"
    assert reaching["GIT_SSL_CAINFO"] == "/ca.pem"
    assert reaching["GIT_ALLOW_PROTOCOL"] == "https"
    assert "https_proxy" not in staying
    assert staying["GIT_ALLOW_PROTOCOL"] == "none"
