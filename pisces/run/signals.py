"""Signals that ask a process to end: it clears up, and says so in one line."""

import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
PATIENCE_SECONDS = 5.0
"""For so long after the first signal others are ignored: launchers send several."""
SECONDS_BETWEEN_LOOKS = 0.2


class Stopped(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.status = 128 + number
        """Exit status, as shells have it."""


class _Requests:
    """What has been asked of this process."""

    can_raise = False
    """Whether somebody catches `Stopped`; before, there is nothing to clear up."""
    reason: str | None = None
    """Why this process ends itself, None when others end it."""
    first = -PATIENCE_SECONDS
    """When the first signal came, by `time.monotonic`."""
    are_deferred = False
    """Whether a signal has to wait, see `deferred`."""
    deferred: int | None = None
    """The signal that waits."""


def catch() -> None:
    """From now on a signal ends this process in one line; those that are ignored stay so."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in NAMES:
        # As nohup and background jobs of a shell have it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


@contextmanager
def raised() -> Iterator[None]:
    """Within it a signal raises `Stopped` in the main thread."""
    before = {number: signal.getsignal(number) for number in NAMES}
    catch()
    sys.unraisablehook = _on_unraisable
    _Requests.can_raise = True
    try:
        yield
    finally:
        _Requests.can_raise = False
        # A launcher's second signal must not end it before it has said why it ends.
        if threading.current_thread() is threading.main_thread() and not _was_asked_just_now():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Within it a signal raises nothing; one that comes is raised at its end.

    For what must not be half begun, such as a process that nobody would end.
    """
    if _Requests.are_deferred:
        yield  # the outer one raises it
        return

    _Requests.are_deferred = True
    try:
        yield
    finally:
        _Requests.are_deferred = False
        number, _Requests.deferred = _Requests.deferred, None
        if number is not None:
            _end(number)


def behind(error: BaseException) -> Stopped | None:
    """The signal in whose place an error was raised, as a library does while it clears up."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, Stopped):
        found = found.__context__
    return found


def stop(reason: str) -> None:
    """Ends this process from another thread, as SIGTERM would, but for this reason."""
    _Requests.reason = reason
    os.kill(os.getpid(), signal.SIGTERM)


def ignore() -> None:
    """From now on no signal cuts the end of this process short: Python lets go of its own first."""
    if threading.current_thread() is threading.main_thread():
        for number in NAMES:
            signal.signal(number, signal.SIG_IGN)


def _on_unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Says nothing of a signal that came where nothing can be raised, as in a `__del__`."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)


def _watched(stopped: Stopped) -> Stopped:
    """The same, of which another thread looks that it is not lost on its way."""
    arguments = (weakref.ref(stopped), stopped.number)
    threading.Thread(target=_ask_again_if_lost, args=arguments, daemon=True).start()
    return stopped


def _ask_again_if_lost(stopped: "weakref.ref[Stopped]", number: int) -> None:
    """Sends a signal again whose exception is gone, while nobody has caught it who should.

    A library that excepts whatever its imports raise, or a `__del__`, lets it vanish.
    """
    while _Requests.can_raise:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        if _Requests.can_raise and stopped() is None:
            _Requests.first = -PATIENCE_SECONDS
            os.kill(os.getpid(), number)
            return


def _was_asked_just_now() -> bool:
    return time.monotonic() - _Requests.first < PATIENCE_SECONDS


def _on_signal(number: int, _: FrameType | None) -> None:
    if _was_asked_just_now():
        return
    _Requests.first = time.monotonic()
    if _Requests.are_deferred:
        _Requests.deferred = number
    else:
        _end(number)


def _end(number: int) -> None:
    """Ends this process, by an exception where somebody catches it."""
    by_signal = (
        f"stopped by {NAMES[signal.Signals(number)]}; nothing half-written was left, "
        "and the same command resumes"
    )
    reason = _Requests.reason or by_signal
    if _Requests.can_raise:
        # No variable holds it: its traceback holds this frame, and both would live for ever.
        raise _watched(Stopped(number, reason))

    # A closed terminal reads nothing any more.
    with contextlib.suppress(OSError):
        print(reason, file=sys.stderr, flush=True)
    os._exit(Stopped(number, reason).status)
