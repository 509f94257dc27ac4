"""How a stage or a command ends for a person: well, or with one line without a traceback."""

import os
import sys
import time
from collections.abc import Callable

SECONDS_FOR_THE_FIRST = 5
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Where torchrun and SLURM say which of several processes this is; 0 is the first."""


def run(main: Callable[[], None]) -> None:
    """Runs a stage; a mistake of the user's ends it with one line and exit status 1.

    `ValueError` and `OSError` carry messages written for users. Set PISCES_DEBUG=1 to see where one was raised. Of several processes
    the first speaks at once. The others give their launcher time to end them, and one that it lets live speaks too: its mistake may
    be its own, such as a file that is missing on its node.
    """
    try:
        main()
    except (ValueError, OSError) as error:
        if os.environ.get("PISCES_DEBUG"):
            raise
        rank = next((os.environ[name] for name in RANKS if os.environ.get(name, "0") != "0"), None)
        if rank:
            time.sleep(SECONDS_FOR_THE_FIRST)
        print(f"error in process {rank}: {error}" if rank else f"error: {error}", file=sys.stderr)
        sys.exit(1)
