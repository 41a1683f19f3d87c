"""Random traces through record, appliers, engines and router: whatever happens to engines, answers are the record's.

SUTAZAI_TRACE_OPERATIONS says how many, SUTAZAI_TRACE_SEED repeats one that has failed. Thousands of them, with fresh
seeds: `make chaos C=vectors`.
"""

import asyncio
import os
import secrets

from shared.config import Settings
from tests.vectors.layer import layer
from tests.vectors.layer_trace import LayerTrace

OPERATIONS = int(os.environ.get("SUTAZAI_TRACE_OPERATIONS", "250"))
SEED = os.environ.get("SUTAZAI_TRACE_SEED", "")


def test_the_layer_answers_as_the_record_whatever_happens_to_its_engines(settings: Settings) -> None:
    seed = int(SEED) if SEED else secrets.randbits(48)
    print(f"SUTAZAI_TRACE_SEED={seed}")

    async def main() -> None:
        async with asyncio.timeout(120 + OPERATIONS), layer(settings) as here:
            trace = LayerTrace(here, seed)
            await trace.run(OPERATIONS)
            print(dict(trace.done))

    asyncio.run(main())
