"""Lists of pixels of several frames: `pixels[offsets[i]:offsets[i + 1]]` are the pixel numbers of frame i."""

import numpy as np
import torch


def listed(pixels: np.ndarray, offsets: np.ndarray, size: int) -> torch.Tensor:
    """Whether each of `size` pixels is in the list of each frame: bool (n, size)."""
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    table = torch.zeros(len(offsets) - 1, size, dtype=torch.bool)
    table.view(-1).index_fill_(0, torch.from_numpy(frame * size + pixels.astype(np.int64)), True)
    return table


def mask_pixels(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """A copy of counts (n, pixels) with the listed pixels emptied, which makes them black."""
    masked = listed(pixels, offsets, counts.shape[1])
    return counts.clone().masked_fill_(masked.to(counts.device), 0)
