"""Our host in one process: `python tests/bench/_serve.py MODULE FUNCTION PORT`, as a container would start it."""

import gc
import sys
from importlib import import_module
from pathlib import Path

gc.disable()
sys.path[0] = str(Path(__file__).resolve().parents[2])

from shared.function import spec_of  # noqa: E402
from shared.serve import App, run  # noqa: E402

module, name, port = sys.argv[1:]
run(App([spec_of(getattr(import_module(module), name))]), host="127.0.0.1", port=int(port))
