"""Every picture is made of what the stages wrote, and says what must be known to read it."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pisces.core import files
from pisces.report import attribution, attribution_measures, needed, pictures
from pisces.report.captions import caption_of
from pisces.report.pis_regions import Images
from stages import report
from tests.figures import removed_rows
from tests.pipeline import outputs
from tests.test_report_counterfactuals import turned_examples

SNRS_DB = (-10, 20)
MODULATIONS = ("BPSK", "QPSK")
TASKS = ("modulation", "snr", "joint")
SINGLE = ("value", "accuracy", "correlation", "probability")
"""Of whose columns a table has one, so that the interval bears no name."""
CARD = {"model": "small_cnn", "input": {"kind": "iq", "samples": 128, "sps": 8}}
RUN = pictures.Run(CARD, "mine.hdf5", Images(8, {"raw": 2.5}, 0.5))
LEVELS = (0.5, 5.0)
NOTES = {
    "predictions": "tested with the denoiser bypassed",
    "pis": "samples behind masked pixels set to zero",
    "attribution_examples": "maps are read off raw frames",
}


def intervals(rows: pd.DataFrame, *names: str) -> pd.DataFrame:
    for name in names:
        prefix = "" if name in SINGLE else f"{name}_"
        rows[f"{prefix}ci_low"], rows[f"{prefix}ci_high"] = rows[name] - 0.1, rows[name] + 0.1
    return rows


@pytest.fixture(scope="module")
def arrays() -> dict[str, dict[str, np.ndarray]]:
    """As the stages write them, of four frames."""
    predictions = {
        "modulation_true": np.array(["BPSK", "BPSK", "QPSK", "QPSK"]),
        "modulation_pred": np.array(["BPSK", "QPSK", "QPSK", "QPSK"]),
        "snr_true_db": np.array([-10, 20, -10, 20]),
        "snr_pred_db": np.array([-10, 20, -10, -10]),
        "modulation_prob": np.eye(2, dtype=np.float32)[[0, 1, 1, 1]],
        "snr_prob": np.eye(2, dtype=np.float32)[[0, 1, 0, 0]],
        "snr_estimate_db": np.array([-10, 20, -10, -10], np.float32),
        "frame": np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]),
        "modulations": np.array(MODULATIONS),
        "snrs_db": np.array(SNRS_DB),
        "snr_source": np.array("mean over the SNR classes"),
    }
    images = np.ones((1, 8, 8), np.float32)
    sheet = {
        "images": images,
        "names": np.array(["exact top 5 %"]),
        "taken": images[None] > 0,
        "titles": np.array(["raw\nBPSK, 20 dB"]),
    }
    examples: dict[str, np.ndarray] = {}
    for task in ("modulation", "snr"):
        found = {
            **{"images": images, "titles": np.array(["BPSK, 20 dB\nraw"])},
            **{"taken_names": np.array(["Top 5 %"]), "taken": images[None] > 0},
            **{"map_names": np.array(["rise"]), "maps": 0.5 * images[None]},
        }
        examples |= {f"{task}_{name}": values for name, values in found.items()}
    baseline = {f"{task}_baseline": np.array([True, False, True, True]) for task in TASKS}
    made = {
        "predictions": predictions,
        "perturbations_sheet": sheet,
        "pis": baseline,
        "attribution_examples": examples,
        "counterfactual_examples": turned_examples(),
    }
    for name, note in NOTES.items():
        made[name]["note"] = np.array(note)
    made["pis"]["redraw_note"] = np.array("2 masks redrawn in 4 frames, other views held")
    return made


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    training = {"epoch": [1, 2], "train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5]}
    training |= {f"validation_{task}_accuracy": [0.2, 0.4] for task in TASKS}
    training |= {"modulation_weight": [0.5, 0.4], "snr_weight": [0.5, 0.6]}

    by_snr = pd.DataFrame({"snr_db": SNRS_DB, "frames": 2} | dict.fromkeys(TASKS, 0.5))
    per_class = pd.DataFrame({"label": MODULATIONS, "f1": 0.5, "precision": 0.5, "recall": 0.5})
    per_class["frames"] = 2
    of_both = pd.concat(
        [per_class.assign(task="modulation"), per_class.assign(task="snr", label=["-10", "20"])]
    )
    estimate = pd.DataFrame({"snr_db": SNRS_DB, "frames": 2, "mean_db": SNRS_DB})
    bins = product(("modulation", "snr"), ("as trained", "calibrated"), (0.2, 0.9))
    reliability = pd.DataFrame(bins, columns=["task", "probabilities", "confidence"])
    reliability = reliability.assign(accuracy=0.5, frames=4)
    ceiling = pd.DataFrame(product(SNRS_DB, ("modulation", "snr"), ("ceiling", "model")))
    ceiling.columns = pd.Index(["snr_db", "task", "series"])

    masks = [
        *product(["raw"], ["exact"], ["top", "random"], LEVELS, TASKS),
        *product(["raw"], ["ring"], ["1", "2"], [np.nan], TASKS),
    ]
    pis = pd.DataFrame(masks, columns=["view", "rule", "mask", "level_percent", "task"])
    pis = pis.assign(n=4, accuracy=0.5, fraction_lit=0.05, pis=1.0, control_count_pis=0.5)
    pis["excess"] = 0.5
    pis["p_count_holm"] = 0.01
    cells = pd.DataFrame(product(MODULATIONS, SNRS_DB), columns=["modulation", "snr_db"])
    cells = cells.assign(view="raw", rule="exact", mask="top", task="joint", level_percent=5.0)
    cells = cells.assign(n=2, fraction_lit=0.05, excess=0.5, p_count_holm=1.0)

    methods = product(("modulation", "snr"), ("rise", "random"))
    measured = pd.DataFrame(methods, columns=["task", "method"])
    curves = measured.assign(curve="deletion", level_percent=5.0, probability=0.5)
    checks = measured.assign(check="weights", share=1.0, correlation=0.2, n=3, null=0.4)
    return {
        "training": pd.DataFrame(training),
        "accuracy_by_snr": intervals(by_snr, *TASKS),
        "per_class": of_both,
        "snr_estimate": estimate.assign(low_db=SNRS_DB, high_db=SNRS_DB),
        "reliability": intervals(reliability, "accuracy"),
        "ceiling": intervals(ceiling.assign(accuracy=0.5, n=4), "accuracy"),
        "pis": intervals(pis, "pis"),
        "pis_redraw": removed_rows("1", "2"),
        "pis_by_cell": cells,
        "pis_by_modulation": cells.drop_duplicates("modulation"),
        "pis_by_snr": cells.drop_duplicates("snr_db"),
        "attribution": intervals(measured.assign(measure="deletion_area", value=0.3, n=5), "value"),
        "attribution_curves": intervals(curves, "probability"),
        "attribution_checks": intervals(checks, "correlation"),
    }


@pytest.fixture(scope="module")
def drawn(tables, arrays) -> dict[str, Figure]:
    return pictures.of_results(tables, arrays, RUN)


def test_the_pictures_are_those_that_dvc_knows(drawn):
    names = [f"plots/{name}.{ending}" for name in drawn for ending in ("png", "pdf")]
    assert sorted([*names, "plots/captions.tex"]) == sorted(outputs("report"))


def test_every_caption_names_the_data_and_of_a_model_the_model(drawn):
    for name, figure in drawn.items():
        caption = caption_of(figure)
        assert "Data: mine.hdf5, 2 modulations at 2 SNRs." in caption
        assert ("Model: small_cnn of raw frames." in caption) == (name != "perturbations")


def test_a_note_stands_on_the_pictures_of_its_stage_and_on_no_other(drawn):
    with_note = {
        note: {name for name, figure in drawn.items() if note in caption_of(figure).lower()}
        for note in NOTES.values()
    }
    tested = {"accuracy_by_snr", "per_class", "snr_estimate", "ceiling"}
    tested |= {"confusion_modulation", "confusion_snr", "reliability"}
    assert list(with_note.values()) == [
        tested,
        {"pis", "pis_regions", "degradation", "pis_heatmap"},
        {"attribution", "attribution_curves", "attribution_modulation", "attribution_snr"},
    ]


def test_without_notes_there_are_none(tables, arrays):
    silent = {name: content | {"note": np.array("")} for name, content in arrays.items()}
    drawn = pictures.of_results(tables, silent, RUN)
    captions = [caption_of(figure).lower() for figure in drawn.values()]
    assert not any(note in caption for caption in captions for note in NOTES.values())
    assert ".." not in caption_of(drawn["pis"])


def test_the_caption_of_removals_says_whether_other_views_are_held(drawn):
    assert "2 masks redrawn in 4 frames, other views held." in caption_of(drawn["pis_redraw"])


def test_pictures_are_made_of_the_arrays(drawn):
    assert "Estimate: mean over the SNR classes" in caption_of(drawn["snr_estimate"])
    matrix = drawn["confusion_modulation"].axes[0].images[0].get_array()
    assert matrix.tolist() == [[50, 50], [0, 100]]
    curve = drawn["degradation"].axes[0].get_lines()[0]
    assert curve.get_ydata()[0] == 75  # the baseline, three of four
    chance = [one for one in drawn["degradation"].axes[2].get_lines() if one.get_linestyle() == ":"]
    assert chance[0].get_ydata()[0] == 25  # 2 modulations x 2 SNRs


def test_examples_come_back_as_they_were_packed(arrays):
    packed = arrays["attribution_examples"]
    found = attribution.unpack_examples(packed, "snr")
    assert list(found.masked) == ["Top 5 %"]
    assert np.array_equal(found.maps["rise"], packed["snr_maps"][0])


def test_checks_without_any_knowledge_join_the_measures(tables):
    checks = tables["attribution_checks"]
    some = pd.concat([checks, checks.assign(share=0.5, correlation=0.9)])
    joined = attribution_measures.join_checks(tables["attribution"], some)
    weights = joined[joined["measure"] == "weights"]
    assert weights["value"].tolist() == [0.2] * 4
    assert weights["null"].tolist() == [0.4] * 4
    assert len(joined) == len(tables["attribution"]) + 4


def test_the_stage_reads_what_the_others_wrote(tables, arrays, tmp_path, monkeypatch):
    """Through files of six digits, in which a level of 0.5 is still one, and ring 1 a name."""
    for name, table in tables.items():
        files.write_csv(tmp_path / "plots" / f"{name}.csv", table)
    for name, content in arrays.items():
        files.write_npz(tmp_path / "data" / f"{name}.npz", content)
    monkeypatch.chdir(tmp_path)
    files.write_json(tmp_path / "models/model.json", CARD)
    drawn = report.draw("results", "mine.hdf5", RUN.images)
    names = [tick.get_text() for tick in drawn["pis_regions"].axes[0].get_xticklabels()]
    assert names == ["1", "2"]
    assert "exact masks at 5 %" in caption_of(drawn["pis"])  # and not at half a percent
    assert "Data: mine.hdf5" in caption_of(drawn["pis"])


def test_a_card_that_names_no_model_is_refused(tmp_path):
    files.write_json(tmp_path / "model.json", {"model": "small_cnn"})
    with pytest.raises(ValueError, match=r"model\.json.*'input'.*train"):
        needed.card(tmp_path / "model.json")


def test_an_unknown_part_is_refused_with_those_there_are(monkeypatch):
    monkeypatch.setattr("sys.argv", ["report", "everything"])
    with pytest.raises(ValueError, match=r"'everything'.* data, results"):
        report.main()


def test_a_colour_of_the_cycle_is_named_in_the_tables_of_style_alone():
    modules = {path.name: path.read_text() for path in Path(pictures.__file__).parent.glob("*.py")}
    named = {name for name, text in modules.items() if re.search(r'"C\d"', text)}
    assert named == {"style.py"}
