"""The report of a sweep whose params have known effects."""

import argparse
import math
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from optuna.trial import TrialState
from scipy import stats

from pisces.commands import sweep_report as command
from pisces.experiments import address, sweep_importance, sweep_page, sweep_report, worker
from pisces.report import sweeps
from pisces.report.captions import caption_of
from tests.figures import assert_printable

NOISE = 0.01
MODELS = {"small": 0.6, "large": 0.7, "wide": 0.64}
"""Mean of each choice where the other effects are left out."""
PER_DECADE, PER_BLOCK = 0.05, 0.005


def planted(trials: int) -> optuna.Study:
    """A study with a strong choice, a weaker log range, a param without effect, a conditional one.

    Every seventh trial is pruned after its third epoch, every eleventh failed, and every thirteenth
    was lost before it finished.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(study_name="planted", direction="maximize", sampler=sampler)
    study.set_user_attr(
        "study",
        '{"metric": "evaluate.joint.accuracy", "epoch_metric": "validation_joint_accuracy"}',
    )
    rng = np.random.default_rng(1)
    for root in range(trials):
        trial = study.ask()
        trial.set_user_attr("root", root)
        model = trial.suggest_categorical("train.model", list(MODELS))
        rate = trial.suggest_float("train.lr", 1e-4, 1e-2, log=True)
        trial.suggest_float("train.clip_norm", 0.5, 5.0)
        blocks = trial.suggest_int("cldnn.channels", 1, 4) if model == "wide" else 2.5
        value = MODELS[model] + PER_DECADE * (math.log10(rate) + 3) + PER_BLOCK * (blocks - 2.5)
        value += NOISE * rng.normal()
        for epoch in range(1, 4):
            trial.report(value - 0.3 / epoch, epoch)
        end(study, trial, root, value)
    return study


def end(study: optuna.Study, trial: optuna.Trial, root: int, value: float) -> None:
    """Ends a trial in the way that its number says."""
    trial.set_user_attr("experiment", f"planted-{root}")
    trial.set_user_attr("host", "here")
    if root % 7 == 6:
        study.tell(trial, state=TrialState.PRUNED)
    elif root % 11 == 10:
        trial.set_user_attr("error", "train: loss is NaN | lower train.lr")
        study.tell(trial, state=TrialState.FAIL)
    elif root % 13 == 12:
        # Lost, and tried again elsewhere with the same params.
        study.tell(trial, state=TrialState.FAIL)
        again = {**trial.user_attrs, "host": "there"}
        lost = study.trials[trial.number]
        study.add_trial(
            optuna.trial.create_trial(
                value=value, params=lost.params, distributions=lost.distributions, user_attrs=again
            )
        )
    else:
        study.tell(trial, value)


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    return planted(70)


@pytest.fixture(scope="module")
def report(study) -> sweep_report.Report:
    return sweep_report.of_study(study)


def test_every_trial_is_counted_once(report):
    trials = report.tables["trials"]
    assert sorted(trials["trial"]) == list(range(70))
    states = trials.set_index("trial")["state"]
    assert states[6] == "pruned"
    assert states[10] == "failed"
    assert states[12] == "finished", "tried again after it was lost"
    assert set(trials.loc[trials["trial"] == 12, "attempts"]) == {2}


def test_what_did_not_finish_is_told_with_its_reason(report):
    tables = report.tables
    assert tables["pruned"].set_index("trial").loc[6, "epoch"] == 3
    failures = tables["failures"].set_index("trial")
    assert failures.loc[10, "error"] == "train: loss is NaN | lower train.lr"
    retried = tables["retries"].set_index("trial").loc[12]
    assert (retried["lost"], retried["hosts"], retried["state"]) == (1, "here, there", "finished")
    page = sweep_page.page(report, [])
    assert "| 10 | here | train: loss is NaN \\| lower train.lr |" in page


@pytest.mark.parametrize(
    ("retries", "state", "reason"),
    [(2, "waiting", None), (1, "failed", "2 attempts were lost .*retries = 1")],
)
def test_a_trial_is_told_as_its_worker_tells_it(retries, state, reason):
    """One whose worker died twice waits for the next, or has failed."""
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("retries", retries)
    for _ in range(2):
        trial = study.ask()
        trial.set_user_attr("root", 0)
        study.tell(trial, state=TrialState.FAIL)
    found = sweep_report.of_study(study)
    assert found.tables["trials"]["state"].tolist() == [state]
    assert found.tables["attempts"]["state"].tolist() == ["lost", "lost"]
    failures = found.tables["failures"]["error"].tolist()
    assert len(failures) == (reason is not None)
    assert reason is None or re.match(reason, failures[0])
    assert f"1 trial: 1 {state}." in sweep_page.page(found, [])

    spec = SimpleNamespace(trials=1, retries=retries, space={"train.seed": None})
    assert worker.summary(study, spec).endswith(f"1 trial, 1 {state}")


def test_the_best_trials_come_first_with_their_settings(report, study):
    best = report.tables["best"]
    assert len(best) == sweep_report.BEST
    assert best["value"].iloc[0] == study.best_value
    assert best["value"].is_monotonic_decreasing
    assert best["train.lr"].iloc[0] == study.best_params["train.lr"]
    name = best["experiment"].iloc[0]
    assert f"python -m pisces restore {name}" in sweep_page.page(report, [])


def test_the_least_is_the_best_where_that_is_sought():
    study = optuna.create_study(direction="minimize")
    for value in (3.0, 1.0, 2.0):
        study.add_trial(optuna.trial.create_trial(value=value))
    best = sweep_report.of_study(study).tables["best"]
    assert best["value"].tolist() == [1, 2, 3]


def test_importance_finds_what_was_planted(report):
    rows = report.tables["importance"].set_index("param")
    always = rows[~rows["conditional"]]
    assert always.index[0] == "train.model"
    assert always.index[-1] == "train.clip_norm"
    assert always["importance"].sum() == pytest.approx(1)

    # Variances of the values: between the models, over two decades evenly, and the noise.
    between, over_decades = np.var(list(MODELS.values())), PER_DECADE**2 * 2**2 / 12
    expected = between / (between + over_decades + NOISE**2)
    assert always.loc["train.model", "importance"] == pytest.approx(expected, abs=0.15)
    assert always.loc["train.clip_norm", "importance"] < 0.1
    assert (rows["low"] <= rows["importance"]).all()
    assert (rows["importance"] <= rows["high"]).all()
    assert (rows["low"] < rows["high"]).all()

    conditional = rows[rows["conditional"]]
    assert list(conditional.index) == ["cldnn.channels"]
    assert set(conditional["trials"]) < set(range(60))


def test_importance_of_a_log_range_counts_each_decade_alike():
    """By the range itself, nine tenths of two decades would be the upper one, without effect."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(40):
        trial = study.ask()
        rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        other = trial.suggest_float("other", 0, 1)
        study.tell(trial, float(rate < 1e-3) + 0.3 * float(other < 0.5))
    rows = sweep_importance.importances(study.trials).set_index("param")
    # Variances of two even halves: 1 / 4 and 0.3^2 / 4.
    assert rows.loc["rate", "importance"] == pytest.approx(1 / 1.09, abs=0.1)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_importance_is_not_told_of_few_trials(count):
    study = optuna.create_study()
    for value in range(count):
        trial = study.ask()
        trial.suggest_float("train.lr", 0, 1)
        study.tell(trial, float(value))
    assert sweep_importance.importances(study.trials).empty
    if count:
        report = sweep_report.of_study(study)
        told = "1 finished trial; 10" if count == 1 else f"{count} finished trials; 10"
        assert told in sweep_page.page(report, [])


def test_importance_of_equal_values_is_not_told():
    study = optuna.create_study()
    for _ in range(12):
        trial = study.ask()
        trial.suggest_float("train.lr", 0, 1)
        study.tell(trial, 1.0)
    assert sweep_importance.importances(study.trials).empty


def test_intervals_of_the_choices_cover_the_planted_means():
    """Of 100 studies of 24 trials, 95 % should; what binomial luck allows is derived."""
    rng, covered, tries = np.random.default_rng(3), 0, 100
    distributions = {"m": optuna.distributions.CategoricalDistribution(["a", "b"])}
    for _ in range(tries):
        values = 0.5 + 0.1 * rng.normal(size=24)
        trials = [
            optuna.trial.create_trial(
                value=value, params={"m": "ab"[place % 2]}, distributions=distributions
            )
            for place, value in enumerate(values)
        ]
        first = sweep_report.marginals(trials).iloc[0]
        assert first["trials"] == 12
        covered += first["low"] <= 0.5 <= first["high"]
    low, high = stats.binom.interval(1 - 1e-6, tries, 0.95)
    assert low <= covered <= high


def test_means_of_choices_are_over_finished_trials_and_conditional_ones_apart(report):
    rows, trials = report.tables["marginals"], report.tables["trials"]
    finished = trials[trials["state"] == "finished"]
    models = rows[rows["param"] == "train.model"].set_index("choice")
    assert list(models.index) == list(MODELS)
    for model in MODELS:
        values = finished.loc[finished["train.model"] == model, "value"]
        assert models.loc[model, "mean"] == pytest.approx(values.mean())
        assert models.loc[model, "trials"] == len(values)

    rates = rows[rows["param"] == "train.lr"]
    assert rates["choice"].iloc[0] == "0.0001 to 0.000316"
    assert rates["trials"].sum() == len(finished)
    assert set(rows.loc[rows["conditional"], "param"]) == {"cldnn.channels"}
    channels = rows[rows["param"] == "cldnn.channels"]
    assert list(channels["choice"]) == ["1", "2", "3", "4"]


def test_one_trial_has_a_mean_and_no_interval():
    trial = optuna.trial.create_trial(
        value=0.5,
        params={"m": "a"},
        distributions={"m": optuna.distributions.CategoricalDistribution(["a", "b"])},
    )
    only = sweep_report.marginals([trial]).iloc[0]
    assert only["mean"] == 0.5
    assert np.isnan([only["low"], only["high"]]).all()


def test_pictures_show_the_tables(report):
    figures = sweeps.pictures(report.tables, report.metric, report.epoch_metric, report.maximize)
    assert list(figures) == ["history", "epochs", "importance", "marginals", "parallel"]
    trials = report.tables["trials"]
    finished = trials[trials["state"] == "finished"]

    (axes,) = figures["history"].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Trial", "evaluate.joint.accuracy")
    assert axes.lines[0].get_ydata().tolist() == finished["value"].tolist()
    assert axes.lines[1].get_ydata()[-1] == finished["value"].max()

    (axes,) = figures["epochs"].axes
    assert axes.get_ylabel() == "validation_joint_accuracy"
    (axes,) = figures["importance"].axes
    rows = report.tables["importance"]
    assert [patch.get_width() for patch in axes.patches] == pytest.approx(100 * rows["importance"])
    panels = [axes.get_title() for axes in figures["marginals"].axes if axes.get_title()]
    assert panels == ["train.model", "train.lr", "train.clip_norm", "cldnn.channels*"]
    counts = report.tables["marginals"].set_index("param").loc["train.model", "trials"]
    panel = figures["marginals"].axes[0]
    assert [text.get_text() for text in panel.texts] == [str(count) for count in counts]
    axes = figures["parallel"].axes[0]
    assert len([line for line in axes.lines if len(line.get_xdata()) == 4]) == len(finished)


def test_counts_stand_above_their_panel_and_below_its_title(report):
    """Where neither an interval nor a word covers them."""
    figure = sweeps.marginals(report.tables["marginals"], report.metric)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        for text in axes.texts:
            extent = text.get_window_extent(canvas.get_renderer())
            assert extent.y0 >= axes.bbox.y1
            assert extent.y1 <= axes.title.get_window_extent(canvas.get_renderer()).y0


def test_pictures_have_captions_and_no_heading(report):
    figures = sweeps.pictures(report.tables, report.metric, report.epoch_metric, report.maximize)
    for figure in figures.values():
        assert figure.get_suptitle() == ""
        assert caption_of(figure).endswith(".")
        assert_printable(figure)


def test_a_picture_of_one_finished_trial_stays_near_its_value_and_shows_what_runs_as_running():
    study = optuna.create_study(direction="maximize")
    finished, running = study.ask(), study.ask()
    for trial in (finished, running):
        trial.suggest_float("train.lr", 0, 1)
        trial.report(0.5, 1)
    study.tell(finished, 1.0)
    found = sweep_report.of_study(study)
    figures = sweeps.pictures(found.tables, found.metric, found.epoch_metric, found.maximize)
    low, high = figures["marginals"].axes[0].get_ylim()
    assert 0.95 < low < 1 < high < 1.05
    for name in ("history", "epochs"):
        (legend,) = figures[name].legends
        told = {entry.get_text() for entry in legend.get_texts()}
        assert "Running or waiting" in told
        assert not any("ailed" in entry for entry in told)


def test_labels_of_settings_stand_above_all_lines(report):
    figures = sweeps.pictures(report.tables, report.metric, report.epoch_metric, report.maximize)
    axes = figures["parallel"].axes[0]
    assert axes.texts
    highest = max(line.get_zorder() for line in axes.lines)
    for label in axes.texts:
        assert label.get_zorder() > highest
        assert label.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """A storage of two studies."""
    path = tmp_path_factory.mktemp("storage") / "sweeps.db"
    optuna.copy_study(
        from_study_name="planted",
        from_storage=planted(14)._storage,
        to_storage=f"sqlite:///{path}",
        to_study_name="own",
    )
    optuna.create_study(storage=f"sqlite:///{path}", study_name="empty")
    return path


def run(monkeypatch, folder: Path, study: str, storage: str | None = None) -> None:
    monkeypatch.chdir(folder)
    parser = argparse.ArgumentParser()
    command.add_report(parser.add_subparsers(dest="action"))
    given = ["--storage", storage] if storage else []
    arguments = vars(parser.parse_args(["report", study, *given]))
    arguments.pop("function")(**arguments)


def test_the_command_writes_a_page_with_tables_and_pictures(
    database, tmp_path, monkeypatch, capsys
):
    shutil.copy(database, tmp_path)
    monkeypatch.delenv(address.VARIABLE, raising=False)
    run(monkeypatch, tmp_path, "own")
    said = capsys.readouterr().out
    assert said.startswith("14 trials: ")
    assert "python -m pisces restore planted-" in said
    folder = tmp_path / "build/sweeps/own"
    assert (folder / "report.md").is_file()
    for link in ("history", "epochs", "importance", "marginals", "parallel"):
        assert f"({link}.png)" in (folder / "report.md").read_text()
        assert (folder / f"{link}.png").stat().st_size > 1000
        assert (folder / f"{link}.pdf").is_file()
    captions = (folder / "captions.tex").read_text()
    assert "\\HistoryCaption" in captions
    assert captions.count("Sweep own, which sought evaluate.joint.accuracy.") == 5
    assert len(pd.read_csv(folder / "trials.csv")) == 14


@pytest.mark.parametrize(
    ("study", "storage", "expected"),
    [
        ("other", None, r"no study other in .*sweeps.db; there are empty, own"),
        ("own", "sqlite:///none.db", r"no storage sqlite:///none.db"),
        ("own", "sqlite:///bare.db", r"no study own in sqlite:///bare.db; it holds none"),
        ("own", "sqlite:///foreign.db", r"foreign.db belongs to another program, .* are studies;"),
        ("empty", None, r"no trial of the study empty has begun"),
        ("own", "sqlite:///text.db", r"sqlite:///text.db cannot be used: .*not a database"),
        ("own", "postgresql://me:hush@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x cannot be used"),
    ],
)
def test_a_mistake_is_one_line_without_a_password(
    study, storage, expected, database, tmp_path, monkeypatch
):
    shutil.copy(database, tmp_path)
    (tmp_path / "bare.db").touch()
    (tmp_path / "text.db").write_text("no database " * 100)
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as foreign:
        foreign.execute("CREATE TABLE studies (title TEXT)")
    monkeypatch.delenv(address.VARIABLE, raising=False)
    monkeypatch.setattr(address, "hide_password", lambda _: None)
    with pytest.raises((ValueError, FileNotFoundError), match=expected) as caught:
        run(monkeypatch, tmp_path, study, storage)
    assert len(str(caught.value).splitlines()) == 1
    assert "hush" not in str(caught.value)
    assert not (tmp_path / "none.db").exists()
    assert (tmp_path / "bare.db").read_bytes() == b""
    assert not (tmp_path / "build").exists()
