"""CloudEvents as AMQP messages: structured, persistent, their id the message's."""

from collections.abc import Mapping

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from events.base import Envelope
from shared import cloud_events

SEQ = "x-sutazai-seq"


def message_of(event: Envelope, *, seq: int | None = None, priority: int | None = None) -> aio_pika.Message:
    """`seq` is the event's place in the record, by which a consumer knows what it has done."""
    return aio_pika.Message(
        cloud_events.encode(event),
        content_type=cloud_events.STRUCTURED,
        message_id=event.id,
        type=event.type,
        priority=priority,
        headers={} if seq is None else {SEQ: seq},
        # The driver's default would be lost with the broker's process.
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def event_of(message: AbstractIncomingMessage) -> Envelope:
    """Raises Invalid for what is no CloudEvent, by its body or, as a broker may send it, by its headers."""
    return cloud_events.decode(_http_headers(message), message.body)


def seq_of(message: AbstractIncomingMessage) -> int | None:
    seq = message.headers.get(SEQ)
    return seq if isinstance(seq, int) else None


def _http_headers(message: AbstractIncomingMessage) -> Mapping[bytes, bytes]:
    headers = {b"content-type": (message.content_type or "").encode()}
    for name, value in message.headers.items():
        if name.startswith("ce-") and isinstance(value, str):
            headers[name.encode()] = value.encode()
    return headers
