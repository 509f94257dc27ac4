"""The same experiment with several seeds: the study that it is, and a real one."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from pisces.config import presets
from pisces.experiments import seeds, space
from tests.pipeline import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with presets, stages and the default params, in which nothing can run."""
    for name in ("presets", "metrics", "plots"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    presets.write(presets.on_defaults({}))
    return tmp_path


def points(spec) -> list[tuple]:
    return [tuple(point.values()) for point in space.grid(spec.space)]


@pytest.mark.usefixtures("here")
def test_each_value_is_run_with_every_seed():
    spec = seeds.study_of(3, ["train.weighting=fixed,kendall", "train.lr=1e-3"], "evaluate", 1)
    assert spec.trials == 6
    assert sorted(points(spec)) == [(w, seed) for w in ("fixed", "kendall") for seed in (1, 2, 3)]
    assert spec.fixed == {"train.lr": 1e-3}
    assert (spec.preset, spec.sampler.kind, spec.pruner.kind) == ("default", "grid", "none")
    assert spec.threads == 1


@pytest.mark.usefixtures("here")
def test_the_runs_are_of_the_params_as_they_are():
    presets.write(presets.on_defaults({"train": {"epochs": 7, "seed": 9, "lr": 0.002}}))
    spec = seeds.study_of(2, ["train.lr=1e-3"], "evaluate", None)
    assert spec.fixed == {"train.epochs": 7, "train.lr": 1e-3}
    assert points(spec) == [(1,), (2,)]


@pytest.mark.usefixtures("here")
def test_commas_in_brackets_are_no_choices():
    spec = seeds.study_of(2, ["render.views=[symbol,noise],[raw]"], "evaluate", None)
    assert [point[0] for point in points(spec)][::2] == [["symbol", "noise"], ["raw"]]


@pytest.mark.usefixtures("here")
def test_the_name_is_that_of_the_study():
    first = seeds.default_name(seeds.study_of(2, [], "evaluate", None), ROOT)
    assert first == seeds.default_name(seeds.study_of(2, [], "evaluate", None), ROOT)
    assert first != seeds.default_name(seeds.study_of(3, [], "evaluate", None), ROOT)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("count", "change", "until", "message"),
    [
        (1, "train.lr=1e-3", "evaluate", "1 is no number of seeds.*give 2 or more"),
        (2, "train.lr", "evaluate", "-S train.lr is no key=value"),
        (2, "train.seed=4", "evaluate", "sets train.seed itself"),
        (2, "base.seed=1,2", "evaluate", "base.seed draws the data"),
        (2, "train.lr=[1", "evaluate", r"-S train\.lr=\[1 has no value of YAML"),
        (2, f"train.lr={3000 * '['}", "evaluate", r"-S train\.lr=\[{50,95} has no value of YAML"),
        (2, f"train.lr={5000 * '9'}", "evaluate", r"-S train\.lr=9+ has no value of YAML"),
        (10**9, "train.lr=1e-3", "evaluate", "1000000000 seeds are more than anybody runs"),
        (2, "train.lrr=1", "evaluate", r"no param train\.lrr.*did you mean train\.lr"),
        (2, "train.model=cnn", "evaluate", "there is no model 'cnn'"),
        (2, "train.lr=1e-3", "pis", "--until pis does not reach evaluate.*limits"),
        (2, "train.lr=1e-3", "nowhere", "until = nowhere is no stage"),
    ],
)
def test_what_cannot_be_run_is_refused(count, change, until, message):
    with pytest.raises(ValueError, match=message):
        seeds.study_of(count, [change], until, None)


@pytest.mark.usefixtures("here")
def test_a_param_is_given_once():
    with pytest.raises(ValueError, match=r"-S train\.lr stands twice"):
        seeds.study_of(2, ["train.lr=1", "train.lr=2"], "evaluate", None)


@pytest.mark.slow
def test_two_seeds_end_in_a_comparison(copied, shell):
    """Through DVC, its cache and the storage; and again, where nothing is left to run."""
    command = ["python", "-m", "pisces", "seeds", "2", "-S", "train.epochs=2"]
    command += ["--threads", "1", "--name", "two", "--out", "out"]
    printed = shell.must(copied, *command)
    assert "Means over seeds" in printed

    kinds = pd.read_csv(copied / "out/kinds.csv")
    assert list(kinds["seeds"]) == [2]
    runs = pd.read_csv(copied / "out/experiments.csv")
    assert list(runs["seed"]) == [1, 2]
    assert list(runs["epochs"]) == [2, 2]
    assert runs["parameters"].notna().all()
    assert (copied / "out/accuracy_over_snr.png").stat().st_size > 1000

    again = shell.must(copied, *command)
    assert "begins" not in again
    assert again[again.index("Test accuracy") :] == printed[printed.index("Test accuracy") :]

    status, compared = shell(
        copied, "python", "-m", "pisces", "compare", *runs["experiment"], "HEAD", "--cost"
    )
    assert status == 1  # what is refused leaves no difference
    assert "frames a second" in compared
    assert "note: HEAD: it has no predictions, since the stage evaluate has not run" in compared
