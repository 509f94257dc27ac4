"""Reader of `.npy`: complex samples, pairs of I and Q, real ones, or frames of any of these."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pisces.core.texts import in_one_line
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.datatype import to_unit
from pisces.sources.recordings.fields import Fields, parsed
from pisces.sources.recordings.samples import checked

SIGNATURE = b"\x93NUMPY"
HOLDS_OBJECTS = "Python objects"
"""What NumPy says of an array that it would have to unpickle."""
NUMBERS = "iufc"
"""Kinds of NumPy's types that are read."""
LAYOUTS = (
    "complex (n,), real (n, 2), real (n,) as a pass band, or frames: complex (n, samples), "
    "real (n, samples, 2)"
)
MOST_BESIDE = 2**20
"""Bytes of the JSON beside an array."""


class Layout(NamedTuple):
    """How an array holds samples."""

    is_complex: bool
    """Whether what is read of it is; real samples are made analytic."""
    frame_length: int | None
    samples: int


def is_numpy(path: Path, head: bytes, _options: Options) -> bool:
    """Whether a file is an array of NumPy's."""
    return head.startswith(SIGNATURE) or path.suffix.lower() == ".npy"


def open_numpy(path: Path, options: Options) -> list[Recording]:
    """The samples of an array, which stays on the disk.

    A JSON of the same name beside it may say `samples_per_symbol` and `sample_rate` (hertz).

    Raises:
        ValueError: when it holds objects, or is of another shape or type.
    """
    array = _mapped(path)
    if array.dtype.kind not in NUMBERS:
        raise ValueError(
            f"{path} holds {_described(array.dtype)}; it must hold numbers, {LAYOUTS}: save them "
            "as such"
        )
    layout = _layout(path, array)

    def read(start: int, count: int) -> np.ndarray:
        # Opened anew, so that pages read before do not stay in memory.
        return _samples(_mapped(path), layout, start, count)

    beside = _beside(path)
    rate_hz = beside.positive("sample_rate") or beside.positive("sample_rate_hz")
    return [
        Recording(
            path=path,
            name=path.name,
            count=layout.samples,
            sample_rate_hz=options.sample_rate_hz or rate_hz,
            center_hz=0.0,
            annotations=(),
            frame_length=layout.frame_length,
            samples_per_symbol=beside.positive("samples_per_symbol"),
            read=checked(read, layout.samples, str(path), is_complex=layout.is_complex),
            metadata=None,
        )
    ]


def _mapped(path: Path) -> np.ndarray:
    """The array as a memory map."""
    try:
        # Unlike np.load, it does not take whatever it does not know for a pickle.
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # the header is Python, which can be wrong in as many ways
        if HOLDS_OBJECTS in str(error):
            raise ValueError(
                f"{path} holds Python objects as a pickle, which could run code and is not read; "
                f"it must hold {LAYOUTS}: save it again with such a type"
            ) from None
        raise ValueError(
            f"{path} cannot be read as .npy ({in_one_line(error, 200)}): copy or save it again"
        ) from None


def _described(dtype: np.dtype[Any]) -> str:
    return "records" if dtype.names else f"the type {dtype}"


def _layout(path: Path, array: np.ndarray) -> Layout:
    shape, is_complex = array.shape, array.dtype.kind == "c"
    per_sample = shape if is_complex else shape[:-1]
    is_pairs = not is_complex and array.ndim >= 2 and shape[-1] == 2
    is_real = not is_complex and array.ndim == 1
    if is_real:
        layout = Layout(False, None, len(array))
    elif (is_complex or is_pairs) and len(per_sample) == 1:
        layout = Layout(True, None, per_sample[0])
    elif (is_complex or is_pairs) and len(per_sample) == 2:
        layout = Layout(True, per_sample[1], per_sample[0] * per_sample[1])
    else:
        raise ValueError(
            f"{path} has shape {shape} of {array.dtype}; it must be {LAYOUTS}: transpose or "
            "reshape it"
        )
    if layout.samples == 0:
        raise ValueError(f"{path} has shape {shape}, no samples: save it again")
    return layout


def _samples(array: np.ndarray, layout: Layout, start: int, count: int) -> np.ndarray:
    """Consecutive samples, those of a frame after those of the frame before."""
    if layout.frame_length is not None:
        first = start // layout.frame_length
        last = -(-(start + count) // layout.frame_length)
        frames = array[first:last]
        samples = frames.reshape(-1, *frames.shape[2:])  # (n, samples, ...) -> (n * samples, ...)
        skipped = start - first * layout.frame_length
        return _as_complex(np.array(samples[skipped : skipped + count]))

    samples = np.asarray(array[start : start + count])
    return _as_complex(samples) if layout.is_complex else to_unit(samples)


def _as_complex(samples: np.ndarray) -> np.ndarray:
    """Complex64 (n,) from complex (n,) or numbers (n, 2)."""
    if samples.dtype.kind == "c":
        with np.errstate(over="ignore", invalid="ignore"):
            return samples.astype(np.complex64)
    return np.ascontiguousarray(to_unit(samples)).view(np.complex64)[:, 0]


def _beside(path: Path) -> Fields:
    """The JSON beside an array; empty where there is none."""
    beside = path.with_suffix(".json")
    if not beside.is_file() or beside.stat().st_size > MOST_BESIDE:
        return Fields({}, str(beside))
    return parsed(beside.read_bytes(), str(beside))
