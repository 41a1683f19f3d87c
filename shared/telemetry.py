"""Logs: one line of JSON for each record on standard output, without whatever would let its reader in."""

import json
import logging
import re
import sys
import time
from typing import Final

_GONE: Final = "***"
_NAMES: Final = r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|credentials?|authorization|cookie|signature"
# What stands before a secret is kept, as far as it is captured: it says which one it was. All repeats are bounded where
# others may begin within them, since what is logged may be a stranger's.
_SECRETS: Final = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, flags, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)", re.DOTALL, _GONE),
        # A password may hold what a URL should not, so the stores' own go up to the last @.
        (r"\b((?:postgres|redis|valkey|amqp|neo4j|bolt)[a-z+]{0,9}://)\S{0,500}@", re.IGNORECASE, rf"\1{_GONE}@"),
        (r"://[^\s/?#@'\"]{1,500}@", 0, f"://{_GONE}@"),
        (r"\b(bearer|basic|digest)\s+[\w.~+/=-]{6,}", re.IGNORECASE, rf"\1 {_GONE}"),
        (r"\beyJ[\w-]{6,}\.[\w-]+(\.[\w-]*)?", 0, _GONE),
        (r"\bsz_[\w-]{6,}", 0, _GONE),
        (
            rf"((?:{_NAMES})[\w-]{{0,40}}[\"']?\s{{0,4}}[:=]\s{{0,4}})(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&\"')}}\]]+)",
            re.IGNORECASE,
            rf"\1{_GONE}",
        ),
    )
)


def redacted(text: str) -> str:
    """Without passwords, tokens, keys and the credentials in URLs."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """Whatever a message holds, it stays one line: nobody can forge another."""

    def format(self, record: logging.LogRecord) -> str:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{second}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line)


def log_lines() -> None:
    """From now on, all loggers of this process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # What uvicorn says at each start and end we say ourselves, in one line; httpx would tell every address it asks.
    for name in ("httpx", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
