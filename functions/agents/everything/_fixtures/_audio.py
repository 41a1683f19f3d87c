"""A tenth of a second of silence."""

import base64
import io
import wave
from functools import cache

from shared.content import AudioContent

_A_SECOND = 8000


@cache
def silence() -> AudioContent:
    """A WAV file: one channel of 8 bits, of which 128 is the middle."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(1)
        audio.setframerate(_A_SECOND)
        audio.writeframes(b"\x80" * (_A_SECOND // 10))
    return AudioContent(data=base64.b64encode(file.getvalue()).decode(), mime_type="audio/wav")
