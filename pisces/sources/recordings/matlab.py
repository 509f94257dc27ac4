"""Reader of `.mat`: one vector of samples, of version 5 or, by h5py, of version 7.3."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pisces.core import hdf5
from pisces.core.texts import in_one_line
from pisces.sources.recordings import mat5
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.contents import of_file
from pisces.sources.recordings.datatype import joined, to_unit
from pisces.sources.recordings.samples import checked

SIGNATURE = b"MATLAB 5.0 MAT-file"
SIGNATURE_HDF5 = b"MATLAB 7.3 MAT-file"
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMERIC = ("double", "single", *INTEGERS)
RATE_NAMES = ("fs", "samplerate", "sample_rate", "sample_rate_hz", "samp_rate")
"""Lower-case names of a number that is taken for the sample rate in hertz."""
LAYOUT = "one complex vector, or one real matrix of two columns (I and Q)"


@dataclass(frozen=True)
class Variable:
    """A numeric variable of two dimensions, as MATLAB shows it."""

    name: str
    shape: tuple[int, ...]
    is_complex: bool
    read: Callable[[slice], np.ndarray]
    """Samples along the longer dimension: complex (n,), real (n,), or real (n, 2)."""

    @property
    def count(self) -> int:
        return max(self.shape)

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 2 and min(self.shape) == 1 and self.count > 1

    @property
    def is_pairs(self) -> bool:
        is_two = len(self.shape) == 2 and min(self.shape) == 2 and self.count > 2
        return is_two and not self.is_complex


def is_matlab(path: Path, head: bytes, _options: Options) -> bool:
    """Whether a file is MATLAB's."""
    return head.startswith((SIGNATURE, SIGNATURE_HDF5)) or path.suffix.lower() == ".mat"


def open_matlab(path: Path, options: Options) -> list[Recording]:
    """The samples of the one variable that can be meant.

    Raises:
        ValueError: when no or several variables can be meant, naming them.
    """
    is_hdf5 = h5py.is_hdf5(path)
    variables = _variables_7(path) if is_hdf5 else _variables_5(path)
    chosen = _chosen(path, variables)

    def read(start: int, count: int) -> np.ndarray:
        samples = chosen.read(slice(start, start + count))
        if samples.dtype.kind == "c":
            with np.errstate(over="ignore", invalid="ignore"):
                return samples.astype(np.complex64)
        unit = np.ascontiguousarray(to_unit(samples))
        return unit.view(np.complex64)[:, 0] if chosen.is_pairs else unit

    is_complex = chosen.is_complex or chosen.is_pairs
    return [
        Recording(
            path=path,
            name=path.name,
            count=chosen.count,
            sample_rate_hz=options.sample_rate_hz or _rate_hz(variables),
            center_hz=0.0,
            annotations=(),
            frame_length=None,
            samples_per_symbol=None,
            read=checked(read, chosen.count, str(path), is_complex=is_complex),
            metadata=None,
        )
    ]


def _chosen(path: Path, variables: Mapping[str, Variable]) -> Variable:
    """The first kind of which there is a variable decides: complex, pairs, real."""
    vectors = [one for one in variables.values() if one.is_vector]
    kinds = (
        [one for one in vectors if one.is_complex],
        [one for one in variables.values() if one.is_pairs],
        [one for one in vectors if not one.is_complex],
    )
    for candidates in kinds:
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(f"{one.name} {_shape(one)}" for one in candidates)
            raise ValueError(
                f"{path} holds several signals, {names}; it must hold {LAYOUT}: save the one that "
                "you mean in a file of its own"
            )
    names = ", ".join(f"{one.name} {_shape(one)}" for one in variables.values())
    raise ValueError(
        f"{path} holds no signal but {names or 'no numbers'}; it must hold {LAYOUT}: save it so"
    )


def _shape(variable: Variable) -> str:
    return "x".join(str(size) for size in variable.shape)


def _rate_hz(variables: Mapping[str, Variable]) -> float | None:
    """A number that is called a sample rate; None where there is none."""
    for name, variable in variables.items():
        if name.lower() in RATE_NAMES and variable.shape == (1, 1):
            rate_hz = float(variable.read(slice(0, 1)).ravel()[0].real)
            if np.isfinite(rate_hz) and rate_hz > 0:
                return rate_hz
    return None


def _variables_5(path: Path) -> dict[str, Variable]:
    """Of version 5, which is that of -v6 and -v7."""
    file = of_file(path)
    try:
        if not file.read(0, len(SIGNATURE)).startswith(SIGNATURE):
            raise ValueError("it is of no version from 5 on, or damaged")
        found = {array.name: _variable_5(array) for array in mat5.arrays(file)}
    except (ValueError, zlib.error) as error:
        reason = in_one_line(error).removeprefix(f"{path} ")
        raise ValueError(
            f"{path} cannot be read as .mat ({reason}): copy it again, or save it with -v7.3"
        ) from None
    return found


def _variable_5(array: mat5.Array) -> Variable:
    count, columns = max(array.shape, default=0), array.shape[-1:]

    def read(wanted: slice) -> np.ndarray:
        start, samples = wanted.start, wanted.stop - wanted.start
        if min(array.shape) == 1:
            return array.read(start, samples)
        if columns == (2,):
            both = [array.read(first + start, samples) for first in (0, count)]
            return np.stack(both, axis=-1)  # (samples, 2)
        return array.read(2 * start, 2 * samples).reshape(-1, 2)

    return Variable(array.name, array.shape, len(array.parts) == 2, read)


def _variables_7(path: Path) -> dict[str, Variable]:
    """Of version 7.3: only what is asked for is read."""
    found: dict[str, Variable] = {}
    try:
        with hdf5.open_file(path) as file, hdf5.looking_at(file):
            for name in file:
                # MATLAB keeps the contents of cells and objects under names that begin so.
                dataset = None if name.startswith("#") else file.get(name)
                if isinstance(dataset, h5py.Dataset) and dataset.ndim == 2 and dataset.size:
                    variable = _variable_7(path, name, dataset)
                    if variable is not None:
                        found[name] = variable
    except hdf5.DamagedError as error:
        raise ValueError(f"{path} cannot be read as .mat: {error}; copy it again") from None
    return found


def _variable_7(path: Path, name: str, dataset: h5py.Dataset) -> Variable | None:
    """A dataset as a variable; None where it holds no numbers."""
    is_complex = dataset.dtype.names == ("real", "imag")
    kind = dataset.attrs.get("MATLAB_class", b"")
    is_numeric = not kind or bytes(kind).decode("ascii", "replace") in NUMERIC
    if not is_numeric or not (is_complex or dataset.dtype.kind in "iuf"):
        return None
    rows_first = dataset.shape[0] >= dataset.shape[1]

    def read(wanted: slice) -> np.ndarray:
        with hdf5.open_file(path) as file:
            stored = file[name]
            # (longer, 1 or 2)
            samples = stored[wanted] if rows_first else stored[:, wanted].T
        if is_complex:
            samples = joined(samples["real"], samples["imag"])
        return samples[:, 0] if samples.shape[1] == 1 else samples

    # HDF5 counts dimensions the other way round.
    return Variable(name, dataset.shape[::-1], is_complex, read)
