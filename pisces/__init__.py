"""Perturbation Impact Scores for ConstEllationS: the library behind the stages."""

from pisces.core.version import VERSION as __version__

__all__ = ["__version__"]
