"""POST /oauth/authorize: what the user has decided, sent to the client."""

from pydantic import Field

from functions.oauth._consent_page import refusal_page, sent_to
from functions.oauth._desk import Desk, opened_desk
from functions.oauth._granting import Clerk
from functions.oauth._here import issuer_here
from functions.oauth._request import AuthorizationRequest
from shared.function import Call, Page, http
from shared.ports.oauth import Clients, Grants, Seals
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Users
from shared.public_url import PublicUrl


class DecideConsent(AuthorizationRequest):
    """The request again, with what the user has said to it."""

    decision: str = Field(default="", max_length=20)
    seal: str = Field(default="", max_length=100)
    name: str = Field(default="", max_length=254)
    password: str = Field(default="", max_length=512, repr=False)


@http("POST", "/oauth/authorize", scope=None, keyed=False, form=True, oauth=True, body_limit_bytes=64 * 1024)
async def decide_consent(
    request: DecideConsent,
    *,
    clients: Clients,
    grants: Grants,
    seals: Seals,
    users: Users,
    passwords: Passwords,
    throttle: Throttle,
    public: PublicUrl,
    call: Call,
) -> Page:
    """Only from a page of our own, as it was shown."""
    issuer = issuer_here(public, call)
    if call.origin != issuer:
        return refusal_page(403, f"pages of {call.origin!r} may not decide this")
    desk = await opened_desk(request, issuer, clients=clients)
    if not isinstance(desk, Desk):
        return desk
    if not seals.holds(request.seal, *desk.sealed):
        return desk.page(seals, wrong="This page has lain too long. Look at it again, then decide.", status=403)
    if request.decision == "deny":
        await grants.denied(desk.way.client)
        return sent_to(desk.way.with_error("access_denied", "the user has said no"))
    if request.decision != "allow":
        return desk.page(seals, wrong="Allow it, or deny it.", name=request.name, status=400)
    clerk = Clerk(grants=grants, seals=seals, users=users, passwords=passwords, throttle=throttle)
    return await clerk.allow(desk, request.name, request.password, call=call)
