"""Those who ask for tasks, ask again, cancel, answer and read along."""

from collections.abc import Sequence

from tests.simulation.record import SECOND, Asked
from tests.simulation.stage import Lost, Stage

_TTLS = (3600 * SECOND, 8 * SECOND, 60 * SECOND, 3600 * SECOND)


class People(Stage):
    def submit(self, a: int, b: int) -> None:
        asked = Asked(
            user=a & 1,
            agent=a >> 1 & 1,
            tool=a >> 2 & 3 == 3,
            priority=b % 10,
            max_attempts=1 + (b >> 4) % 3,
            ttl=_TTLS[a >> 4 & 3],
            key=f"{len(self.requests)}" if a >> 6 else None,
            script=(a + b) & 7,
        )
        more = (b % 7 == 0) if asked.key is None else 0
        self.requests.append((asked,) * (1 + more))
        self._submit(len(self.requests) - 1, b >> 4)

    def submit_again(self, a: int, b: int) -> None:
        """One who was not answered, or who forgot that he was; or another request under the same key."""
        again = sorted(self.unanswered) or [n for n, asked in enumerate(self.requests) if asked[0].key]
        if not again:
            return
        number = again[a % len(again)]
        if self.requests[number][0].key is None:
            self.unanswered.discard(number)
        elif b & 7:
            self._submit(number, b >> 4)
        else:
            other = [one._replace(digest=1) for one in self.requests[number]]
            self._accepted(other, self._ask(b >> 4, self.record.accept, other))

    def _submit(self, number: int, how: int) -> None:
        asked = self.requests[number]
        self.promises.acting = asked[0].user
        if self._accepted(asked, self._ask(how, self.record.accept, asked)):
            self.unanswered.discard(number)
        else:
            self.unanswered.add(number)

    def _accepted(self, asked: Sequence[Asked], told: list[int] | Lost | None) -> bool:
        self.promises.acting = None
        if isinstance(told, Lost):
            return False
        self.promises.told_accepted(asked, told)
        self.hints.append(("accepted", asked[0].agent))
        return True

    def cancel(self, a: int, b: int) -> None:
        """By its owner, or by a stranger."""
        if not self.record.asked:
            return
        task = a % len(self.record.asked)
        owner = self.record.asked[task].user
        self.promises.acting = user = owner if b & 3 else 1 - owner
        if user == owner:
            self.cancels.add(task)
        told = self._ask(b >> 4, self.record.cancel, user, task)
        self.promises.acting = None
        if told is True:
            self.promises.told_cancelled(task, self.record.rows[task])
            self.hints.append(("cancelled", task))

    def cancel_all(self, a: int, b: int) -> None:
        self.promises.acting = user = a & 1
        self.disabled.add(user)
        self._ask(b >> 4, self.record.cancel_all, user, may_stay_open=False)
        self.promises.acting = None

    def answer(self, a: int, b: int) -> None:
        """By its owner, or by a stranger."""
        if self.record.questions:
            task = sorted(self.record.questions)[a % len(self.record.questions)]
            owner = self.record.asked[task].user
            self.promises.acting = user = owner if b & 3 else 1 - owner
            self._ask(b >> 4, self.record.answer, user, task, may_stay_open=False)
            self.promises.acting = None

    def tail(self, a: int, b: int) -> None:
        """A reader takes what has come since."""
        fresh = [(number, event) for number, event in self.record.numbered if number > self.cursor]
        if fresh:
            self.read += [event for _, event in fresh]
            self.cursor = fresh[-1][0]
