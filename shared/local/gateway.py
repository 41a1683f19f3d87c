"""The gateway's process: all endpoints on one port, with the keeper and the consumers of events beside them."""

import socket
from collections.abc import Sequence

from shared.background import Background
from shared.catalog import DOCUMENTS
from shared.function import Http, Mcp, Service, Spec, Tool, WebSocket
from shared.local.forward import McpForward
from shared.serve import App, run


def main(specs: Sequence[Spec], *, port: int, mcp_port: int | None = None) -> None:
    """Serves until SIGTERM. Actions are the workers' business: what they run must not slow an endpoint.

    `mcp_port`: a second one, at which clients of MCP look for it.
    """
    endpoints = [spec for spec in specs if isinstance(spec.trigger, Http | WebSocket | Mcp)]
    beside = Background([spec for spec in specs if not _is_elsewhere(spec)])
    mcp = McpForward({spec.agent for spec in specs if isinstance(spec.trigger, Tool)} - {DOCUMENTS})
    app = App(endpoints, beside=[beside, mcp], routes=mcp.routes)
    sockets = None
    if mcp_port is not None:
        sockets = [socket.create_server(("127.0.0.1", each)) for each in (port, mcp_port)]
    run(app, host="127.0.0.1", port=port, drain_s=10, sockets=sockets)


def _is_elsewhere(spec: Spec) -> bool:
    """What has a disk has a process of its own. Consumers run here, and workers hear wake-ups: nothing is connected."""
    return spec.package == "connector" or (isinstance(spec.trigger, Service) and spec.trigger.disk_gib > 0)
