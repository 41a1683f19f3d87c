"""Signatures under what the platform sends to others."""

from collections.abc import Mapping
from typing import Protocol


class Signatures(Protocol):
    def headers(self, message_id: str, body: bytes) -> Mapping[str, str]:
        """What a message is sent with, so that whoever holds the published keys can tell that it is ours.

        `webhook-id`, `webhook-timestamp` and `webhook-signature` are those of Standard Webhooks (scheme `v1a`);
        `webhook-key-id` is the `kid` of the key.
        """
