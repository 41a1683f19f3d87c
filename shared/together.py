"""What one process serves together where nobody scales functions apart: Docker Compose."""

from shared.catalog import all_functions
from shared.function import Every, Http, OnEvent, Service, Spec, WebSocket

# They have containers of their own.
_APART = frozenset({"bridge", "connector"})


def endpoints() -> tuple[Spec, ...]:
    """All that is called, but agents' actions."""
    return tuple(spec for spec in _here() if isinstance(spec.trigger, Http | OnEvent | WebSocket))


def background() -> tuple[Spec, ...]:
    """All that runs by itself, but what has a disk."""
    return tuple(
        spec
        for spec in _here()
        if isinstance(spec.trigger, Every) or (isinstance(spec.trigger, Service) and not spec.trigger.disk_gib)
    )


def _here() -> tuple[Spec, ...]:
    return tuple(spec for spec in all_functions() if spec.package not in _APART)
