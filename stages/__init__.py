"""The nodes of the DAG, each run as `python -m stages.<name>` from the root of the repository."""

import os

# Threads that wait for work by spinning slow a shared machine many times over; sleeping costs a few
# percent when it is idle.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Pictures are written and never shown. A notebook exports a backend that only its own environment
# has, and with it not even matplotlib could be imported.
os.environ["MPLBACKEND"] = "agg"
