"""Text of others in pages of ours: Streamlit reads Markdown nearly everywhere."""

import re
from datetime import UTC, datetime

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&=\"'^@])")
_IMAGE = re.compile(r"!(?=\[)")
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d"))


def plain(text: str) -> str:
    """Markdown that shows exactly this text, on one line."""
    return _escaped(" ".join(text.split()))


def worded(text: str) -> str:
    """As `plain`, with what stands between backticks as code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        return plain(text)
    return "".join(f"`{part}`" if number % 2 and part else _escaped(part) for number, part in enumerate(parts))


def without_images(markdown: str) -> str:
    """The same Markdown, each image a link: an image would be fetched without a click, and tell who reads it.

    Between ! and [ stands a word joiner, so whatever comes before cannot make an image of it again.
    """
    return _IMAGE.sub("!\u2060", markdown)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def ago(at: datetime, now: datetime | None = None) -> str:
    """`just now`, `42 s ago`, `3 min ago`."""
    passed = ((now or datetime.now(UTC)) - at).total_seconds()
    if passed < 1:
        return "just now"
    return f"{_rounded(passed)} ago"


def lasting(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return _rounded(milliseconds / 1000)


def exact(at: datetime) -> str:
    return f"{at.astimezone(UTC).isoformat(sep=' ', timespec='milliseconds')[:-6]} UTC"


def _rounded(seconds: float) -> str:
    size, unit = next((size, unit) for below, size, unit in _STEPS if seconds < below)
    return f"{int(seconds // size)} {unit}"
