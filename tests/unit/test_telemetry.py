import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from codebot.telemetry.log import configure
from codebot.telemetry.redaction import Redactor
from codebot.telemetry.style import LogFormat, LogLevel

CANARY = "canary-5f0e9c"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def configured(style: LogFormat = LogFormat.JSON, level: LogLevel = LogLevel.INFO) -> io.StringIO:
    stream = io.StringIO()
    logging.captureWarnings(capture=False)  # pytest has undone what another test began
    configure(level=level, format=style, redactor=Redactor([CANARY]), stream=stream)
    return stream


def records(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_the_ids_it_is_about() -> None:
    stream = configured()
    with bound_contextvars(task_id="t1", run_id="r1"):
        structlog.get_logger(__name__).info("run.started", kind="prompt")

    [record] = records(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "run.started",
        "kind": "prompt",
        "level": "info",
        "task_id": "t1",
        "run_id": "r1",
    }


def test_lines_of_other_libraries_come_out_the_same_way() -> None:
    stream = configured()
    with bound_contextvars(task_id="t1"):
        logging.getLogger("somebody.else").warning("took %s s", 5)

    [record] = records(stream)
    assert record["event"] == "took 5 s"
    assert record["logger"] == "somebody.else"
    assert record["task_id"] == "t1"


@pytest.mark.parametrize("style", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_secret_is_masked_wherever_in_a_line_it_stands(style: LogFormat) -> None:
    stream = configured(style)
    log = structlog.get_logger()
    log.info(f"event {CANARY}", **{CANARY: "key"}, value=CANARY, deep={"list": [CANARY]})  # noqa: G004 - the canary must be in every part
    try:
        int(CANARY)
    except ValueError:
        log.exception("structlog.failed")
        logging.getLogger("library").exception("failed with %s", CANARY)
    with warnings.catch_warnings(action="always"):
        warnings.warn(f"a warning with {CANARY}", stacklevel=1)

    text = stream.getvalue()
    assert CANARY not in text
    assert text.count("***") >= 8
    assert text.count("Traceback (most recent call last)") == 2


def test_a_console_line_cannot_steer_the_terminal() -> None:
    stream = configured(LogFormat.CONSOLE)
    structlog.get_logger().info("agent.said", text="\x1b[2J", more="\nforged line")

    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_auto_means_json_where_there_is_no_terminal() -> None:
    stream = configured(LogFormat.AUTO)
    structlog.get_logger().info("something.happened")

    assert records(stream)


def test_less_severe_lines_and_the_news_of_libraries_are_left_out() -> None:
    stream = configured(level=LogLevel.INFO)
    structlog.get_logger().debug("too.fine")
    logging.getLogger("httpx").info("HTTP Request: GET ...")

    assert stream.getvalue() == ""
