"""From a user's yes to a code."""

from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from functions.oauth._consent_page import sent_to
from functions.oauth._desk import Desk
from shared.errors import Forbidden, RateLimited, Unauthorized
from shared.function import Call, Page
from shared.identity import scopes_of
from shared.login import logged_in
from shared.ports.oauth import Asked, Grants, Seals
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """Each yes takes name and password, also where the browser has the UI's cookie: that one goes to all ports of a
    host, and whoever got hold of it could grant themselves tokens."""

    grants: Grants
    seals: Seals
    users: Users
    passwords: Passwords
    throttle: Throttle

    async def allow(self, desk: Desk, name: str, password: str, *, call: Call) -> Page:
        """Back to the client, or the page again with what was wrong."""
        try:
            code = await self._code(desk, name, password, call)
        except Unauthorized as error:
            return desk.page(self.seals, wrong=error.message, name=name, status=403)
        except RateLimited as error:
            return desk.page(self.seals, wrong=error.message, name=name, status=429, retry_after=error.retry_after)
        except Forbidden as error:
            return sent_to(desk.way.with_error("invalid_scope", error.message))
        return sent_to(desk.way.with_code(code))

    async def _code(self, desk: Desk, name: str, password: str, call: Call) -> str:
        granted = partial(self._granted, desk.asked)
        users, passwords, throttle = self.users, self.passwords, self.throttle
        return await logged_in(name, password, granted, users=users, passwords=passwords, throttle=throttle, call=call)

    async def _granted(self, asked: Asked, user_id: UUID) -> str:
        """Of what was asked for, no more than the user may do.

        Raises Forbidden where nothing is left, Unauthorized when the user is disabled or erased.
        """
        user = await self.users.get(user_id)
        if user is None:
            raise Unauthorized("the account was erased", reason="credentials")
        scopes = asked.scopes & scopes_of(frozenset(user.roles))
        if not scopes:
            raise Forbidden("the user may do nothing of what was asked for", error="invalid_scope")
        return await self.grants.offer(user_id, replace(asked, scopes=scopes))
