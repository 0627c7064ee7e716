"""The names that a task gives to branches, and the rules for those that people give."""

import re
import unicodedata

from codebot.domain.task import TaskId

OWN_BRANCHES = "u/codebot/"
"""What the name of every branch of ours begins with."""

LONGEST_SLUG = 50
FALLBACK_SLUG = "task"

LONGEST_BRANCH = 244
"""In bytes: GitHub keeps 255 for a whole reference, `refs/heads/` included."""

# What git forbids, and what nobody sees: line ends of Unicode, and marks that turn a text round.
_NOT_IN_A_BRANCH = re.compile(
    r"[\x00-\x20\x7f-\x9f~^:?*\[\\\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    r"|\.\.|@\{"
)
_NO_BRANCHES = frozenset({"HEAD", "@"})
_TICKET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_APOSTROPHES = "['\N{RIGHT SINGLE QUOTATION MARK}]"
_READ_AT_MOST = 1000


def slug(text: str) -> str:
    """Turn any human text into `[a-z0-9-]{1,50}`, cut between words where that is possible.

    Accents are dropped; what has no Latin letters or digits at all becomes `task`.

    >>> slug("Füge Straßenkarten hinzu!")
    'fuge-strassenkarten-hinzu'
    >>> slug("添加深色模式")
    'task'
    """
    return _words(text) or FALLBACK_SLUG


def branch_name(
    ticket_id: str | None, ticket_summary: str | None, description: str, task_id: TaskId
) -> str:
    """Give the branch that a task's work is pushed to: valid for git whatever the texts say.

    The last digits of the task id make it unique; the first ones of a UUIDv7 are a clock.

    >>> branch_name("FEAT-123", "Add dark mode", "-", TaskId("0193-55abc1234"))
    'u/codebot/FEAT-123/abc1234/add-dark-mode'
    """
    words = _words(ticket_summary or "") or slug(description)
    ticket = f"{_ticket_component(ticket_id)}/" if ticket_id else ""
    return f"{OWN_BRANCHES}{ticket}{task_id[-7:]}/{words}"


def is_valid_ticket_id(text: str) -> bool:
    """Say whether a ticket id can stand in a branch name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.

    >>> is_valid_ticket_id("FEAT-123"), is_valid_ticket_id("../x")
    (True, False)
    """
    return _TICKET_ID.fullmatch(text) is not None


def is_valid_branch(text: str) -> bool:
    """Say whether a branch may be named by a caller: all that git takes and that cannot act.

    Never laxer than `git check-ref-format --branch`, and stricter where a name could be read as
    something else: an option (`-x`), a refspec (`+main`), a whole reference (`refs/heads/x`), what
    is checked out (`HEAD`, `@`). https://git-scm.com/docs/git-check-ref-format

    >>> is_valid_branch("feature/AB#12-x"), is_valid_branch("--upload-pack=x")
    (True, False)
    """
    if text in _NO_BRANCHES or text.startswith(("-", "+", "refs/")) or text.endswith("."):
        return False
    if _NOT_IN_A_BRANCH.search(text) or len(text.encode()) > LONGEST_BRANCH:
        return False
    return all(map(_is_ref_part, text.split("/")))


def _is_ref_part(part: str) -> bool:
    return part != "" and not part.startswith(".") and not part.endswith(".lock")


def _words(text: str) -> str:
    """Give the slug, or "" when nothing of the text can be written with `[a-z0-9]`."""
    letters = unicodedata.normalize("NFKD", text.strip()[:_READ_AT_MOST])
    plain = "".join(c for c in letters if not unicodedata.combining(c)).casefold()
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(_APOSTROPHES, "", plain)).strip("-")
    if len(words) <= LONGEST_SLUG:
        return words
    whole, _, _ = words[: LONGEST_SLUG + 1].rpartition("-")
    return whole or words[:LONGEST_SLUG]


def _ticket_component(ticket_id: str) -> str:
    """Change what is fine in a ticket id but not in a git reference: `..`, `.lock`, a last dot."""
    name = re.sub(r"\.+", ".", ticket_id).rstrip(".")
    return re.sub(r"\.lock$", "-lock", name)
