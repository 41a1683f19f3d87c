"""`python -m functions`: what operators call."""

import argparse
import sys
from pathlib import Path


def _gateway(asked: argparse.Namespace) -> int:
    from shared.catalog import all_functions
    from shared.local import gateway

    gateway.main(all_functions(), port=asked.port)
    return 0


def _worker(asked: argparse.Namespace) -> int:
    from shared.catalog import all_functions
    from shared.local import worker

    worker.main(all_functions(), ready=asked.ready)
    return 0


def _up(asked: argparse.Namespace) -> int:
    from shared.local import up

    return up.main()


def _down(asked: argparse.Namespace) -> int:
    from shared.local import up

    return up.down()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m functions", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("up", help="run the whole platform on this machine").set_defaults(run=_up)
    commands.add_parser("down", help="stop it").set_defaults(run=_down)
    gateway = commands.add_parser("gateway", help="one process of `up`: all endpoints")
    gateway.add_argument("--port", type=int, required=True)
    gateway.set_defaults(run=_gateway)
    worker = commands.add_parser("worker", help="one process of `up`: all agents")
    worker.add_argument("--ready", type=Path, required=True)
    worker.set_defaults(run=_worker)
    asked = parser.parse_args()
    status: int = asked.run(asked)
    return status


if __name__ == "__main__":
    sys.exit(main())
