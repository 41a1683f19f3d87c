"""The door for functions-framework: `functions-framework --source shared/ff.py --target get_task --asgi`.

It calls a target with the request alone and knows neither ports nor a start, so each target is a plain function over
that function's app, which opens its ports on the first request.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# functions-framework loads this file by its path and puts only `shared/` on the import path.
if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, root)

from shared.catalog import find
from shared.function import Every, Service, WebSocket
from shared.serve import App


def target(name: str) -> Callable[[Any], App]:
    """Raises LookupError for a name that no function has, or a long-running one."""
    spec = find(name)
    if isinstance(spec.trigger, Service | Every | WebSocket):
        raise LookupError(f"{name!r} is long-running: it answers no requests")
    app = App([spec])

    async def serve(request: Any) -> App:
        # An ASGI app is what Starlette takes as a response: it is called with the request's own scope.
        return app

    serve.__name__ = name
    return serve  # type: ignore[return-value]


def __getattr__(name: str) -> Callable[[Any], App]:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return target(name)
    except LookupError as exc:
        raise AttributeError(str(exc)) from exc
