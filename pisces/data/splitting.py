"""Train, validation and test parts, stratified on the joint class of modulation and SNR.

Every cell is split by itself, in the same shares.
"""

import hashlib
from pathlib import Path

import numpy as np

from pisces.core import shards
from pisces.core.files import write_npz
from pisces.core.reading import check_index, damaged, read_npz
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.core.texts import counted

PARTS = ("train", "validation", "test")
Shares = tuple[float, float, float] | tuple[int, int, int]
"""Of train, validation and test: ratios that sum to 1, or numbers of frames a cell."""


def split(root: Path, shares: Shares, seed: int) -> dict[str, np.ndarray]:
    """Which frames belong to which part.

    Ratios take every frame, numbers as many as they say and by chance. Each cell is permuted by a
    generator of its own, so a further modulation or SNR moves no frame of another cell from part to
    part. (scikit-learn's stratified splits draw all cells from one stream and lack that.)

    Args:
        root: directory of shards.
        shares: of each cell.
        seed: of the permutations.

    Returns:
        Part -> int64 (n, 3): modulation index, SNR index, row in the shard, in that order.

    Raises:
        ValueError: for a cell too small to give each part a frame, or its number of them.
    """
    modulations, snrs_db = shards.grid(root)
    parts: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for m, modulation in enumerate(modulations):
        for s, snr_db in enumerate(snrs_db):
            path = Cell(modulation, snr_db).path(root)
            n = len(shards.array(path, "row"))
            *cuts, end = np.cumsum(part_sizes(n, shares, str(path)))

            order = generator(seed, "stratify", modulation, snr_db).permutation(n)
            for part, rows in zip(PARTS, np.split(order[:end], cuts), strict=True):
                cell = np.tile([m, s], (len(rows), 1))
                parts[part].append(np.column_stack([cell, np.sort(rows)]))
    return {part: np.concatenate(blocks).astype(np.int64) for part, blocks in parts.items()}


def part_sizes(
    n: int, shares: Shares, name: str = "the cell", key: str = "data.frames_per_cell"
) -> tuple[int, int, int]:
    """Frames of a cell for train, validation and test.

    Of ratios the last two are rounded, halves up, and train has the rest.

    Args:
        n: frames of the cell.
        shares: as for `split`.
        name: of the cell, for messages.
        key: what decides about its frames, for messages.

    Returns:
        Three numbers.

    Raises:
        ValueError: as `split`.
    """
    given = "/".join(f"{share:g}" for share in shares)
    setting = f"stratify.train/validation/test = {given}"
    if isinstance(shares[0], int):
        taken = sum(shares)
        if taken > n:
            raise ValueError(
                f"{name} has {counted(n, 'frame')}, and {setting} takes {taken}; "
                f"lower the numbers or raise {key}"
            )
        train, validation, test = (int(share) for share in shares)
        return train, validation, test

    validation, test = (int(n * ratio + 0.5) for ratio in shares[1:])
    sizes = (n - validation - test, validation, test)
    if min(sizes) < 1:
        split_into = "/".join(map(str, sizes))
        raise ValueError(
            f"{name} has {counted(n, 'frame')}, which {setting} splits into {split_into}; "
            f"every part needs at least one: raise {key} or the smallest ratio"
        )
    return sizes


def unused(root: Path, parts: dict[str, np.ndarray]) -> int:
    """Frames of the shards in `root` that are in no part."""
    there = sum(len(shards.array(cell.path(root), "row")) for cell in shards.cells(root))
    return there - sum(len(parts[part]) for part in PARTS)


def verify(parts: dict[str, np.ndarray]) -> dict[str, int | str]:
    """Counts and a checksum of parts that share no frame and hold every joint class.

    They are `joint_classes`, the frames of each part, and `sha256` over all parts.

    Raises:
        ValueError: when a frame is in two parts or a joint class is missing from one.
    """
    everything = np.concatenate([parts[part] for part in PARTS])
    frames = np.sort(numbered(everything))
    if (frames[1:] == frames[:-1]).any():
        raise ValueError("a frame is in two parts of the split")

    classes = {part: _joint_classes(parts[part]) for part in PARTS}
    joint = _joint_classes(everything)
    for part, found in classes.items():
        if found != joint:
            raise ValueError(f"the {part} part holds {found} of {joint} joint classes")

    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(np.ascontiguousarray(parts[part]).tobytes())
    counts = {part: len(parts[part]) for part in PARTS}
    return {"joint_classes": joint, **counts, "sha256": digest.hexdigest()}


def _joint_classes(index: np.ndarray) -> int:
    """How many joint classes the frames of an index (n, 3) have."""
    return int(np.count_nonzero(np.bincount(numbered(index[:, :2]))))


def numbered(rows: np.ndarray) -> np.ndarray:
    """One number (n,) for each row of an index (n, columns), in the same order as the rows.

    Equal rows have equal numbers. NumPy sorts these much faster than it sorts whole rows.
    """
    sizes = rows.max(axis=0, initial=0) + 1
    return np.ravel_multi_index(tuple(rows.T), tuple(sizes))


def write_splits(path: Path, parts: dict[str, np.ndarray]) -> None:
    """Writes the parts, for `read_splits`."""
    write_npz(path, parts)


def read_splits(path: Path, sizes: np.ndarray) -> dict[str, np.ndarray]:
    """Part -> int64 (n, 3), as `split` gives; see there.

    Args:
        path: of the file.
        sizes: frames of each cell that are split, int64 (modulations, SNRs).

    Returns:
        The three parts.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, or splits other frames.
    """
    arrays = read_npz(path, "stratify", PARTS)
    parts = {part: arrays[part] for part in PARTS}
    try:
        for part, index in parts.items():
            _check_part(part, index, sizes)
        _check_no_frame_twice(parts, sizes)
    except ValueError as error:
        raise damaged(path, "stratify", str(error)) from None
    return parts


def _check_part(part: str, index: np.ndarray, sizes: np.ndarray) -> None:
    """Raises ValueError unless a part names frames that there are, some of every cell."""
    try:
        check_index(index, sizes)
    except ValueError as error:
        raise ValueError(f"in its part {part}, {error}") from None

    cells = np.unique(np.ravel_multi_index(tuple(index[:, :2].T), sizes.shape))
    if len(cells) != sizes.size:
        raise ValueError(
            f"its part {part} holds {len(cells)} of {sizes.size} joint classes, "
            "so it is of other frames"
        )


def _check_no_frame_twice(parts: dict[str, np.ndarray], sizes: np.ndarray) -> None:
    """Raises ValueError when a frame is in two parts, or twice in one."""
    everything = np.concatenate([parts[part] for part in PARTS])
    grid = (*sizes.shape, int(sizes.max()))
    numbers = np.ravel_multi_index(tuple(everything.T), grid)
    if len(np.unique(numbers)) != len(numbers):
        raise ValueError("a frame is in it twice")


def first_of_each_cell(index: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` frames of each joint class of an index (n, 3), in its order; None: all."""
    if limit is None:
        return index

    cells = numbered(index[:, :2])
    _, cell, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    by_cell = np.argsort(cell, kind="stable")
    first = np.cumsum(sizes) - sizes  # place of the first frame of each cell in `by_cell`

    rank = np.empty(len(index), int)
    rank[by_cell] = np.arange(len(index)) - np.repeat(first, sizes)
    return index[rank < limit]
