"""What a model says of recordings: calibrated, with intervals, and whether it knows the signal."""
