"""A run that somebody follows while it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from shared.answers import fits
from shared.dialogue import CannotAsk
from shared.function import Log, LogLevel, Spec
from shared.perform import RunContext
from shared.strict_json import Json


class Watcher(Protocol):
    """Hears of a run while it goes on; none of it waits."""

    def progress(self, percent: float, message: str) -> None: ...
    def log(self, level: LogLevel, data: Json, logger: str) -> None: ...
    def lacks(self, capability: str) -> None:
        """The run needed to ask what its client has not said that it can answer."""

    def detached(self) -> None:
        """What follows takes long: nobody has to hold a connection for it."""


@dataclass(kw_only=True)
class WatchedRun(RunContext):
    watcher: Watcher

    def progress(self, percent: float, message: str = "") -> None:
        super().progress(percent, message)
        assert self.latest is not None
        self.watcher.progress(*self.latest)

    def log(self, level: LogLevel, data: Json, *, logger: str = "") -> None:
        self.watcher.log(level, data, logger)

    def detach(self) -> None:
        super().detach()
        self.watcher.detached()

    def ask(self, requests: Mapping[str, Json], *, keep: Json = None) -> Mapping[str, Json]:
        # What does not fit is asked again.
        known = {
            key: said for key, said in self.dialogue.answers.items() if key not in requests or fits(requests[key], said)
        }
        self.dialogue = replace(self.dialogue, answers=known)
        try:
            return super().ask(requests, keep=keep)
        except CannotAsk as error:
            self.watcher.lacks(str(error.details["capability"]))
            raise


def logs(spec: Spec) -> bool:
    return Log in spec.ports.values()
