"""A private Neo4j for tests: the community server's jars from Maven Central, with its own folder, port and password."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.engine import Engine

_POM = Path(__file__).parent / "neo4j_server" / "pom.xml"
_PASSWORD = "only-for-tests"
_CONFIGURATION = """\
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.heap.initial_size=512m
server.memory.heap.max_size=512m
server.memory.pagecache.size=128m
db.tx_log.preallocate=false
db.tx_log.rotation.size=16m
dbms.usage_report.enabled=false
dbms.security.auth_enabled=true
server.bolt.telemetry.enabled=false
"""
_OPENED = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")


class Neo4j(Engine):
    """Raises RuntimeError where Java or Maven are not installed."""

    name = "Neo4j"
    # Of Bolt: the server picks one of four versions.
    greeting = b"\x60\x60\xb0\x17\x00\x04\x04\x05\x00\x00\x02\x04" + bytes(8)
    answer = (4, b"")
    start_within_s = 300

    def __init__(self) -> None:
        self._jars = _jars()
        super().__init__()
        (self.home / "conf").mkdir()
        (self.home / "conf" / "neo4j.conf").write_text(_CONFIGURATION.format(port=self.port))
        self._administer("dbms", "set-initial-password", _PASSWORD)

    @property
    def command(self) -> Sequence[str]:
        folders = (f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}")
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
        memory = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4")
        return [_tool("java"), *memory, *opened, "-cp", self._jars, "org.neo4j.server.CommunityEntryPoint", *folders]

    @property
    def url(self) -> str:
        return f"bolt://neo4j:{_PASSWORD}@127.0.0.1:{self.port}"

    def empty(self) -> None:
        """Takes away all nodes; what stands of the schema does no harm."""
        from neo4j import GraphDatabase

        with (
            GraphDatabase.driver(f"bolt://127.0.0.1:{self.port}", auth=("neo4j", _PASSWORD)) as driver,
            driver.session() as session,
        ):
            session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS").consume()

    def wipe(self) -> None:
        """Everything it has stored is gone, but who may enter; it must be down."""
        assert self._process is None
        for kind in ("databases", "transactions"):
            shutil.rmtree(self.home / "data" / kind / "neo4j", ignore_errors=True)

    def _administer(self, *arguments: str) -> None:
        done = subprocess.run(
            [_tool("java"), "-XX:TieredStopAtLevel=1", "-cp", self._jars, "org.neo4j.cli.AdminTool", *arguments],
            env={**os.environ, "NEO4J_HOME": str(self.home), "NEO4J_CONF": str(self.home / "conf")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"Neo4j takes no password:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def _jars() -> str:
    """The class path; Maven fetches what is on it once for every user of this machine."""
    version = _POM.read_text().partition("<version>5.")[2].partition("<")[0]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sutazai"
    folder = cache / f"neo4j-5.{version}" / "lib"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "neo4j.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = folder.parent / "whole"
        if not whole.exists():
            _fetch(folder)
            whole.touch()
    return f"{folder}/*"


def _fetch(folder: Path) -> None:
    asked = ("dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime")
    done = subprocess.run(
        [_tool("mvn"), "-B", "-q", "-f", str(_POM), *asked], capture_output=True, text=True, timeout=450
    )
    if done.returncode:
        raise RuntimeError(f"Maven did not fetch Neo4j:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed: Debian has default-jre-headless and maven")
    return found
