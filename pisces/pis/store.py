"""The plan of perturbations: which frames, which masks, and all that makes their pixel lists again.

Lists of pixels are made where they are used. They follow from the seed, the frame and the rules of
`pisces.pis.masks`, so `data/perturbations.h5` takes a few kilobytes and not gigabytes.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from pisces.core.files import write_bytes
from pisces.core.progress import progress
from pisces.core.reading import check_index, check_rising, damaged, require
from pisces.core.settings import from_json, to_json
from pisces.core.texts import counted
from pisces.inputs.binning import OUTSIDE, count_points
from pisces.inputs.drawing import BinStore
from pisces.inputs.settings import RenderSettings
from pisces.pis.masks import Mask, MasksOfView, Taken, build
from pisces.pis.settings import MaskSettings

CHUNK = 512  # frames


@dataclass(frozen=True)
class PerturbationPlan:
    """Which frames are perturbed by which masks, and from what the pixel lists follow."""

    frame: np.ndarray
    """Index (n, 3): modulation, SNR, row in the shard."""
    masks: tuple[Mask, ...]
    settings: MaskSettings
    seed: int
    render: RenderSettings
    """Of the constellations that the masks were built for."""

    def __post_init__(self) -> None:
        for view in self.views:
            if view not in self.render.views:
                raise ValueError(
                    f"perturb.views names {view!r}, but the data have "
                    f"{', '.join(self.render.views)}; change perturb.views or render.views"
                )

    @property
    def views(self) -> tuple[str, ...]:
        """The views that are masked, each once."""
        return tuple(dict.fromkeys(mask.view for mask in self.masks))

    def chunks(self, frames: int) -> Iterator[tuple[int, int]]:
        """Consecutive (start, stop) of at most so many frames, which cover all of them."""
        for start in range(0, len(self.frame), frames):
            yield start, min(start + frames, len(self.frame))

    def taken(
        self, data: BinStore, start: int, stop: int, masks: Sequence[Mask]
    ) -> Iterator[Taken]:
        """What masks of one view and all their controls take, frame by frame.

        Args:
            data: the constellations that the plan was made for.
            start: number of the first frame.
            stop: number after the last.
            masks: masks of one view; they need not be of the plan.

        Yields:
            Of each frame the lit pixels that are taken, and their shares.

        Raises:
            ValueError: when the data were rendered otherwise.
        """
        self._check(data)
        index = self.frame[start:stop]
        counts = count_view(data, index, masks[0].view)
        of_view = MasksOfView(masks, self.settings, self.seed)
        for frame, points in zip(index, counts, strict=True):
            yield of_view.take(points, data.identity(frame))

    def pixels(
        self, data: BinStore, start: int, stop: int, masks: Sequence[Mask]
    ) -> dict[Mask, tuple[np.ndarray, np.ndarray]]:
        """The lit pixels that masks take, as lists for `Probe.without`.

        Args:
            data: the constellations that the plan was made for.
            start: number of the first frame.
            stop: number after the last.
            masks: of any views.

        Returns:
            Of each mask, pixel numbers int64, counted on through the views of the data, and
            offsets (stop - start + 1,): frame `start + i` has `pixels[offsets[i]:offsets[i + 1]]`.
        """
        lists: dict[Mask, list[np.ndarray]] = {mask: [] for mask in masks}
        for view in dict.fromkeys(mask.view for mask in masks):
            first = first_pixel(data.render, view)
            of_view = [mask for mask in masks if mask.view == view]
            for taken in self.taken(data, start, stop, of_view):
                for mask in of_view:
                    lists[mask].append(first + taken.pixels(mask))

        return {mask: _joined(of_frames) for mask, of_frames in lists.items()}

    def _check(self, data: BinStore) -> None:
        if data.render != self.render:
            raise ValueError(
                f"{data.root} was rendered with {data.render}, but the perturbations are planned "
                f"for {self.render}; make them again with dvc repro perturb"
            )

    def write(self, target: Path) -> None:
        """Writes the plan; `read_plan` reads it back."""
        # In memory first: HDF5 crashes the process where it cannot write to a disk.
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file["frame"] = self.frame
            # A dataset, since an attribute holds at most 64 KiB.
            file["masks"] = np.bytes_(json.dumps(self.masks))
            file.attrs["settings"] = to_json(self.settings)
            file.attrs["render"] = to_json(self.render)
            file.attrs["seed"] = self.seed
        write_bytes(target, content.getvalue())


def read_plan(path: Path, data: BinStore) -> PerturbationPlan:
    """The plan that `PerturbationPlan.write` wrote.

    Args:
        path: of the file.
        data: the constellations that it is for.

    Returns:
        The plan, whose frames and masks there are.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when the file is damaged, or the plan is for other frames.
    """
    require(path, "perturb")
    try:
        with h5py.File(path, "r") as file:
            plan = _plan_in(file)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, "perturb", str(error)) from None

    if data.render != plan.render:
        raise damaged(path, "perturb", f"it is for other constellations than {data.root}")
    try:
        check_index(plan.frame, data.sizes)
        check_rising(plan.frame)
        _check_masks(plan)
    except ValueError as error:
        raise damaged(path, "perturb", str(error)) from None
    return plan


def _plan_in(file: h5py.File) -> PerturbationPlan:
    """The plan in an open file; raises KeyError, TypeError or ValueError for anything else."""
    for name in ("frame", "masks"):
        if not isinstance(file[name], h5py.Dataset):
            raise TypeError(f"{name} is no dataset")
    for name in ("settings", "render", "seed"):
        if name not in file.attrs:
            raise KeyError(f"it lacks the attribute {name}")

    seed = file.attrs["seed"]
    if not isinstance(seed, np.integer) or seed < 0:
        raise ValueError(f"its seed {seed!r} is no number from 0 on")
    return PerturbationPlan(
        frame=file["frame"][()],
        masks=from_json(tuple[Mask, ...], _text(file["masks"][()])),
        settings=from_json(MaskSettings, _text(file.attrs["settings"])),
        seed=int(seed),
        render=from_json(RenderSettings, _text(file.attrs["render"])),
    )


def _text(stored: Any) -> str:
    return stored.decode("utf-8") if isinstance(stored, bytes) else str(stored)


def _check_masks(plan: PerturbationPlan) -> None:
    """Raises ValueError unless the masks are those that the settings make, in their order."""
    of_settings = build(plan.settings.views or plan.render.views, plan.settings, plan.render.size)
    for mask in plan.masks:
        if mask not in of_settings:
            raise ValueError(f"its settings make no mask {list(mask)}")
    if plan.masks != tuple(of_settings):
        raise ValueError(
            f"its settings make {counted(len(of_settings), 'mask')}, and it holds "
            f"{len(plan.masks)} or another order of them"
        )


def dark_frames(data: BinStore, plan: PerturbationPlan) -> int:
    """How many frames have a masked view without a point, from which nothing can be taken."""
    dark = 0
    chunks = list(plan.chunks(CHUNK))
    for start, stop in progress(chunks, f"perturb, {CHUNK} frames each"):
        bins = dict(zip(data.render.views, data.gather(plan.frame[start:stop]), strict=True))
        empty = [(bins[view] == OUTSIDE).all(axis=1) for view in plan.views]
        dark += int(np.count_nonzero(np.any(empty, axis=0)))
    return dark


def count_view(data: BinStore, index: np.ndarray, view: str) -> np.ndarray:
    """Points in each pixel of one view of some frames.

    Args:
        data: the constellations.
        index: of the frames, (n, 3).
        view: one that is rendered.

    Returns:
        float32 (n, pixels of the view).
    """
    bins = data.gather(index)[data.render.views.index(view)]
    return count_points(torch.from_numpy(bins), data.render.size**2).numpy()


def first_pixel(render: RenderSettings, view: str) -> int:
    """Number of the first pixel of a view, where pixels are counted on through the views."""
    return render.views.index(view) * render.size**2


def _joined(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(one) for one in lists]
    return np.concatenate(lists), np.cumsum([0, *lengths])
