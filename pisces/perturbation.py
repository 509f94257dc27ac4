"""Masks and their controls: which pixels of a constellation to black out, as lists of pixel numbers.

Masks rank the point counts of one view of a frame, the constellation itself, so they do not depend on how it is drawn. A pixel is
lit when it holds a point; its mass is the number of points it holds.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from pisces import console
from pisces.datasets import Constellations
from pisces.files import staged
from pisces.rendering import count_points
from pisces.seeding import generator

KINDS = ("mask", "control_count", "control_mass")
CHUNK = 512  # frames


class Mask(NamedTuple):
    """Which pixels of a view: the brightest (`top`), the dimmest lit (`bottom`) or any (`random`), by one of two rules.

    - `exact`: round(level % of the lit pixels), ties broken at random; `random` draws among the lit.
    - `percentile`: the published rule (Siddiqui, Wang and Ramachandran 2025). `top` takes every pixel at or above the
      (100 - level)-th percentile of the lit ones, `bottom` every lit pixel at or below the level-th, so a tie is
      taken whole; `random` draws level % of *all* pixels, most of them dark.
    """

    view: str
    rule: str
    name: str
    level_percent: float

    @property
    def key(self) -> str:
        return f"{self.view}_{self.rule}_{self.name}_{self.level_percent:g}"


def masks(views: tuple[str, ...], rules: tuple[str, ...], names: tuple[str, ...], levels_percent: tuple[float, ...]) -> list[Mask]:
    """Every combination."""
    return [Mask(*combination) for combination in itertools.product(views, rules, names, levels_percent)]


def select(counts: np.ndarray, mask: Mask, tie: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pixel numbers that `mask` takes from one frame.

    `counts` are the points in each pixel (pixels,), `tie` is a random number for each, by which equal counts are
    ordered, and `rng` serves `random` masks.
    """
    lit = np.flatnonzero(counts)
    if not len(lit):
        return lit
    if mask.rule == "percentile":
        return _select_percentile(counts, lit, mask, rng)
    n = exact_size(len(lit), mask.level_percent)
    if mask.name == "random":
        return rng.choice(lit, n, replace=False)
    brightness = counts[lit] if mask.name == "bottom" else -counts[lit]
    return lit[np.lexsort((tie[lit], brightness))[:n]]


def exact_size(lit: int, level_percent: float) -> int:
    """Pixels that an exact mask takes of `lit` ones: rounded, halves up."""
    return int(np.floor(level_percent * lit / 100 + 0.5))


def _select_percentile(counts: np.ndarray, lit: np.ndarray, mask: Mask, rng: np.random.Generator) -> np.ndarray:
    if mask.name == "random":
        return rng.choice(len(counts), exact_size(len(counts), mask.level_percent), replace=False)
    if mask.name == "top":
        return lit[counts[lit] >= np.percentile(counts[lit], 100 - mask.level_percent)]
    return lit[counts[lit] <= np.percentile(counts[lit], mask.level_percent)]


def controls(counts: np.ndarray, pixels: np.ndarray, lit_at_random: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What chance takes: as many lit pixels as `pixels` holds, and lit pixels of as much mass, both at random.

    `lit_at_random` are the lit pixels in random order, and both controls are its beginnings. The mass control ends
    where its mass is nearest to that of `pixels`.
    """
    taken = counts[pixels]
    by_count = lit_at_random[: np.count_nonzero(taken)]
    mass = np.concatenate([[0], np.cumsum(counts[lit_at_random])])
    by_mass = lit_at_random[: int(np.argmin(np.abs(mass - taken.sum())))]
    return by_count, by_mass


def perturb_frame(counts: np.ndarray, masks: list[Mask], seed: int, identity: tuple[str, int, int]) -> dict[str, np.ndarray]:
    """`<mask key>/<kind>` -> pixel numbers, for every mask of one view and each of `KINDS`, of one frame's counts (pixels,).

    Everything random comes from generators named after the frame's identity, the view and the mask. The controls of all masks
    are beginnings of one random order, so that masks of equal size share their control.
    """
    view = masks[0].view
    tie = generator(seed, "tie", *identity, view).random(len(counts))
    lit_at_random = generator(seed, "control", *identity, view).permutation(np.flatnonzero(counts))
    result = {}
    for mask in masks:
        rng = generator(seed, "mask", *identity, mask.key)
        pixels = select(counts, mask, tie, rng)
        for kind, chosen in zip(KINDS, (pixels, *controls(counts, pixels, lit_at_random)), strict=True):
            result[f"{mask.key}/{kind}"] = np.sort(chosen).astype(np.uint16)
    return result


def perturb(data: Constellations, index: np.ndarray, masks: list[Mask], seed: int, target: Path) -> dict[str, int]:
    """Writes the pixel lists of every mask and control of the frames of `index` (n, 3) to `target`.

    The file holds `frame` (n, 3), `lit` and `points` (views, n), the lit pixels and the points within the extent of each of the
    attribute `views`, and a group a mask with a group a kind (`KINDS`): frame i gives up `pixels[offsets[i]:offsets[i + 1]]` of the
    mask's view. Memory is bounded by a chunk of frames. Returns the number of frames, of those that are dark in a masked view
    (no point within the extent, nothing to take), and of masks.

    Raises:
        ValueError: when a mask is of a view that the data lack.
    """
    masked = tuple(dict.fromkeys(mask.view for mask in masks))
    for view in masked:
        if view not in data.render.views:
            raise ValueError(
                f"perturb.views names {view!r}, but the data have {', '.join(data.render.views)}; change perturb.views or render.views"
            )
    keys = [f"{mask.key}/{kind}" for mask in masks for kind in KINDS]
    with staged(target) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"render": data.render.model_dump_json(), "views": masked, "masks": [mask.key for mask in masks]})
        file["frame"] = index
        for key in keys:
            file.create_dataset(f"{key}/pixels", (0,), np.uint16, maxshape=(None,), chunks=(1 << 16,))
            file.create_dataset(f"{key}/offsets", data=np.zeros(len(index) + 1, np.int64))
        lit, points = np.empty((2, len(masked), len(index)), np.int32)
        for start in console.progress(range(0, len(index), CHUNK), f"perturb, {CHUNK} frames each"):
            part = index[start : start + CHUNK]
            for v, view in enumerate(masked):
                counts = count_view(data, part, view)
                lit[v, start : start + len(part)] = np.count_nonzero(counts, axis=1)
                points[v, start : start + len(part)] = counts.sum(axis=1)
                of_view = [mask for mask in masks if mask.view == view]
                chosen = [perturb_frame(c, of_view, seed, data.identity(f)) for c, f in zip(counts, part, strict=True)]
                for key in chosen[0]:
                    _append(file[key], start, [frame[key] for frame in chosen])
        file["lit"], file["points"] = lit, points
        dark = int(np.count_nonzero((lit == 0).any(axis=0)))
    return {"frames": len(index), "dark_frames": dark, "masks": len(masks)}


def count_view(data: Constellations, index: np.ndarray, view: str) -> np.ndarray:
    """Points in each pixel of one view, float32 (n, pixels of the view), of the frames of an index (n, 3)."""
    pixels = data.render.size**2
    counts = count_points(torch.from_numpy(data.bins(index)), len(data.render.views) * pixels)
    first = data.render.views.index(view) * pixels
    return counts[:, first : first + pixels].numpy()


def _append(group: h5py.Group, start: int, lists: list[np.ndarray]) -> None:
    pixels, offsets = group["pixels"], group["offsets"]
    before = len(pixels)
    ends = before + np.cumsum([len(one) for one in lists])
    pixels.resize((int(ends[-1]),))
    pixels[before:] = np.concatenate(lists)
    offsets[start + 1 : start + 1 + len(lists)] = ends


class Perturbations:
    """A file that `perturb` wrote, open for reading."""

    def __init__(self, path: Path):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; make it with dvc repro perturb")
        self._file = h5py.File(path, "r")
        self.frame: np.ndarray = self._file["frame"][:]
        self.lit: np.ndarray = self._file["lit"][:]
        self.points: np.ndarray = self._file["points"][:]
        parts = (key.split("_") for key in self._file.attrs["masks"])
        self.masks = [Mask(view, rule, name, float(level)) for view, rule, name, level in parts]

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
    """A few frames and what the largest masks take of them, for `plots.perturbations`."""

    images: np.ndarray
    """log(1 + counts) over the largest among the rows of the same view, (rows, size, size)."""
    taken: dict[str, np.ndarray]
    """Mask without its view -> bool (rows, size, size)."""
    titles: list[str]
    """View, modulation and SNR of each row."""


def preview(data: Constellations, path: Path) -> Preview:
    """Four rows: frames of cells spread over the file, each in every masked view, as many as there is room for."""
    perturbations = Perturbations(path)
    masks, size = perturbations.masks, data.render.size
    views = tuple(dict.fromkeys(mask.view for mask in masks))
    spread = np.linspace(0, len(perturbations.frame) - 1, 2 + max(1, 4 // len(views))).astype(int)
    rows = [(int(i), view) for i in np.unique(spread[1:-1]) for view in views]
    images = np.stack([np.log1p(count_view(data, perturbations.frame[i : i + 1], view)[0]).reshape(size, size) for i, view in rows])
    for view in views:
        images[[one == view for _, one in rows]] /= images[[one == view for _, one in rows]].max()
    largest = max(mask.level_percent for mask in masks)
    taken: dict[str, np.ndarray] = {}
    for mask in (mask for mask in masks if mask.level_percent == largest):
        shown = taken.setdefault(f"{mask.rule} {mask.name} {mask.level_percent:g} %", np.zeros((len(rows), size * size), bool))
        for row, (i, view) in enumerate(rows):
            if view == mask.view:
                shown[row, perturbations.pixels(mask, "mask", i, i + 1)[0]] = True
    titles = ["{}\n{}, {} dB".format(view, *data.identity(perturbations.frame[i])[:2]) for i, view in rows]
    return Preview(images, {name: shown.reshape(images.shape) for name, shown in taken.items()}, titles)
