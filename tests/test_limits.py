"""A model beside references, ceiling and chance on frames that were generated."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.evaluation import limits, references
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER
from tests.physics import physics


@pytest.fixture
def rng():
    return generator(1, "test limits")


def predictions(
    index: np.ndarray, modulations: tuple[str, ...], snrs_db: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Of a model that always predicts QPSK and the lowest SNR."""
    names, labels = np.array(modulations), np.array(snrs_db)
    m, s, _ = index.T
    columns = {
        "modulation_true": names[m],
        "modulation_pred": np.full(len(m), "QPSK", names.dtype),
        "snr_true_db": labels[s],
    }
    columns |= {
        "snr_pred_db": np.full(len(m), labels[0]),
        "snr_estimate_db": np.full(len(m), labels[0], np.float32),
    }
    return columns | {"modulations": names, "snrs_db": labels, "frame": index}


@pytest.fixture(scope="module")
def measured(data, iq_shards, index) -> dict[str, pd.DataFrame]:
    predicted = predictions(index[::2], data.modulations, data.snrs_db)
    return limits.measure(iq_shards, predicted, render=RENDER, trials=5, blind_frames=4, seed=1)


def test_every_series_has_every_snr(measured):
    table = measured["ceiling"]
    of_modulation = ("ceiling", "matched-filter bound", "blind", "model", "cumulants", "chance")
    expected = [*product(["modulation"], of_modulation)]
    expected += [*product(["snr"], ["ceiling", "model", "noise floor", "m2m4", "chance"])]
    assert list(dict.fromkeys(zip(table["task"], table["series"], strict=True))) == expected
    assert (
        table.groupby(["task", "series"])["snr_db"]
        .apply(list)
        .map(lambda labels: labels == [-10, 0, 20])
        .all()
    )
    assert (table["ci_low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["ci_high"]).all()


def test_accuracies_of_the_model_and_of_chance_are_the_planted_ones(measured):
    table = measured["ceiling"]
    model = table[table["series"] == "model"].set_index(["task", "snr_db"])
    assert model["accuracy"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 0, 0])
    assert (model["n"] == 30).all()
    assert table.loc[table["series"] == "chance", "accuracy"].tolist() == pytest.approx([1 / 3] * 6)


def test_errors_of_the_snr(measured):
    """Labels -10, 0 and 20 predicted as -10; a model that estimates the same has the same error."""
    errors_db = measured["snr_errors"].set_index(["of", "series"])["rmse_db"]
    of_model = np.sqrt((0 + 10**2 + 30**2) / 3)
    assert errors_db["label", "model"] == pytest.approx(of_model)
    assert errors_db["estimate", "model"] == pytest.approx(of_model)
    assert errors_db["estimate", "bound"] < errors_db["estimate", "noise floor"] < 3

    bounds_db = measured["snr_bounds"].set_index("snr_db")
    known_db = 4.343 * np.sqrt((1 + 2 / 10 ** (bounds_db.index / 10)) / 256)
    assert bounds_db["known"].tolist() == pytest.approx(known_db.tolist(), rel=1e-3)


def test_summary_is_the_mean_of_each_band(measured):
    rows = measured["ceiling_summary"].set_index(["task", "series", "band"]).sort_index()
    ceiling = rows.loc[("modulation", "ceiling", "all")]
    model = rows.loc[("modulation", "model", "all")]
    assert model["accuracy"] == pytest.approx(1 / 3)
    assert model["gap_points"] == pytest.approx(100 * (ceiling["accuracy"] - 1 / 3))
    assert (rows.loc[("modulation", "ceiling"), "gap_points"] == 0).all()

    snr = rows.loc[("snr", "model")]
    expected = {"all": 200 / 3, "low": 0, "middle": 100, "high": 100}
    assert snr["gap_points"].to_dict() == pytest.approx(expected, abs=1.5)
    assert snr["accuracy"].to_dict() == pytest.approx(
        {"all": 1 / 3, "low": 1, "middle": 0, "high": 0}
    )


def test_headline_is_the_gap_of_the_model(measured):
    found = limits.headline(measured)
    rows = measured["ceiling_summary"].set_index(["task", "series", "band"])["gap_points"]
    assert {task: one["gap_points"] for task, one in found.items()} == {
        task: rows[task, "model", "all"] for task in ("modulation", "snr")
    }
    paired = measured["ceiling_summary"].set_index(["task", "series", "band"])["blind_gap"]
    assert found["modulation"]["blind_gap"] == paired["modulation", "model", "all"]
    assert "blind_gap" not in found["snr"]


def test_blind_reference_and_ceilings_in_their_order(measured):
    """Of root-raised cosines the matched-filter bound is the ceiling itself.

    Twelve frames an SNR: three standard errors are 0.43 at most.
    """
    rows = measured["ceiling"].set_index(["task", "series", "snr_db"]).sort_index()
    accuracy = rows["accuracy"]
    ceiling, bound = (
        accuracy["modulation", series] for series in ("ceiling", "matched-filter bound")
    )
    blind = accuracy["modulation", "blind"]
    assert ceiling.tolist() == bound.tolist()
    assert (blind < ceiling + 0.43).all()
    assert blind[20] > 0.8

    assert (rows.loc[("modulation", "blind"), "n"] == 12).all()


def test_ceiling_of_a_pulse_that_is_not_nyquist_is_lower(data, iq_shards, index):
    """Frames need not have that pulse: only its response is asked."""
    predicted = predictions(index[::2], data.modulations, data.snrs_db)
    tables = limits.measure(
        iq_shards,
        predicted,
        render=replace(RENDER, pulse="rml2018"),
        trials=200,
        blind_frames=1,
        seed=1,
    )
    rows = tables["ceiling"].set_index(["task", "series", "snr_db"])["accuracy"].sort_index()
    bound, ceiling = rows["modulation", "matched-filter bound"], rows["modulation", "ceiling"]
    assert (ceiling <= bound).all()
    assert ceiling.sum() < bound.sum()


def test_points_below_the_blind_reference_are_paired():
    """Two SNRs of four frames: 3 of 4 against 1, and 1 of 2 measured ones against 2.

    The means are 50 and -50 points. Deviations of (100, 100, 0, 0) and (0, -100) are 57.7 and 70.7.
    """
    snr_db = np.repeat([0, 10], 4)
    measured = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    right = {
        "blind": np.array([1, 1, 1, 0, 1, 0, 0, 0], bool),
        "model": np.array([0, 0, 1, 0, 1, 1, 1, 1], bool),
    }
    rows = limits.points_below_blind(right, measured, snr_db).set_index("band")
    assert rows["series"].unique().tolist() == ["model"]
    assert rows["blind_gap"].to_dict() == {"all": 0, "middle": 50, "high": -50}

    half = 1.96 * np.array([np.hypot(57.735 / 2, 70.711 / np.sqrt(2)) / 2, 57.735 / 2])
    found = rows["blind_gap_high"] - rows["blind_gap"]
    assert found[["all", "middle"]].tolist() == pytest.approx(half.tolist(), rel=1e-4)
    assert (rows["blind_gap_low"] + rows["blind_gap_high"]).tolist() == pytest.approx(
        [0, 100, -100]
    )


def test_band_without_frames_is_left_out():
    labels = [-16, 8]
    ceiling = pd.DataFrame(
        {"snr_db": labels, "accuracy": 1.0, "ci_low": 1.0, "ci_high": 1.0, "n": 9}
    )
    true = {"snr": np.array(labels)}
    table = limits.accuracy_table(
        true, {"snr": {"model": np.array(labels)}}, {"snr": {"ceiling": ceiling}}, {"snr": 2}
    )
    assert set(limits.ceiling_summary(table)["band"]) == {"all"}


def test_references_know_more_than_chance_on_generated_frames(measured):
    """Frames of 32 symbols, whose labels are 10 dB apart.

    The noise floor errs by 4.34 / sqrt(128) = 0.4 dB a frame.
    """
    table = measured["ceiling"]
    accuracy = table.pivot(index="snr_db", columns=["task", "series"], values="accuracy")
    assert accuracy.loc[20, ("snr", "noise floor")] == accuracy.loc[0, ("snr", "noise floor")] == 1
    assert accuracy.loc[20, ("modulation", "cumulants")] > 0.6
    assert accuracy.loc[0, ("snr", "m2m4")] > 0.6


def test_references_follow_the_frames_whatever_their_order(iq_shards, data, index, rng):
    order = rng.permutation(len(index))
    in_order, shuffled = (
        references.predict_frames(
            iq_shards, predictions(rows, data.modulations, data.snrs_db), RENDER
        )
        for rows in (index, index[order])
    )
    assert shuffled[0].tolist() == in_order[0][order].tolist()
    assert set(in_order[0]) == set(data.modulations)
    for name, estimate in in_order[1].items():
        assert shuffled[1][name] == pytest.approx(
            estimate[order], abs=1e-3
        )  # a batch of another order rounds otherwise
        assert estimate.min() >= -10
        assert estimate.max() <= 20


def test_frames_of_no_constellation_are_compared_as_well(tmp_path):
    """FM and OQPSK: the ceiling of modulation is 1 and the cumulants predict nothing.

    No bound needs a constellation but that of OQPSK.
    """
    names, snrs_db = ("FM", "OQPSK"), (0, 20)
    for cell in (Cell(*names) for names in product(names, snrs_db)):
        still = physics(samples=256, rolloff=(0.3, 0.3), carrier_offset_std=0)
        iq = synthesize_cell(*cell, range(3), still, seed=1)
        shards.save(cell.path(Path(tmp_path)), {"iq": iq.view(np.float32).reshape(3, 256, 2)}, {})
    predicted = predictions(np.array(list(product(range(2), range(2), range(3)))), names, snrs_db)
    tables = limits.measure(tmp_path, predicted, render=RENDER, trials=2, blind_frames=None, seed=1)
    rows = tables["ceiling_summary"].set_index(["task", "series", "band"])["accuracy"]
    expected = {"ceiling": 1, "matched-filter bound": 1, "blind": 1}
    expected |= {"model": 0, "cumulants": 0, "chance": 0.5}
    assert rows["modulation"].xs("all", level="band").to_dict() == pytest.approx(expected)

    table = tables["ceiling"]
    assert (table.loc[table["series"] == "noise floor", "accuracy"] == 1).all()


def test_labels_of_amplitudes_are_compared_as_labels(tmp_path):
    """Frames at 10 dB labelled 5: the noise floor names the label, and errors are of the SNR."""
    names, snrs_db = ("BPSK", "QPSK"), (0, 5)
    for name, label in product(names, snrs_db):
        still = physics(rolloff=(0.3, 0.3), carrier_offset_std=0)
        iq = synthesize_cell(name, 2 * label, range(5), still, seed=1)
        path = Cell(name, label).path(Path(tmp_path))
        frames = iq.view(np.float32).reshape(5, 1024, 2)
        shards.save(path, {"iq": frames}, {"snr_label": "amplitude"})
    index = np.array(list(product(range(2), range(2), range(5))))
    predicted = predictions(index, names, snrs_db)
    tables = limits.measure(tmp_path, predicted, render=RENDER, trials=20, blind_frames=1, seed=1)

    table = tables["ceiling"]
    noise_floor = table.loc[table["series"] == "noise floor"].set_index("snr_db")["accuracy"]
    assert noise_floor.to_dict() == {0: 1, 5: 1}
    errors_db = tables["snr_errors"].set_index(["of", "series"])["rmse_db"]
    assert errors_db["label", "model"] == pytest.approx(np.sqrt(10**2 / 2))
