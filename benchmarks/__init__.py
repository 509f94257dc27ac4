"""What the docs claim, measured: one script a claim, `python -m benchmarks.<name>`.

Those about speed print ratios within one run.
`experiments`, `frames` and `timing` are what the scripts share.
"""

import stages  # noqa: F401  (its threads wait as those of the stages do)
