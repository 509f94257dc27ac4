"""Perturbation Impact Scores for ConstEllationS: the library behind the stages."""

__version__ = "0.1.0"
