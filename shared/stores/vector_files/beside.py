"""A file that is written beside the one it will be, so that nobody meets half of one."""

import os
from pathlib import Path


class Beside:
    def __init__(self, path: Path) -> None:
        self._final = path
        self.path = path.with_name(f"{path.name}.new")

    def finish(self, *, is_whole: bool) -> None:
        """It takes its place once it is on the disk; what is not whole goes."""
        if not is_whole:
            self.path.unlink(missing_ok=True)
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.path.replace(self._final)
