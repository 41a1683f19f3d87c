"""Lines of the log: JSON, one for each record, without what lets somebody in."""

import json
import logging
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry import JsonLines, redacted

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "said, shown",
    [
        ("cannot reach postgresql://sutazai:p@ss/wo?rd@db:5432/x", "cannot reach postgresql://***@db:5432/x"),
        ("amqp://guest:guest@mq and redis://:s@r", "amqp://***@mq and redis://***@r"),
        ("GET https://ada:secret@example.org/a?b=1", "GET https://***@example.org/a?b=1"),
        ("with Bearer abc.def-123 it is refused", "with Bearer *** it is refused"),
        ("Authorization: Bearer abc.def-123", "Authorization: *** ***"),
        (f"the token was {TOKEN}", "the token was ***"),
        ("key sz_Zm9vYmFy-1 is unknown", "key *** is unknown"),
        ('{"password": "a \\"b\\" c", "name": "ada"}', '{"password": ***, "name": "ada"}'),
        ("client_secret='x y' user=ada", "client_secret=*** user=ada"),
        ("?X-Amz-Signature=abc&X-Amz-Date=1", "?X-Amz-Signature=***&X-Amz-Date=1"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
    ],
)
def test_what_lets_somebody_in_is_taken_out(said: str, shown: str) -> None:
    assert redacted(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "serving at [('0.0.0.0', 8080)]",
        "the session has ended",
        "GET https://example.org/@ada/status failed (request 1f)",
        "agent memory-bank was not woken: the function 'memory-bank' answered 503",
    ],
)
def test_plain_words_stay(said: str) -> None:
    assert redacted(said) == said


def _line(message: str, *args: object, failed: bool = False) -> dict[str, str]:
    error = None
    if failed:
        try:
            raise ValueError("password=hunter2\nand more")
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("sutazai.serve", logging.WARNING, __file__, 1, message, args, error)
    text = JsonLines().format(record)
    assert "\n" not in text
    parsed: dict[str, str] = json.loads(text)
    return parsed


@pytest.mark.parametrize(
    "piece", ["pass", "a", "postgres://", "eyJ", "sz_", "bearer ", "-----BEGIN PRIVATE KEY-----", "'="]
)
def test_a_long_text_takes_no_longer_than_its_length(piece: str) -> None:
    def took_s(count: int) -> float:
        began = time.process_time()
        redacted(piece * count)
        return time.process_time() - began

    # Eight times the text takes eight times as long, not sixty-four; the least of a few tries counts.
    assert min(took_s(16_000) for _ in range(3)) < 24 * max(min(took_s(2_000) for _ in range(3)), 0.001)


@given(st.text())
def test_a_record_is_one_line_whatever_it_says(text: str) -> None:
    line = _line("%s", text)
    assert line.keys() == {"time", "level", "logger", "message"}
    assert (line["level"], line["logger"]) == ("warning", "sutazai.serve")


def test_an_error_comes_with_its_trace_and_without_its_secrets() -> None:
    line = _line("it failed", failed=True)
    assert line["error"].startswith("Traceback") and "ValueError" in line["error"]
    assert "hunter2" not in line["error"]
