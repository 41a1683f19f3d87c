"""GET /api/v1/users: all users, page by page."""

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.errors import Invalid
from shared.function import http
from shared.payload import Payload
from shared.ports.users import UserPage, Users


class ListUsers(Payload):
    """`search` is a part of a username or a whole address; `page` counts from 1 and excludes `cursor`."""

    page: int | None = Field(default=None, ge=1, le=100_000)
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)
    search: Annotated[str, StringConstraints(max_length=254, pattern=r"^[!-~ ]*$")] | None = None
    is_active: bool | None = None


@http("GET", "/api/v1/users", scope="users:admin")
async def list_users(request: ListUsers, *, users: Users) -> UserPage:
    if request.page and request.cursor:
        raise Invalid("a list is read by page or by cursor, not by both", field="cursor")
    return await users.page(
        limit=request.limit,
        cursor=request.cursor,
        page=request.page,
        search=request.search or None,
        is_active=request.is_active,
    )
