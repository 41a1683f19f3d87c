"""Standard Webhooks signed with Ed25519."""

import base64
import time
from collections.abc import Mapping

from shared.config import Settings
from shared.stores.signing_keys import SigningKeys


class Ed25519Signatures:
    """Signs with the newest of the keys that access tokens are signed with.

    No token can be made of such a signature: what a token signs has one dot, and this has two before its first brace.
    """

    def __init__(self, *, settings: Settings) -> None:
        self._keys = SigningKeys(settings.keys_dir)

    def headers(self, message_id: str, body: bytes) -> Mapping[str, str]:
        key, at = self._keys.live()[0], str(int(time.time()))
        signature = key.private.sign(b".".join((message_id.encode(), at.encode(), body)))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": at,
            "webhook-signature": f"v1a,{base64.b64encode(signature).decode()}",
            "webhook-key-id": key.kid,
        }
