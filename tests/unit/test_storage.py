from datetime import timedelta
from pathlib import Path

import pytest

from codebot.app import storage
from codebot.domain.secret import Secret
from codebot.errors import ConfigError, StoreUnavailable
from codebot.settings import Command, load_settings
from codebot.store.store import Store
from codebot.telemetry.redaction import Redactor

URL = "postgresql://me:hunter2@db.example/codebot"
AWAY = StoreUnavailable("It cannot be reached.", retry_after=timedelta(seconds=10))
BROKEN = StoreUnavailable("A table is gone.")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What opening a store gives, one after the other; what is raised may be waited out."""
    given: list[object] = []

    async def open_it(database: object, **_: object) -> object:
        assert database == URL
        found = given.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Store, "open", open_it)
    monkeypatch.setattr(storage, "FIRST_PAUSE", timedelta(0))
    return given


def settings_of(**environ: str) -> storage.Settings:
    return load_settings(
        environ, flags={}, dotenv_dir=Path("/"), need=Command.RUN, redactor=Redactor()
    )


async def test_a_server_that_is_away_is_waited_for(attempts: list[object]) -> None:
    attempts += [AWAY, AWAY, "the store"]

    found = await storage.open_store(settings_of(CODEBOT_DATABASE_URL=URL), Redactor())

    assert (found, attempts) == ("the store", [])


@pytest.mark.parametrize("error", [BROKEN, ConfigError(("It is too old.",))])
async def test_what_does_not_pass_by_itself_is_not_waited_for(
    attempts: list[object], error: Exception
) -> None:
    attempts += [error, "the store"]

    with pytest.raises(type(error)):
        await storage.open_store(settings_of(CODEBOT_DATABASE_URL=URL), Redactor())


def test_the_url_of_a_server_is_a_secret_of_which_only_the_password_is_masked() -> None:
    redactor = Redactor()
    settings = load_settings(
        {"CODEBOT_DATABASE_URL": URL},
        flags={},
        dotenv_dir=Path("/"),
        need=Command.RUN,
        redactor=redactor,
    )

    assert settings.database == Secret(URL)
    assert redactor(URL) == "postgresql://me:***@db.example/codebot"
    assert "hunter2" not in repr(settings)
