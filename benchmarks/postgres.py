"""A PostgreSQL server of its own for a test or a benchmark, from the packages of the system."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD, DATABASE = "sweeper", "no-secret of a test", "sweeps"
PACKAGES = Path("/usr/lib/postgresql")
OWNER = "postgres"
"""Who runs a server that root starts, which it refuses to be."""


def programs() -> Path | None:
    """The folder with initdb and pg_ctl of the newest version, or None where there is none."""
    packaged = [path.parent for path in PACKAGES.glob("*/bin/initdb")]
    if packaged:
        return max(packaged, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Server:
    """A server on the loopback interface, with a database and a user with a password.

    Args:
        folder: where its files go; the server's user must be able to enter it.
    """

    def __init__(self, folder: Path):
        found = programs()
        if found is None:
            raise FileNotFoundError("PostgreSQL is not installed; see apt-get install postgresql")
        self._programs = found
        self._folder = folder
        self._data = folder / "data"
        self.port = _free_port()

    @property
    def url(self) -> str:
        """Its address without the password, which PGPASSWORD has to hold."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def make(self) -> None:
        """Makes its files."""
        if os.geteuid() == 0:
            shutil.chown(self._folder, OWNER, OWNER)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ("-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync")
        self._run("initdb", "-D", str(self._data), *options)

    def start(self) -> None:
        """Starts it; returns when it answers."""
        settings = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -c fsync=off"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-o", settings, "-w", "start")

    def stop(self) -> None:
        """Stops it, whoever is connected."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")

    def make_database(self) -> None:
        """Makes its database."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        self._run("createdb", *where, DATABASE, password=PASSWORD)

    def _run(self, program: str, *arguments: str, password: str | None = None) -> None:
        command = [str(self._programs / program), *arguments]
        environment = dict(os.environ)
        if password:
            environment["PGPASSWORD"] = password
        identity = pwd.getpwnam(OWNER).pw_uid if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=environment,
            user=identity,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise OSError(f"{program} failed: {done.stderr or 'see its log'}")


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs, and is gone afterwards with all that it held."""
    with tempfile.TemporaryDirectory(prefix="pisces-postgres-") as folder:
        made = Server(Path(folder))
        made.make()
        made.start()
        try:
            made.make_database()
            yield made
        finally:
            made.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
