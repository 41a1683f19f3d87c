"""GET /oauth/authorize: the page that asks a user whether a client may come in."""

from functions.oauth._desk import Desk, opened_desk
from functions.oauth._here import issuer_here
from functions.oauth._request import AuthorizationRequest
from shared.function import Call, Page, http
from shared.ports.oauth import Clients, Seals
from shared.public_url import PublicUrl


class ShowConsent(AuthorizationRequest):
    pass


@http("GET", "/oauth/authorize", scope=None, oauth=True)
async def show_consent(request: ShowConsent, *, clients: Clients, seals: Seals, public: PublicUrl, call: Call) -> Page:
    """Changes nothing, and sends nobody anywhere."""
    desk = await opened_desk(request, issuer_here(public, call), clients=clients)
    return desk.page(seals) if isinstance(desk, Desk) else desk
