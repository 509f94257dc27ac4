"""What a model predicts of a frame, and how its predictions are scored."""

HEADS = ("modulation", "snr")
"""The two outputs of every model, in the order in which it gives them."""

TASKS = (*HEADS, "joint")
"""The three scores: either class by itself, and both at once (`joint`)."""
