"""Many runs of the pipeline: sweeps that survive, seeds, and comparisons with intervals."""
