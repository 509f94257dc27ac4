"""Each benchmark still runs, on next to nothing, so that a name that changed is found here.

What they claim is measured by hand.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import (
    ablation,
    counterfactuals,
    coverage,
    echoes,
    experiments,
    judge,
    judge_model,
    order,
    pages,
    pis,
    precision,
    redraw,
    rendering,
    rise,
    robustness,
    splitting_memory,
    stability,
    training,
    views,
    worlds,
)
from pisces import models
from pisces.config import presets
from pisces.config.sections.training import MODELS
from pisces.core import files
from pisces.counterfactuals import tables
from pisces.evaluation import inference, metrics
from pisces.inputs.drawing import Drawing
from pisces.models import Architecture, modelfile
from pisces.models.modelfile import TrainedModel
from tests.conftest import MODULATIONS, RENDER, SNRS_DB, draw

ROOT = Path(__file__).parents[1]
ARCHITECTURE = Architecture("resnet18", "plain", "standard")


@pytest.fixture
def call(monkeypatch, capsys):
    """A function that calls a benchmark's main with arguments and gives what it prints."""

    def call(benchmark, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [benchmark.__name__, *arguments])
        benchmark.main()
        return capsys.readouterr().out

    return call


def test_coverage(call, monkeypatch, tmp_path):
    monkeypatch.setattr(coverage, "GRID", coverage.GRID[:2])
    page = tmp_path / "coverage.md"
    page.write_text(f"before\n{coverage.START}{coverage.END}after\n")
    call(coverage, "--repeats", "20", "--page", str(page))
    text = page.read_text()
    assert text.startswith("before\n")
    assert "| 14 | 5 | 0.7 |" in text
    assert "20 data sets of each cell" in text


@pytest.mark.slow
def test_judge(call):
    found = call(judge, "--snrs", "6", "--frames", "1", "--methods", "gradient", "random")
    assert "pixel middle, 64 px" in found
    assert "| gradient | 0.9" in found


def test_judge_model_tells_gains_over_the_control_frame_by_frame():
    def judged_as(rho, ranked):
        return pd.DataFrame(
            {"snr_db": 6, "method": "gradient", "ranked": ranked, "rho": rho}, index=range(4)
        )

    # Alike but for a gain of .25; a constant map counts as 0, and what one ranks alone is left out.
    own = judged_as([0.5, 0.75, np.nan, 0.9], [True, True, True, False])
    control = judged_as([0.25, 0.5, -0.25, 0.0], True)
    rows = judge_model.rows_of_models({"tuned": own, "control": control})
    gain = next(row for row in rows if row["model"] == "tuned, gain over control")
    assert gain["6 dB"] == "0.25 (0.25 to 0.25)"
    assert rows[-1] == {
        "model": "control",
        "agreement with the evidence": "frames ranked / left out",
        "6 dB": "4 / 0",
    }


def test_order(call):
    found = call(order, "--frames", "2", "--size", "16", "--repeats", "1")
    assert "times as fast as sorting all of them" in found


def test_rise(call, monkeypatch):
    monkeypatch.setattr(rise, "RISE", replace(rise.RISE, masks=4))
    found = call(rise, "--frames", "1", "--size", "16", "--repeats", "1")
    assert "one pass for both heads" in found


@pytest.mark.slow
def test_redraw(call, monkeypatch):
    monkeypatch.setattr(redraw, "SNRS_DB", (12,))
    found = call(redraw, "--frames", "1", "--repeats", "1")
    assert "| 12 | a ring, in the samples too |" in found


@pytest.mark.slow
def test_pis(tmp_path, capsys, monkeypatch):
    few = {"levels_percent": (5,), "curve_percent": (), "regions": ("ring",), "rings": 2}
    monkeypatch.setattr(pis, "EVERYTHING", replace(pis.EVERYTHING, **few))
    monkeypatch.setattr(pis, "PLAIN_MASKS", 2)
    pis.time_all(tmp_path / "passes", 1, 1)
    pis.time_masks(tmp_path / "masks", 1)
    pis.peak(1)
    said = capsys.readouterr().out
    assert "8 masks, with their controls 24 lists, of 4 frames of 32 px" in said
    assert "15 masks with controls of 4 frames" in said
    assert "4 frames, 8 masks: peak" in said


@pytest.mark.slow
def test_rendering(call):
    assert "render / plain = " in call(
        rendering, "--frames", "2", "--plain-frames", "2", "--repeats", "1"
    )


@pytest.mark.slow
def test_robustness(call, tmp_path, monkeypatch):
    cases = ("none", robustness.LOWPASS)
    monkeypatch.setattr(robustness, "CASES", {name: robustness.CASES[name] for name in cases})
    few = ("synthesize.samples=256", "data.modulations=[BPSK,QPSK]", "render.size=16")
    training = ("train.model=pixel_set", "train.epochs=1", "train.batch_size=8")
    frames = ("--labels", "0:30:30", "--test-labels", "0:30:30", "--frames", "4", "--test", "2")
    arguments = (*frames, "--folder", str(tmp_path), "--set", *few, *training)
    said = call(robustness, *arguments)
    assert said.count("of CPU") == said.count("| none |") == 2
    assert said.count("of 4 frames below 20 dB: called 30 dB") == 4
    # Both models are kept, and they differ.
    again = call(robustness, *arguments)
    assert "of CPU" not in again
    plain, impaired = again.split("impaired-0.25")
    assert plain.count("| none |") == impaired.count("| none |") == 1
    weights = [(tmp_path / name / modelfile.WEIGHTS) for name in ("plain", "impaired-0.25")]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def test_false_echoes_are_counted(monkeypatch, call):
    """A row a class, in each world; of frames of one symbol alphabet hardly any are changed."""
    monkeypatch.setattr(echoes, "SNRS_DB", (30,))
    monkeypatch.setattr(echoes, "OTHERS", ("GMSK",))
    monkeypatch.setattr(echoes, "LINEAR", ("QPSK",))
    said = call(echoes, "--frames", "8")
    assert said.count("| GMSK | 100.0 (67.6 to 100.0) |") == 2
    assert said.count("| QPSK | 0.0 (0.0 to 32.4) |") == 2


@pytest.mark.slow
def test_splitting_memory(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(splitting_memory, "DIFFERENT", 1)
    splitting_memory.make_file(tmp_path / "source.hdf5", 1)
    splitting_memory.split(tmp_path / "source.hdf5", tmp_path / "shards")
    assert "272 frames kept" in capsys.readouterr().out


@pytest.mark.slow
def test_stability(call, monkeypatch):
    """One run, of weights from a file."""
    run = stability.grid()[1]._replace(batch_size=4)
    assert run.pretrained
    monkeypatch.setattr(stability, "grid", lambda: [run])
    monkeypatch.setattr(stability, "BATCH_SIZES", (4,))
    monkeypatch.setattr(stability, "FEWEST", 8)
    monkeypatch.setattr(stability, "VALIDATION", 4)
    monkeypatch.setattr(stability, "limit_memory", lambda _: None)  # it would stay limited
    said = call(stability, "--limit", "1", "--accelerator", "cpu", "--precision", "32-true")
    assert "1 of 1 runs ended with metrics" in said
    assert f"| {run.model} | 1 | 1 | 0 | 0 | 0 |" in said


SMALL = ("--frames", "4", "--batch-size", "2", "--repeats", "1", "--accelerator", "cpu")


@pytest.mark.slow
def test_training(call):
    said = call(training, *SMALL, "--size", "32", "--views", "raw", "noise")
    assert "4 frames a pass of 2 x 32 x 32 px, 2 a step" in said
    assert "input path = " in said


@pytest.mark.slow
def test_training_beside_png(call, monkeypatch):
    monkeypatch.setattr(training, "PNG_MODELS", ("resnet18",))
    monkeypatch.setattr(training, "PNG_SIZE", 32)
    said = call(training, *SMALL, "--png", "--workers", "1")
    assert "with 1 workers" in said


@pytest.mark.slow
def test_training_on_raw_iq(call, monkeypatch):
    monkeypatch.setattr(training, "IQ_SAMPLES", (32, 64))
    said = call(training, *SMALL, "--iq")
    for what in ("cldnn, 32 samples: input", "mcldnn, 64 samples: input"):
        assert what in said
    assert said.count("input path = ") == 4


def test_what_is_ready_is_what_is_read(tmp_path):
    work = training.make_iq_data(tmp_path, 32, 6)
    assert {part: len(index) for part, index in work.parts.items()} == {"train": 6, "validation": 0}
    index = work.parts["train"]
    stored = work.store.prepare(work.store.gather(index), torch.device("cpu"))
    assert stored.shape == (6, *work.input.shape)
    assert torch.equal(training.Ready(work.input.shape).tensors(stored), work.input.tensors(stored))
    images = torch.arange(96.0).view(2, 3, 4, 4)
    assert torch.equal(training.Ready((3, 4, 4)).tensors(images), images)


def test_a_list_of_views_has_the_pixels_of_one():
    assert [views.equal_budget(count) for count in (1, 2, 3, 4)] == [64, 46, 36, 32]


def test_differences_of_views_are_paired_by_seed():
    """Seeds differ by 10 points, lists by 2 in each: the interval is that of the differences."""
    reference = np.array([[50.0] * 4, [60.0] * 4, [70.0] * 4])
    better = reference + np.array([[1.0], [2.0], [3.0]])
    row = views.described("raw,symbol", 46, better, reference)
    assert row["joint"] == "62.0"
    half = 4.303 / np.sqrt(3)  # Student's t of 2 degrees of freedom, standard deviation 1
    assert row["joint, less the default's"] == f"+2.0 ± {half:.1f}"


@pytest.mark.slow
def test_views_are_rendered_and_trained(tmp_path, monkeypatch):
    few = {"synthesize.snrs_db": [0, 22], "data.snrs_db": [0, 22], "train.epochs": 12}
    modulations = {"data.modulations": ["BPSK", "QPSK"]}
    made = worlds.params_of

    def small(preset, labels, of_each, changes):
        return made(preset, labels, of_each, few | modulations | changes)

    monkeypatch.setattr(worlds, "params_of", small)
    views.make_frames(tmp_path, 16 + worlds.VALIDATION + views.TEST, seed=1)
    row = views.accuracies(tmp_path, "symbol,noise", 32, frames=16, seed=1)
    assert list(row) == list(views.TASKS)
    assert row["joint"] > 25 + 5 * 5.4  # by chance 25 % of 64 test frames, with a sigma of 5.4


@pytest.mark.parametrize("model", ablation.MATRIX)
def test_every_model_of_the_ablation_is_one_that_params_allow(model):
    params = ablation.settings_of(model, ablation.overlay("ablation", None))
    assert params.train.model == (model if model in MODELS["iq"] else "cldnn")
    assert params.cldnn.paths == {
        "A0": "raw",
        "A1": "raw",
        "A2": "denoised",
        "A2b": "denoised",
    }.get(model, "dual")
    assert (params.augment.mixup_alpha > 0) == (model[:2] in ("A4", "A5"))
    assert (params.augment.mixup_losses == "all_losses") == (model == "A4 legacy mixup")
    assert params.evaluate.bypass_denoiser == (model == "A2b")


def test_experiments_of_the_ablation_have_names_and_those_without_a_model_come_last():
    wanted = list(ablation.all_experiments(list(ablation.MATRIX), (1, 2), "ablation"))
    assert len(set(wanted)) == len(wanted) == 2 * len(ablation.MATRIX)
    assert wanted[-2:] == ["ablation-a2b-1", "ablation-a2b-2"]
    assert (
        ablation.experiment("A4 legacy mixup", 3, "rml2016a RML2016.10a_dict")
        == "rml2016a-rml2016-10a-dict-a4-legacy-mixup-3"
    )


def test_an_experiment_of_the_ablation_says_all_that_it_changes_of_a_preset():
    wanted = ablation.all_experiments(list(ablation.MATRIX), (7,), "smoke")
    inputs, kinds = ([one[f"train.{key}"] for one in wanted.values()] for key in ("input", "model"))
    assert set(inputs) == {"iq"}
    assert set(kinds) == set(MODELS["iq"])
    assert {one[f"{section}.seed"] for one in wanted.values() for section in ("base", "train")} == {
        7
    }


def test_an_ablation_on_a_file_takes_its_frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = Path("RML2016.10a_dict.pkl")
    monkeypatch.setattr(presets, "PRESETS", ROOT / "presets")
    assert ablation.settings_of("A0", ablation.overlay("rml2016a", file)).data.path == str(
        tmp_path / file
    )
    assert ablation.name_of("rml2016a", file) != ablation.name_of("rml2016a", "other" / file)
    assert ablation.name_of("rml2016a", None) == "rml2016a"
    assert (
        ablation.settings_of("A0", ablation.overlay("smoke", None)).train.model == "cldnn"
    )  # whatever the preset is for
    assert (
        ablation.settings_of("A0", ablation.overlay("rml2016a", None)).data.path
        == "data/raw/synthetic.pkl"
    )


def test_the_ablation_reads_what_evaluate_writes(data, index, tmp_path, monkeypatch):
    """Of three SNRs one is in each band, with as many frames as the others."""
    drawing = Drawing(RENDER, draw("log_histogram"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, drawing.shape, len(MODULATIONS), SNRS_DB).eval()
    trained = TrainedModel(model, ARCHITECTURE, drawing, MODULATIONS, SNRS_DB)
    found = inference.predict_frames(trained, data, index[::4])
    files.write_json(tmp_path / "metrics/evaluate.json", metrics.summary(found))
    files.write_csv(tmp_path / "plots/accuracy_by_snr.csv", metrics.accuracy_by_snr(found))

    def read(path: str, rev: str) -> str:
        assert rev == "one"
        return (tmp_path / path).read_text()

    monkeypatch.setattr("dvc.api.read", read)
    right = found["modulation_pred"] == found["modulation_true"]
    by_snr = [100 * right[found["snr_true_db"] == snr_db].mean() for snr_db in SNRS_DB]

    reached = ablation.accuracies(["one", "one"])
    assert list(reached) == ["overall", "low", "middle", "high", "SNR"]
    for band, accuracy in zip(("low", "middle", "high"), by_snr, strict=True):
        assert reached[band] == pytest.approx([accuracy] * 2, abs=1e-3)
    assert reached["overall"] == pytest.approx([100 * right.mean()] * 2)


def test_a_band_counts_each_frame_once():
    by_snr = pd.DataFrame({"snr_db": [-4, 6, 8], "frames": [30, 10, 5], "modulation": [0.2, 1, 1]})
    assert ablation.in_band(by_snr, "middle") == pytest.approx(0.4)
    assert np.isnan(ablation.in_band(by_snr, "high"))


def test_ablation_rows_are_means_over_seeds_and_differences_seed_by_seed(monkeypatch):
    accuracy = {"A0": (0.30, 0.40, 0.50), "lstm2": (0.31, 0.42, 0.53)}

    def metrics(name: str, stage: str) -> dict:
        assert stage == "evaluate"
        model, seed = name.removeprefix("ablation-").rsplit("-", 1)
        share = accuracy[model.upper() if model == "a0" else model][int(seed) - 1]
        return {"modulation": {"accuracy": share}, "snr": {"accuracy": 2 * share - 0.2}}

    def read_csv(name: str, path: str) -> pd.DataFrame:
        assert path == "plots/accuracy_by_snr.csv"
        share = metrics(name, "evaluate")["modulation"]["accuracy"]
        return pd.DataFrame({"snr_db": [-10], "frames": [7], "modulation": [share / 2]})

    monkeypatch.setattr(experiments, "metrics", metrics)
    monkeypatch.setattr(experiments, "read_csv", read_csv)
    monkeypatch.setattr(ablation, "PAIRS", (("lstm2", "A0"), ("A1", "A0")))
    reached = ablation.all_accuracies(["A0", "lstm2"], (1, 2, 3), "ablation")
    first, second = ablation.rows(reached, {"A0": (1000, 10.0), "lstm2": (2000, 20.0)})
    # Of 30, 40, 50 the standard deviation is 10, of 1, 2, 3 it is 1.
    # Student's t for two degrees of freedom is 4.303.
    assert first == {"model": "A0", "overall": "40.0 ± 24.8", "low": "20.0 ± 12.4"} | {
        **{
            "middle": "-",
            "high": "-",
            "SNR": "60.0 ± 49.7",
            "to A0": "",
            "parameters": "1,000",
            "frames/s": "10",
        }
    }
    assert second["to A0"] == "+2.0 ± 2.5"
    pair = {
        "difference": "lstm2 - A0",
        "overall": "+2.0 ± 2.5",
        "low": "+1.0 ± 1.2",
        "middle": "-",
        "high": "-",
        "SNR": "+4.0 ± 5.0",
    }
    assert ablation.differences(reached) == [pair]


def test_a_page_keeps_what_stands_around_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<start>\nold\n<end>\nafter\n")
    pages.write_between(page, "<start>\n", "<end>\n", "new\n")
    assert page.read_text() == "before\n<start>\nnew\n<end>\nafter\n"


def test_costs_count_every_parameter():
    found = ablation.costs(
        {"mcnet": ablation.settings_of("mcnet", ablation.overlay("ablation", None))}, 128
    )
    parameters, speed = found["mcnet"]
    assert (
        parameters == 121_611 + 385 * (7 - 11) + 385 * 7
    )  # the published count is of 11 classes; and the SNR head on 384 features
    assert speed > 0


@pytest.mark.slow
def test_precision(call):
    said = call(precision, "--models", "pixel_set", "--frames", "64", "--repeats", "1")
    assert "pixel_set: training" in said
    assert "of the predicted modulations are the same" in said


def test_medians_of_counterfactuals_stand_in_one_row_a_pair():
    turned = [
        tables.Turned(order, of, moves, True, True, "")
        for order in ("evidence_gain", "random")
        for of, moves in (("likelihood", 2.0), ("model", 9.0))
        for _ in range(6)
    ]
    cells = [tables.Cell("QPSK", "8PSK", label, 6, 0, (), turned) for label in (4, 6)]
    (row,) = counterfactuals.medians(tables.table(cells, ["evidence_gain", "random"]))
    assert row["median moves"] == "QPSK to 8PSK"
    assert row["frames"] == "12"
    assert row["likelihood"] == "2 (2 to 2)"
    assert row["random"] == "9 (9 to 9)"
