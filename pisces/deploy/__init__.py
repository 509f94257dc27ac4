"""A model where radios are: one graph from raw frames to predictions, for any runtime."""
