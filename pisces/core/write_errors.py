"""Why an output could not be written, in words for a user: no room, too large, or read-only."""

import errno
import os
import resource
from pathlib import Path
from typing import NamedTuple

from pisces.core.texts import readable_size

NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than allowed here",
}
"""Error of the system -> why a file could not be written."""

READ_ONLY = {
    errno.EACCES: "there is no permission to write; ask its owner, or give it with chmod u+rwX",
    errno.EPERM: "there is no permission to write; ask its owner, or see lsattr -d",
    errno.EROFS: "the disk can only be read; mount it for writing, or work in a copy elsewhere",
}
"""Error of the system -> why a folder cannot be written, and what helps."""

RAISE_LIMIT = "raise that limit with ulimit -f unlimited"


class Failure(NamedTuple):
    """What was being written when an error came."""

    target: Path
    place: Path
    """The folder in which it waits for its name."""
    needed: int
    """Bytes: all of it where that is known, else what was written of it."""
    is_known: bool
    free: int
    """Bytes on that disk when it was begun."""

    def in_words(self, error: Exception) -> OSError | None:
        """An error that names the target, the reason and the remedy.

        Args:
            error: of the system, or of a library that writes.

        Returns:
            The error to raise instead; None for one that says something else.
        """
        advice = read_only(error, self.place)
        if advice:
            kind = PermissionError if isinstance(error, PermissionError) else OSError
            return kind(f"could not write {self.target}: {advice}")

        reason = _why_no_room(error)
        if reason is None:
            return None
        is_limit = reason == NO_ROOM[errno.EFBIG]
        remedy = RAISE_LIMIT if is_limit else "make room"
        room = f"ulimit -f: {size_limit()}" if is_limit else f"free: {readable_size(self.free)}"
        needs = f"{'' if self.is_known else 'more than '}{readable_size(self.needed)}"
        return OSError(
            f"could not write {self.target}: {reason}; {remedy} and run again, "
            f"nothing half-written was left (needed: {needs}, {room})"
        )


def read_only(error: Exception, place: Path) -> str:
    """Why nothing can be written into a folder, and what helps.

    Args:
        error: that came from trying.
        place: the folder, which need not be there yet.

    Returns:
        A clause; empty for an error of another kind, or about another path.
    """
    if not isinstance(error, OSError) or error.errno not in READ_ONLY or not error.filename:
        return ""
    failed, place = Path(error.filename).absolute(), place.absolute()
    is_there = failed in (place, *place.parents) or failed.is_relative_to(place)
    if not is_there:
        return ""
    existing = next(folder for folder in (failed, *failed.parents) if folder.is_dir())
    return f"in {existing} {READ_ONLY[error.errno]}"


def has_size_limit() -> bool:
    """Whether this process may write files of some size only."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return limit != resource.RLIM_INFINITY


def size_limit() -> str:
    """That size, in words."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return readable_size(limit)


def _why_no_room(error: Exception) -> str | None:
    """One of `NO_ROOM`; None for an error that says something else."""
    text = str(error)
    for code, reason in NO_ROOM.items():
        # HDF5 reports a failed write without an errno, only in its text.
        is_named = os.strerror(code) in text or f"errno = {code}," in text
        if is_named or getattr(error, "errno", None) == code:
            return reason

    # torch has written less than it wanted to, and does not say why.
    if "inline_container" in text:
        return NO_ROOM[errno.EFBIG if has_size_limit() else errno.ENOSPC]
    return None
