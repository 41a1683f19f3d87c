"""Where the gateway is reached, and whose pages may call it, in a file for Kong."""

import copy
import re
from collections.abc import Sequence
from typing import Any

from shared.errors import ConfigurationError
from shared.manifests.kong import lua

Document = dict[str, Any]

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def addressed(document: Document, origin: str, pages: Sequence[str]) -> Document:
    """With this origin for callers and these of pages, without which only the first may call.

    What else its operator has put into the file stays. Raises ConfigurationError.
    """
    public, calling = _origin(origin), sorted(map(_origin, pages or [origin]))
    made = copy.deepcopy(document)
    _config(made, "cors")["origins"] = calling
    _config(made, "post-function")["header_filter"] = [lua.note(public)]
    return made


def _config(document: Document, name: str) -> dict[str, Any]:
    listed = document.get("plugins")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("name") == name and isinstance(each.get("config"), dict):
            config: dict[str, Any] = each["config"]
            return config
    raise ConfigurationError(f"this is no file of ours for Kong: its plugin {name!r} is not there")


def _origin(text: str) -> str:
    plain = text.strip().rstrip("/").lower()
    if not _ORIGIN.fullmatch(plain):
        raise ConfigurationError(f"{text!r} is no origin such as https://api.example.org")
    return plain
