"""Every hour: what is older than 30 days goes."""

import logging

from shared.function import every
from shared.ports.upkeep import Upkeep

logger = logging.getLogger("sutazai.keeper")


@every(3600, timeout_s=600)
async def trim(*, upkeep: Upkeep) -> None:
    """Deletes ended tasks, events, kept answers and sessions that are older than 30 days; the audit trail stays."""
    deleted = await upkeep.trim()
    logger.info("trimmed %s", {table: count for table, count in deleted.items() if count})
