"""Reader of RadioML files as recordings: frame after frame, whatever their labels are."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pisces.core import hdf5
from pisces.core.shards import Cell
from pisces.sources import rml2016, rml2018
from pisces.sources.base import as_float32
from pisces.sources.recordings.base import Annotation, Options, Recording
from pisces.sources.recordings.samples import Read, checked

PICKLE = re.compile(rb"\x80[\x02-\x05](\x95.{8})?[}(]|\(dp?\d*\r?\n", re.DOTALL)
"""How a pickled dict begins. One byte would be too little: IQ of 8 bits begins so, too."""
PICKLE_ENDINGS = (".pkl", ".pickle")
HDF5_ENDINGS = (".hdf5", ".h5")


def is_hdf5(path: Path, head: bytes, _options: Options) -> bool:
    """Whether a file is HDF5, but not MATLAB's, which is known before."""
    return head.startswith(b"\x89HDF") or path.suffix.lower() in HDF5_ENDINGS


def is_pickle(path: Path, head: bytes, options: Options) -> bool:
    """Whether a file is a pickled dict; raw samples that a user calls so are not."""
    if path.suffix.lower() in PICKLE_ENDINGS:
        return True
    return options.datatype is None and PICKLE.match(head) is not None


def open_rml2018(path: Path, options: Options) -> list[Recording]:
    """The frames of a file like RML2018.01A, without labels: it does not say its class order."""
    with rml2018.open_file(path) as file:
        frames, samples = file["X"].shape[:2]

    def read(start: int, count: int) -> np.ndarray:
        first, last = start // samples, -(-(start + count) // samples)
        with rml2018.open_file(path) as file:
            block = hdf5.read(file["X"], slice(first, last))  # (frames, samples, 2)
        return _cut(block, start - first * samples, count)

    return [_recording(path, options, (frames, samples), read, ())]


def open_rml2016(path: Path, options: Options) -> list[Recording]:
    """The frames of RML2016.10a or 10b, cell after cell, each labelled by its modulation."""
    arrays = rml2016.read(path)
    samples = next(iter(arrays.values())).shape[2]
    starts = np.cumsum([0, *(len(array) for array in arrays.values())])  # frames before a cell
    cells = list(arrays.values())

    def read(start: int, count: int) -> np.ndarray:
        first, last = start // samples, -(-(start + count) // samples)
        parts = [
            cell[max(0, first - before) : max(0, last - before)]
            for cell, before in zip(cells, starts[:-1], strict=True)
        ]
        block = np.concatenate(parts).transpose(0, 2, 1)  # (n, 2, samples) -> (n, samples, 2)
        return _cut(block, start - first * samples, count)

    labels = _labels(arrays, samples)
    return [_recording(path, options, (int(starts[-1]), samples), read, labels)]


def _labels(arrays: Mapping[Cell, np.ndarray], samples: int) -> tuple[Annotation, ...]:
    found, start = [], 0
    for cell, array in arrays.items():
        count = len(array) * samples
        found.append(Annotation(start, count, cell.modulation, None, None, None))
        start += count
    return tuple(found)


def _cut(block: np.ndarray, skipped: int, count: int) -> np.ndarray:
    """Complex64 (count,) of frames (n, samples, 2), their first samples skipped."""
    pairs = np.ascontiguousarray(as_float32(block)).view(np.complex64)
    return pairs.reshape(-1)[skipped : skipped + count]


def _recording(
    path: Path,
    options: Options,
    shape: tuple[int, int],
    read: Read,
    annotations: tuple[Annotation, ...],
) -> Recording:
    """A recording of frames, `shape` being their number and their samples."""
    count = shape[0] * shape[1]
    return Recording(
        path=path,
        name=path.name,
        count=count,
        sample_rate_hz=options.sample_rate_hz,
        center_hz=0.0,
        annotations=annotations,
        frame_length=shape[1],
        samples_per_symbol=None,
        read=checked(read, count, str(path), is_complex=True),
        metadata=None,
    )
