"""Where a user decides: the request as it was asked, and the page for it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from functions.oauth._consent_page import Consent, consent_page, refusal_page
from functions.oauth._request import AuthorizationRequest, Way, asked, way_back
from shared.errors import Invalid
from shared.function import Page
from shared.oauth_wording import name_of
from shared.ports.oauth import Asked, Clients, Seals


@dataclass(frozen=True, slots=True)
class Desk:
    request: AuthorizationRequest
    way: Way
    asked: Asked

    @property
    def sealed(self) -> tuple[str, ...]:
        """What the form must bring back unchanged."""
        return tuple(part for pair in sorted(self.request.carried.items()) for part in pair)

    def page(
        self, seals: Seals, *, wrong: str = "", name: str = "", status: int = 200, retry_after: int | None = None
    ) -> Page:
        return consent_page(
            Consent(
                asked=self.asked,
                carried=self.request.carried,
                seal=seals.seal(*self.sealed),
                wrong=wrong,
                name=name,
                status=status,
                headers=(("Retry-After", str(retry_after)),) if retry_after is not None else (),
            )
        )


async def opened_desk(request: AuthorizationRequest, issuer: str, *, clients: Clients) -> Desk | Page:
    """A page where there is nothing to decide. Nobody is sent on from there unasked: anyone can be a client."""
    try:
        way = await way_back(request, issuer, clients)
    except Invalid as error:
        return refusal_page(400, error.message)
    try:
        wanted = asked(request, way)
    except Invalid as error:
        back = way.with_error(name_of(error), error.message)
        return refusal_page(400, error.message, back=back, to=urlsplit(way.redirect_uri).netloc)
    return Desk(request, way, wanted)
