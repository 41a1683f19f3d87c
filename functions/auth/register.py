"""POST /api/v1/auth/register: a new account."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import Invalid
from shared.function import Call, http
from shared.payload import Payload
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Email, Registration, Username, Users


class Register(Payload):
    email: Email
    username: Username
    password: str = Field(max_length=512, repr=False)
    confirm_password: str = Field(max_length=512, repr=False)


class Registered(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: UUID
    email: str
    username: str
    created_at: datetime


@http("POST", "/api/v1/auth/register", scope=None, status=201, keyed=False)
async def register(
    request: Register, *, users: Users, passwords: Passwords, throttle: Throttle, call: Call
) -> Registered:
    """Whoever registers is a plain user; the password is hashed before the name is tried, taken or not."""
    if request.password != request.confirm_password:
        raise Invalid("confirm_password is not the password", field="confirm_password")
    # Trying which names are taken is guessing too.
    async with throttle.attempt("", place=call.address):
        hashed = await passwords.hash(request.password, personal=(request.email, request.username))
        new = Registration(email=request.email, username=request.username, password_hash=hashed)
        user = await users.register(new)
    return Registered(id=user.id, email=user.email, username=user.username, created_at=user.created_at)
