"""Shards + splits -> batches on the device. Nothing is held in memory: a batch costs the bytes of its frames."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pisces import rendering, shards
from pisces.shards import Cell


class Constellations:
    """Random access to the bins of a directory of constellation shards.

    A frame is addressed by a row of an index, int64 (n, 3): modulation index, SNR index, row in the shard.
    """

    def __init__(self, root: Path):
        self.root = root
        self.modulations, self.snrs_db = shards.grid(root)
        self.size, self.extent = rendering.settings(root)
        cells = [[Cell(m, s) for s in self.snrs_db] for m in self.modulations]
        self._bins = [[rendering.read_bins(root, cell) for cell in row] for row in cells]
        self._rows = [[shards.array(cell.path(root), "row") for cell in row] for row in cells]

    def bins(self, index: np.ndarray) -> np.ndarray:
        """Pixel numbers uint16 (n, samples) of the frames of an index (n, 3)."""
        return np.stack([self._bins[m][s][row] for m, s, row in index])

    def identity(self, frame: np.ndarray) -> tuple[str, int, int]:
        """(modulation, SNR in dB, row in the source file) of one frame of an index: what its random choices hang on."""
        m, s, row = frame
        return self.modulations[m], self.snrs_db[s], int(self._rows[m][s][row])


def batches(
    data: Constellations, index: np.ndarray, batch_size: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Bins int32 (batch, samples), modulation and SNR index int64 (batch,) of `index` in its order, on the device."""
    for start in range(0, len(index), batch_size):
        part = index[start : start + batch_size]
        bins = torch.from_numpy(data.bins(part).astype(np.int32))
        targets = torch.from_numpy(part[:, :2].copy())
        modulation, snr = targets.to(device).unbind(1)
        yield bins.to(device), modulation, snr
