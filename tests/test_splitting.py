"""Every joint class is split by itself, at random, in the same shares, the same way every time."""

import shutil

import numpy as np
import pytest

from pisces.core.seeding import generator
from pisces.data import splitting
from pisces.data.splitting import (
    PARTS,
    first_of_each_cell,
    part_sizes,
    read_splits,
    split,
    unused,
    verify,
    write_splits,
)
from tests.conftest import FRAMES, MODULATIONS, SNRS_DB

SIZES = np.full((3, 3), FRAMES)
RATIOS, NUMBERS = (0.7, 0.15, 0.15), (9, 4, 2)


@pytest.fixture(scope="module")
def parts(constellations):
    return split(constellations, RATIOS, 1)


def by_cell(root, parts) -> dict[tuple[str, int], list[list[int]]]:
    """(modulation, SNR in dB) -> shard rows of each part."""
    modulations, snrs_db = splitting.shards.grid(root)
    return {
        (modulation, snr_db): [
            parts[part][(parts[part][:, 0] == m) & (parts[part][:, 1] == s), 2].tolist()
            for part in PARTS
        ]
        for m, modulation in enumerate(modulations)
        for s, snr_db in enumerate(snrs_db)
    }


def test_each_cell_is_shared_out_whole_in_the_ratios(constellations, parts):
    assert all(rows.dtype == np.int64 for rows in parts.values())
    cells = by_cell(constellations, parts)
    assert list(cells) == [(m, s) for m in MODULATIONS for s in SNRS_DB]
    for rows in cells.values():
        assert [len(part) for part in rows] == [14, 3, 3]
        assert sorted(row for part in rows for row in part) == list(range(FRAMES))


def test_numbers_take_so_many_of_each_cell_by_chance_and_leave_the_others(constellations, parts):
    numbered = split(constellations, NUMBERS, 1)
    cells = by_cell(constellations, numbered)
    for rows in cells.values():
        assert [len(part) for part in rows] == list(NUMBERS)
        assert len({row for part in rows for row in part}) == sum(NUMBERS)
    # Of 15504 sets of 15 out of 20, nine cells draw two equal ones, or the first 15, in 3 of a
    # thousand seeds.
    taken = {frozenset(row for part in rows for row in part) for rows in cells.values()}
    assert len(taken) == len(cells)
    assert frozenset(range(15)) not in taken
    assert (unused(constellations, numbered), unused(constellations, parts)) == (9 * 5, 0)
    assert verify(numbered) | {"sha256": ""} == {
        "joint_classes": 9,
        "train": 81,
        "validation": 36,
        "test": 18,
        "sha256": "",
    }


def test_numbers_that_take_all_are_the_ratios_that_do(constellations, parts):
    numbered = split(constellations, (14, 3, 3), 1)
    assert all(np.array_equal(numbered[part], parts[part]) for part in PARTS)


def test_a_cell_with_fewer_frames_than_asked_for_is_named(constellations):
    message = (
        r"4ASK/SNR_-10.h5 has 20 .*stratify.train.* = 15/3/3 takes 21; lower .*frames_per_cell"
    )
    with pytest.raises(ValueError, match=message):
        split(constellations, (15, 3, 3), 1)


def test_who_goes_where_is_random_and_differs_from_cell_to_cell(constellations, parts):
    tests = [tuple(rows[2]) for rows in by_cell(constellations, parts).values()]
    # Of 1140 sets of 3 out of 20, nine cells draw two equal ones in 3 % of the seeds.
    assert len(set(tests)) == len(tests)
    assert (FRAMES - 3, FRAMES - 2, FRAMES - 1) not in tests


@pytest.mark.parametrize("ratios", [(0.8, 0.1, 0.1), RATIOS, (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)])
def test_sizes_are_the_ratios_within_rounding(ratios):
    for n in range(10, 400):
        sizes = part_sizes(n, ratios)
        assert sum(sizes) == n
        for size, ratio, slack in zip(sizes, ratios, (1, 0.5, 0.5), strict=True):
            assert abs(size - n * ratio) <= slack + 1e-9


@pytest.mark.parametrize("shares", [RATIOS, NUMBERS])
def test_another_modulation_or_snr_moves_no_frame_of_the_old_cells(
    constellations, shares, tmp_path
):
    before = by_cell(constellations, split(constellations, shares, 1))
    for name in ("QPSK", f"SNR_{SNRS_DB[0]}.h5"):
        fewer = shutil.copytree(
            constellations, tmp_path / name, ignore=shutil.ignore_patterns(name)
        )
        cells = by_cell(fewer, split(fewer, shares, 1))
        assert len(cells) == 6
        assert cells == {cell: before[cell] for cell in cells}


def test_too_small_a_cell_is_named_with_what_to_change(constellations):
    setting = r"stratify.train/validation/test = 0.97/0.02/0.01"
    message = rf"4ASK/SNR_-10.h5 has 20 .*{setting} splits into 20/0/0; .*frames_per_cell"
    with pytest.raises(ValueError, match=message):
        split(constellations, (0.97, 0.02, 0.01), 1)
    assert part_sizes(10, (0.8, 0.1, 0.1)) == (8, 1, 1)
    with pytest.raises(
        ValueError, match=r"4 frames, .* splits into 4/0/0; every part needs at least one"
    ):
        part_sizes(4, (0.8, 0.1, 0.1))


def test_checksum_is_that_of_the_seed(constellations, parts):
    counts = {"joint_classes": 9, "train": 126, "validation": 27, "test": 27}
    first, again, other = (verify(split(constellations, RATIOS, seed)) for seed in (1, 1, 2))
    assert first == verify(parts) == again == counts | {"sha256": first["sha256"]}
    assert other == counts | {"sha256": other["sha256"]}
    assert other["sha256"] != first["sha256"]


def test_verify_finds_a_shared_frame_and_a_missing_class(parts):
    with pytest.raises(ValueError, match="a frame is in two parts"):
        verify(parts | {"validation": np.concatenate([parts["validation"], parts["train"][:1]])})
    with pytest.raises(ValueError, match="the test part holds 8 of 9 joint classes"):
        verify(parts | {"test": parts["test"][3:]})


def test_round_trip_is_the_same_bytes_twice(parts, tmp_path):
    for name in ("a.npz", "b.npz"):
        write_splits(tmp_path / name, parts)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = read_splits(tmp_path / "a.npz", SIZES)
    assert list(read) == list(PARTS)
    assert all(np.array_equal(read[part], parts[part]) for part in PARTS)


def test_no_splits(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"splits.npz does not exist; make it with dvc repro stratify"
    ):
        read_splits(tmp_path / "splits.npz", SIZES)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda parts: parts["test"].__setitem__((0, 2), FRAMES), "part test, it names row 20"),
        (lambda parts: parts["train"].__setitem__((0, 0), -1), "part train, .* modulation -1"),
        (lambda parts: parts.update(test=parts["test"][:3]), "part test holds 1 of 9 joint"),
        (lambda parts: parts.update(test=parts["train"]), "a frame is in it twice"),
        (lambda parts: parts.pop("validation"), "it lacks validation"),
        (lambda parts: parts.update(test=parts["test"] / 2), "part test, frames are float64"),
    ],
)
def test_splits_of_other_frames_are_refused(parts, tmp_path, damage, message):
    changed = {part: index.copy() for part, index in parts.items()}
    damage(changed)
    write_splits(tmp_path / "splits.npz", changed)
    with pytest.raises(ValueError, match=rf"splits.npz .*{message}.*dvc repro --force stratify"):
        read_splits(tmp_path / "splits.npz", SIZES)


def test_first_of_each_cell():
    index = np.array([[0, 1, 9], [0, 0, 4], [0, 1, 2], [1, 0, 7], [0, 1, 5], [0, 0, 3]])
    assert first_of_each_cell(index, 1).tolist() == [[0, 1, 9], [0, 0, 4], [1, 0, 7]]
    assert first_of_each_cell(index, 2).tolist() == [
        [0, 1, 9],
        [0, 0, 4],
        [0, 1, 2],
        [1, 0, 7],
        [0, 0, 3],
    ]
    assert (
        first_of_each_cell(index, 3).tolist()
        == first_of_each_cell(index, None).tolist()
        == index.tolist()
    )


def test_first_of_each_cell_against_a_loop():
    index = generator(1, "test first").integers(0, 4, (200, 3))
    seen: dict[tuple, int] = {}
    kept = []
    for row in index.tolist():
        seen[tuple(row[:2])] = seen.get(tuple(row[:2]), 0) + 1
        if seen[tuple(row[:2])] <= 5:
            kept.append(row)
    assert first_of_each_cell(index, 5).tolist() == kept
