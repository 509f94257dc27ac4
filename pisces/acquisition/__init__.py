"""From a recording to frames as a model takes them, knowing nothing but the samples.

Where a signal is, how fast its symbols come, and where its carrier lies. `acquire.acquire` puts the
steps in a row; each is a pure function on arrays.
"""
