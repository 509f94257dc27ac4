"""Shards + splits -> batches on the device. Nothing is held in memory: a batch costs the bytes of its frames."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
        self.render = rendering.settings(root)
        self._bins = [self._every_cell(f"{view}/bins") for view in self.render.views]
        self._rows = self._every_cell("row")

    def _every_cell(self, dataset: str) -> list[list[np.ndarray]]:
        return [[_mapped(Cell(m, s).path(self.root), dataset) for s in self.snrs_db] for m in self.modulations]

    def bins_by_view(self, index: np.ndarray) -> list[np.ndarray]:
        """Pixel numbers uint16 (n, points of the view) of the frames of an index (n, 3), a view each."""
        return [_rows(cells, index) for cells in self._bins]

    def bins(self, index: np.ndarray) -> np.ndarray:
        """Pixel numbers, counted on through the views, int32 (n, points), of the frames of an index (n, 3)."""
        return rendering.join_views([torch.from_numpy(one) for one in self.bins_by_view(index)], self.render.size).numpy()

    def every_frame(self) -> np.ndarray:
        """The index (n, 3) of all frames."""
        cells = [[m, s, row] for m, rows in enumerate(self._rows) for s, cell in enumerate(rows) for row in range(len(cell))]
        return np.array(cells, np.int64)

    def identity(self, frame: np.ndarray) -> tuple[str, int, int]:
        """(modulation, SNR in dB, row in the source file) of one frame of an index: what its random choices hang on."""
        m, s, row = frame
        return self.modulations[m], self.snrs_db[s], int(self._rows[m][s][row])


class Frames:
    """Random access, by the same index, to the frames that the constellations of a directory were rendered from.

    Raises:
        ValueError: when the shards in `root` are not those.
    """

    def __init__(self, root: Path, constellations: Constellations):
        self._iq = []
        for m in constellations.modulations:
            paths = [(Cell(m, s).path(root), Cell(m, s).path(constellations.root)) for s in constellations.snrs_db]
            for source, rendered in paths:
                if not np.array_equal(shards.array(source, "row"), shards.array(rendered, "row")):
                    raise ValueError(f"{rendered} was not rendered from {source}: their rows differ; make it again with dvc repro render")
            self._iq.append([_mapped(source, "iq") for source, _ in paths])

    def __call__(self, index: np.ndarray) -> np.ndarray:
        """float32 (n, samples, 2), I then Q."""
        return _rows(self._iq, index)


def _mapped(path: Path, dataset: str) -> np.ndarray:
    """Still a map of the file, but of the plain type, whose rows NumPy gives out several times faster."""
    return np.asarray(shards.array(path, dataset))


def _rows(cells: list[list[np.ndarray]], index: np.ndarray) -> np.ndarray:
    return np.stack([cells[m][s][row] for m, s, row in index.tolist()])


class Batch(NamedTuple):
    """On the device: bins int32 (n, points), counted on through the views, and the classes int64 (n,)."""

    bins: torch.Tensor
    modulation: torch.Tensor
    snr: torch.Tensor


class Loader(Protocol):
    """Makes batches in two steps: `gather` reads, on any thread; `prepare` computes, where the model is."""

    def gather(self, index: np.ndarray) -> Any: ...

    def prepare(self, gathered: Any) -> Batch: ...


class Stored:
    """Frames as they were rendered."""

    def __init__(self, data: Constellations, device: torch.device):
        self.data, self.device = data, device

    def gather(self, index: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        return self.data.bins_by_view(index), index[:, :2].copy()

    def prepare(self, gathered: tuple[list[np.ndarray], np.ndarray]) -> Batch:
        bins, targets = gathered
        joined = rendering.join_views([to_device(one, self.device) for one in bins], self.data.render.size)
        return Batch(joined, *to_device(targets, self.device).unbind(1))


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """To a CUDA device without waiting for it."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def batches(loader: Loader, index: np.ndarray, batch_size: int, share: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
    """The frames of `index` in its order, `batch_size` at a time; the next ones are read while a batch is in use.

    Of each batch, only every `share[1]`-th frame from the `share[0]`-th on: what one of several processes takes of it.
    """
    parts = [index[start : start + batch_size][share[0] :: share[1]] for start in range(0, len(index), batch_size)]
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for part in parts:
            coming, ready = reader.submit(loader.gather, part), coming
            if ready is not None:
                yield loader.prepare(ready.result())
        if coming is not None:
            yield loader.prepare(coming.result())
