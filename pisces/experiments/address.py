"""Where studies are kept: the address of a database, checked, and shown without its password."""

import math
import os
import sys
import urllib.parse
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL

from pisces.core.texts import in_one_line
from pisces.run.hiding import HARMLESS, HIDDEN, hide

VARIABLE = "PISCES_STORAGE"
DATABASE = Path("sweeps.db")
DEFAULT = f"sqlite:///{DATABASE}"
"""A file in the root of the repository."""

POSTGRESQL = "postgresql"
DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    POSTGRESQL: "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""Scheme of an address -> the driver that is installed for it."""

LONGEST_REASON = 300

ALLOWED = "allowed are sqlite:///FILE and postgresql://USER@HOST:PORT/DATABASE"
TIMEOUT = "timeout"
"""The only option of a file: seconds to wait for others who write it."""

_MAKE_ROOM = "make room on the disk"
_MAY_WRITE = "give yourself the right to write it, or name another file"
REMEDIES_OF_FILE = {
    "is full": _MAKE_ROOM,
    "No space left": _MAKE_ROOM,
    "disk I/O error": "see whether its disk is full, or gone",
    "malformed": "put a copy of it back, or name another file",
    "not a database": "name another file",
    "locked": "end the program that writes it, or wait for it",
    "readonly": _MAY_WRITE,
    "Read-only": _MAY_WRITE,
    "ermission denied": _MAY_WRITE,
    "No such file": "make its folder, or name another file",
    "unable to open": "make its folder, or name a file that can be written",
}
REMEDIES_OF_SERVER = {
    "invalid ": "correct the address",
    "No space left": f"{_MAKE_ROOM} of the server",
    "password": f"give the right one in PGPASSWORD, in ~/.pgpass or in {VARIABLE}",
    "too many": "raise max_connections of the server, or start fewer workers",
    "connection slots": "raise max_connections of the server, or start fewer workers",
    "permission denied": "let its owner grant you the right, or name another database",
    "database system is": "wait until it has started, or start it",
    'role "': "make it with createuser, or correct the address",
    'database "': "make it with createdb, or correct the address",
}
"""What stands in a complaint of the database -> what to do; the first that fits."""
FALLBACK_OF_FILE = "see to the file, or name another one"
FALLBACK_OF_SERVER = "start it, or correct the address"


def read(given: str | None) -> URL:
    """The address of a storage.

    Args:
        given: what the command line names; None for PISCES_STORAGE, or else the file sweeps.db.

    Returns:
        The address, with the driver that is installed.

    Raises:
        ValueError: for one that cannot be read, or of a kind that is not known.
    """
    source = "--storage" if given is not None else VARIABLE
    text = given if given is not None else os.environ.get(VARIABLE) or DEFAULT
    try:
        url = sqlalchemy.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # The text may hold a password.
        raise ValueError(f"{source} is not the address of a storage; {ALLOWED}") from None
    if url.drivername not in DRIVERS:
        raise ValueError(f"{source} names a storage of the kind {url.drivername}; {ALLOWED}")

    url = url.set(drivername=DRIVERS[url.drivername])
    if "@" in (url.host or ""):
        # What lies before the last @ is a part of the password.
        raise ValueError(
            f"{source} has more than one @ before its host; write an @ in a password as %40, or "
            "give the password in PGPASSWORD or ~/.pgpass"
        )
    if is_file(url):
        if url.host or url.database in (None, "", ":memory:"):
            raise ValueError(f"{source} names no file, so that the study would be lost; {ALLOWED}")
        _require_known_options(url, source)
    return url


def _require_known_options(url: URL, source: str) -> None:
    """Refuses what SQLite would take for a part of the name, or stumble over."""
    for name, value in url.query.items():
        if name != TIMEOUT:
            raise ValueError(
                f"{source} has the option {name}, but a file of SQLite may have {TIMEOUT} alone; "
                "leave it out"
            )
        if not _is_seconds(value):
            raise ValueError(
                f"{source} has {TIMEOUT}={value}, but allowed is one number of seconds, 0 or more"
            )


def _is_seconds(value: str | tuple[str, ...]) -> bool:
    try:
        seconds = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return False
    return math.isfinite(seconds) and seconds >= 0


def require_file(url: URL) -> None:
    """Refuses what can be no file of SQLite, before anything is made there.

    Raises:
        ValueError: for a folder, a device, or a file in a folder that is not there.
    """
    path = Path(str(url.database))
    if not path.parent.is_dir():
        raise ValueError(
            f"the storage {shown(url)} cannot be used: there is no folder {path.parent}; make it, "
            "or name another file"
        )
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device"
        raise ValueError(
            f"the storage {shown(url)} cannot be used: {path} is {kind}, not a file; name a file"
        )


def is_file(url: URL) -> bool:
    """Whether it is a file of SQLite, and not a server."""
    return url.get_backend_name() == "sqlite"


def shown(url: URL) -> str:
    """The address as it may be printed: without a password, and without the name of the driver."""
    query = {key: value if key in HARMLESS else HIDDEN for key, value in url.query.items()}
    plain = url.set(drivername=url.get_backend_name(), query=query)
    return hide(plain.render_as_string(hide_password=True).replace("%2A", "*"))


def has_password(url: URL) -> bool:
    """Whether the address itself holds one."""
    return bool(url.password or any(_hidden_values(url)))


def secrets(url: URL) -> list[str]:
    """What must not be printed, in each of its spellings."""
    found = [url.password, *_hidden_values(url), os.environ.get("PGPASSWORD")]
    plain = [text for text in found if isinstance(text, str) and text]
    quoted = [urllib.parse.quote(text, safe="") for text in plain]
    return sorted({*plain, *quoted}, key=len, reverse=True)


def _hidden_values(url: URL) -> list[str]:
    """Of the options that nobody may see; an option that stands twice has two."""
    options = [(key, value) for key, value in url.query.items() if key not in HARMLESS]
    return [one for _, value in options for one in ((value,) if isinstance(value, str) else value)]


def reason(error: BaseException, url: URL) -> str:
    """What a database complains of, in one line and without a password, and what to do.

    Args:
        error: of the database, of SQLAlchemy or of Optuna.
        url: of the database.

    Returns:
        Half a sentence.
    """
    original = error
    while original.__cause__ is not None:
        original = original.__cause__
    text = in_one_line(getattr(original, "orig", None) or original, LONGEST_REASON)
    for secret in secrets(url):
        text = text.replace(secret, HIDDEN)
    text = hide(text)
    remedies, fallback = REMEDIES_OF_SERVER, FALLBACK_OF_SERVER
    if is_file(url):
        remedies, fallback = REMEDIES_OF_FILE, FALLBACK_OF_FILE
    remedy = next((do for part, do in remedies.items() if part in text), fallback)
    return f"{text}; {remedy}"


def hide_password(given: str | None) -> None:
    """Starts this program anew where its command line shows a password to every user's `ps`.

    The address then stands in the environment, which others cannot read.
    """
    if given is None or not has_password(read(given)):
        return
    print(
        f"warning: --storage holds a password, which the list of processes shows; {VARIABLE}, "
        "PGPASSWORD and ~/.pgpass keep it out",
        file=sys.stderr,
        flush=True,
    )
    arguments = without_option(sys.orig_argv, given)
    os.execve(sys.executable, arguments, os.environ | {VARIABLE: given})


def without_option(arguments: list[str], value: str) -> list[str]:
    """A command line without an option and its value: `--storage VALUE` or `--storage=VALUE`."""
    kept: list[str] = []
    for argument in arguments:
        if argument == value:
            kept.pop()
        elif not argument.endswith(f"={value}"):
            kept.append(argument)
    return kept
