"""What `serve` says when it starts: where it listens, and what is off."""

from collections.abc import Iterator
from pathlib import Path

from codebot.settings import Settings


def banner(settings: Settings) -> list[str]:
    """Give the lines for stdout: five that clients may rely on, then one for each thing off."""
    base = f"http://localhost:{settings.port}/api/tasks"
    return [
        f"HTTP API enabled with {len(settings.api_keys)} API key(s)",
        f"Starting server on port {settings.port}...",
        f"API endpoints: {base}/submit",
        f"{base}/{{task_id}}/status",
        base,
        *_what_is_off(settings),
    ]


def _what_is_off(settings: Settings) -> Iterator[str]:
    if not settings.is_boxed:
        yield (
            "Isolation is off (CODEBOT_SANDBOX=none): the agent and the tests run as this user,"
            " with its files and network"
        )
    if not settings.github.is_configured:
        yield "GitHub is off: only the repositories below CODEBOT_LOCAL_REPOS can be worked on"
    if isinstance(settings.anthropic_base_url, Path):
        yield f"No model is asked: its turns are played from {settings.anthropic_base_url}"
    elif settings.asks_a_model and not settings.has_model_credential:
        yield "No model credential: set ANTHROPIC_API_KEY, or tasks will fail"
    yield "Webhooks and polling are off: they are not built yet"
