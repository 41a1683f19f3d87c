"""`python -m functions vectors import | export`: a collection out of a file, or into one."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.strict_json import Json
    from shared.vectors.transfer.remote import Remote


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    vectors = commands.add_parser("vectors", help="bring a collection of vectors in from a file, or out to one")
    which = vectors.add_subparsers(required=True)
    into = which.add_parser("import", help="upsert a file's rows: .ndjson, .jsonl, .parquet, or .npy with ids beside")
    _add_common(into)
    into.add_argument("--create", action="store_true", help="make the collection where there is none")
    into.add_argument("--metric", choices=("cosine", "dot", "l2"), help="of a collection that is made")
    into.add_argument("--model", help="of a collection that is made, whose texts it embeds")
    into.add_argument("--backend", action="append", help="of a collection that is made; may be repeated")
    into.add_argument("--strict", action="store_true", help="stop at the first bad row")
    into.add_argument("--max-bad", type=int, default=1000, help="stop after more bad rows than this")
    into.set_defaults(run=_import)
    out = which.add_parser("export", help="write all vectors of a collection, as they are at one moment, to a file")
    _add_common(out)
    out.add_argument("--force", action="store_true", help="in place of a file that is there")
    out.set_defaults(run=_export)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path)
    command.add_argument("--collection", required=True, help="its name, or an alias")
    command.add_argument("--url", help="where the platform is; else where it runs on this machine")
    command.add_argument("--token-file", type=Path, help="holds an API key or a token; else SUTAZAI_API_KEY(_FILE)")
    command.add_argument("--patience", type=float, default=120.0, help="seconds to wait for a platform that is away")


def _import(asked: argparse.Namespace) -> int:
    return _with_remote(asked, _imported)


def _imported(asked: argparse.Namespace, remote: "Remote") -> int:
    from shared.vectors.transfer.importing import Importer, Wanted
    from shared.vectors.transfer.progress import Progress

    given = {"metric": asked.metric, "model": asked.model, "backends": asked.backend}
    create: dict[str, Json] = {key: value for key, value in given.items() if value}
    wanted = Wanted(
        file=asked.file,
        collection=asked.collection,
        create=create if asked.create else None,
        most_bad=0 if asked.strict else asked.max_bad,
    )
    told = partial(Progress, sys.stderr, f"into {asked.collection}:")
    found = Importer(remote, wanted, progress=lambda total: told(total=total)).run()
    whole = "" if found.is_whole else "; stopped, as too many are bad: the next run goes on here"
    sys.stdout.write(f"{found.rows} rows, {found.changed} changed, {found.bad} bad{whole}\n")
    return os.EX_DATAERR if found.bad else 0


def _export(asked: argparse.Namespace) -> int:
    from shared.errors import ConfigurationError

    if asked.file.exists() and not asked.force:
        raise ConfigurationError(f"{asked.file} is there already: --force replaces it")
    return _with_remote(asked, _exported)


def _exported(asked: argparse.Namespace, remote: "Remote") -> int:
    from shared.stores.vector_files.formats import check_name
    from shared.vectors.transfer.exporting import export
    from shared.vectors.transfer.progress import Progress

    # Before all of it has been gathered.
    check_name(asked.file)
    count = export(remote, asked.collection, asked.file, progress=Progress(sys.stderr, "gathered", total=None))
    sys.stdout.write(f"{count} vectors in {asked.file}\n")
    return 0


def _with_remote(asked: argparse.Namespace, run: "Callable[[argparse.Namespace, Remote], int]") -> int:
    try:
        return _run_with_remote(asked, run)
    except ImportError as exc:
        sys.stderr.write(f"sutazai: {exc.name} is not installed here, and {asked.file.name} cannot go without it\n")
        return os.EX_CONFIG


def _run_with_remote(asked: argparse.Namespace, run: "Callable[[argparse.Namespace, Remote], int]") -> int:
    import time

    from shared.config import Settings
    from shared.errors import Unavailable
    from shared.mcp.client_config import running_api
    from shared.stores.vector_files.rows import Unreadable
    from shared.vectors.transfer.remote import Refused, Remote

    url = asked.url or running_api(Settings.read().home)
    remote = Remote(url, lambda: _key(asked.token_file), patience_s=asked.patience, sleep=time.sleep)
    try:
        return run(asked, remote)
    except Refused as exc:
        sys.stderr.write(f"sutazai: {exc.code or exc.status}: {exc.message}\n")
        return os.EX_NOPERM if exc.status in (401, 403) else 1
    except Unavailable as exc:
        sys.stderr.write(f"sutazai: {exc.message}; what was done is kept, and the next run goes on there\n")
        return os.EX_TEMPFAIL
    except (Unreadable, OSError) as exc:
        sys.stderr.write(f"sutazai: {exc}\n")
        return os.EX_DATAERR if isinstance(exc, Unreadable) else os.EX_IOERR
    except KeyboardInterrupt:
        sys.stderr.write("\nsutazai: stopped; the next run goes on here\n")
        return 130
    finally:
        remote.close()


def _key(file: Path | None) -> str:
    from shared.config import secret
    from shared.errors import ConfigurationError

    if file is None:
        return (secret(os.environ, "SUTAZAI_API_KEY") or "").strip()
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc}") from None
