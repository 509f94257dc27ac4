"""Which masks are taken: the section `perturb` of params.yaml, as the library takes it."""

from dataclasses import dataclass
from typing import Literal

from pisces.inputs.settings import OtherViews


@dataclass(frozen=True)
class MaskSettings:
    """Masks by brightness and by region; see `pis.masks`."""

    views: tuple[str, ...] | None  # None: all that are rendered
    rules: tuple[str, ...]  # exact, percentile
    masks: tuple[str, ...]  # top, bottom, random
    levels_percent: tuple[float, ...]
    curve_percent: tuple[float, ...]  # further levels of the rule exact
    regions: tuple[str, ...]  # ring, sector, cluster, window
    rings: int
    sectors: int
    core_percent: float  # share of the points that the cluster cores hold
    window: float  # side, over that of the image
    stride: float  # from one window to the next, over the side of the image
    frames_per_cell: int | None  # test frames of each (modulation, SNR); None: all


@dataclass(frozen=True)
class RemovalSettings:
    """How masked symbols are taken away: the section `pis` of params.yaml; see `pis.removal`."""

    fill: Literal["zero", "resample"]
    removal: Literal["blackout", "redraw", "both"]
    other_views: OtherViews
    redraw_frames_per_cell: int | None  # of the frames that are perturbed; None: all
