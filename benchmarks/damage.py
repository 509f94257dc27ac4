"""What a bad input is, and ways to damage a file of the pipeline, for `benchmarks.bad_inputs`."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import safetensors.torch
import torch

from pisces.config.presets import merged
from pisces.core import yaml

Spoil = Callable[[Path], None]
"""Damages the file at a path."""


class Case(NamedTuple):
    """One bad input."""

    file: str
    """Path of what is damaged; empty where it is a variable or an argument."""
    what: str
    """In words."""
    spoil: Spoil
    command: tuple[str, ...]
    """The stage or command that reads it."""
    named: str
    """What the answer must name: the file, the key or the variable."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.file or self.named}, {self.what}, {' '.join(self.command)}"


def of_file(
    path: Path | str, command: str, named: str | None = None, **ways: Spoil
) -> Iterator[Case]:
    """Cases of one file; the name of each way is its words, with underscores.

    Args:
        path: of the file.
        command: what reads it.
        named: what the answer must name, where it is not the path.
        ways: words -> how it is damaged.
    """
    for words, spoil in ways.items():
        what = words if " " in words else words.replace("_", " ")
        yield Case(str(path), what, spoil, tuple(command.split()), named or str(path))


DEEP = 100_000 * "[" + 100_000 * "]"
"""JSON, and YAML, of 100 000 levels."""

WEIGHTS, CARD = Path("models/model.safetensors"), Path("models/model.json")


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xfe no such file \x00" * 50)


def truncated(path: Path) -> None:
    """Leaves the first half; of a table without the line that is cut but for its first value."""
    content = path.read_bytes()
    half = content[: len(content) // 2]
    if path.suffix == ".csv":
        begun = half.rindex(b"\n") + 1
        half = content[: content.index(b",", begun)]
    path.write_bytes(half)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BYTES: dict[str, Spoil] = {
    "missing": missing,
    "empty": empty,
    "garbage": garbage,
    "truncated": truncated,
    "a folder": a_folder,
}
"""What can befall any file."""


def written(text: str) -> Spoil:
    """Puts a text in the place of the file."""

    def spoil(path: Path) -> None:
        path.write_text(text)

    return spoil


def replaced(old: str, new: str) -> Spoil:
    """Exchanges a part of a text file."""

    def spoil(path: Path) -> None:
        text = path.read_text()
        assert old in text, f"{path} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    return spoil


def keys(changes: Mapping[str, Any]) -> Spoil:
    """Changes values of a JSON file, nested ones key by key."""

    def spoil(path: Path) -> None:
        path.write_text(json.dumps(merged(json.loads(path.read_text()), changes)))

    return spoil


def without_key(key: str) -> Spoil:
    """Removes a key of a JSON file."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))

    return spoil


def params(changes: Mapping[str, Any]) -> Spoil:
    """Changes values of params.yaml, which it writes as JSON, a part of YAML."""

    def spoil(path: Path) -> None:
        path.write_text(json.dumps(merged(yaml.read(path), changes)))

    return spoil


def arrays(change: Callable[[dict[str, np.ndarray]], Any], pickled: bool = False) -> Spoil:
    """Changes the arrays of an .npz file in place."""

    def spoil(path: Path) -> None:
        with np.load(path) as file:
            content = dict(file)
        change(content)
        np.savez_compressed(path, allow_pickle=pickled, **content)

    return spoil


def without_array(name: str) -> Spoil:
    """Removes an array of an .npz file."""
    return arrays(lambda content: content.pop(name))


def array_is(name: str, value: Any) -> Spoil:
    """Puts another array, or what `value` makes of the old one, into an .npz file."""

    def change(content: dict[str, np.ndarray]) -> None:
        content[name] = value(content[name]) if callable(value) else np.asarray(value)

    return arrays(change, pickled=True)


def cell_is(column: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    """An index (n, 3) whose first frame has another modulation, SNR or row."""

    def change(index: np.ndarray) -> np.ndarray:
        index[0, column] = value
        return index

    return change


def first_again(index: np.ndarray) -> np.ndarray:
    """An index (n, 3) whose second frame is its first."""
    index[1] = index[0]
    return index


def hdf5(change: Callable[[h5py.File], Any]) -> Spoil:
    """Changes an HDF5 file in place."""

    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def without_dataset(name: str) -> Spoil:
    """Removes a dataset of an HDF5 file."""
    return hdf5(lambda file: file.pop(name))


def dataset_is(name: str, value: Any) -> Spoil:
    """Puts another dataset, or what `value` makes of the old one, into an HDF5 file."""

    def change(file: h5py.File) -> None:
        new = value(file[name][()]) if callable(value) else value
        del file[name]
        file[name] = new

    return hdf5(change)


def attribute_is(name: str, value: Any) -> Spoil:
    """Sets an attribute of an HDF5 file; None removes it."""

    def change(file: h5py.File) -> None:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value

    return hdf5(change)


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Spoil:
    """Changes tensors of a model file, and its card with them."""

    def spoil(path: Path) -> None:
        state = safetensors.torch.load_file(path)
        change(state)
        safetensors.torch.save_file(state, path)
        _adopt(path)

    return spoil


def weights_bytes(content: Callable[[bytes], bytes]) -> Spoil:
    """Changes the bytes of a model file, and its card with them."""

    def spoil(path: Path) -> None:
        path.write_bytes(content(path.read_bytes()))
        _adopt(path)

    return spoil


def one_weight(value: float) -> Spoil:
    """Sets one number of a model."""

    def change(state: dict[str, torch.Tensor]) -> None:
        name = next(key for key, tensor in state.items() if tensor.is_floating_point())
        state[name].view(-1)[0] = value

    return weights(change)


def _adopt(path: Path) -> None:
    """Lets the card describe the weights as they are."""
    digest = hashlib.sha256(hashlib.sha256(path.read_bytes()).digest()).hexdigest()
    keys({"weights_sha256": digest})(path.parent / CARD.name)
