"""Lists of pixels: `pixels[offsets[i]:offsets[i + 1]]` are the pixels of the i-th frame."""

import numpy as np
import torch


def listed(pixels: np.ndarray, offsets: np.ndarray, size: int) -> torch.Tensor:
    """Whether each of `size` pixels is in the list of each frame: bool (n, size).

    `pixels` are the numbers of all lists, one list after the other, and `offsets` (n + 1,) their
    bounds.
    """
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    table = torch.zeros(len(offsets) - 1, size, dtype=torch.bool)
    table.view(-1).index_fill_(0, torch.from_numpy(frame * size + pixels.astype(np.int64)), True)
    return table


def mask_pixels(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """A copy of counts (n, pixels) with the listed pixels emptied; lists as in `listed`."""
    masked = listed(pixels, offsets, counts.shape[1])
    return counts.clone().masked_fill_(masked.to(counts.device), 0)
