"""The folders of qdrant-edge: one shard for each space, opened when it is needed."""

import errno
import logging
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from qdrant_edge import EdgeConfig, EdgeShard

from shared.errors import NotFound, Unavailable

logger = logging.getLogger("sutazai.vectors")

# Each has threads and files of its own.
_OPEN = 64
_STAGED = ".staged-"


class Shards:
    """For threads. What is opened twice is locked against itself, so a shard is closed only while nobody uses it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turn = threading.Condition()
        self._open: OrderedDict[str, EdgeShard] = OrderedDict()
        self._users: dict[str, int] = {}

    def names(self) -> Sequence[str]:
        if not self._root.exists():
            return []
        return sorted(place.name for place in self._root.iterdir() if not place.name.startswith("."))

    def create(self, name: str, config: EdgeConfig) -> None:
        """Beside its place, and then put into it: half a shard is none. One that cannot be read makes way."""
        with self._turn:
            if self._is_there(name) and not self._is_broken(name):
                return
            self._clear(name)
            staged = Path(mkdtemp(prefix=_STAGED, dir=self._made()))
            try:
                EdgeShard.create(str(staged), config).close()
                staged.rename(self._root / name)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                raise

    def remove(self, name: str) -> None:
        """Waits for those who use it."""
        with self._turn:
            if not self._turn.wait_for(lambda: not self._users.get(name), timeout=60):
                raise Unavailable(f"the shard {name!r} is in use")
            if name in self._open:
                self._open.pop(name).close()
            self._clear(name)

    @contextmanager
    def using(self, name: str) -> Iterator[EdgeShard]:
        """Raises NotFound, also for one that cannot be read: it is as good as lost."""
        with self._turn:
            shard = self._opened(name)
            self._users[name] = self._users.get(name, 0) + 1
        try:
            yield shard
        finally:
            with self._turn:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name]
                self._close_idle(_OPEN)
                self._turn.notify_all()

    def close(self) -> None:
        with self._turn:
            self._turn.wait_for(lambda: not self._users, timeout=60)
            self._close_idle(0)

    def _opened(self, name: str) -> EdgeShard:
        if name not in self._open:
            if not self._is_there(name):
                raise NotFound(f"no space {name!r}")
            try:
                self._open[name] = EdgeShard.load(str(self._root / name))
            except Exception as exc:  # qdrant-edge raises nothing narrower
                logger.exception("the shard %s cannot be read", name)
                raise NotFound(f"the space {name!r} cannot be read") from exc
        self._open.move_to_end(name)
        return self._open[name]

    def _is_broken(self, name: str) -> bool:
        try:
            self._opened(name)
        except NotFound:
            return True
        return False

    def _clear(self, name: str) -> None:
        """Out of its place at once, so that a crash leaves none that is half deleted."""
        if self._is_there(name):
            away = Path(mkdtemp(prefix=_STAGED, dir=self._root))
            (self._root / name).rename(away / name)
        for staged in self._root.glob(f"{_STAGED}*"):
            shutil.rmtree(staged, ignore_errors=True)

    def _is_there(self, name: str) -> bool:
        """Raises OSError where nothing can be there: that is another thing than not to be there."""
        if self._root.exists() and not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return (self._root / name).is_dir()

    def _close_idle(self, most: int) -> None:
        idle = [name for name in self._open if not self._users.get(name)]
        for name in idle[: max(0, len(self._open) - most)]:
            self._open.pop(name).close()

    def _made(self) -> Path:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._root
