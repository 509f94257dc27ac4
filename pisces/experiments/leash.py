"""Runs a command that ends when the process that started it does, however that ends.

    python leash.py PARENT COMMAND...

It is no part of the package when it runs: it becomes the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
