"""Applies the numbered migrations that a database has not seen yet: forward only, one process at a time."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from shared.errors import ConfigurationError
from shared.stores.postgres.database import connect

# Any constant will do, as long as every version of the platform takes the same.
_LOCK = 0x5355_5441


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


def migrations() -> tuple[Migration, ...]:
    """Raises ConfigurationError unless the files are numbered 1, 2, 3 and so on."""
    entries = sorted(files(__package__).joinpath("migrations").iterdir(), key=lambda entry: entry.name)
    found = tuple(
        Migration(int(entry.name[:4]), entry.name.removesuffix(".sql"), entry.read_text())
        for entry in entries
        if entry.name.endswith(".sql")
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ConfigurationError(f"migrations are not numbered in a row: {[m.name for m in found]}")
    return found


async def migrate(url: str, wanted: tuple[Migration, ...] | None = None) -> list[str]:
    """Returns the names of those applied now.

    Raises ConfigurationError when an applied migration has since been edited. One from a newer version is left alone:
    during a rolling upgrade the old version still starts.
    """
    connection = await connect(url, name="sutazai-migrate")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute("CREATE SCHEMA IF NOT EXISTS sutazai")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {row["number"]: row["checksum"] for row in await connection.fetch("SELECT * FROM migrations")}
        done = []
        for migration in wanted or migrations():
            if migration.number in applied:
                if applied[migration.number] != migration.checksum:
                    raise ConfigurationError(f"migration {migration.name} was changed after it had been applied")
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
            done.append(migration.name)
        return done
    finally:
        await connection.close()
