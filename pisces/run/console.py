"""How a stage or a command ends for a person: well, or with one line without a traceback."""

import contextlib
import errno
import os
import select
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from pisces.core.texts import printable
from pisces.core.write_errors import RAISE_LIMIT, has_size_limit, size_limit
from pisces.run import hiding, signals

SECONDS_FOR_THE_FIRST = 5
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Where torchrun and SLURM say which of several processes this is; 0 is the first."""

CLOSED_PIPE = 141
"""Exit status of a program whose reader, such as `head`, has gone: 128 + SIGPIPE."""


def run(main: Callable[[], object]) -> None:
    """Runs a stage; a mistake of the user's ends it with one line and exit status 1.

    `ValueError` and `OSError` carry messages written for users. Set PISCES_DEBUG=1 to see where one
    was raised. Of several processes the first speaks at once. The others give their launcher time
    to end them. One that it lets live speaks too: its mistake may be its own, such as a file that
    is missing on its node. A signal that asks it to end is one line, too; see `signals`.
    """
    try:
        with signals.raised():
            main()
        sys.stdout.flush()
    except signals.Stopped as stop:
        _end(stop)
    except BrokenPipeError as error:
        if not _reader_is_gone():
            _fail(error)
        sys.exit(CLOSED_PIPE)
    except (OSError, ValueError) as error:
        signal = signals.behind(error)
        if signal:
            _end(signal)
        _fail(_with_remedy(error) if isinstance(error, OSError) else error)


def _with_remedy(error: OSError) -> OSError:
    """The error in words, where it is the system's own and there is something to be done."""
    # Of a renaming, the name that it was for.
    path = error.filename2 or error.filename
    if path is None:
        return _of_temporary_files(error)
    if isinstance(error, PermissionError):
        return PermissionError(
            f"there is no permission to read or write {path}: ask its owner, or give it to "
            "yourself with chmod u+rwX"
        )
    if error.errno == errno.EROFS:
        return OSError(
            f"{path} cannot be written, since its disk can only be read: mount it for writing, "
            "or work in a copy elsewhere"
        )
    return error


def _of_temporary_files(error: OSError) -> OSError:
    """The error in words, where it is Python's for having found no folder for temporary files."""
    if error.errno != errno.ENOENT or "temporary directory" not in str(error):
        return error
    if has_size_limit():
        return OSError(
            f"ulimit -f allows files of at most {size_limit()}, so not even a temporary file can "
            f"be written: {RAISE_LIMIT}, and run again"
        )
    tried = str(error).partition("found in ")[2]
    return OSError(
        f"no folder for temporary files can be written ({tried}): make room in one of them, or "
        "set TMPDIR to a folder that can be written"
    )


def is_first_process() -> bool:
    """Whether this is the first of several processes, or the only one."""
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


def _end(stop: signals.Stopped) -> NoReturn:
    """Of several processes the first speaks. A closed terminal reads nothing any more."""
    if is_first_process():
        with contextlib.suppress(OSError):
            print(hiding.hide(str(stop)), file=sys.stderr, flush=True)
    signals.ignore()
    sys.exit(stop.status)


def _fail(error: Exception) -> None:
    if os.environ.get("PISCES_DEBUG"):
        raise error
    ranks = [os.environ[name] for name in RANKS if os.environ.get(name, "0") != "0"]
    if ranks:
        time.sleep(SECONDS_FOR_THE_FIRST)
    process = f" in process {ranks[0]}" if ranks else ""
    lines = map(printable, hiding.hide(str(error)).split("\n"))
    print(f"error{process}: " + "\n".join(lines), file=sys.stderr)
    sys.exit(1)


def _reader_is_gone() -> bool:
    """Whether nobody reads what is printed any more; then it is thrown away from here on."""
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in pipe.poll(0)):
        return False

    # Else the interpreter complains when it flushes at its end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return True
