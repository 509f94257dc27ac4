"""Labels that do not follow the measured SNR are named as such, and right ones never are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pisces.core.modulations import MODULATIONS
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.sources import rml2016, rml2018, sharding
from pisces.sources.settings import Selection
from pisces.sources.snr_order import FRAMES_SAMPLED, sample_of, what_is_amiss
from pisces.sources.synthesis import synthesize_cell
from tests.physics import TEXTBOOK

NAMES, LABELS, FRAMES = ("BPSK", "QPSK", "8PSK", "16QAM"), (-8, 0, 8, 16, 24), 24


def plain(cell: Cell) -> np.ndarray:
    """Complex frames (n, samples) of a cell."""
    return synthesize_cell(*cell, range(FRAMES), TEXTBOOK, seed=1)


def fading(cell: Cell) -> np.ndarray:
    """Frames whose power has Rayleigh fading, in noise that has none."""
    rng = generator(1, "test snr order", *cell)
    clean = plain(Cell(cell.modulation, 60))
    gain = np.sqrt(rng.exponential(size=(FRAMES, 1)))
    noise = rng.normal(size=(2, *clean.shape)) * 10 ** (-cell.snr_db / 20) / np.sqrt(2)
    return gain * clean + noise[0] + 1j * noise[1]


def write(path: Path, labels: np.ndarray, frames_of: Callable = plain) -> Path:
    """Frames in the layout of RML2018.01A, class by class and SNR by SNR, with labels (n,)."""
    cells = [Cell(name, snr_db) for name in NAMES for snr_db in LABELS]
    iq = np.concatenate([frames_of(cell) for cell in cells])
    columns = np.repeat([MODULATIONS.index(name) for name in NAMES], len(LABELS) * FRAMES)
    with h5py.File(path, "w") as file:
        file["X"] = np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)
        file["Y"] = np.eye(24, dtype=np.int64)[columns]
        file["Z"] = labels[:, None]
    return path


def right_labels() -> np.ndarray:
    return np.tile(np.repeat(LABELS, FRAMES), len(NAMES))


def shuffled_labels() -> np.ndarray:
    return generator(1, "test snr order").permutation(right_labels())


def selection(path: Path, **changes) -> Selection:
    labels = changes.pop("snrs_db", LABELS)
    return Selection(str(path), "fixed", NAMES, labels, None, **changes)


WRONG = {
    "reversed": (16 - right_labels(), r"labelled -8 measure 24.\d dB .*labelled 24 measure -\d"),
    "shuffled": (shuffled_labels(), r"labelled -8 measure .* \(rank correlation -?0.[01]"),
    "all 30": (0 * right_labels() + 30, r"all frames are labelled 30, .* measure from -\d"),
    "all -20": (0 * right_labels() - 20, r"all frames are labelled -20, .* measure from -\d"),
}


@pytest.mark.parametrize(("labels", "says"), WRONG.values(), ids=WRONG)
def test_wrong_labels_are_named_and_not_the_class_order(tmp_path, labels, says):
    path = write(tmp_path / "x.h5", labels)
    match = rf"the SNR labels of .*x.h5 do not follow the measured SNR: .*{says}"
    with pytest.raises(ValueError, match=match) as raised:
        sharding.split(selection(path, snrs_db=tuple(np.unique(labels))), tmp_path / "out")
    assert "class_order" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_wrong_labels_that_are_forced_are_taken(tmp_path):
    path = write(tmp_path / "x.h5", shuffled_labels())
    settings = selection(path, snr_label="power", snr_label_forced=True)
    found = sharding.split(settings, tmp_path / "out")
    assert found.details["kept"]["frames"] == len(NAMES) * len(LABELS) * FRAMES


@pytest.mark.parametrize("frames_of", [plain, fading])
def test_right_labels_are_never_doubted(tmp_path, frames_of):
    path = write(tmp_path / "x.h5", right_labels(), frames_of)
    with rml2018.open_source(path, "fixed") as source:
        assert source.snr_amiss == ""


@pytest.mark.parametrize("labels", [(8,), (-20, -18, -16), (0, 2)])
def test_labels_that_promise_no_order_are_not_doubted(labels):
    """One SNR, SNRs that no frame shows, and SNRs that lie closer than fading makes them."""
    cells = [Cell(name, snr_db) for name in NAMES for snr_db in labels]
    iq = np.concatenate([fading(cell) for cell in cells])
    frames = np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)
    rows = np.arange(len(frames)).reshape(len(cells), FRAMES)
    sample = sample_of(dict(zip(cells, rows, strict=True)), lambda row: frames[[row]])
    assert what_is_amiss(sample) == ""


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_pickle_is_judged_as_well(tmp_path, is_reversed):
    arrays = {}
    for snr_db in LABELS:
        iq = plain(Cell("QPSK", snr_db))
        label = 16 - snr_db if is_reversed else snr_db
        arrays[Cell("QPSK", label)] = np.stack([iq.real, iq.imag], axis=1).astype(np.float32)
    rml2016.write(tmp_path / "x.pkl", arrays)
    settings = replace(selection(tmp_path / "x.pkl"), modulations=("QPSK",))
    if not is_reversed:
        sharding.split(settings, tmp_path / "out")
        return
    with pytest.raises(ValueError, match=r"SNR labels of .*x.pkl do not .* correlation -0.9"):
        sharding.split(settings, tmp_path / "out")


def test_damaged_and_unusable_frames_are_left_out_and_few_are_read():
    rows = {(0, 0): np.arange(2000), (0, 10): np.arange(2000, 4000)}
    read: list[int] = []

    def read_row(row: int) -> np.ndarray:
        read.append(row)
        if row % 2:
            raise OSError("damaged")
        return np.full((1, 64, 2), np.nan if row % 4 else 1, np.float32)

    sample = sample_of(rows, read_row)
    assert read == sorted(set(read))
    assert len(read) == FRAMES_SAMPLED
    assert 0 < len(sample.label) == len([row for row in read if row % 4 == 0])
    assert what_is_amiss(sample) == ""
    assert what_is_amiss(sample_of(rows, lambda _: np.zeros((1, 64, 2), np.float32))) == ""
