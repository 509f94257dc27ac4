"""How far a long loop has come, for whoever waits for it."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Passes `items` on, with a bar on a terminal and elsewhere a line every ten seconds.

    Args:
        items: what the loop is over.
        what: the loop does, for the reader of the bar.
        total: number of items; None: their length, where they have one.

    Returns:
        The same items.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, leave=False)
        return

    if total is None and isinstance(items, Sized):
        total = len(items)
    of_total = f" of {total}" if total else ""
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{what}: {done}{of_total}", file=sys.stderr, flush=True)
        yield item


@contextmanager
def meter(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """As `progress`, for work whose steps are of unequal length.

    Args:
        what: is done, for the reader of the bar.
        total: all that there is to do, in any unit.

    Yields:
        A function that is told how much of `total` is done.
    """
    if sys.stderr.isatty():
        with tqdm(desc=what, total=total, leave=False, unit_scale=True) as bar:

            def advance(done: int) -> None:
                bar.update(done - bar.n)

            yield advance
        return

    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{what}: {100 * done / total:.0f} %", file=sys.stderr, flush=True)

    yield tell
