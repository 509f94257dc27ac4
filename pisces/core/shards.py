"""The HDF5 files of a data set, one a (modulation, SNR), which are read in slices without loading.

A directory of shards is `<root>/<MODULATION>/SNR_<dB>.h5`. Every dataset in a shard is contiguous
and little-endian, so it can be mapped into memory. Reading a slice costs the bytes of the slice, in
any order, whatever the size of the file.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product, starmap
from pathlib import Path
from typing import Any, NamedTuple, get_args

import h5py
import numpy as np

from pisces.core import hdf5
from pisces.core.modulations import Ask, in_order
from pisces.core.snr_label import SnrLabel, convention_in


class Cell(NamedTuple):
    """One joint class: a modulation at an SNR label."""

    modulation: str
    snr_db: int

    def path(self, root: Path) -> Path:
        """Of its shard in a directory of shards."""
        return root / self.modulation / f"SNR_{self.snr_db}.h5"


def create(
    path: Path, datasets: Mapping[str, tuple[tuple[int, ...], Any]], attributes: Mapping[str, Any]
) -> dict[str, np.memmap]:
    """Makes a shard with room for rows, which `write` fills.

    Args:
        path: of the file.
        datasets: name -> shape and dtype.
        attributes: of the shard.

    Returns:
        For each dataset what `array` gives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)

    reserved = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    reserved.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    reserved.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

    with hdf5.open_file(path, "w", libver="latest") as file:
        file.attrs.update(attributes)
        for name, (shape, dtype) in datasets.items():
            file.create_dataset(name, shape, np.dtype(dtype).newbyteorder("<"), dcpl=reserved)
    return {name: array(path, name) for name in datasets}


def write(shard: Mapping[str, np.memmap], start: int, rows: Mapping[str, np.ndarray]) -> None:
    """Fills rows of datasets, past HDF5, which takes as long as small rows do.

    Args:
        shard: datasets, as `create` gave them.
        start: the first row to fill.
        rows: name of a dataset -> its new rows, (n, ...).
    """
    for name, new in rows.items():
        target = shard[name]
        rest = np.ascontiguousarray(new, target.dtype).data.cast("B")
        with open(str(target.filename), "r+b", buffering=0) as file:
            file.seek(target.offset + start * target.strides[0])
            while rest:
                written = file.write(rest)  # without a buffer, it may be a part only
                rest = rest[written:]


def save(path: Path, datasets: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
    """Makes a whole shard at once.

    Args:
        path: of the file.
        datasets: name -> all its rows, (n, ...).
        attributes: of the shard.
    """
    layout = {name: (array.shape, array.dtype) for name, array in datasets.items()}
    shard = create(path, layout, attributes)
    write(shard, 0, datasets)


def array(path: Path, name: str) -> np.memmap:
    """A dataset of a shard as a memory map; what is written to it never reaches the file.

    Raises:
        FileNotFoundError: when there is no such shard.
        ValueError: when the file is damaged or holds no such dataset.
        OSError: when it is locked, or may not be read.
    """
    with _opened(path) as file:
        if not isinstance(file.get(name), h5py.Dataset):
            raise ValueError(
                f"{path} holds no dataset {name!r} but {', '.join(file)}; "
                "make it again with dvc repro --force"
            )
        dataset = file[name]
        offset, shape, dtype = dataset.id.get_offset(), dataset.shape, dataset.dtype

    size = np.prod(shape) * dtype.itemsize
    if offset is None or offset + size > path.stat().st_size:
        raise ValueError(f"{path} is cut off within {name!r}; make it again with dvc repro --force")
    return np.memmap(path, dtype, "c", offset, shape)


def read(source: np.memmap, start: int, out: np.ndarray) -> None:
    """Fills an array with rows of a dataset; in sequence faster than page faults of the map are.

    Args:
        source: the dataset, as `array` gives it.
        start: the first row.
        out: what is filled, (n, ...), contiguous.

    Raises:
        OSError: when the file has become shorter.
    """
    with open(str(source.filename), "rb", buffering=0) as file:
        file.seek(source.offset + start * source.strides[0])
        if file.readinto(out.data.cast("B")) != out.nbytes:
            raise OSError(
                f"{source.filename} was cut off while it was read; "
                "make it again with dvc repro --force"
            )


def attributes(path: Path) -> dict[str, Any]:
    """Attributes of a shard as plain Python values; errors as `array`."""
    with _opened(path) as file:
        stored = dict(file.attrs)
    return {name: _plain(value) for name, value in stored.items()}


def set_attributes(root: Path, attributes: Mapping[str, Any]) -> None:
    """Adds attributes to every shard of a directory, or gives them other values."""
    for cell in cells(root):
        with hdf5.open_file(cell.path(root), "r+", libver="latest") as file:
            file.attrs.update(attributes)


def snr_label(root: Path) -> SnrLabel:
    """What the SNR labels of a directory of shards mean, from any shard.

    Shards that do not say it, which were made before they did, count as `power`.

    Raises:
        FileNotFoundError: when there are no shards.
        ValueError: when the attribute names no convention.
    """
    path = cells(root)[0].path(root)
    try:
        return convention_in(attributes(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def ask(root: Path) -> Ask:
    """Levels of amplitude shift keying in a directory of shards, from any shard.

    Shards that do not say it count as `bipolar`.

    Raises:
        FileNotFoundError: when there are no shards.
        ValueError: when the attribute names no kind of levels.
    """
    path = cells(root)[0].path(root)
    name = attributes(path).get("ask", "bipolar")
    for levels in get_args(Ask):
        if levels == name:
            return levels
    raise ValueError(
        f"{path}: ask = {name!r} is no kind of levels; it is one of {', '.join(get_args(Ask))}; "
        "make the data again with dvc repro --force split_hdf5"
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def cells(root: Path) -> list[Cell]:
    """The cells of a directory of shards, sorted by name and SNR.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when one is named otherwise.
    """
    found = []
    for path in root.glob("*/SNR_*.h5"):
        label = re.fullmatch(r"SNR_(-?\d{1,4})", path.stem)
        if not label:
            raise ValueError(
                f"{path} is not named SNR_<dB>.h5, with a whole number of dB; "
                "remove it, or make its folder again with dvc repro --force"
            )
        snr_db = int(label[1])
        found.append(Cell(path.parent.name, snr_db))
    if not found:
        raise FileNotFoundError(
            f"{root} holds no shards (<MODULATION>/SNR_<dB>.h5); make them with dvc repro"
        )
    return sorted(found)


def grid(root: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Modulations, in the one class order, and SNRs in dB, increasing, of a directory of shards.

    Raises:
        FileNotFoundError: when there are no shards, or one is missing from the grid.
    """
    found = set(cells(root))
    modulations = in_order(cell.modulation for cell in found)
    snrs_db = tuple(sorted({cell.snr_db for cell in found}))

    for cell in starmap(Cell, product(modulations, snrs_db)):
        if cell not in found:
            raise FileNotFoundError(
                f"{cell.path(root)} is missing; make it again with dvc repro --force"
            )
    return modulations, snrs_db


def sizes(root: Path) -> np.ndarray:
    """Frames of each cell, int64 (modulations, SNRs), in the order of `grid`; errors as there."""
    modulations, snrs_db = grid(root)
    cells = starmap(Cell, product(modulations, snrs_db))
    counts = [len(array(cell.path(root), "row")) for cell in cells]
    return np.array(counts).reshape(len(modulations), len(snrs_db))


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """A shard to look at."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make it with dvc repro")
    try:
        with hdf5.open_file(path) as file, hdf5.looking_at(file):
            yield file
    except hdf5.DamagedError as error:
        raise ValueError(
            f"{path} is not a readable HDF5 file: {error}; make it again with dvc repro --force"
        ) from None
