"""`.github/workflows/copilot-setup-steps.yml`: one job of GitHub Actions, as far as it is a script.

https://docs.github.com/en/copilot/how-tos/use-copilot-agents/coding-agent/customize-the-agent-environment
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from codebot.domain.environment import Recipe
from codebot.environment.recipes.bounds import is_within
from codebot.environment.recipes.clues import Clues, at
from codebot.environment.recipes.foreign import foreign_recipe
from codebot.environment.recipes.reading import Unreadable, read_yaml

FILES = (
    ".github/workflows/copilot-setup-steps.yml",
    ".github/workflows/copilot-setup-steps.yaml",
)
MOST_STEPS = 100
_EXPRESSION = "${{"

_DONE = ("actions/checkout", "actions/cache", "astral-sh/setup-uv", "actions/upload-artifact")
"""What is done already, or has no meaning here."""

_VERSIONS = {
    "actions/setup-python": ("Python", "python-version"),
    "actions/setup-node": ("Node", "node-version"),
    "actions/setup-go": ("Go", "go-version"),
    "actions/setup-java": ("Java", "java-version"),
    "actions/setup-dotnet": (".NET", "dotnet-version"),
    "ruby/setup-ruby": ("Ruby", "ruby-version"),
    "shivammathur/setup-php": ("PHP", "php-version"),
    "dtolnay/rust-toolchain": ("Rust", "toolchain"),
    "actions-rust-lang/setup-rust-toolchain": ("Rust", "toolchain"),
}
_MANAGERS = {
    "pnpm/action-setup": ("pnpm", "pnpm"),
    "oven-sh/setup-bun": ("bun", "bun"),
}


@dataclass(slots=True)
class _Job:
    """A job on its way to a script."""

    script: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    python: str = ""

    def skip(self, what: str) -> None:
        self.notes.append(f"skipped {what}")


def copilot(clues: Clues) -> Iterator[Recipe]:
    """Give the recipe of Copilot's set-up steps, where there are some."""
    for path in clues.those(*FILES):
        try:
            job = at(read_yaml(clues.text(path)), "jobs", "copilot-setup-steps")
        except Unreadable:
            continue
        steps = at(job, "steps")
        if not isinstance(steps, list):
            continue
        read = _read(steps)
        env = at(job, "env")
        recipe = foreign_recipe(
            path,
            "\n".join(read.script),
            python=read.python,
            env=env if isinstance(env, dict) else {},
            notes=read.notes,
        )
        if recipe is not None:
            yield recipe


def _read(steps: list[Any]) -> _Job:
    job = _Job()
    for step in steps[:MOST_STEPS]:
        if not isinstance(step, dict):
            continue
        if isinstance(step.get("run"), str):
            _run(job, step)
        elif isinstance(step.get("uses"), str):
            _use(job, step)
    if len(steps) > MOST_STEPS:
        job.skip(f"all steps after the first {MOST_STEPS}")
    return job


def _run(job: _Job, step: Mapping[str, Any]) -> None:
    """Take a step's commands, in a shell of their own as they are there."""
    script, folder = step["run"], step.get("working-directory", "")
    name, condition = _title(step, script), _text(step, "if")
    if _EXPRESSION in script or _EXPRESSION in condition:
        job.skip(f"{name}: it has an expression of GitHub's")
    elif condition.strip() in {"false", "failure()", "cancelled()"}:
        job.skip(f"{name}: its condition does not hold")
    elif _text(step, "shell", "bash") not in {"bash", "sh"}:
        job.skip(f"{name}: its shell is another one")
    elif not isinstance(folder, str) or not is_within(folder):
        job.skip(f"{name}: its folder is outside of the repository")
    else:
        inside = f"cd {quote(folder)}\n" if folder else ""
        variables = "".join(_exports(step.get("env")))
        job.script.append(f"bash -eo pipefail -c {quote(inside + variables + script)}")
        if step.get("continue-on-error") == "true":
            job.script[-1] += " || true"


def _exports(env: Any) -> Iterator[str]:  # noqa: ANN401 - YAML
    for name, value in env.items() if isinstance(env, dict) else ():
        if isinstance(value, str) and re.fullmatch(r"\w+", str(name)) and _EXPRESSION not in value:
            yield f"export {name}={quote(value)}\n"


def _use(job: _Job, step: Mapping[str, Any]) -> None:
    """Understand a known action as the version that it asks for; name any other."""
    action = step["uses"].partition("@")[0].lower()
    if action in _DONE:
        return
    if action in _MANAGERS:
        package, _ = _MANAGERS[action]
        version = _version(step, "version", "bun-version")
        job.script.append(
            'npm install --global --prefix "$HOME/.local" --silent '
            + quote(f"{package}@{version}" if version else package)
        )
    elif action in _VERSIONS:
        language, key = _VERSIONS[action]
        version = _version(step, key)
        if version:
            job.notes.append(f"asks for {language} {version}")
        if language == "Python":
            job.python = version
    else:
        job.skip(f"the action {step['uses'][:80]!r}")


def _version(step: Mapping[str, Any], *keys: str) -> str:
    said = next((value for key in keys if (value := at(step, "with", key))), "")
    return said if isinstance(said, str) and re.fullmatch(r"[\w.*-]{1,20}", said) else ""


def _text(step: Mapping[str, Any], key: str, default: str = "") -> str:
    """Give what is there as text; of a list or table, which may be huge, nothing is made."""
    value = step.get(key, default)
    return value if isinstance(value, str) else default


def _title(step: Mapping[str, Any], script: str) -> str:
    name = step.get("name")
    title = (
        name if isinstance(name, str) else script.strip().splitlines()[0] if script.strip() else ""
    )
    return f"the step {title[:60]!r}"
