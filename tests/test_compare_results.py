"""Two sets of results are compared value by value."""

import json

import numpy as np
import pytest

from benchmarks import compare_results


@pytest.fixture
def write(tmp_path):
    """A function that writes one file of each kind below a checkout."""

    def write(name: str, metrics: dict, column: list, array: np.ndarray):
        root = tmp_path / name
        for folder in ("metrics", "plots", "data", "models"):
            (root / folder).mkdir(parents=True)
        (root / "metrics/evaluate.json").write_text(json.dumps(metrics))
        rows = [f"{value},a" for value in column]
        (root / "plots/pis.csv").write_text("\n".join(["pis,view", *rows]) + "\n")
        np.savez(root / "data/pis.npz", array=array, name="x")
        return root

    return write


@pytest.fixture
def old(write):
    return write(
        "old", {"joint": {"accuracy": 0.5, "n": None}}, [1.0, "", 3.0], np.array([True, False])
    )


def test_equal_results_say_nothing(old, write, capsys):
    new = write(
        "new", {"joint": {"accuracy": 0.5, "n": None}}, [1.0, "", 3.0], np.array([True, False])
    )
    assert compare_results.main([str(old), str(new)]) == 0
    assert capsys.readouterr().out == "no result differs\n"


def test_every_kind_of_change_is_named(old, write, capsys):
    new = write("new", {"joint": {"accuracy": 0.75}, "band": 1}, [1.5, "", 1.0], np.zeros(3, bool))
    (new / "models/model.json").write_text("{}")
    (new / "data/pis.npz").rename(new / "data/other.npz")
    (old / "data/pis.npz").rename(old / "data/other.npz")
    (old / "metrics/gone.json").write_text("{}")

    assert compare_results.main([str(old), str(new)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "data/other.npz: array has shape (3,), had (2,)",
        "metrics/evaluate.json: joint.n removed",
        "metrics/evaluate.json: band added",
        "metrics/evaluate.json: joint.accuracy is 0.75, was 0.5",
        "metrics/gone.json: removed",
        "models/model.json: added",
        "plots/pis.csv: pis differs in 2 of 3 values, largest absolute difference 2",
    ]


def test_nan_and_text_are_compared(old, write):
    new = write(
        "new", {"joint": {"accuracy": 0.5, "n": None}}, ["", "", 3.5], np.array([True, False])
    )
    np.savez(new / "data/pis.npz", array=np.array([True, False]), name="y")
    assert list(compare_results.differences(old, new)) == [
        "data/pis.npz: name is y, was x",
        "plots/pis.csv: pis differs in 2 of 3 values, 1 of them from or to NaN, "
        "largest absolute difference 0.5",
    ]


def test_a_missing_checkout_is_refused(old, tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare_results.main([str(old), str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err
