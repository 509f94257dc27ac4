"""The file of what masks and their controls take: lists of pixel numbers of every frame."""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from pisces.core.files import staged
from pisces.core.progress import progress
from pisces.inputs.binning import count_points
from pisces.inputs.drawing import BinStore
from pisces.pis.masks import KINDS, Mask, take
from pisces.pis.settings import MaskSettings

CHUNK = 512  # frames
HDF5_CHUNK = 1 << 12  # pixel numbers; of the hundreds of lists in a small file, most are shorter
SHOWN_PERCENT = 20  # a picture of what a larger mask takes is a picture of nearly everything


def perturb(
    data: BinStore,
    index: np.ndarray,
    masks: Sequence[Mask],
    settings: MaskSettings,
    seed: int,
    target: Path,
) -> dict[str, int]:
    """Writes what every mask and control takes from the frames of `index` (n, 3) to `target`.

    The file holds `frame` (n, 3), and for each mask of the attribute `masks`, a JSON list of [view, rule, name, level], a group with a
    group a kind (`masks.KINDS`): frame i gives up `pixels[offsets[i]:offsets[i + 1]]` of the mask's view. Memory is bounded by a chunk
    of frames. Returns the number of frames, of those that are dark in a masked view (no point within the extent, nothing to
    take), and of masks.

    Raises:
        ValueError: when a mask is of a view that the data lack.
    """
    views = _views(masks)
    for view in views:
        if view not in data.render.views:
            raise ValueError(
                f"perturb.views names {view!r}, but the data have {', '.join(data.render.views)}; change perturb.views or render.views"
            )
    with staged(target) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["masks"] = json.dumps(masks)
        file["frame"] = index
        for mask, kind in product(masks, KINDS):
            file.create_dataset(
                f"{mask.key}/{kind}/pixels", (0,), np.uint16, maxshape=(None,), chunks=(HDF5_CHUNK,)
            )
            file.create_dataset(
                f"{mask.key}/{kind}/offsets", data=np.zeros(len(index) + 1, np.int64)
            )
        dark = np.zeros(len(index), bool)
        for start in progress(range(0, len(index), CHUNK), f"perturb, {CHUNK} frames each"):
            part = index[start : start + CHUNK]
            for view in views:
                counts = count_view(data, part, view)
                dark[start : start + len(part)] |= ~counts.any(axis=1)
                of_view = [mask for mask in masks if mask.view == view]
                taken = [
                    take(one, of_view, settings, seed, data.identity(frame))
                    for one, frame in zip(counts, part, strict=True)
                ]
                _append(file, start, taken)
    return {"frames": len(index), "dark_frames": int(np.count_nonzero(dark)), "masks": len(masks)}


def _views(masks: Sequence[Mask]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mask.view for mask in masks))


def count_view(data: BinStore, index: np.ndarray, view: str) -> np.ndarray:
    """Points in each pixel of one view, float32 (n, pixels of the view), of the frames of an index (n, 3)."""
    bins = data.gather(index)[data.render.views.index(view)]
    return count_points(torch.from_numpy(bins), data.render.size**2).numpy()


def _append(file: h5py.File, start: int, taken: list[dict[Mask, tuple[np.ndarray, ...]]]) -> None:
    """Adds what `take` gave for the frames from `start` on."""
    for mask, (k, kind) in product(taken[0], enumerate(KINDS)):
        pixels, offsets = (file[f"{mask.key}/{kind}/{name}"] for name in ("pixels", "offsets"))
        lists = [frame[mask][k] for frame in taken]
        ends = len(pixels) + np.cumsum([len(one) for one in lists])
        pixels.resize((int(ends[-1]),))
        pixels[offsets[start] :] = np.concatenate(lists)
        offsets[start + 1 : start + 1 + len(lists)] = ends


class Perturbations:
    """A file that `perturb` wrote, open for reading."""

    def __init__(self, path: Path):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; make it with dvc repro perturb")
        self._file = h5py.File(path, "r")
        self.frame: np.ndarray = self._file["frame"][:]
        self.masks = [Mask(*one) for one in json.loads(self._file.attrs["masks"])]

    def pixels(self, mask: Mask, kind: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixel numbers and offsets, counted from 0, of frames `start` to `stop`; see `perturb`."""
        group = self._file[mask.key][kind]
        offsets = group["offsets"][start : stop + 1]
        return group["pixels"][offsets[0] : offsets[-1]], offsets - offsets[0]

    def chunks(self, frames: int) -> Iterator[tuple[int, int]]:
        """Consecutive (start, stop) that cover all frames."""
        for start in range(0, len(self.frame), frames):
            yield start, min(start + frames, len(self.frame))


class Preview(NamedTuple):
    """A few frames and what some masks take of them, for `plots.perturbations`."""

    images: np.ndarray
    """log(1 + counts) over the largest among the rows of the same view, (rows, size, size); a view that is dark in all of them stays 0."""
    taken: dict[str, np.ndarray]
    """Mask without its view -> bool (rows, size, size)."""
    titles: list[str]
    """View, modulation and SNR of each row."""


def preview(data: BinStore, path: Path) -> Preview:
    """Four rows: frames of cells spread over the file, each in every masked view, as many as there is room for.

    A column shows what a mask takes: the brightness masks at the largest level, up to `SHOWN_PERCENT`, that all rules in the file have,
    except for pixels drawn from all, which are mostly dark; the cluster cores and transitions; and the first ring and sector.
    """
    perturbations, size = Perturbations(path), data.render.size
    views = _views(perturbations.masks)
    spread = np.linspace(0, len(perturbations.frame) - 1, 2 + max(1, 4 // len(views))).astype(int)
    rows = [(int(i), view) for i in np.unique(spread[1:-1]) for view in views]
    images = np.stack(
        [
            np.log1p(count_view(data, perturbations.frame[i : i + 1], view)[0]).reshape(size, size)
            for i, view in rows
        ]
    )
    for view in views:
        images[[one == view for _, one in rows]] /= (
            images[[one == view for _, one in rows]].max() or 1
        )
    taken = {}
    for mask in _shown([mask for mask in perturbations.masks if mask.view == views[0]]):
        taken[_title(mask)] = np.zeros((len(rows), size * size), bool)
        for row, (i, view) in zip(taken[_title(mask)], rows, strict=True):
            row[perturbations.pixels(mask._replace(view=view), "mask", i, i + 1)[0]] = True
    titles = [
        "{}\n{}, {} dB".format(view, *data.identity(perturbations.frame[i])[:2]) for i, view in rows
    ]
    return Preview(
        images, {name: shown.reshape(images.shape) for name, shown in taken.items()}, titles
    )


def _shown(masks: list[Mask]) -> list[Mask]:
    """Those that `preview` shows, of the masks of one view."""
    levels = [
        {mask.level_percent for mask in masks if mask.rule == rule}
        for rule in ("exact", "percentile")
    ]
    shared = set.intersection(*filter(None, levels))
    level = max((one for one in shared if one <= SHOWN_PERCENT), default=min(shared))
    by_level = [
        mask
        for mask in masks
        if mask.level_percent == level and (mask.rule, mask.name) != ("percentile", "random")
    ]
    return by_level + [
        mask
        for mask in masks
        if mask.rule == "cluster" or (mask.rule in ("ring", "sector") and mask.name == "1")
    ]


def _title(mask: Mask) -> str:
    return f"{mask.rule} {mask.name}" + (
        "" if mask.level_percent is None else f" {mask.level_percent:g} %"
    )
