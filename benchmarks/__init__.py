"""One script a claim about speed or memory: `python -m benchmarks.<name>`. Each prints ratios against a reference of the same run."""

import stages  # noqa: F401  (its threads wait as those of the stages do)
