"""The vector service's process: it comes up beside the others, and searches find it when it is ready."""

import sys
from collections.abc import Mapping

from shared.local.supervisor import Service


def vectors_service(environ: Mapping[str, str], *, port: int) -> Service:
    """Nobody waits for it: until it is ready, searches are answered by the record."""

    async def starts() -> bool:
        return True

    return Service(
        name="vectors",
        role="vectors",
        argv=(
            *(sys.executable, "-m", "functions", "serve", "vectors-serve-vectors"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
        ready=starts,
        env=environ,
        # It saves what lives in its memory alone.
        stop_timeout_s=30,
    )
