"""Files of sweeps: what they may say, and what is drawn of their spaces."""

import json
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from scipy import stats

from pisces.config import io, presets
from pisces.core import yaml
from pisces.experiments import pipeline, space, study, study_page, study_schema
from pisces.experiments.study import Study

ROOT = Path(__file__).parents[1]
RATE = {"from": 1e-4, "to": 1e-2, "log": True}
CONTENT: dict[str, Any] = {
    "preset": "smoke",
    "metric": "evaluate.joint.accuracy",
    "direction": "maximize",
    "trials": 10,
    "sampler": {"kind": "random", "seed": 3},
    "pruner": {"kind": "none"},
    "space": {
        "train.lr": RATE,
        "train.batch_size": {"choices": [16, 32, 64]},
        "train.schedule": {"choices": ["cosine", "plateau"]},
        "train.warmup_steps": {
            **{"from": 0, "to": 40, "step": 10, "int": True},
            "when": {"train.schedule": ["cosine"]},
        },
    },
}


@pytest.fixture(autouse=True)
def here(monkeypatch) -> None:
    """The repository, with its presets, stages and metrics."""
    monkeypatch.chdir(ROOT)


def changed(content: dict, changes: dict[str, Any]) -> dict:
    """Content with other values at some places, of which `/` parts the keys."""
    content = json.loads(json.dumps(content))
    for place, value in changes.items():
        *outer, name = place.split("/")
        at = content
        for key in outer:
            at = at.setdefault(key, {})
        if value is ...:
            del at[name]
        else:
            at[name] = value
    return content


def read(folder: Path, changes: dict[str, Any] | None = None) -> Study:
    """The study of this file with some changes."""
    path = folder / "own.yaml"
    text = json.dumps(changed(CONTENT, changes or {}))
    path.write_text(text.replace("NaN", ".nan").replace("Infinity", ".inf"))
    return study.read(path)


def drawn(one: Study, numbers: range, told: float = 0.0) -> list[dict[str, Any]]:
    """The settings of some trials, each drawn by a worker of its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.InMemoryStorage()
    found = []
    optuna.create_study(study_name="own", storage=storage, direction=one.direction)
    for number in numbers:
        worker = optuna.load_study(
            study_name="own", storage=storage, sampler=study.sampler(one, number)
        )
        trial = worker.ask()
        found.append(study.settings(one, trial))
        worker.tell(trial, told)
    return found


@pytest.mark.parametrize("name", ["default", "published", "smoke"])
def test_a_shipped_study_is_valid_and_all_it_draws_is(name):
    one = study.read(Path(f"sweeps/{name}.yaml"))
    assert name in study.names()
    base = study_schema.base_of(one)
    for settings in drawn(one, range(12)):
        io.parse_params(study_schema.changed(base, settings), name)


def test_the_default_study_starts_from_the_default_settings_and_from_what_test_frames_hide():
    one = study.read(Path("sweeps/default.yaml"))
    assert one.metric == "training.validation_joint_accuracy"
    assert (one.preset, one.trials, one.threads) == ("default", 30, 1)
    params = dict(presets.leaves(yaml.read(Path("params.yaml"))))
    for key, dimension in one.space.items():
        if dimension.when is None:
            if dimension.choices:
                is_in = params[key] in dimension.choices
            else:
                is_in = dimension.ends[0] <= params[key] <= dimension.ends[1]
            assert is_in, f"{key}: the sweep cannot find the default again"


def test_the_columns_are_those_of_a_training():
    columns = pd.read_csv("plots/training.csv").columns
    assert set(pipeline.TRAINING_COLUMNS) <= set(columns)
    measured = {one for one in columns if one.endswith(("_loss", "_accuracy"))}
    assert measured == set(pipeline.TRAINING_COLUMNS)


@pytest.mark.parametrize(
    ("last", "before"),
    [
        ("train", ["synthesize", "split_hdf5", "render", "stratify"]),
        ("evaluate", ["synthesize", "split_hdf5", "render", "stratify", "train"]),
        ("synthesize", []),
    ],
)
def test_the_stages_before_another_are_those_of_dvc_yaml(last, before):
    assert pipeline.up_to(pipeline.read(), last) == [*before, last]


SPACE = "space/train.lr"
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"trails": 3}, r"own.yaml: unknown key trails \(did you mean trials\?\)"),
    "unknown key in a section": (
        {"sampler/kin": "tpe"},
        r"unknown key sampler.kin \(did you mean kind\?\); allowed here are kind, seed",
    ),
    "unknown key in the space": (
        {f"{SPACE}/form": 1},
        r"unknown key space.train.lr.form \(did you mean from\?\)",
    ),
    "missing": ({"metric": ...}, r"metric is missing; write it"),
    "kind": ({"sampler/kind": "bayes"}, r'sampler.kind = "bayes": .*tpe'),
    "text for a number": ({"trials": "many"}, r'trials = "many": .*valid integer'),
    "true for a number": ({"trials": True}, r"trials = true: .*valid integer"),
    "half a trial": ({"trials": 1.5}, r"trials = 1.5: .*integer"),
    "no trial": ({"trials": 0}, r"trials = 0: .*greater than 0"),
    "infinite hours": ({"hours": math.inf}, r"hours = Infinity: .*finite"),
    "list for a space": ({"space": [1]}, r"space = \[1\]: .*takes mapping of text to mapping"),
    "text for a dimension": (
        {SPACE: "all"},
        r'space.train.lr = "all" says not what it may be; write \{choices: \["all", ...\]\}',
    ),
    "list for a dimension": (
        {SPACE: [0.1, 0.2]},
        r"space.train.lr = \[0.1, 0.2\] is a list; write \{choices: \[0.1, 0.2\]\}",
    ),
    "choice without brackets": (
        {SPACE: {"choices": 0.1}},
        r"space.train.lr.choices = 0.1 is no list; write \[0.1\]",
    ),
    "condition without brackets": (
        {f"{SPACE}/when": {"train.schedule": "cosine"}},
        r'space.train.lr.when.train.schedule = "cosine" is no list; write \["cosine"\]',
    ),
    "condition without values": (
        {f"{SPACE}/when": ["train.schedule"]},
        r"space.train.lr.when = .* has no values; write \{KEY: \[VALUE\]\}",
    ),
    "condition in a space of one key": (
        {"space": {"train.lr": RATE | {"when": {"train.schedule": ["cosine"]}}}},
        r"train.lr is the only key of the space; leave when out",
    ),
    "empty space": ({"space": {}}, r"space is empty; name one param"),
    "unknown preset": ({"preset": "smokey"}, r"preset = smokey is unknown \(did you mean smoke\?"),
    "unknown stage": ({"until": "evalate"}, r"until = evalate is no stage \(did you mean evaluate"),
    "unknown param": (
        {"space/train.lrr": RATE},
        r"space.train.lrr: there is no param train.lrr \(did you mean train.lr\?\)",
    ),
    "param without its section": (
        {"space/batch_size": {"choices": [1]}},
        r"no param batch_size \(did you mean train.batch_size\?\)",
    ),
    "param by its description": (
        {"space/train.learning_rate": RATE},
        r"no param train.learning_rate \(did you mean train.lr, ",
    ),
    "param like none": (
        {"space/train.momentum": RATE},
        r"no param train.momentum; train has seed, .*compile; docs/reference/parameters.md",
    ),
    "unknown fixed": ({"fixed/trian.lr": 1.0}, r"no param trian.lr \(did you mean train\?\)"),
    "whole section": ({"space/train": {"choices": [{}]}}, r"train is a section of params"),
    "below a value": (
        {"space/train.lr.low": RATE},
        r"train.lr.low, since train.lr holds a value",
    ),
    "seed of the data": (
        {"space/base.seed": {"choices": [1, 2]}},
        r"space.base.seed: base.seed draws the data .* vary train.seed$",
    ),
    "fixed and drawn": ({"fixed/train.lr": 1e-3}, r"train.lr is in both fixed and space"),
    "within another": (
        {
            "fixed/augment.impairments": None,
            "space/augment.impairments.echo": {"choices": [None]},
        },
        r"augment.impairments.echo lies in augment.impairments, which is set as a whole",
    ),
    "unknown metric": (
        {"metric": "evaluate.joint.acuracy"},
        r"metric = evaluate.joint.acuracy is unknown \(did you mean evaluate.joint.accuracy\?\)",
    ),
    "metric of no file": (
        {"metric": "evalute.joint.accuracy"},
        r"is of no metrics file \(did you mean evaluate\?\)",
    ),
    "metric of no key": ({"metric": "evaluate"}, r"metric = evaluate is unknown"),
    "mapping as a metric": ({"metric": "evaluate.joint"}, r"evaluate.joint is unknown"),
    "unknown column": (
        {"metric": "training.validation_joint_acc"},
        r"did you mean training.validation_joint_accuracy\?",
    ),
    "unknown epoch metric": (
        {"epoch_metric": "joint_accuracy"},
        r"epoch_metric = joint_accuracy is no column \(did you mean",
    ),
    "metric beyond the last stage": (
        {"until": "train"},
        r"metric = evaluate.joint.accuracy is measured by evaluate, which until = train does not",
    ),
    "worst": (
        {"direction": "minimize"},
        r"evaluate.joint.accuracy is better the higher it is, against direction = minimize",
    ),
    "prune the best": (
        {"pruner": {"kind": "median", "min_epochs": 1}, "epoch_metric": "validation_loss"},
        r"epoch_metric = validation_loss is better the lower",
    ),
    "param that no stage reads": (
        {"space/pis.fill": {"choices": ["zero", "resample"]}},
        r"pis.fill changes nothing, since no stage up to until = evaluate",
    ),
    "no values": ({SPACE: {"log": True}}, r"space.train.lr: needs choices, or both from and to"),
    "no choice": ({SPACE: {"choices": []}}, r"space.train.lr.choices = \[\]: .*at least 1"),
    "choice twice": ({SPACE: {"choices": [0.1, 0.1]}}, r"choices names 0.1 twice"),
    "choices and a range": ({f"{SPACE}/choices": [1.0]}, r"has both choices and a range"),
    "choices with a step": ({SPACE: {"choices": [1.0], "step": 1}}, r"take no log, step or int"),
    "from above to": ({f"{SPACE}/from": 1.0}, r"from = 1 is not less than to = 0.01"),
    "from is to": ({f"{SPACE}/from": 0.01}, r"from = 0.01 is not less than to = 0.01"),
    "log from 0": ({f"{SPACE}/from": 0}, r"from = 0 has no logarithm"),
    "log and step": ({f"{SPACE}/step": 0.0001}, r"both log and step"),
    "step of 0": ({f"{SPACE}/step": 0}, r"step = 0: .*greater than 0"),
    "NaN": ({f"{SPACE}/from": math.nan}, r"space.train.lr.from = NaN: .*finite"),
    "NaN as a choice": ({SPACE: {"choices": [math.nan]}}, r"train.lr = NaN: .*finite"),
    "text as an end": ({f"{SPACE}/from": "low"}, r'space.train.lr.from = "low": .*number'),
    "steps without end": (
        {SPACE: {"from": 1e-4, "to": 1e-2, "step": 1e-300}},
        r"step = 1e-300 makes more than 1e\+09 values; raise it",
    ),
    "steps that miss the end": (
        {SPACE: {"from": 0.1, "to": 0.95, "step": 0.1}},
        r"steps of 0.1 from 0.1 do not reach to = 0.95; set it to 0.9",
    ),
    "half a whole number": (
        {"space/train.batch_size": {"from": 1.5, "to": 8, "int": True}},
        r"from = 1.5 is no whole number",
    ),
    "fractions for a whole number": (
        {"space/train.batch_size": {"from": 16, "to": 64}},
        r"train.batch_size takes whole numbers only; write int: true",
    ),
    "refused choice": (
        {"space/train.batch_size": {"choices": [16, 1]}},
        r"own.yaml: space.train.batch_size = 1: .*greater than or equal to 2",
    ),
    "refused first choice": (
        {"space/train.batch_size": {"choices": [1, 16]}},
        r"own.yaml: space.train.batch_size = 1: .*greater than or equal to 2",
    ),
    "part of a section that the preset has not": (
        {"space/synthesize.multipath.paths": {"choices": [3]}},
        r"fixed and the first of each choice, synthesize.multipath.k_factor_db is missing",
    ),
    "refused fixed": (
        {"fixed/train.clip_norm": -1.0},
        r"fixed.train.clip_norm = -1.0: .*greater than 0",
    ),
    "choice of another kind": (
        {"space/train.schedule": {"choices": ["cosine", "linear"]}},
        r'space.train.schedule = "linear": .*one_cycle',
    ),
    "choice against the preset": (
        {"space/train.snr_loss": {"choices": ["cross_entropy", "regression"]}},
        r'space.train.snr_loss = "regression": train: snr_loss = regression needs snr_head',
    ),
    "choices against each other": (
        {
            "space/train.snr_head": {"choices": ["regression", "standard"]},
            "space/train.snr_loss": {"choices": ["cross_entropy", "regression"]},
        },
        r"refused together: train: snr_loss = regression needs snr_head = regression.*when",
    ),
    "range below the allowed": (
        {"space/train.label_smoothing": {"from": -0.5, "to": 0.5}},
        r"train.label_smoothing = -0.5: .*greater than or equal to 0",
    ),
    "refused between the ends of few values": (
        {"space/render.size": {"from": 16, "to": 32, "int": True}},
        r"render.size = 17: 17 must be even, .* \(and 7 more such values\)",
    ),
    "refused between the ends of many values": (
        {"space/render.size": {"from": 16, "to": 128, "int": True}},
        r"space.render.size = 17: 17 must be even",
    ),
    "empty condition": ({f"{SPACE}/when": {}}, r"space.train.lr: when is empty"),
    "condition on no key": (
        {f"{SPACE}/when": {"train.shedule": ["cosine"]}},
        r"train.shedule is no key of the space \(did you mean train.schedule\?\)",
    ),
    "condition on a value that is not drawn": (
        {f"{SPACE}/when": {"train.schedule": ["one_cycle"]}},
        r'when.train.schedule = "one_cycle" is never drawn; .* takes "cosine", "plateau"',
    ),
    "condition on a number": (
        {"space/train.batch_size/when": {"train.lr": [0.001]}},
        r"train.lr is any number of a range",
    ),
    "conditions in a circle": (
        {"space/train.schedule/when": {"train.warmup_steps": [10]}},
        r"conditions go round in a circle",
    ),
    "condition on itself": (
        {"space/train.batch_size/when": {"train.batch_size": [16]}},
        r"conditions go round in a circle",
    ),
    "condition on a number of very many": (
        {
            "space/train.max_skipped_steps": {"from": 0, "to": 1e9, "int": True},
            "space/train.batch_size/when": {"train.max_skipped_steps": [3]},
        },
        r"train.max_skipped_steps is any number of a range",
    ),
    "1 for true": (
        {
            "space/augment.symmetry": {"choices": [True, False]},
            f"{SPACE}/when": {"augment.symmetry": [1]},
        },
        r"when.augment.symmetry = 1 is never drawn; augment.symmetry takes true, false",
    ),
    "epochs that are no number": (
        {"fixed/train.epochs": "many", "pruner": {"kind": "hyperband"}},
        r'train.epochs = "many": .*valid integer',
    ),
    "Hyperband with too few epochs": (
        {"pruner": {"kind": "hyperband", "min_epochs": 2, "reduction": 3}},
        r"no second rung: train.epochs = 2 is less than min_epochs x reduction = 2 x 3",
    ),
    "nothing left to prune": (
        {"pruner": {"kind": "median", "min_epochs": 2}},
        r"pruner.min_epochs = 2 leaves none of train.epochs = 2",
    ),
    "grid of a range": ({"sampler/kind": "grid"}, r"space.train.lr: sampler.kind = grid needs"),
    "grid with too many trials": (
        {"sampler/kind": "grid", SPACE: {"choices": [1e-3, 1e-2]}, "trials": 100},
        r"trials = 100 is more than the 36 points of the grid",
    ),
    "endless grid": (
        {"sampler/kind": "grid", SPACE: {"from": 0.0001, "to": 1, "step": 0.0001}},
        r"the grid has more than 100000 points",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_a_line_with_file_and_key(case, tmp_path):
    changes, expected = BAD[case]
    with pytest.raises(ValueError, match=expected) as caught:
        read(tmp_path, changes)
    for line in str(caught.value).splitlines():
        assert line.startswith(f"{tmp_path}/own.yaml: ")


@pytest.mark.parametrize("text", ["", "[1, 2]", "word", "a: [", "a: 1\na: 2"])
def test_what_is_no_mapping_is_refused(text, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml") as caught:
        study.read(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["smoke", "smoke.yaml", "sweeps/smok.yaml", "sweeps/smoke"])
def test_a_study_that_is_not_there_names_those_that_are(name):
    expected = (
        rf"study {name} \(did you mean sweeps/smoke.yaml\?\); there are sweeps/default.yaml, "
    )
    with pytest.raises(FileNotFoundError, match=expected):
        study.read(Path(name))


def test_a_study_like_none_names_those_that_are_alone():
    with pytest.raises(FileNotFoundError, match=r"no study nothing.yaml; there are .*smoke.yaml$"):
        study.read(Path("nothing.yaml"))


def test_the_study_of_the_guide_is_accepted_and_shows_every_kind_of_key(tmp_path):
    page = Path("docs/guide/sweeps.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "own.yaml"
    path.write_text(example)
    found = study.read(path).space.values()
    assert any(one.choices and isinstance(one.choices[0], list) for one in found)
    assert any(one.log for one in found)
    assert any(one.whole and one.step for one in found)
    assert any(one.low is not None and not (one.whole or one.log) for one in found)
    assert any(one.when for one in found)


def test_an_epoch_metric_is_not_looked_at_without_a_pruner(tmp_path):
    assert read(tmp_path, {"epoch_metric": "validation_loss"}).pruner.kind == "none"


def test_settings_lie_in_the_space_and_keep_its_conditions(tmp_path):
    for settings in drawn(read(tmp_path, {"fixed/train.epochs": 1}), range(60)):
        assert settings["train.epochs"] == 1
        assert RATE["from"] <= settings["train.lr"] <= RATE["to"]
        assert settings["train.batch_size"] in (16, 32, 64)
        assert ("train.warmup_steps" in settings) == (settings["train.schedule"] == "cosine")
        assert settings.get("train.warmup_steps", 0) in range(0, 41, 10)
        assert type(settings.get("train.warmup_steps", 0)) is int


def test_a_condition_on_a_condition_holds_only_with_both(tmp_path):
    deeper = {
        "space/train.clip_norm": {
            **{"from": 1, "to": 2},
            "when": {"train.warmup_steps": [10, 20], "train.batch_size": [16]},
        }
    }
    found = Counter()
    for settings in drawn(read(tmp_path, deeper), range(80)):
        holds = (
            settings.get("train.warmup_steps") in (10, 20) and settings["train.batch_size"] == 16
        )
        assert ("train.clip_norm" in settings) == holds
        found[holds] += 1
    assert min(found[True], found[False]) > 0


def test_ranges_are_uniform_and_log_ranges_log_uniform(tmp_path):
    one = read(tmp_path, {"space/train.clip_norm": {"from": 1, "to": 3}})
    found = drawn(one, range(400))
    decades = [math.log10(settings["train.lr"]) for settings in found]
    norms = [settings["train.clip_norm"] for settings in found]

    # One of a million right samplers would fail this.
    assert stats.kstest(decades, stats.uniform(-4, 2).cdf).pvalue > 1e-6
    assert stats.kstest(norms, stats.uniform(1, 2).cdf).pvalue > 1e-6
    # One that is not log-uniform fails it.
    assert (
        stats.kstest([10**decade for decade in decades], stats.uniform(0, 0.01).cdf).pvalue < 1e-6
    )


@pytest.mark.parametrize("kind", ["random", "tpe", "grid"])
def test_equal_numbers_draw_the_same_and_others_do_not(kind, tmp_path):
    changes: dict[str, Any] = {"sampler/kind": kind}
    if kind == "grid":
        changes[SPACE] = {"choices": [1e-4, 1e-3, 1e-2]}
    one = read(tmp_path, changes)
    first, again = drawn(one, range(15)), drawn(one, range(15))
    assert first == again
    assert len({json.dumps(settings) for settings in first}) > 10
    assert drawn(one, range(40, 41)) != first[:1]
    other = read(tmp_path, changes | {"sampler/seed": 4})
    assert drawn(other, range(15)) != first


def test_a_grid_has_each_point_once(tmp_path):
    one = read(tmp_path, {"sampler/kind": "grid", SPACE: {"choices": [1e-3, 1e-2]}, "trials": 36})
    found = drawn(one, range(36))
    # 2 rates x 3 sizes x (5 warm-ups with cosine + plateau)
    assert len({json.dumps(settings, sort_keys=True) for settings in found}) == 36
    plateau = [settings for settings in found if settings["train.schedule"] == "plateau"]
    assert len(plateau) == 6


def test_choices_of_every_kind_come_back_as_they_are(tmp_path):
    choices: dict[str, list[Any]] = {
        "train.task_weights": [[0.8, 0.2], [0.5, 0.5]],
        "augment.mixup_snr_min_db": [None, 0.5],
        "augment.symmetry": [True, False],
        "augment.impairments": [None, {"echo": {"amplitude": [0.0, 0.5], "delay": [0.0, 1.0]}}],
    }
    one = read(tmp_path, {f"space/{key}": {"choices": values} for key, values in choices.items()})
    found = drawn(one, range(40))
    for key, values in choices.items():
        assert all(settings[key] in values for settings in found)
        assert {json.dumps(settings[key]) for settings in found} == set(map(json.dumps, values))


def test_a_trial_is_the_preset_with_its_settings(tmp_path):
    one = read(tmp_path)
    base = study_schema.base_of(one, data="/data.h5")
    settings = {"train.lr": 0.003, "augment.impairments": None}
    params = io.parse_params(study_schema.changed(base, settings), "a trial")
    smoke = presets.on_defaults(presets.overlay("smoke"))
    assert (params.train.lr, params.data.path) == (0.003, "/data.h5")
    kept = params.model_dump(mode="json")
    assert kept["perturb"] == smoke["perturb"]


def test_the_canonical_text_changes_with_what_a_study_is_and_not_with_how_long_it_goes_on(tmp_path):
    one = study.canonical(read(tmp_path))
    assert study.canonical(read(tmp_path, {"trials": 11, "hours": 2.0, "retries": 1})) == one
    other = study.canonical(read(tmp_path, {f"{SPACE}/to": 0.1, "threads": 2}))
    assert sorted(study.differences(one, other)) == ["space.train.lr.to", "threads"]


@pytest.mark.parametrize(("epochs", "least"), [(2, 1), (16, 4), (100, 25)])
def test_a_pruner_that_says_nothing_of_epochs_leaves_a_quarter_and_something_to_prune(
    tmp_path, epochs, least
):
    one = read(tmp_path, {"fixed/train.epochs": epochs, "pruner": {"kind": "median"}})
    assert study_schema.min_epochs(one) == least < epochs


def test_a_training_of_one_epoch_cannot_be_pruned(tmp_path):
    with pytest.raises(ValueError, match=r"min_epochs = 1 leaves none of .* = 1 to prune; raise"):
        read(tmp_path, {"fixed/train.epochs": 1, "pruner": {"kind": "median"}})


@pytest.mark.parametrize(
    "dimension",
    [
        {"from": 1, "to": 1000, "int": True},
        {"from": 0, "to": 1, "step": 0.001},
        {"from": 1e-4, "to": 1, "log": True},
        {"from": -1, "to": 1},
        {"from": 1, "to": 1000, "int": True, "log": True},
    ],
)
def test_values_between_the_ends_of_a_range_are_tried_and_are_of_it(dimension):
    one = space.Dimension.model_validate(dimension)
    tried = one.tried()
    assert tried[:2] == list(one.ends)
    assert len(set(tried)) == len(tried) > 6
    assert all(one.ends[0] <= value <= one.ends[1] for value in tried)
    if one.count:
        assert all(one.takes(value) for value in tried)
    if one.whole:
        assert {value % 2 for value in tried} == {0, 1}


def test_each_value_of_a_range_of_few_is_tried():
    one = space.Dimension.model_validate({"from": 0, "to": 40, "step": 10, "int": True})
    assert one.tried() == [0, 10, 20, 30, 40]


def test_pruners_leave_every_trial_its_first_epochs(tmp_path):
    epochs = {"fixed/train.epochs": 9}
    for pruner in ({"kind": "median", "startup_trials": 1}, {"kind": "hyperband"}):
        one = read(tmp_path, epochs | {"pruner": pruner | {"min_epochs": 3}})
        searched = optuna.create_study(direction="maximize", pruner=study.pruner(one))
        ended = []
        for number in range(30):
            trial = searched.ask()
            for epoch in range(1, 10):
                trial.report(1.0 / (1 + number), epoch)
                if trial.should_prune():
                    ended.append(epoch)
                    break
            searched.tell(trial, 1.0 / (1 + number))
        assert ended, "worse and worse trials are pruned"
        assert min(ended) >= 3


def test_a_check_of_params_needs_no_optuna():
    code = (
        "import sys; from pisces.experiments import study; from pathlib import Path;"
        "study.read(Path('sweeps/smoke.yaml')); print('optuna' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert answer.stdout == "False\n"


def test_the_page_of_sweep_files_is_made_from_their_schema():
    assert study_page.PAGE.read_text(encoding="utf-8") == study_page.page()
