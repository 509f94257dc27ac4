"""How much is prepared to be explored: the section `explore` of params.yaml."""

from dataclasses import dataclass

MOST_FRAMES = 200
"""That a page may hold."""


@dataclass(frozen=True)
class ExploreSettings:
    """Of the frames on the page, see `pisces.explorer.prepared`."""

    frames: int  # at most so many, spread over modulations and SNRs
    methods: tuple[str, ...]  # of attribution, set up as `attribute` says
    levels_percent: tuple[float, ...]  # of the lit pixels that a method puts first
