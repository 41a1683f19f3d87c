"""everything/get-env: the few facts about the environment that are nobody's secret."""

import json
import os
import platform

from shared.content import Content, text
from shared.function import tool
from shared.version import VERSION

# Never a pattern: a name that is added to the environment later must not show by itself.
_SHOWN = ("LANG", "LC_ALL", "LC_TIME", "TZ")


@tool(name="get-env", effect="read", timeout_s=5)
async def get_env() -> Content:
    """Return versions, time zone and language of the server as JSON, and nothing else of its environment."""
    shown = {"PYTHON_VERSION": platform.python_version(), "SUTAZAI_VERSION": VERSION}
    shown |= {name: value for name in _SHOWN if (value := os.environ.get(name))}
    return text(json.dumps(shown, indent=2, sort_keys=True))
