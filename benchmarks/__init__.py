"""One script a claim about speed or memory: `python -m benchmarks.<name>`. Each prints ratios against a reference of the same run."""
