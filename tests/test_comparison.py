"""Experiments are found through DVC's cache and compared, in a repository that runs no stage."""

import json
import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from pisces import models
from pisces.commands import comparison as command
from pisces.config.io import load_params, parse_params
from pisces.core import stats
from pisces.core.paired import difference_interval
from pisces.core.seeding import generator
from pisces.evaluation import metrics
from pisces.experiments import costs, kinds, measures, predictions_of
from pisces.experiments.compare import Comparison, compare
from pisces.experiments.describe import WIDTH, text
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel
from pisces.report import comparison as pictures
from pisces.report.captions import caption_of
from tests import made_up

FIXED = {"base.seed": 1, "train.seed": 1, "train.weighting": "fixed"}
KENDALL = FIXED | {"train.weighting": "kendall"}
LIMITS = {"modulation": {"gap_points": 7.5}, "snr": {"gap_points": 1.0}}


@pytest.fixture
def repository(tmp_path, monkeypatch) -> made_up.Repository:
    monkeypatch.chdir(tmp_path)
    return made_up.Repository(tmp_path)


@pytest.fixture
def two(repository) -> made_up.Repository:
    """Two experiments over the same frames, `good` and `poor`."""
    repository.run("poor", made_up.predictions(0.6, 1), FIXED)
    repository.run("good", made_up.predictions(0.9, 1), KENDALL)
    return repository


@pytest.fixture
def seeds(repository) -> made_up.Repository:
    """Three seeds of two kinds, as `a1` to `b3`."""
    for seed in (1, 2, 3):
        repository.run(f"a{seed}", made_up.predictions(0.6, seed), FIXED | {"train.seed": seed})
        repository.run(f"b{seed}", made_up.predictions(0.85, seed), KENDALL | {"train.seed": seed})
    return repository


def row_of(found: Comparison, measure: str, kind: str = "B") -> pd.Series:
    rows = found.differences.set_index(["kind", "measure"])
    return rows.loc[(kind, measure)]


# Measures


def test_the_mean_over_frames_is_the_figure_that_evaluate_gives():
    arrays = made_up.predictions(0.7, 3)
    summary = metrics.summary(arrays)
    expected = {
        "joint": summary["joint"]["accuracy"],
        "modulation": summary["modulation"]["accuracy"],
        "snr": summary["snr"]["accuracy"],
        "macro_f1": summary["modulation"]["macro_f1"],
        "mae_db": summary["snr"]["mae_db"],
    }
    found = {name: measures.per_frame(arrays, name).mean() for name in measures.BY_NAME}
    assert found == pytest.approx(expected)


def test_errors_are_of_the_true_snr():
    arrays = made_up.predictions(0.7, 3)
    doubled = arrays | {"snr_label": np.array("amplitude")}
    once = measures.per_frame(arrays, "mae_db")
    assert measures.per_frame(doubled, "mae_db") == pytest.approx(2 * once)


def test_pseudo_values_spread_as_the_bootstrap_of_the_f1():
    """The infinitesimal jackknife against scikit-learn's F1 of resampled frames."""
    arrays = made_up.predictions(0.7, 3, of_each=60)
    values = measures.per_frame(arrays, "macro_f1")
    n, resamples = len(values), 200
    rng = generator(1, "test bootstrap")
    true, predicted = arrays["modulation_true"], arrays["modulation_pred"]
    drawn = [rng.integers(n, size=n) for _ in range(resamples)]
    spread = np.std([f1_score(true[one], predicted[one], average="macro") for one in drawn])
    # Of a standard deviation of `resamples` draws, five standard errors.
    assert values.std() / np.sqrt(n) == pytest.approx(spread, rel=5 / np.sqrt(2 * resamples))

    of_ours = measures.bootstrap([arrays])[0]["macro_f1"].std()
    assert of_ours == pytest.approx(spread, rel=5 / np.sqrt(2 * resamples))


# Finding


def test_predictions_come_from_the_cache_by_revision(two):
    """Whatever lies in the workspace."""
    found, missing = predictions_of.find(["poor", "good", "HEAD"])
    assert missing == []
    assert [one.name for one in found] == ["poor", "good", "HEAD"]
    shares = [measures.per_frame(one.predictions, "modulation").mean() for one in found]
    assert shares[0] < 0.7 < 0.85 < shares[1] == shares[2]
    assert found[0].recipe == {"base.seed": 1, "train.weighting": "fixed"}
    assert found[0].frames_sha256 == found[1].frames_sha256
    assert not (two.root / "data").exists()


def test_rows_are_compared_by_frame_and_not_by_place(repository):
    arrays = made_up.predictions(0.7, 1)
    order = generator(1, "test order").permutation(len(arrays["frame"]))
    shuffled = {
        name: values[order] if len(values) == len(order) else values
        for name, values in arrays.items()
    }
    repository.run("one", arrays, FIXED)
    repository.run("other", shuffled, KENDALL)
    found = row_of(compare(["one", "other"]), "joint")
    assert (found["difference"], found["p"]) == (0, 1)


@pytest.mark.parametrize("name", ["good", "workspace"])
def test_what_the_cache_lacks_is_said_and_the_others_are_compared(two, name):
    content = made_up.npz(made_up.predictions(0.9, 1))
    two.cache(content).unlink()
    found = compare(["poor", name])
    assert list(found.experiments["experiment"]) == ["poor"]
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"{name}: its data/predictions.npz is not in DVC's cache")
    assert ("dvc pull" in found.refused[0]) == (name == "workspace")


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"threads": 1}, {"threads": 1}, None),
        ({"threads": 1}, None, None),
        ({"threads": 1}, {"threads": 2}, "trained with threads 1 (one) and 2 (other), so equal"),
        (
            {"threads": 1, "device": "a"},
            {"threads": 1, "device": "b"},
            "trained with device a (one) and b (other), so equal",
        ),
    ],
)
def test_experiments_that_ran_on_other_threads_are_named(repository, one, other, told):
    repository.run("one", made_up.predictions(0.6, 1), FIXED, trained=one)
    repository.run("other", made_up.predictions(0.9, 1), KENDALL, trained=other)
    remarks = compare(["one", "other"]).remarks
    assert len(remarks) == (told is not None)
    assert told is None or remarks[0].startswith(told)


def test_an_experiment_that_was_not_evaluated(two):
    two.run("trained", None, KENDALL)
    found = compare(["poor", "trained"])
    assert found.refused == (
        "trained: it has no predictions, since the stage evaluate has not run in it; "
        "make them with python -m pisces restore trained and dvc repro evaluate, and then name "
        "workspace instead of trained",
    )


def test_a_trial_that_was_trained_and_not_evaluated_is_called_that(two):
    """Its commit holds the lock and the accuracies of the commit before."""
    lock = (two.root / "dvc.lock").read_text()
    (two.root / "dvc.lock").write_text(made_up.with_other_weights(lock, KENDALL))
    two.git("commit", "-q", "-am", "trained")
    refused = compare(["poor", "HEAD"]).refused[0]
    assert "it was trained and not evaluated" in refused
    assert "stale" not in refused
    assert refused.endswith("dvc repro evaluate, and then name workspace instead of HEAD")


def test_predictions_of_former_params_are_stale(two):
    params = (two.root / "params.yaml").read_text()
    (two.root / "params.yaml").write_text(params.replace("kendall", "softmax"))
    found = compare(["poor", "workspace"])
    assert "train.weighting = kendall, and its params.yaml has softmax" in found.refused[0]
    assert "dvc repro evaluate" in found.refused[0]


def test_predictions_of_a_former_model_are_stale(two):
    lock = (two.root / "dvc.lock").read_text()
    (two.root / "dvc.lock").write_text(made_up.with_other_weights(lock, KENDALL))
    found = compare(["poor", "workspace"])
    assert (
        "stale: evaluate has not run since train made its models/model.safetensors"
        in found.refused[0]
    )


def test_damaged_predictions_are_named(two):
    arrays = made_up.predictions(0.9, 1)
    path = two.cache(made_up.npz(arrays))
    path.chmod(0o644)
    path.write_bytes(b"no archive")
    found = compare(["poor", "good"])
    assert "good: its data/predictions.npz in DVC's cache is damaged" in found.refused[0]
    assert str(path) in found.refused[0]


def test_predictions_of_another_in_the_place_of_these_are_noticed(two):
    path = two.cache(made_up.npz(made_up.predictions(0.9, 1)))
    path.chmod(0o644)
    path.write_bytes(made_up.npz(made_up.predictions(0.6, 1)))
    found = compare(["poor", "good"])
    assert "good: its data/predictions.npz in DVC's cache is damaged" in found.refused[0]


@pytest.mark.parametrize("file", ["dvc.lock", "params.yaml"])
@pytest.mark.parametrize("content", ["stages: [", "", "1"])
def test_a_damaged_lock_is_named(two, file, content):
    (two.root / file).write_text(content)
    found = compare(["poor", "workspace"])
    assert found.refused[0].startswith("workspace: its dvc.lock or params.yaml is damaged")


def test_a_revision_in_which_nothing_has_run(two):
    """Whatever the lock of the workspace says."""
    found = compare(["poor", "HEAD~2"])
    assert found.refused[0].startswith("HEAD~2: it has no predictions")
    assert two.git("show", "--stat", "HEAD~2").endswith("start")


def test_nothing_to_compare_is_one_line(two):
    two.run("trained", None, KENDALL)
    with pytest.raises(ValueError, match="nothing to compare: trained: it has no predictions"):
        compare(["trained"])
    with pytest.raises(ValueError, match="nothing can be compared with trained: it has no"):
        compare(["poor"], against="trained")


def test_an_unknown_experiment_is_refused(two):
    with pytest.raises(ValueError, match=r"no experiment and no revision nobody.*git fetch"):
        compare(["poor", "nobody"])
    assert two.root.exists()


def test_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="in no repository of git and DVC; run from the root"):
        compare(["workspace"])


# Frames of one seed


@pytest.mark.usefixtures("two")
def test_a_difference_over_frames_has_its_interval_and_test():
    found = compare(["poor", "good"])
    one, other = (made_up.predictions(accuracy, 1) for accuracy in (0.9, 0.6))
    for task in ("joint", "modulation", "snr"):
        is_right, is_right_there = metrics.correct(one)[task], metrics.correct(other)[task]
        row = row_of(found, task)
        only_here = np.count_nonzero(is_right & ~is_right_there)
        only_there = np.count_nonzero(is_right_there & ~is_right)
        low, high = difference_interval(only_here, only_there, len(is_right))
        expected = 100 * (is_right.mean() - is_right_there.mean())
        assert row["difference"] == pytest.approx(expected)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(
            (100 * low, 100 * high)
        )
        assert row["half_width"] == pytest.approx(50 * (high - low))
        assert row["p"] == pytest.approx(float(stats.mcnemar(is_right, is_right_there)))
        assert row["p"] <= row["p_holm"] <= 3 * row["p"]
    for measure in ("macro_f1", "mae_db"):
        row = row_of(found, measure)
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        assert math.isnan(row["p"])
    assert row_of(found, "mae_db")["difference_high"] < 0  # the better one errs by less


@pytest.mark.usefixtures("two")
def test_the_reference_turns_the_sign():
    ahead = row_of(compare(["poor", "good"]), "joint")
    behind = row_of(compare(["poor", "good"], against="good"), "joint")
    assert behind["difference"] == pytest.approx(-ahead["difference"])
    assert behind["p"] == pytest.approx(ahead["p"])
    assert behind["label"] == "train.weighting=fixed"


def test_the_reference_may_be_another_name_of_a_run(two):
    found = compare(["poor", "good", "workspace"], against="workspace")
    assert list(found.kinds["experiments"]) == ["good", "poor"]
    assert two.root.exists()


def test_the_reference_need_not_be_named_twice(two):
    assert len(compare(["poor"], against="good").experiments) == 2
    assert two.root.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "other frames"}, "other data"),
        ({"arrays": made_up.predictions(0.9, 1, first=5)}, "other test frames"),
    ],
)
def test_other_frames_are_said_and_not_compared(two, change, reason):
    two.run("far", **({"arrays": made_up.predictions(0.9, 1), "params": KENDALL} | change))
    found = compare(["poor", "far", "good"])
    assert list(found.experiments["experiment"]) == ["poor", "far", "good"]
    assert set(found.differences["kind"]) == {"C"}
    assert found.refused[0].startswith("no difference between B and A: ")
    assert reason in found.refused[0]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("names", "against", "is_without"),
    [
        (["poor", "good"], None, False),
        (["poor"], None, False),  # nothing is refused
        (["poor", "far"], None, True),
        (["poor", "far"], "far", True),
        (["poor", "trained"], None, True),
        (["poor", "far", "trained", "good"], None, False),
        (["poor", "far", "good"], "far", True),
    ],
)
def test_the_command_fails_where_what_is_refused_leaves_no_difference(
    two, names, against, is_without, capsys
):
    two.run("far", made_up.predictions(0.9, 1, first=5), KENDALL)
    two.run("trained", None, KENDALL)
    refusal = pytest.raises(ValueError, match="no two kinds could be compared")
    with refusal if is_without else nullcontext():
        command.compare(names, against, out=None, cost=False)
    told = capsys.readouterr().out
    assert "poor" in told
    for name, note in (("far", "no difference between"), ("trained", "note: trained: it has no")):
        assert (note in told) == (name in names)


# Kinds and seeds


def test_a_run_under_two_names_counts_once(two):
    found = compare(["poor", "good", "workspace"])
    assert found.remarks == ("workspace is the same run as good and counts once",)
    assert list(found.kinds["experiments"]) == ["poor", "good"]
    assert two.root.exists()


def test_a_seed_with_two_results_counts_once(two):
    two.run("again", made_up.predictions(0.85, 7), KENDALL)
    found = compare(["poor", "good", "again"])
    assert "again repeats good" in found.remarks[0]
    assert "another device or number of threads" in found.remarks[0]
    assert list(found.kinds["seeds"]) == [1, 1]


def test_seeds_of_other_code_are_another_kind(two):
    two.run("later", made_up.predictions(0.9, 2), KENDALL | {"train.seed": 2}, code="new code")
    found = compare(["poor", "good", "later"])
    assert list(found.kinds["experiments"]) == ["poor", "good", "later"]
    labels = list(found.kinds["label"])
    assert labels[1].split()[0] == labels[2].split()[0] == "train.weighting=kendall"
    assert labels[1] != labels[2]


def test_a_kind_is_named_by_what_differs_and_changes_something_in_it(repository):
    """Without cosine there is no warm-up, whatever its param says."""
    cosine, plateau = ({"train.schedule": one} for one in ("cosine", "plateau"))
    settings = {
        "four": FIXED | cosine | {"train.warmup_steps": 4},
        "eight": FIXED | cosine | {"train.warmup_steps": 8},
        "flat": FIXED | plateau | {"train.warmup_steps": 100},
    }
    for name, params in settings.items():
        repository.run(name, made_up.predictions(0.7, 1), params)
    assert list(compare(list(settings)).kinds["label"]) == [
        "train.schedule=cosine train.warmup_steps=4",
        "train.schedule=cosine train.warmup_steps=8",
        "train.schedule=plateau",
    ]


def test_a_number_has_as_many_digits_as_tell_its_kind_from_others(repository):
    rates = {"one": 0.0015590978615852315, "other": 0.25, "near": 0.001559097861585}
    for name, rate in rates.items():
        repository.run(name, made_up.predictions(0.7, 1), FIXED | {"train.lr": rate})
    labels = list(compare(["one", "other"]).kinds["label"])
    assert labels == ["train.lr=0.001559", "train.lr=0.25"]
    labels = list(compare(list(rates)).kinds["label"])
    assert labels == [
        "train.lr=0.0015590978615852315",
        "train.lr=0.25",
        "train.lr=0.001559097861585",
    ]


def test_kinds_that_differ_in_nothing_else_keep_what_changes_nothing(repository):
    for steps in (0, 100):
        params = FIXED | {"train.schedule": "plateau", "train.warmup_steps": steps}
        repository.run(f"steps{steps}", made_up.predictions(0.7, 1), params)
    labels = list(compare(["steps0", "steps100"]).kinds["label"])
    assert labels == ["train.warmup_steps=0", "train.warmup_steps=100"]


def test_what_is_read_with_another_param_is_a_param_beside_a_value_of_it():
    content = load_params(made_up.ROOT / "presets/default.yaml").model_dump()
    for key, (other, values) in kinds.READ_WITH.items():
        for name in (key, other):
            section, inner = name.split(".")
            assert inner in content[section]
        for value in values:
            changed = content | {section: content[section] | {inner: value}}
            parse_params(changed, other)


@pytest.mark.usefixtures("seeds")
def test_kinds_over_seeds():
    names = [f"{kind}{seed}" for seed in (1, 2, 3) for kind in "ab"]
    found = compare(names)
    assert list(found.kinds["label"]) == ["train.weighting=fixed", "train.weighting=kendall"]
    assert list(found.kinds["experiments"]) == ["a1 a2 a3", "b1 b2 b3"]
    of_a = found.experiments[found.experiments["kind"] == "A"]
    assert found.kinds["joint"][0] == pytest.approx(of_a["joint"].mean())

    row = row_of(found, "joint")
    assert row["over"] == "3 paired seeds, frames"
    means = found.experiments.groupby("kind")["joint"].mean()
    assert row["difference"] == pytest.approx(means["B"] - means["A"])
    assert row["difference_low"] > 0
    assert row["half_width"] == pytest.approx(row["difference"] - row["difference_low"])
    assert row["p_holm"] < 0.05
    assert not found.differences["p"].isna().any()


@pytest.mark.usefixtures("seeds")
def test_one_seed_beside_three_has_frames_alone_in_its_interval():
    found = compare(["a1", "a2", "a3", "b2"])
    row = row_of(found, "joint")
    assert row["over"] == "frames, seed 2"
    expected = compare(["a2", "b2"])
    assert expected.remarks == ()
    (remark,) = found.remarks
    assert "B less A is b2 less a2 alone" in remark
    assert "B has one run and A 3; run B with more seeds" in remark
    assert f"note: {remark}" in text(found)
    assert row["difference_low"] == pytest.approx(row_of(expected, "joint")["difference_low"])


@pytest.mark.usefixtures("seeds")
def test_seeds_that_differ_are_not_paired():
    row = row_of(compare(["a1", "a2", "b2", "b3"]), "joint")
    assert row["over"] == "2 and 2 seeds, frames"


def test_one_frame_of_several_seeds_has_no_interval(repository):
    """Their mean is none of one seed, so no interval of one seed holds for it."""
    for seed in (1, 2, 3):
        arrays = made_up.predictions(0.6, seed)
        is_kept = arrays["snr_true_db"] != 0
        is_kept[np.flatnonzero(arrays["snr_true_db"] == 0)[0]] = True
        frames = len(is_kept)
        kept = {key: one[is_kept] for key, one in arrays.items() if np.shape(one)[:1] == (frames,)}
        repository.run(f"a{seed}", arrays | kept, FIXED | {"train.seed": seed})
    found = compare(["a1", "a2", "a3"])
    pictures.accuracy_over_snr(found.by_snr, found.snr_label).draw_without_rendering()
    rows = found.by_snr.set_index(["task", "snr_db"])
    assert rows.loc[("joint", 0), "frames"] == 1
    assert rows.loc[("joint", 0), ["accuracy_low", "accuracy_high"]].isna().all()
    others = rows[rows["frames"] > 1]
    assert (others["accuracy_low"] <= others["accuracy"]).all()
    assert (others["accuracy"] <= others["accuracy_high"]).all()


def test_seeds_that_are_never_wrong_leave_a_width(repository):
    for seed in (1, 2):
        for name, params in (("a", FIXED), ("b", KENDALL)):
            arrays = made_up.predictions(1, seed)
            repository.run(f"{name}{seed}", arrays, params | {"train.seed": seed})
    found = compare(["a1", "a2", "b1", "b2"])
    row = row_of(found, "joint")
    assert row["difference_low"] < 0 < row["difference_high"]
    assert row["p"] == 1
    assert (found.by_snr["accuracy_low"] < 100).all()
    assert (found.by_snr["accuracy_high"] == 100).all()


@pytest.mark.usefixtures("seeds")
def test_accuracy_over_snr_is_that_of_each_cell():
    found = compare(["a1", "a2", "a3", "b1"])
    rows = found.by_snr.set_index(["kind", "task", "snr_db"])
    tables = [
        metrics.accuracy_by_snr(made_up.predictions(0.6, seed)).set_index("snr_db")
        for seed in (1, 2, 3)
    ]
    expected = 100 * np.mean([table["joint"][0] for table in tables])
    assert rows.loc[("A", "joint", 0), "accuracy"] == pytest.approx(expected)
    single = metrics.accuracy_by_snr(made_up.predictions(0.85, 1)).set_index("snr_db")
    assert rows.loc[("B", "snr", 8), "accuracy_low"] == pytest.approx(100 * single["snr_ci_low"][8])


# What other stages found


def test_headlines_of_the_same_model_stand_beside_it(two):
    extra = {"limits": LIMITS, "pis": {"joint": {"top": 1.25}}}
    two.run("whole", made_up.predictions(0.8, 1), KENDALL | {"train.epochs": 3}, metrics=extra)
    found, _ = predictions_of.find(["whole", "good"])
    assert found[0].metrics("limits") == LIMITS
    assert compare(["whole"]).experiments["pis"][0] == 1.25
    assert found[1].metrics("limits") is None


def test_points_below_the_ceiling_have_the_interval_of_their_frames(two):
    """At each of two SNRs 0.5 and 0.9 of 100 frames: a variance of (0.25 + 0.09) / 100 each."""
    table = "snr_db,task,series,accuracy,n\n"
    for label in (0, 8):
        table += f"{label},modulation,ceiling,0.9,100\n{label},modulation,model,0.5,100\n"
        table += f"{label},snr,model,0.5,100\n{label},modulation,chance,0.1,0\n"
    params = KENDALL | {"train.epochs": 3}
    arrays = made_up.predictions(0.8, 1)
    two.run("whole", arrays, params, metrics={"limits": LIMITS}, ceiling=table)
    row = compare(["whole"]).experiments.iloc[0]
    half = 1.96 * 100 * math.sqrt(2 * 0.0034) / 2
    assert row["gap_points"] == 7.5
    assert (row["gap_points_low"], row["gap_points_high"]) == pytest.approx(
        (7.5 - half, 7.5 + half)
    )


def test_frames_a_second_are_of_every_model_that_needs_no_label():
    architecture = Architecture("mcnet", "plain", "standard")
    model = models.build(architecture, (2, 128), modulations=2, snrs_db=(0, 10, 20)).eval()
    trained = TrainedModel(model, architecture, Waveform(128), ("BPSK", "QPSK"), (0, 10, 20))
    conditioned = trained._replace(model=SimpleNamespace(is_conditioned=True))
    found = costs.frames_per_second({"one": trained, "conditioned": conditioned})
    assert found.keys() == {"one"}
    assert 0 < found["one"].low <= found["one"].value <= found["one"].high


def test_headlines_of_another_model_are_left_out(two):
    extra = {"limits": LIMITS, "pis": {"joint": {"top": 1.25}}}
    two.run("whole", made_up.predictions(0.8, 1), KENDALL | {"train.epochs": 3}, metrics=extra)
    (two.root / "metrics/pis.json").write_text(json.dumps({"joint": {"top": 9.0}}))
    assert math.isnan(compare(["workspace"]).experiments["pis"][0])


# Words and pictures


@pytest.mark.usefixtures("seeds")
def test_the_text_fits_a_terminal_and_names_what_is_compared():
    lines = text(compare(["a1", "a2", "b3", "b2", "workspace"])).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "A  train.weighting=fixed: a1 a2" in lines
    assert any(line.startswith("note: workspace") for line in lines)
    assert any(line.startswith("B    joint") and "2 and 2 seeds" in line for line in lines)


@pytest.mark.usefixtures("seeds")
def test_the_picture_over_snr_shows_each_kind_with_its_band():
    found = compare(["a1", "a2", "b1"])
    figure = pictures.accuracy_over_snr(found.by_snr, found.snr_label)
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["Modulation", "SNR", "Joint"]
    assert panels[0].get_ylabel() == "Test accuracy (%)"
    assert panels[0].get_xlabel() == "SNR (dB)"
    rows = found.by_snr[(found.by_snr["kind"] == "A") & (found.by_snr["task"] == "joint")]
    assert panels[2].lines[0].get_ydata() == pytest.approx(rows["accuracy"].to_numpy())
    assert len(panels[2].collections) == 2  # bands
    assert figure.get_suptitle() == ""
    assert "Bands: 95 % intervals over seeds and test frames; of one" in caption_of(figure)
    labels = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert labels == ["A train.weighting=fixed (2 seeds)", "B train.weighting=kendall (1 seed)"]


@pytest.mark.usefixtures("seeds")
def test_the_forest_plot_fills_what_was_found():
    found = compare(["a1", "a2", "a3", "b1", "b2", "b3"])
    figure = pictures.differences(found.differences)
    joint, *_, error = figure.axes
    filled, hollow = joint.lines[-2:]
    row = row_of(found, "joint")
    assert filled.get_xdata() == pytest.approx([row["difference"]])
    assert len(hollow.get_xdata()) == 0
    assert joint.get_xlabel() == "Difference (points)"
    assert error.get_xlabel() == "Difference (dB)"
    assert [tick.get_text() for tick in joint.get_yticklabels()] == ["B"]
    assert figure.get_suptitle() == ""
    assert "less kind A" in caption_of(figure)
    assert "B train.weighting=kendall" in caption_of(figure)


@pytest.mark.usefixtures("two")
def test_pictures_are_written_twice_with_their_captions(tmp_path):
    command.compare(["poor", "good"], None, out=tmp_path / "out", cost=False)
    found = {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("accuracy_over_snr", "differences"):
        assert {f"{name}.png", f"{name}.pdf"} <= found
    written = (tmp_path / "out/captions.tex").read_text()
    assert "\\newcommand{\\AccuracyOverSnrCaption}{%\n  Accuracy of each kind" in written
    assert "\\newcommand{\\DifferencesCaption}" in written
