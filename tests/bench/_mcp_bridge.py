"""The platform's two processes on the way of a call through the bridge: the gateway's endpoint and a worker.

`python -m tests.bench._mcp_bridge worker READY` serves the agents, `... gateway PORT` the bridge before them, as
`make up` does: other endpoints, the keeper and the interface have no part in a call.
"""

import sys
from pathlib import Path


def main(role: str, place: str) -> None:
    from shared.catalog import OUTSIDE, actions_of, find
    from shared.serve import App, run

    if role == "gateway":
        run(App([find("serve_mcp")]), host="127.0.0.1", port=int(place), drain_s=1)
    else:
        from shared.local import worker

        worker.main([*actions_of("everything"), *actions_of(OUTSIDE)], ready=Path(place))


if __name__ == "__main__":
    main(*sys.argv[1:])
