"""What carries wake-ups and hints, and how it loses them."""

from tests.simulation.stage import WORKERS, Stage


class Carriers(Stage):
    def deliver(self, a: int, b: int) -> None:
        """Any of those on their way, to any worker."""
        if not self.broker or not self.broker_is_up:
            return
        at = a % len(self.broker)
        worker = self.workers[b % WORKERS]
        if worker is None or worker.stalled:
            return
        if at:
            self._fault("wake-up reordered")
        worker.woken.add(self.broker.pop(at))

    def drop(self, a: int, b: int) -> None:
        if self.broker:
            self._fault("wake-up lost")
            self.broker.pop(a % len(self.broker))

    def duplicate(self, a: int, b: int) -> None:
        if self.broker:
            self._fault("wake-up duplicated")
            self.broker += [self.broker[a % len(self.broker)]] * (1 + b % 4)

    def wipe_broker(self, a: int, b: int) -> None:
        if self.broker:
            self._fault("broker wiped")
            self.broker.clear()

    def switch_broker(self, a: int, b: int) -> None:
        self.broker_is_up = not self.broker_is_up
        if not self.broker_is_up:
            self._fault("broker down")

    def wipe_redis(self, a: int, b: int) -> None:
        if self.hints:
            self._fault("redis wiped")
            self.hints.clear()

    def hear_cancel(self, a: int, b: int) -> None:
        said = next((hint for hint in self.hints if hint[0] == "cancelled"), None)
        if said is not None:
            self.hints.remove(said)
            for worker in self.workers:
                if worker is not None and not worker.stalled:
                    worker.drop(said[1])
