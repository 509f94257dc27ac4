"""The per-(modulation, SNR) HDF5 files: written whole or not at all, read in slices without loading.

A directory of shards is `<root>/<MODULATION>/SNR_<dB>.h5`. Every dataset in a shard is contiguous and little-endian, so it
can be mapped into memory: reading a slice costs the bytes of the slice, in any order, whatever the size of the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from pisces.core.modulations import NAMES


class Cell(NamedTuple):
    """One joint class: a modulation at an SNR label."""

    modulation: str
    snr_db: int

    def path(self, root: Path) -> Path:
        return root / self.modulation / f"SNR_{self.snr_db}.h5"


def create(
    path: Path, datasets: Mapping[str, tuple[tuple[int, ...], Any]], attributes: Mapping[str, Any]
) -> dict[str, np.memmap]:
    """Makes a shard with room for `datasets` (name -> shape, dtype); returns what `array` gives for each, to be filled by `write`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reserved = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    reserved.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    reserved.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(attributes)
        for name, (shape, dtype) in datasets.items():
            file.create_dataset(name, shape, np.dtype(dtype).newbyteorder("<"), dcpl=reserved)
    return {name: array(path, name) for name in datasets}


def write(shard: Mapping[str, np.memmap], start: int, rows: Mapping[str, np.ndarray]) -> None:
    """Fills the rows from `start` on of the named datasets that `create` gave: past HDF5, which takes as long as small rows do."""
    for name, new in rows.items():
        target = shard[name]
        rest = memoryview(np.ascontiguousarray(new, target.dtype)).cast("B")
        with open(target.filename, "r+b", buffering=0) as file:
            file.seek(target.offset + start * target.strides[0])
            while rest:
                rest = rest[file.write(rest) :]


def save(path: Path, datasets: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
    """Makes a whole shard at once."""
    write(
        create(
            path, {name: (array.shape, array.dtype) for name, array in datasets.items()}, attributes
        ),
        0,
        datasets,
    )


def array(path: Path, name: str) -> np.memmap:
    """A dataset of a shard as a memory map; what is written to it never reaches the file.

    Raises:
        FileNotFoundError: when there is no such shard.
        ValueError: when the file is damaged or holds no such dataset.
    """
    with _open(path) as file:
        if name not in file:
            raise ValueError(
                f"{path} holds no dataset {name!r} but {', '.join(file)}; make it again with dvc repro --force"
            )
        dataset = file[name]
        offset, shape, dtype = dataset.id.get_offset(), dataset.shape, dataset.dtype
    if offset is None or offset + np.prod(shape) * dtype.itemsize > path.stat().st_size:
        raise ValueError(f"{path} is cut off within {name!r}; make it again with dvc repro --force")
    return np.memmap(path, dtype, "c", offset, shape)


def read(source: np.memmap, start: int, out: np.ndarray) -> None:
    """Fills `out` with the rows from `start` on of what `array` gave: in sequence faster than through the map's page faults.

    Raises:
        OSError: when the file has become shorter.
    """
    with open(source.filename, "rb", buffering=0) as file:
        file.seek(source.offset + start * source.strides[0])
        if file.readinto(memoryview(out).cast("B")) != out.nbytes:
            raise OSError(
                f"{source.filename} was cut off while it was read; make it again with dvc repro --force"
            )


def attributes(path: Path) -> dict[str, Any]:
    """Attributes of a shard as plain Python values; errors as `array`."""
    with _open(path) as file:
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in file.attrs.items()
        }


def cells(root: Path) -> list[Cell]:
    """The cells of a directory of shards, sorted by name and SNR.

    Raises:
        FileNotFoundError: when there is none.
    """
    found = [
        Cell(path.parent.name, int(path.stem.removeprefix("SNR_")))
        for path in root.glob("*/SNR_*.h5")
    ]
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
    modulations = tuple(m for m in NAMES if m in {cell.modulation for cell in found})
    snrs_db = tuple(sorted({cell.snr_db for cell in found}))
    for modulation in modulations:
        for snr_db in snrs_db:
            if (modulation, snr_db) not in found:
                raise FileNotFoundError(
                    f"{Cell(modulation, snr_db).path(root)} is missing; make it again with dvc repro --force"
                )
    return modulations, snrs_db


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make it with dvc repro")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} is not a readable HDF5 file ({error}); make it again with dvc repro --force"
        ) from None
