"""The random masks of RISE, and the mean prediction under them.

Petsiuk, Das and Saenko, "RISE: Randomized input sampling for explanation of black-box models",
BMVC 2018.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from pisces.attribution.head import Context, Head, frames_at_once, logits_of_heads
from pisces.models import precision


def draw_grids(
    masks: int, channels: int, size: int, cells: int, keep: float, *, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws the coarse grids and the shifts from which `masks_of` makes random masks.

    Args:
        masks: how many.
        channels: of the images; each has cells of its own.
        size: side of the images in pixels.
        cells: along each side of a mask.
        keep: chance of a cell to be kept, 0..1.
        rng: what draws them.

    Returns:
        Grids float32 (masks, channels, cells, cells), 1 where a cell is kept and else 0.
        Shifts in pixels, int64 (masks, channels, 2), of row and column: 0 to a whole cell.
    """
    kept = rng.random((masks, channels, cells, cells)) < keep
    largest_shift = cell_px(size, cells)
    shifts = rng.integers(largest_shift, size=(masks, channels, 2), endpoint=True)
    return torch.from_numpy(kept.astype(np.float32)), torch.from_numpy(shifts)


def masks_of(grids: torch.Tensor, shifts: torch.Tensor, size: int) -> torch.Tensor:
    """Masks at the size of the images, from what `draw_grids` drew.

    A grid is enlarged bilinearly to one cell more than the image, and a square of the image's size
    is cut out, its upper left corner at the shift. A cell is rounded up to whole pixels, so that
    the enlarged grid always covers the image.

    Args:
        grids: float32 (masks, channels, cells, cells).
        shifts: of row and column in pixels, int64 (masks, channels, 2).
        size: side of the images in pixels.

    Returns:
        Masks float32 (masks, channels, size, size), 0..1: how much of a pixel is let through.
    """
    cells = grids.shape[-1]
    side = (cells + 1) * cell_px(size, cells)
    large = functional.interpolate(grids, side, mode="bilinear", align_corners=False)

    places = shifts[..., None] + torch.arange(size)  # (masks, channels, 2, size)
    row, column = places.unbind(2)  # (masks, channels, size) each

    # (masks, channels, side, side) -> (..., size, side) -> (..., size, size)
    cut_rows = large.gather(2, row[..., :, None].expand(-1, -1, -1, side))
    return cut_rows.gather(3, column[..., None, :].expand(-1, -1, size, -1))


def cell_px(size: int, cells: int) -> int:
    """Side of a cell in pixels, rounded up, for `cells` along the side of an image."""
    return math.ceil(size / cells)


def mean_under_masks(
    heads: Sequence[Head],
    images: torch.Tensor,
    targets: Sequence[torch.Tensor],
    context: Context,
    drawn: tuple[torch.Tensor, torch.Tensor],
) -> list[torch.Tensor]:
    """Mean probability of the targets under masks, weighted by what a mask lets through.

    A masked image is predicted once for all heads.

    Args:
        heads: heads of one model, whose probabilities are taken.
        images: (n, channels, size, size).
        targets: of each head, classes int64 (n,).
        context: what the head takes beside the images.
        drawn: grids and shifts of `draw_grids`, the same for all frames.

    Returns:
        Of each head, maps (n, channels, size, size), within 0..1.
    """
    masks_at_once = max(1, frames_at_once(images, context) // len(images))
    all_grids, all_shifts = drawn
    parts = zip(all_grids.split(masks_at_once), all_shifts.split(masks_at_once), strict=True)

    weighted = [torch.zeros_like(images) for _ in heads]
    weight = torch.zeros_like(images[0])
    for grids, shifts in parts:
        masks = masks_of(grids, shifts, images.shape[-1]).to(images.device)
        logits = _logits_under(masks, heads, images, context)
        repeated = _repeated(context, len(masks))
        for total, head, of_head, classes in zip(weighted, heads, logits, targets, strict=True):
            worth = head.worth(of_head.float(), repeated)
            total += _weighted_worth(worth, classes, masks)
        weight += masks.sum(0)

    tiny = torch.finfo(weight.dtype).tiny  # a pixel that no mask lets through scores 0
    return [total / weight.clamp_min(tiny) for total in weighted]


@torch.no_grad()
def _logits_under(
    masks: torch.Tensor, heads: Sequence[Head], images: torch.Tensor, context: Context
) -> list[torch.Tensor]:
    """Of each head, logits (m * n, classes) of n images under each of m masks."""
    masked = (masks[:, None] * images).flatten(0, 1)  # (m * n, channels, size, size)
    with precision.autocast(heads[0].model, images.device):
        return logits_of_heads(heads, masked, _repeated(context, len(masks)))


def _repeated(context: Context, times: int) -> Context:
    return tuple(torch.cat([column] * times) for column in context)


def _weighted_worth(
    worth: torch.Tensor, targets: torch.Tensor, masks: torch.Tensor
) -> torch.Tensor:
    """Sum over masks (m, channels, size, size) of what the target is worth, times the mask.

    Args:
        worth: of all classes, (m * n, classes), the frames of a mask one after the other.
        targets: classes (n,).
        masks: (m, channels, size, size).

    Returns:
        (n, channels, size, size).
    """
    by_mask = worth.view(len(masks), len(targets), -1)  # (m, n, classes)
    classes = targets.expand(len(masks), -1)  # (n,) -> (m, n)
    of_target = by_mask.gather(2, classes[..., None])[..., 0]  # (m, n)
    return torch.einsum("mn,mchw->nchw", of_target, masks)
