"""The gateway's process: all endpoints on one port, with the keeper and the consumers of events beside them."""

from collections.abc import Sequence

from shared.background import Background
from shared.function import Http, Spec
from shared.serve import App, run


def main(specs: Sequence[Spec], *, port: int) -> None:
    """Serves until SIGTERM. Actions are the workers' business: what they run must not slow an endpoint."""
    endpoints = [spec for spec in specs if isinstance(spec.trigger, Http)]
    run(App(endpoints, beside=[Background(specs)]), host="127.0.0.1", port=port, drain_s=10)
