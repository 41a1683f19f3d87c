"""`python -m tests.chaos._other_version older|newer ...`: `python -m functions` as another version of it would be.

The older one knows a tool less; the newer one says more in each wake-up.
"""

import sys

import shared.connector
import shared.stores.rabbitmq.bus
from events.tasks import TaskQueued
from functions.__main__ import main
from shared import catalog

_MODULE = "functions.agents.everything.get_sum"
TOOL = "get-sum"
SAID = "of_a_newer_version"


class _TaskQueued(TaskQueued):
    of_a_newer_version: int = 1


def _older() -> None:
    known = tuple(module for module in catalog.modules() if module != _MODULE)
    catalog.modules = lambda: known  # type: ignore[assignment]


def _newer() -> None:
    for module in (shared.stores.rabbitmq.bus, shared.connector):
        module.TaskQueued = _TaskQueued  # type: ignore[attr-defined]


if __name__ == "__main__":
    {"older": _older, "newer": _newer}[sys.argv.pop(1)]()
    sys.exit(main())
