"""The one database of a sweep's studies."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from dalr.errors import InputError
from dalr.sweeps.spec.database_url import without_password
from dalr.sweeps.spec.schema import SweepSpec

LOCAL_FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "f2fs", "bcachefs")

BUSY_SECONDS = 60.0
"""How long SQLite waits for another process, a person's request, to end its write."""
SERVER_SECONDS = 120.0
"""How long a sweep waits for its database server to come back."""


def database_url(spec: SweepSpec, out: Path) -> str:
    """Where the studies lie: the specification's `storage`, or `study.db` in the sweep's folder."""
    if spec.storage:
        return spec.storage
    url = sqlalchemy.URL.create("sqlite", database=str(Path(out).absolute() / "study.db"))
    return url.render_as_string(hide_password=False)


def open_storage(url: str) -> RDBStorage:
    """Optuna's storage at a database URL.

    Raises:
        InputError: there is no such database, or its driver is not installed.
    """
    file = url.startswith("sqlite")
    # A lost connection is noticed, and made again, before it is used: a server may restart in a sweep's week.
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}} if file else {"pool_pre_ping": True}
    try:
        storage = RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        raise InputError(f"storage: {url.split(':')[0]} needs a database driver: {error.__cause__ or error}") from error
    except Exception as error:  # SQLAlchemy's many: unreachable host, wrong password, not a database
        raise InputError(
            f"storage: cannot open {without_password(url)}: {' '.join(str(error).split())[:200]}"
        ) from error
    if not file:
        _wait_for_server(storage)
    path = storage.engine.url.database
    if storage.engine.dialect.name == "sqlite" and path and is_local(Path(path)):
        _write_ahead(storage)
    return storage


@contextmanager
def only_writer(storage: RDBStorage, study: str) -> Iterator[None]:
    """Holds a study in a PostgreSQL for this process while the block runs: drivers in other folders, or on machines
    that share no disk, may know it, too. The lock is its connection's, and ends with it.

    Raises:
        InputError: another process holds it.
    """
    if storage.engine.dialect.name != "postgresql":
        yield
        return
    key = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big", signed=True)
    connection = storage.engine.connect()
    try:
        # A driver that was lost with its machine is noticed within a minute, not after the system's two hours.
        for name, seconds in {"idle": 30, "interval": 10, "count": 3}.items():
            connection.execute(sqlalchemy.text(f"set tcp_keepalives_{name} = {seconds}"))
        if not connection.scalar(sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(key))):
            raise InputError(
                f"storage: another `dalr sweep` works on this search ({study} in {storage.engine.url.database}); one "
                "that was lost with its machine lets go of it within a minute"
            )
        connection.commit()
        yield
    finally:
        connection.invalidate()  # not into the pool: it holds the lock


def _wait_for_server(storage: RDBStorage) -> None:
    """Lets a connection that is made again wait for a server that restarts."""

    @sqlalchemy.event.listens_for(storage.engine, "do_connect")
    def _connect(dialect, record, words, options):  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + SERVER_SECONDS
        while True:
            try:
                return dialect.connect(*words, **options)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)


def _write_ahead(storage: RDBStorage) -> None:
    """Logs ahead: a commit is then one append instead of several waits for the disk, and a killed
    process still loses nothing. The log's shared memory does not work on network file systems."""
    storage.engine.dispose()

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def _set(connection, record) -> None:  # type: ignore[no-untyped-def]
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()


def close_storage(storage: RDBStorage) -> None:
    """Ends the connections, so that `study.db` alone holds everything and can be copied."""
    storage.remove_session()
    storage.engine.dispose()


def file_system(path: Path) -> str | None:
    """The kind of file system that a path lies on, as the kernel names it; None where nothing says."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return None
    kinds = {place: kind for _, place, kind, *_ in map(str.split, mounts.read_text(encoding="utf-8").splitlines())}
    parents = [str(parent) for parent in path.absolute().parents]
    return next((kinds[parent] for parent in parents if parent in kinds), None)


def is_local(path: Path) -> bool:
    """Whether a path is known to lie on a disk of this machine."""
    return file_system(path) in LOCAL_FILE_SYSTEMS


def storage_advice(spec: SweepSpec, out: Path, nodes: int) -> str | None:
    """A sentence for a sweep that keeps its study in SQLite on a network disk, or for a cluster of several nodes, where
    PostgreSQL is the better place; None where there is nothing to say."""
    url = sqlalchemy.make_url(database_url(spec, out))
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    remedy = "give storage=postgresql://USER@HOST/DATABASE (pip install dalr[postgres])"
    kind = file_system(Path(url.database))
    if kind is not None and kind not in LOCAL_FILE_SYSTEMS:
        return (
            f"{url.database} is SQLite on a disk of the network ({kind}): each event of the sweep waits for it, and "
            f"its locks may fail; {remedy}"
        )
    if nodes > 1:
        return f"{nodes} nodes and the study in SQLite: to watch or steer the sweep from other nodes, {remedy}"
    return None


def quiet_optuna() -> None:
    """Optuna logs every trial to stderr; a sweep has its own table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
