"""Two keepers, of which one is active, or believes so."""

from tests.simulation.record import SECOND
from tests.simulation.stage import Keeper, Lost, Stage

REMIND_AFTER = 2 * SECOND
GRACE = 3 * SECOND
LOOPS = ("wake", "remind", "make_due", "reap", "expire", "number", "wake", "reap", "wake")


class Keepers(Stage):
    def keep(self, a: int, b: int) -> None:
        keeper = self.keepers[a & 1]
        if not keeper.active:
            if self.lock is None:
                self.lock, keeper.active, keeper.since = a & 1, True, self.record.now + keeper.skew
                keeper.woken_at.clear()
            return
        getattr(self, LOOPS[(a >> 1) % len(LOOPS)])(keeper, b)

    def wake(self, keeper: Keeper, b: int) -> None:
        heard = {agent for said, agent in self.hints if said == "accepted"}
        self.hints = [hint for hint in self.hints if hint[0] != "accepted"]
        self._publish(keeper, heard)

    def remind(self, keeper: Keeper, b: int) -> None:
        late = self.record.now + keeper.skew - REMIND_AFTER
        waiting = self.record.claimable()
        self._publish(keeper, {agent for agent in waiting if keeper.woken_at.get(agent, -REMIND_AFTER) < late})

    def _publish(self, keeper: Keeper, agents: set[int]) -> None:
        for agent in sorted(agents):
            keeper.woken_at[agent] = self.record.now + keeper.skew
            if self.broker_is_up:
                self.broker.append(agent)

    def make_due(self, keeper: Keeper, b: int) -> None:
        self._noted(keeper, self._ask(b >> 4, self.record.make_due, may_stay_open=False))

    def reap(self, keeper: Keeper, b: int) -> None:
        if self.record.now + keeper.skew - keeper.since >= GRACE:
            self._noted(keeper, self._ask(b >> 4, self.record.reap, may_stay_open=False))

    def _noted(self, keeper: Keeper, told: set[int] | Lost) -> None:
        if not isinstance(told, Lost):
            self._publish(keeper, told)

    def expire(self, keeper: Keeper, b: int) -> None:
        self._ask(b >> 4, self.record.expire, may_stay_open=False)

    def number(self, keeper: Keeper, b: int) -> None:
        self.record.number()

    def keeper_dies(self, a: int, b: int) -> None:
        if self.keepers[a & 1].active:
            self._fault("keeper killed")
        self._stand_by(a & 1)

    def _stand_by(self, number: int) -> None:
        self.keepers[number].active = False
        if self.lock == number:
            self.lock = None

    def keeper_is_cut_off(self, a: int, b: int) -> None:
        """Its lock is gone before it knows: for a while there are two."""
        if self.lock is not None:
            self._fault("two keepers at once")
            self.lock = None

    def keeper_notices(self, a: int, b: int) -> None:
        if self.keepers[a & 1].active and self.lock != a & 1:
            self._stand_by(a & 1)
