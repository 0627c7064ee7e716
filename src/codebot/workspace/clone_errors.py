"""What a failed fetch means for the person who submitted the task."""

from codebot.domain.repository import Repository
from codebot.errors import BranchMissing, CloneFailed
from codebot.git.git import SOON, GitResult
from codebot.git.trouble import Trouble

_WAY = "Check the network and the proxy, then submit the task again."
"""A hint is read when the task has failed: by then nothing is tried again by itself."""

_FACTS: dict[Trouble, tuple[str, str]] = {
    Trouble.UNAUTHORIZED: (
        "authentication failed for {url}.",
        "Check that the App is installed on {name}, or that the token may read it, then retry.",
    ),
    Trouble.FORBIDDEN: (
        "access to {url} is forbidden.",
        "Give the App or the token read access to the contents of {name}, then retry.",
    ),
    Trouble.NOT_FOUND: (
        "{url} does not exist, or is hidden from Codebot.",
        "Check the name, and that the App or the token has access to {name}, then retry.",
    ),
    Trouble.MOVED: (
        "{url} has moved.",
        "Submit the task with the repository's new address.",
    ),
    Trouble.UNTRUSTED: (
        "the certificate of {url} is not trusted: {words}",
        "Name the company's certificate authority in SSL_CERT_FILE, then restart.",
    ),
    Trouble.REFUSED: ("{url} refuses it: {words}", ""),
    Trouble.BROKEN_THERE: (
        "{url} is damaged where it is kept: {words}",
        "Run `git fsck` there and mend what it finds, then submit the task again.",
    ),
    Trouble.PARTIAL: (
        "{url} is a partial clone, which lacks what its own remote has: {words}",
        "Name the repository that it was cloned from, or clone that again without --filter.",
    ),
    Trouble.FLAWED: (
        "{url} has objects that Git refuses: {words}",
        "Take them out of the branch, or start from another one.",
    ),
    Trouble.UNREACHABLE: ("{url} could not be reached: {words}", _WAY),
    Trouble.TIMED_OUT: ("fetching {url} took too long.", _WAY),
}

IN_PART = frozenset({Trouble.FLAWED, Trouble.BROKEN_THERE, Trouble.PARTIAL, Trouble.DAMAGED, None})
"""What may be wrong with one branch and not with another; None is whatever git has no word for."""

_PASSING = frozenset({Trouble.UNREACHABLE, Trouble.TIMED_OUT})


def clone_failed(repository: Repository, fetched: GitResult) -> CloneFailed | BranchMissing:
    """Say why a repository could not be fetched; `retry_after` is set when that may pass."""
    if fetched.trouble is Trouble.NO_SUCH_REF:
        return BranchMissing(
            f"The base branch does not exist in the repository: {fetched.words}",
            hint="Name one that does.",
        )
    fact, hint = ("Git could not fetch {url}: {words}", "")
    if fetched.trouble in _FACTS:
        fact, hint = _FACTS[fetched.trouble]
    values = {"url": repository.url, "name": repository.full_name, "words": fetched.words}
    failed = CloneFailed(
        f"Failed to clone repository: {fact.format(**values)}",
        hint=hint.format(**values),
        retry_after=SOON if fetched.trouble in _PASSING else None,
    )
    failed.in_part = fetched.trouble in IN_PART
    return failed
