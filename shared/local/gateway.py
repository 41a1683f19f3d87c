"""The gateway's process: all endpoints on one port, with the keeper and the consumers of events beside them."""

from collections.abc import Sequence

from shared.background import Background
from shared.function import Http, Spec, Tool, WebSocket
from shared.local.forward import McpForward
from shared.serve import App, run


def main(specs: Sequence[Spec], *, port: int) -> None:
    """Serves until SIGTERM. Actions are the workers' business: what they run must not slow an endpoint."""
    endpoints = [spec for spec in specs if isinstance(spec.trigger, Http | WebSocket)]
    # Consumers run right here, and workers hear wake-ups themselves: there is nothing to connect.
    beside = Background([spec for spec in specs if spec.package != "connector"])
    mcp = McpForward({spec.agent for spec in specs if isinstance(spec.trigger, Tool)})
    run(App(endpoints, beside=[beside, mcp], routes=mcp.routes), host="127.0.0.1", port=port, drain_s=10)
