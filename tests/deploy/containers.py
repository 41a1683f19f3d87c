"""Images and containers without a daemon: buildah builds them, runc runs them. Both want root."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

# What Debian's Python has of its own: enough for a Dockerfile that brings the rest itself.
_PACKAGES = "python3,python3-venv,ca-certificates"
_MIRROR = "http://deb.debian.org/debian"
_ULIMITS = ("--ulimit", "nofile=10000:10000", "--ulimit", "nproc=10000:10000")
_BUILD_S, _STOP_S = 900, 60
# Of all files that a build makes: layers that hold the same then are the same.
_MADE_AT = "1750000000"
# The machine's authorities: whoever stands between it and its mirrors may be among them.
_AUTHORITIES = Path("/etc/ssl/certs")


@dataclass
class Builder:
    """buildah with a storage of its own."""

    folder: Path

    @cached_property
    def _storage(self) -> tuple[str, ...]:
        """Overlays where the file system takes them, else whole copies."""
        places = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        overlay = ("buildah", *places, "--storage-driver", "overlay", "info")
        driver = "vfs" if subprocess.run(overlay, capture_output=True).returncode else "overlay"
        return (*places, "--storage-driver", driver)

    def run(self, *arguments: str) -> str:
        """Raises CalledProcessError, with what it said."""
        command = ["buildah", *self._storage, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_S)
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
        done.check_returncode()
        return done.stdout.strip()

    def base(self, name: str) -> None:
        """An image of Debian with its Python, from the machine's mirror."""
        root = self.folder / "rootfs"
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root), _MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=_BUILD_S)
        for leftovers in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(root / leftovers, ignore_errors=True)
        container = self.run("from", "scratch")
        self.run("add", "--quiet", container, str(root), "/")
        self.run("commit", "--quiet", "--rm", "--format", "docker", container, name)
        shutil.rmtree(root)

    def build(self, context: Path, tag: str, pip_configuration: Path, arguments: Mapping[str, str]) -> None:
        given = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        self.run(
            *("bud", "--runtime", "runc", "--isolation", "chroot", *_ULIMITS, "--format", "docker", "--layers"),
            *("--timestamp", _MADE_AT),
            *("--secret", f"id=pip,src={pip_configuration}", "--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"),
            *(*given, "--tag", tag, str(context)),
        )

    def size_bytes(self, tag: str) -> int:
        """Of its files."""
        with self.root(tag) as root:
            return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())

    def configuration(self, tag: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", tag))["Docker"]["config"]
        return found

    def layers(self, tag: str) -> list[str]:
        found: list[str] = json.loads(self.run("inspect", "--type", "image", tag))["OCIv1"]["rootfs"]["diff_ids"]
        return found

    @contextmanager
    def root(self, tag: str) -> Iterator[Path]:
        """Its files."""
        container = self.run("from", "--pull-never", tag)
        try:
            yield Path(self.run("mount", container))
        finally:
            self.run("rm", container)


class Container:
    """One image, run as it says, its root read-only, a temporary folder, this machine's network, no capabilities."""

    def __init__(
        self,
        folder: Path,
        name: str,
        root: Path,
        configuration: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        mounted: Mapping[str, Path],
    ) -> None:
        self._name = name
        self._runc = ("runc", "--root", str(folder / "runc"))
        self._bundle = folder / f"bundle-{name}"
        self._bundle.mkdir()
        subprocess.run(["runc", "spec"], cwd=self._bundle, check=True)
        path = self._bundle / "config.json"
        spec = json.loads(path.read_text())
        uid, _, gid = configuration["User"].partition(":")
        merged = {**dict(pair.split("=", 1) for pair in configuration["Env"]), **environ}
        spec["root"] = {"path": str(root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(uid), "gid": int(gid)},
            "args": [*configuration["Entrypoint"], *(arguments or configuration["Cmd"])],
            "env": [f"{key}={value}" for key, value in merged.items()],
            "cwd": configuration["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {kind: [] for kind in spec["process"]["capabilities"]},
        }
        linux = spec["linux"]
        linux.pop("resources", None)
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] not in ("network", "cgroup")]
        spec["mounts"] = [one for one in spec["mounts"] if not one["destination"].startswith("/sys")]
        temporary = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}
        spec["mounts"].append({**temporary, "options": ["nosuid", "nodev", "mode=1777", "size=64m"]})
        for destination, source in mounted.items():
            options = {"type": "bind", "source": str(source), "options": ["bind", "ro"]}
            spec["mounts"].append({"destination": destination, **options})
        path.write_text(json.dumps(spec))

    def __enter__(self) -> "Container":
        self.output = (self._bundle / "output").open("w+")
        command = [*self._runc, "run", "--bundle", str(self._bundle), self._name]
        self._process = subprocess.Popen(command, stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            subprocess.run([*self._runc, "kill", self._name, "KILL"], capture_output=True, timeout=_STOP_S)
            self._process.wait(_STOP_S)
        self.output.close()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its first process, seen from here."""
        state = subprocess.run([*self._runc, "state", self._name], capture_output=True, text=True, timeout=_STOP_S)
        return int(json.loads(state.stdout)["pid"])

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As the container's own user, with its environment."""
        return subprocess.run([*self._runc, "exec", self._name, *command], capture_output=True, text=True, timeout=60)

    def stop(self) -> int:
        """SIGTERM; the status that it ends with."""
        subprocess.run([*self._runc, "kill", self._name, "TERM"], check=True, timeout=_STOP_S)
        return self._process.wait(_STOP_S)

    def said(self) -> str:
        return (self._bundle / "output").read_text()
