"""Whether a database has been brought as far as this version of the platform needs."""

from functools import cache
from importlib.resources import files

import asyncpg

from shared.errors import Unavailable


@cache
def newest() -> int:
    """The number of the last migration that this version has."""
    names = (entry.name for entry in files(__package__).joinpath("migrations").iterdir())
    return max(int(name[:4]) for name in names if name.endswith(".sql"))


async def check_up_to_date(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Raises Unavailable where it lags behind, which passes: whoever deploys this version migrates it meanwhile.

    A newer one will do, since versions take over from one another while both run.
    """
    try:
        found = await pool.fetchval("SELECT max(number) FROM migrations") or 0
    except asyncpg.UndefinedTableError:
        found = 0
    if found < newest():
        raise Unavailable(f"the database is at migration {found}, and this version needs {newest()}: see `migrate`")
