"""A file of another stage is read whole, or named in a line with the stage that makes it."""

import numpy as np
import pytest

from pisces.core.reading import check_index, read_csv, read_npz

SIZES = np.array([[3, 2], [1, 4]])
COLUMNS = {"mask": "text", "pis": "number"}
TABLE = "mask,pis,n\n1,0.5,3\n2,,3\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "pis.csv"
    path.write_text(TABLE)
    return path


def test_a_table_keeps_names_that_are_digits(table):
    rows = read_csv(table, "pis", COLUMNS)
    assert rows["mask"].tolist() == ["1", "2"]
    assert rows["pis"].isna().tolist() == [False, True]
    assert rows["n"].tolist() == [3, 3]


def test_a_table_without_rows_is_one(table):
    table.write_text("mask,pis,n\n")
    assert len(read_csv(table, "pis", COLUMNS)) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        (TABLE[:-1], "its last line is cut off"),
        (TABLE[:-4], "line 3 has 1 value, not 3"),
        ("mask,pis\n1,2,3\n", "line 2 has 3 values, not 2"),
        ("mask,n\n1,2\n", "it lacks the column pis"),
        ("mask,pis\n1,half\n", "its column pis holds more than numbers"),
        (b"\xff\xfe\x00", "it is no table of text"),
    ],
)
def test_a_damaged_table_is_named_with_its_stage(table, text, reason):
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = rf"pis\.csv is not as the stage pis writes it: {reason}; .*dvc repro --force pis$"
    with pytest.raises(ValueError, match=message):
        read_csv(table, "pis", COLUMNS)


def test_an_archive_that_says_it_is_encrypted_or_packed_otherwise_is_damaged(tmp_path):
    """Bit 0 of the flags of an entry, and its method, in the list at the end of the archive."""
    path = tmp_path / "a.npz"
    np.savez(path, frame=np.arange(3))
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")
    for place, value in ((entry + 8, 1), (entry + 10, 99)):
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.npz is not .*cut off or damaged"):
            read_npz(path, "pis", ["frame"])


def test_arrays_that_are_missing_or_objects_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, frame=np.arange(3))
    assert read_npz(path, "pis", ["frame"])["frame"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"a\.npz is not .* it lacks note, task; make it again"):
        read_npz(path, "pis", ["frame", "note", "task"])

    np.savez(path, frame=np.array([None]))
    with pytest.raises(ValueError, match=r"a\.npz is not .*cut off or damaged"):
        read_npz(path, "pis", ["frame"])
    with pytest.raises(FileNotFoundError, match=r"b\.npz does not exist; .*dvc repro pis"):
        read_npz(tmp_path / "b.npz", "pis", ["frame"])


def test_an_index_of_frames_that_there_are():
    check_index(np.array([[0, 0, 2], [0, 1, 1], [1, 0, 0], [1, 1, 3]]), SIZES)


@pytest.mark.parametrize(
    "frame", [[0, 0, 3], [0, 0, -1], [1, 0, 1], [2, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -1, 0]]
)
def test_an_index_of_other_frames_names_the_first(frame):
    m, s, row = frame
    with pytest.raises(ValueError, match=rf"row {row} of modulation {m} at SNR {s}, .* 2 x 2"):
        check_index(np.array([[0, 0, 0], frame]), SIZES)


@pytest.mark.parametrize(
    "index", [np.zeros((2, 2), np.int64), np.zeros((2, 3)), np.zeros(3, np.int64)]
)
def test_an_index_of_another_kind(index):
    with pytest.raises(ValueError, match=r"not int64 \(n, 3\)"):
        check_index(index, SIZES)
