"""A private Neo4j for tests: the community server's jars from Maven Central, with its own folder, port and password."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rabbitmq import _free_ports

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


class Neo4j:
    """`with Neo4j() as server:` starts it, and ends it.

    Raises RuntimeError where Java or Maven are not installed, or with the server's log where it does not start.
    """

    def __init__(self) -> None:
        self._jars = _jars()
        self.home = Path(tempfile.mkdtemp(prefix="sutazai-neo4j-"))
        [self.port] = _free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        (self.home / "conf").mkdir()
        (self.home / "conf" / "neo4j.conf").write_text(_CONFIGURATION.format(port=self.port))
        self._administer("dbms", "set-initial-password", _PASSWORD)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"bolt://neo4j:{_PASSWORD}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it takes connections."""
        folders = (f"--home-dir={self.home}", f"--config-dir={self.home / 'conf'}")
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
        memory = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4")
        command = [_tool("java"), *memory, *opened, "-cp", self._jars, "org.neo4j.server.CommunityEntryPoint", *folders]
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"Neo4j did not start:\n{(self.home / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """In good order, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """By kill -9."""
        self._end(signal.SIGKILL)

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

    def _answers(self) -> bool:
        """The handshake of Bolt: the server picks one of four versions."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(5)
                connection.sendall(b"\x60\x60\xb0\x17\x00\x04\x04\x05\x00\x00\x02\x04\x00\x00\x00\x00\x00\x00\x00\x00")
                return len(connection.recv(4)) == 4
        except OSError:
            return False

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(60)
            self._process = None

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
