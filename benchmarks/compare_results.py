"""What changed between the results of two checkouts: python -m benchmarks.compare_results OLD NEW

Compares `metrics/*.json`, `plots/*.csv`, `data/*.npz` and `models/model.json` value by value, and
says which keys, columns and arrays came, went or changed, with the largest absolute difference. It
says nothing of what is equal. A change of content is shown with it, and one that should change
nothing is checked: it ends with status 1 when there is any difference.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pisces.config.presets import leaves

PATTERNS = ("metrics/*.json", "plots/*.csv", "data/*.npz", "models/model.json")


def differences(old: Path, new: Path) -> Iterator[str]:
    """A line for everything that is not the same in the results of two checkouts."""
    names = {
        str(path.relative_to(root))
        for root in (old, new)
        for pattern in PATTERNS
        for path in root.glob(pattern)
    }
    for name in sorted(names):
        before, after = old / name, new / name
        if not after.exists():
            yield f"{name}: removed"
        elif not before.exists():
            yield f"{name}: added"
        else:
            for line in _changes(_values(before), _values(after)):
                yield f"{name}: {line}"


def _values(path: Path) -> dict[str, np.ndarray]:
    """Everything in a file by the name of its key, column or array."""
    match path.suffix:
        case ".json":
            content = json.loads(path.read_text())
            return {name: np.asarray(value) for name, value in leaves(content)}
        case ".csv":
            table = pd.read_csv(path)
            return {str(name): table[name].to_numpy() for name in table}
        case ".npz":
            with np.load(path) as file:
                return dict(file)
    raise ValueError(f"{path} is no .json, .csv or .npz")


def _changes(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> Iterator[str]:
    for name in sorted(old.keys() - new.keys()):
        yield f"{name} removed"
    for name in sorted(new.keys() - old.keys()):
        yield f"{name} added"
    for name in sorted(old.keys() & new.keys()):
        change = _change(old[name], new[name])
        if change:
            yield f"{name} {change}"


def _change(old: np.ndarray, new: np.ndarray) -> str:
    """In words, how values differ; empty where they are equal, NaN counting as itself."""
    if old.shape != new.shape:
        return f"has shape {new.shape}, had {old.shape}"

    if not (_is_numeric(old) and _is_numeric(new)):
        pairs = zip(old.ravel().tolist(), new.ravel().tolist(), strict=True)
        differ = np.array([str(before) != str(after) for before, after in pairs], bool)
        if not differ.any():
            return _new_type(old, new)
        return _single(old, new) or f"differs in {differ.sum()} of {old.size} values"

    before, after = old.astype(float), new.astype(float)
    differ = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    if not differ.any():
        return _new_type(old, new)
    if old.size == 1:
        return _single(old, new)
    appeared = np.isnan(before[differ]) != np.isnan(after[differ])
    gaps = f", {appeared.sum()} of them from or to NaN" if appeared.any() else ""
    sizes = np.abs(after - before)[differ]
    largest = f"{np.nanmax(sizes):.3g}" if not appeared.all() else "undefined"
    return (
        f"differs in {differ.sum()} of {old.size} values{gaps}, "
        f"largest absolute difference {largest}"
    )


def _is_numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf"


def _new_type(old: np.ndarray, new: np.ndarray) -> str:
    return "" if old.dtype.kind == new.dtype.kind else f"is {new.dtype}, was {old.dtype}"


def _single(old: np.ndarray, new: np.ndarray) -> str:
    return f"is {new.item()}, was {old.item()}" if old.size == 1 else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="checkout with the former results")
    parser.add_argument("new", type=Path, help="checkout with the new ones")
    options = parser.parse_args(arguments)
    for root in (options.old, options.new):
        if not root.is_dir():
            parser.error(f"{root} is no directory; name a checkout with metrics/, plots/ and data/")

    lines = list(differences(options.old, options.new))
    print("\n".join(lines) or "no result differs")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
