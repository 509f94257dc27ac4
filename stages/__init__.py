"""The nodes of the DAG, each run as `python -m stages.<name>` from the root of the repository."""

import os
import sys

from pisces.run import signals

# Threads that wait for work by spinning slow a shared machine many times over; sleeping costs a few
# percent when it is idle.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Pictures are written and never shown. A notebook exports a backend that only its own environment
# has, and with it not even matplotlib could be imported.
os.environ["MPLBACKEND"] = "agg"

# `python -m` names itself so until it has found the stage. What follows it imports for seconds,
# in which a signal would show all of its calls, and dvc may be killed without being missed.
if sys.argv[0] == "-m":
    signals.catch()
    import tempfile

    from pisces.run import console, dvc_process

    dvc_process.end_with_dvc()
    # torch asks for it while it is imported.
    console.run(tempfile.gettempdir)
