"""Shards come back as they were written, without being loaded, and say so when they are damaged."""

import errno
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pisces.core import shards
from pisces.core.seeding import generator

CELL = shards.Cell("16QAM", -4)


@pytest.fixture
def written(tmp_path):
    """A shard filled in two goes, and what went in."""
    rng = generator(1, "test shards")
    iq, row = rng.normal(size=(50, 16, 2)).astype(np.float32), np.arange(100, 150)
    path = CELL.path(tmp_path)
    shard = shards.create(
        path,
        {"iq": (iq.shape, iq.dtype), "row": (row.shape, ">i8")},
        {"modulation": "16QAM", "snr_db": -4},
    )
    shards.write(shard, 20, {"iq": iq[20:], "row": row[20:]})
    shards.write(shard, 0, {"iq": iq[:20], "row": row[:20]})
    return path, iq, row


def test_round_trip_in_any_order_of_writing(written):
    path, iq, row = written
    assert np.array_equal(shards.array(path, "iq"), iq)
    assert np.array_equal(shards.array(path, "row"), row)
    assert shards.attributes(path) == {"modulation": "16QAM", "snr_db": -4}
    assert isinstance(shards.attributes(path)["snr_db"], int)


def test_read_as_plain_hdf5(written):
    path, iq, _ = written
    with h5py.File(path) as file:
        assert np.array_equal(file["iq"][:], iq)


def test_array_is_a_little_endian_map_of_its_own(written):
    path, iq, _ = written
    for name, dtype in (("iq", "<f4"), ("row", "<i8")):
        mapped = shards.array(path, name)
        assert isinstance(mapped, np.memmap)
        assert mapped.dtype == np.dtype(dtype)
        mapped[:] = 0
    assert np.array_equal(shards.array(path, "iq"), iq)


def test_cut_off_shard_is_refused(written):
    path, _, _ = written
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(
        ValueError, match=r"SNR_-4.h5 is (not a readable HDF5 file|cut off).*dvc repro --force"
    ):
        shards.array(path, "iq")


def test_save_is_create_and_write(written, tmp_path):
    path, iq, row = written
    shards.save(tmp_path / "saved.h5", {"iq": iq, "row": row}, shards.attributes(path))
    assert (tmp_path / "saved.h5").read_bytes() == path.read_bytes()


def test_write_goes_through_a_big_endian_and_a_strided_array(tmp_path):
    values = np.arange(12.0).reshape(4, 3)
    shards.save(tmp_path / "odd.h5", {"a": values.astype(">f8"), "b": values[:, ::-1]}, {})
    assert np.array_equal(shards.array(tmp_path / "odd.h5", "a"), values)
    assert np.array_equal(shards.array(tmp_path / "odd.h5", "b"), values[:, ::-1])


def test_missing_shard_and_dataset(written):
    path, _, _ = written
    with pytest.raises(FileNotFoundError, match=r"SNR_6.h5 does not exist; make it with dvc repro"):
        shards.array(path.with_name("SNR_6.h5"), "iq")
    with pytest.raises(ValueError, match="holds no dataset 'bins' but iq, row"):
        shards.array(path, "bins")


def test_cells_of_a_directory(tmp_path):
    made = {shards.Cell("QPSK", 10), shards.Cell("QPSK", -4), shards.Cell("AM-SSB-WC", 0)}
    for cell in made:
        shards.create(cell.path(tmp_path), {}, {})
    assert shards.cells(tmp_path) == sorted(made)
    with pytest.raises(FileNotFoundError, match="holds no shards"):
        shards.cells(tmp_path / "QPSK")


def test_levels_of_amplitude_shift_keying_are_read_from_the_shards(tmp_path):
    path = shards.Cell("4ASK", 10).path(tmp_path)
    shards.save(path, {"row": np.arange(2)}, {})
    assert shards.ask(tmp_path) == "bipolar"

    shards.set_attributes(tmp_path, {"ask": "unipolar"})
    assert shards.ask(tmp_path) == "unipolar"

    shards.set_attributes(tmp_path, {"ask": "mixed"})
    with pytest.raises(ValueError, match=r"SNR_10.h5: ask = 'mixed' .* bipolar, unipolar"):
        shards.ask(tmp_path)


def test_what_the_system_says_is_no_damage(written, monkeypatch):
    path, _, _ = written

    def refused(*_, **__):
        raise OSError(errno.ENOLCK, "unable to lock file, errno = 37")

    monkeypatch.setattr(h5py, "File", refused)
    for opening in (lambda: shards.array(path, "iq"), lambda: shards.attributes(path)):
        with pytest.raises(OSError, match=r"SNR_-4.h5 cannot be opened: .*LOCKING") as raised:
            opening()
        assert "make it again" not in str(raised.value)


def test_a_shard_that_another_process_writes(written):
    path, _, _ = written
    code = f"import h5py; f = h5py.File({str(path)!r}, 'r+'); print(1, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        other.stdout.readline()
        with pytest.raises(OSError, match=r"SNR_-4.h5 cannot be opened: another process has it"):
            shards.array(path, "iq")
        other.communicate(b"\n")
    assert len(shards.array(path, "iq"))


def test_a_group_in_place_of_a_dataset(tmp_path):
    with h5py.File(tmp_path / "SNR_0.h5", "w") as file:
        file.create_group("iq")
    with pytest.raises(ValueError, match=r"SNR_0.h5 holds no dataset 'iq' but iq; make it again"):
        shards.array(tmp_path / "SNR_0.h5", "iq")
