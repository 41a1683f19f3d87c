"""GET /health: how every part is."""

from shared.function import Reply, http
from shared.ports.health import Health, HealthReport


@http("GET", "/health", scope=None, envelope=False, limited=False)
async def get_health(*, health: Health) -> Reply[HealthReport]:
    """How every part is; 503 when the record is down, since nothing can be promised then."""
    report = await health.report()
    return Reply(data=report, status=503 if report.status == "down" else 200)
