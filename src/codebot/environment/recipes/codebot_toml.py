"""`.codebot.toml`: what a repository says to this service."""

from codebot.domain.environment import RecipeOrigin
from codebot.domain.tree import Tree
from codebot.environment.recipes.reading import LONGEST_TEXT, Unreadable, read_toml
from codebot.environment.recipes.written import Table, Written, read_written
from codebot.errors import SetUpFailed

FILE = ".codebot.toml"
HINT = "No model was asked. Mend the file on the base branch, then submit the task again."


def read_codebot_toml(tree: Tree) -> Written | None:
    """Give what the repository says, None where it says nothing; raises `SetUpFailed`."""
    if FILE not in tree.paths:
        return None
    content = tree.contents.get(FILE)
    if content is None or len(content) > LONGEST_TEXT:
        raise SetUpFailed(f"{FILE} is no file of at most {LONGEST_TEXT:,} bytes.", hint=HINT)
    try:
        text = content.decode("utf-8-sig")
        values = read_toml(text)
    except UnicodeDecodeError:
        raise SetUpFailed(f"{FILE} is no TOML (not UTF-8).", hint=HINT) from None
    except Unreadable as exc:
        raise SetUpFailed(f"{FILE} {exc}.", hint=HINT) from None
    written, problems = read_written(Table(values, text), RecipeOrigin.REPOSITORY, FILE)
    if problems:
        raise SetUpFailed(f"{FILE}: {'; '.join(problems)}.", hint=HINT)
    return written
