"""Frames to be explored: what masks and attributions take of them, and what a model says then."""
