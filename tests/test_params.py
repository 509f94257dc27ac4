"""Every params file we ship is valid, and every mistake in one is answered with key, value and what is allowed."""

import copy
import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from ruamel.yaml import YAML

from pisces.config.schema import (
    MODELS,
    Augment,
    Cldnn,
    Extent,
    Train,
    View,
    lay_over,
    load_params,
    read_yaml,
)
from pisces.core.modulations import CLASSES_TXT, DIGITAL, MODULATIONS, RML2016
from pisces.models import BACKBONES, BASELINES, BRANCHES, CLDNN, SNR_HEADS
from pisces.models.cldnn import Settings, check
from pisces.sources.rml2018 import Selection
from pisces.training.augmentation import Augmentation
from pisces.training.losses import SNR_LOSSES
from pisces.training.schedules import OPTIMIZERS, SCHEDULES
from pisces.training.weighting import WEIGHTINGS

ROOT = Path(__file__).parents[1]
IQ = {"input": "iq", "model": "cldnn"}
CONSTELLATION = {"input": "constellation", "model": "resnet18"}
TAUGHT = {
    "teacher": "/trained",
    "c": read_yaml(ROOT / "params.yaml")["noise_aware"]["c"] | {"distillation": 0.5},
}
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.fixture
def params_file(tmp_path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


@pytest.fixture
def write(params_file):
    """Writes the shipped params with one change: a value for `section.key`, or for a whole section."""

    def write(section: str, key: str | None, value: object) -> Path:
        content = copy.deepcopy(read_yaml(params_file))
        if key is None:
            content[section] = value
        else:
            content[section][key] = value
        YAML(typ="safe").dump(content, params_file)
        return params_file

    return write


def write_more(path: Path, **sections: dict[str, object]) -> Path:
    content = read_yaml(path)
    for section, values in sections.items():
        content[section] |= values
    YAML(typ="safe").dump(content, path)
    return path


def comments(path: Path) -> list[str]:
    return re.findall(r"#.*", path.read_text())


def test_the_shipped_params_load():
    params = load_params(ROOT / "params.yaml")
    assert set(params.data.modulations) <= set(MODULATIONS)
    assert isinstance(params.train.lr, float)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_fits_and_keeps_comments_and_order(preset, params_file):
    before, order = (
        comments(params_file),
        [(section, list(keys)) for section, keys in read_yaml(params_file).items()],
    )
    overlay = read_yaml(preset)
    lay_over(params_file, overlay)
    load_params(params_file)
    content = read_yaml(params_file)
    assert {
        section: {key: content[section][key] for key in values}
        for section, values in overlay.items()
    } == overlay
    assert comments(params_file) == before
    assert [(section, list(keys)) for section, keys in content.items()] == order


def test_presets_are_there():
    assert {path.stem for path in PRESETS} >= {
        "smoke",
        "rml2018",
        "rml2018_full",
        "rml2018_iq",
        "rml2016a",
    }


def test_what_an_overlay_does_not_name_stays(params_file):
    before = read_yaml(params_file)
    lay_over(params_file, {"train": {"lr": 3e-4}})
    before["train"]["lr"] = 3e-4
    assert read_yaml(params_file) == before


def test_the_published_setting_has_272_joint_classes(params_file):
    lay_over(params_file, read_yaml(ROOT / "presets" / "rml2018.yaml"))
    params = load_params(params_file)
    assert params.data.modulations == DIGITAL
    assert len(params.data.modulations) * len(params.data.snrs_db) == 272
    assert params.data.frames_per_cell is None


@pytest.mark.parametrize(
    ("preset", "modulations", "snrs_db", "shares"),
    [
        ("rml2016a", RML2016, range(-20, 19, 2), (600, 200, 200)),
        ("rml2018_iq", MODULATIONS, range(-20, 31, 2), (3200, 500, 396)),
    ],
)
def test_the_settings_of_raw_frames_take_all_classes_and_split_them_by_number(
    params_file, preset, modulations, snrs_db, shares
):
    lay_over(params_file, read_yaml(ROOT / "presets" / f"{preset}.yaml"))
    params = load_params(params_file)
    assert (params.data.modulations, params.data.snrs_db, params.data.frames_per_cell) == (
        modulations,
        tuple(snrs_db),
        None,
    )
    assert params.stratify.shares == shares
    assert sum(shares) == {"rml2016a": 1000, "rml2018_iq": 4096}[preset]
    assert params.render.views == ("raw",)


@pytest.mark.parametrize(
    "preset",
    [path for path in PRESETS if "synthesize" in read_yaml(path)],
    ids=lambda path: path.stem,
)
def test_presets_of_generated_frames_generate_what_they_read(params_file, preset):
    lay_over(params_file, read_yaml(preset))
    params = load_params(params_file)
    assert params.data.path == f"data/raw/synthetic.{params.synthesize.format}"
    assert set(params.data.modulations) <= set(
        RML2016 if params.synthesize.format == "pkl" else MODULATIONS
    )
    assert set(params.data.snrs_db) <= set(params.synthesize.snrs_db)
    assert (
        params.data.frames_per_cell or params.synthesize.frames_per_cell
    ) <= params.synthesize.frames_per_cell


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (600, 200, 200), (1, 1, 1)])
def test_shares_stay_ratios_or_numbers(params_file, shares):
    found = load_params(
        write_more(
            params_file, stratify=dict(zip(("train", "validation", "test"), shares, strict=True))
        )
    ).stratify.shares
    assert found == shares
    assert [type(share) for share in found] == [type(share) for share in shares]


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (
            "train",
            "lrr",
            1e-3,
            r"unknown key train.lrr \(did you mean lr\?\); allowed here are launcher, input, model, pretrained",
        ),
        (
            "augment",
            "noise",
            3,
            r"unknown key augment.noise \(did you mean noise_db\?\); allowed here are phase, carrier_offset_std",
        ),
        (
            "trian",
            None,
            {},
            r"unknown key trian \(did you mean train\?\); allowed here are base, data",
        ),
        ("train", "lr", "abc", r'train.lr = "abc": input should be a valid number'),
        ("train", "lr", "1e-3", r'train.lr = "1e-3": input should be a valid number'),
        ("train", "lr", 0, r"train.lr = 0: input should be greater than 0"),
        ("train", "lr", float("inf"), r"train.lr = Infinity: input should be a finite number"),
        ("train", "lr", None, r"train.lr = null: input should be a valid number"),
        ("train", "epochs", 2.5, r"train.epochs = 2.5: input should be a valid integer"),
        ("train", "epochs", True, r"train.epochs = true: input should be a valid integer"),
        (
            "train",
            "min_task_weight",
            0.5,
            r"train.min_task_weight = 0.5: input should be less than 0.5",
        ),
        (
            "train",
            "model",
            "resnet81",
            r"train.model = .*: there is no model 'resnet81' \(did you mean resnet18\?\); there are resnet18",
        ),
        (
            "train",
            "model",
            "mcldn",
            r"train.model = \"mcldn\": there is no model 'mcldn' \(did you mean mcldnn\?\); there are resnet18",
        ),
        (
            "train",
            "input",
            "raw",
            r"train.input = \"raw\": input should be 'constellation' or 'iq'",
        ),
        (
            "train",
            "branches",
            "own",
            r"train.branches = \"own\": input should be 'plain' or 'attention'",
        ),
        (
            "train",
            "snr_head",
            "wide",
            r"train.snr_head = \"wide\": input should be 'standard', 'bottleneck_64', .* or 'regression'",
        ),
        (
            "train",
            "snr_loss",
            "mse",
            r"train.snr_loss = \"mse\": input should be 'cross_entropy', 'distance', 'ordinal' or 'regression'",
        ),
        (
            "train",
            "snr_loss",
            "regression",
            r"train: snr_loss = regression needs snr_head = regression, not standard; change one",
        ),
        (
            "train",
            "weighting",
            "equal",
            r"train.weighting = \"equal\": input should be 'kendall', 'softmax', 'fixed' or 'dwa'",
        ),
        (
            "train",
            "task_weights",
            [1, 0],
            r"train.task_weights.1 = 0: input should be greater than 0",
        ),
        ("train", "task_weights", [1], r"train.task_weights.1 is missing"),
        ("train", "temperature", 0, r"train.temperature = 0: input should be greater than 0"),
        ("train", "label_smoothing", 1, r"train.label_smoothing = 1: input should be less than 1"),
        (
            "train",
            "optimizer",
            "sgd",
            r"train.optimizer = \"sgd\": input should be 'adam' or 'adamw'",
        ),
        (
            "train",
            "schedule",
            "step",
            r"train.schedule = \"step\": input should be 'plateau', 'cyclic', 'cosine' or 'one_cycle'",
        ),
        (
            "train",
            "stop_metric",
            "loss",
            r"train.stop_metric = \"loss\": input should be 'validation_loss', .*_joint_accuracy'",
        ),
        (
            "train",
            "batch_size",
            1,
            r"train.batch_size = 1: input should be greater than or equal to 2",
        ),
        ("train", "cycle_epochs", 0, r"train.cycle_epochs = 0: input should be greater than 0"),
        (
            "train",
            "max_skipped_steps",
            -1,
            r"train.max_skipped_steps = -1: input should be greater than or equal to 0",
        ),
        (
            "train",
            "precision",
            "16",
            r"train.precision = \"16\": input should be 'auto', '32-true', 'bf16-mixed' or '16-mixed'",
        ),
        (
            "train",
            "pretrained",
            "",
            r"train.pretrained = \"\": string should have at least 1 character",
        ),
        ("train", "compile", "yes", r"train.compile = \"yes\": input should be a valid boolean"),
        ("augment", "phase", 1, r"augment.phase = 1: input should be a valid boolean"),
        (
            "augment",
            "carrier_offset_std",
            0.1,
            r"augment.carrier_offset_std = 0.1: input should be less than 0.1",
        ),
        (
            "augment",
            "noise_db",
            -1,
            r"augment.noise_db = -1: input should be greater than or equal to 0",
        ),
        (
            "augment",
            "gain_db",
            61,
            r"augment.gain_db = 61: input should be less than or equal to 60",
        ),
        (
            "augment",
            "mixup_probability",
            1.1,
            r"augment.mixup_probability = 1.1: input should be less than or equal to 1",
        ),
        (
            "augment",
            "mixup_losses",
            "all",
            r"augment.mixup_losses = \"all\": input should be 'classifier_only' or 'all_losses'",
        ),
        (
            "train",
            "snr_balance",
            2,
            r"train.snr_balance = 2: input should be less than or equal to 1",
        ),
        ("train", "ema_decay", 1, r"train.ema_decay = 1: input should be less than 1"),
        (
            "cldnn",
            "paths",
            "both",
            r"cldnn.paths = \"both\": input should be 'raw', 'denoised' or 'dual'",
        ),
        ("cldnn", "expert_window", 4, r"cldnn.expert_window = 4: 4 must be odd"),
        ("cldnn", "film", None, r"cldnn.film = null: input should be a valid boolean"),
        (
            "noise_aware",
            "temperature",
            0,
            r"noise_aware.temperature = 0: input should be greater than 0",
        ),
        ("noise_aware", "degrade_db", [2], r"noise_aware.degrade_db.1 is missing"),
        ("pis", "fill", "mean", r"pis.fill = \"mean\": input should be 'zero' or 'resample'"),
        (
            "augment",
            "mixup_alpha",
            -0.1,
            r"augment.mixup_alpha = -0.1: input should be greater than or equal to 0",
        ),
        (
            "render",
            "views",
            ["raw", "symbols"],
            r"render.views.1 = \"symbols\": input should be 'raw', .* or 'differential'",
        ),
        ("render", "views", ["raw", "raw"], r"render.views = .*: raw stands more than once"),
        ("render", "views", [], r"render.views = \[\]: .*at least 1 item"),
        ("render", "extent", {"raw": 2.5}, r"render.extent.symbol is missing"),
        (
            "train",
            "accelerator",
            "gpu",
            r"train.accelerator = \"gpu\": input should be 'auto', 'cpu', 'cuda' or 'mps'",
        ),
        ("render", "size", 47, r"render.size = 47: 47 must be even"),
        ("render", "size", 256, r"render.size = 256: input should be less than or equal to 254"),
        (
            "draw",
            "method",
            "log",
            r"draw.method = \"log\": input should be 'log_histogram', 'histogram'",
        ),
        (
            "draw",
            "decay_px",
            [2.0, 1.0, 0.5],
            r"draw.decay_px = \[2.0, 1.0, 0.5\]: \[2.0, 1.0, 0.5\] must be strictly increasing",
        ),
        (
            "perturb",
            "stride",
            0.5,
            r"perturb: stride = 0.5 leaves gaps between windows of 0.25; lower it",
        ),
        (
            "perturb",
            "regions",
            ["rings"],
            r"perturb.regions.0 = \"rings\": input should be 'ring', 'sector', 'cluster' or 'window'",
        ),
        (
            "perturb",
            "levels_percent",
            [1, 101],
            r"perturb.levels_percent.1 = 101: input should be less than or equal to 100",
        ),
        (
            "perturb",
            "curve_percent",
            [0],
            r"perturb.curve_percent.0 = 0: input should be greater than 0",
        ),
        (
            "perturb",
            "rules",
            ["percentile"],
            r"perturb: curve_percent = .* are levels of the rule exact, but rules has only percentile",
        ),
        (
            "attribute",
            "stride",
            0.5,
            r"attribute: stride = 0.5 leaves gaps between windows of 0.25; lower it",
        ),
        (
            "attribute",
            "methods",
            ["gradcam"],
            r"attribute.methods.0 = \"gradcam\": input should be 'grad_cam', .* or 'rise'",
        ),
        (
            "attribute",
            "levels_percent",
            [5, 1],
            r"attribute.levels_percent = \[5, 1\]: \[5.0, 1.0\] must be strictly increasing",
        ),
        (
            "stratify",
            "test",
            200,
            r"stratify: train = 0.8, validation = 0.1 and test = 200 are ratios and numbers of frames mixed; give three",
        ),
        *(
            (
                "stratify",
                "test",
                share,
                rf"stratify.test = {json.dumps(share)}: must be a ratio above 0 and below 1, .* or a whole number",
            )
            for share in (0, -200, 0.0, 1.0, 200.0, True, "200", None)
        ),
        (
            "synthesize",
            "format",
            "pickle",
            r"synthesize.format = \"pickle\": input should be 'hdf5' or 'pkl'",
        ),
        (
            "stratify",
            "test",
            0.2,
            r"stratify: train \+ validation \+ test = 1.1 and must be 1; change one",
        ),
        (
            "data",
            "modulations",
            ["QPSK", "16QMA"],
            r"data.modulations = .*'16QMA' is not a modulation .*did you mean 16QAM\?\); known are OOK",
        ),
        (
            "data",
            "modulations",
            ["QPSK", "BPSK", "QPSK"],
            r"data.modulations = .*: QPSK stands more than once",
        ),
        (
            "data",
            "modulations",
            ["QPSK"],
            r"data.modulations = \[\"QPSK\"\]: there is nothing to tell apart .*; name two or more",
        ),
        (
            "data",
            "snrs_db",
            [10, 0],
            r"data.snrs_db = \[10, 0\]: \[10, 0\] must be strictly increasing",
        ),
        (
            "data",
            "snrs_db",
            [0, 0, 10],
            r"data.snrs_db = \[0, 0, 10\]: .* must be strictly increasing",
        ),
        ("data", "snrs_db", [0, 2.5], r"data.snrs_db.1 = 2.5: input should be a valid integer"),
        (
            "data",
            "class_order",
            "alphabetic",
            r"data.class_order = \"alphabetic\": input should be 'fixed' or 'classes_txt'",
        ),
        ("data", "frames_per_cell", 0, r"data.frames_per_cell = 0: input should be greater than 0"),
        ("perturb", "masks", ["top", "top"], r"perturb.masks = .*: top stands more than once"),
        (
            "perturb",
            "levels_percent",
            [5, 1],
            r"perturb.levels_percent = \[5, 1\]: .* must be strictly increasing",
        ),
        (
            "perturb",
            "levels_percent",
            [0, 1],
            r"perturb.levels_percent.0 = 0: input should be greater than 0",
        ),
        (
            "synthesize",
            "rolloff",
            [0.5, 0.2],
            r"synthesize: rolloff = \[0.5, 0.2\] must be a range \[low, high\] within 0..1",
        ),
        (
            "synthesize",
            "multipath",
            {"k_factor_db": 10, "paths": 4},
            r"synthesize.multipath.delay_spread is missing",
        ),
        ("base", "seed", -1, r"base.seed = -1: input should be greater than or equal to 0"),
        (
            "pis",
            None,
            {},
            r"pis.resamples is missing; copy it from the params.yaml of the repository",
        ),
        ("pis", None, None, r"pis = null: input should be an object"),
    ],
)
def test_a_mistake_names_file_key_value_and_what_is_allowed(section, key, value, message, write):
    path = write(section, key, value)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        load_params(path)


def test_a_mistake_of_a_whole_section_is_not_drowned_in_it(write):
    """The message names keys and values; the section itself, as JSON cut somewhere, says nothing more."""
    path = write("stratify", "test", 0.2)
    with pytest.raises(ValueError, match=r"stratify: train") as raised:
        load_params(path)
    assert (
        str(raised.value)
        == f"{path}: stratify: train + validation + test = 1.1 and must be 1; change one of the three ratios"
    )
    with pytest.raises(
        ValueError, match=rf"^{re.escape(str(path))}: train.lr: input should be a valid number$"
    ):
        load_params(write_more(path, stratify={"test": 0.1}, train={"lr": {"start": 1}}))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (
            {"render": {"views": ["raw", "noise"]}, "perturb": {"views": ["noise"]}},
            {"perturb": {"views": ["symbol", "noise", "differential"]}},
            "perturb.views names differential, symbol, but render.views are raw, noise; leave it out of perturb.views (null takes all)",
        ),
        (
            {"data": {"path": "frames.hdf5"}, "render": {"views": ["raw", "noise"], "sps": 3}},
            {"render": {"sps": 2}},
            "render.sps = 2 leaves no band without signal, which noise in render.views shows; correct render.sps to 3 or more, or leave",
        ),
        (
            {"data": {"path": "frames.hdf5"}, "render": {"sps": 4}},
            {"data": {"path": "data/raw/synthetic.hdf5"}},
            "render.sps = 4 is not synthesize.sps = 8 of the generated frames; set both alike",
        ),
        (
            {"train": IQ, "noise_aware": {"degrade_db": [1, 2]}},
            {"noise_aware": {"degrade_db": [1, 1.5]}},
            "noise_aware: degrade_db = [1.0, 1.5] has no step of 2 dB, the least that counts; raise it",
        ),
        (
            {"noise_aware": {"teach_band_db": [-14, -6]}},
            {"noise_aware": {"teach_band_db": [-6, -14]}},
            "noise_aware: teach_band_db = [-6.0, -14.0] must be a range from low to high; exchange the two",
        ),
        (
            {"noise_aware": {"teacher": "models/teacher"}},
            {"noise_aware": {"teacher": "models/"}},
            "noise_aware: teacher = models/ is where this training writes; name a copy of that folder",
        ),
        (
            {"noise_aware": {"raw_gain": {"probability": 0, "below_db": 0, "low": 0, "high": 0.5}}},
            {
                "noise_aware": {
                    "raw_gain": {"probability": 0, "below_db": 0, "low": 0.6, "high": 0.5}
                }
            },
            "noise_aware: raw_gain.low, high = [0.6, 0.5] must be a range from low to high",
        ),
        (
            {},
            {"synthesize": {"multipath": {"k_factor_db": 10, "paths": 4, "delay_spred": 2.0}}},
            "synthesize.multipath.delay_spread is missing",
        ),
        (
            {"train": {"epochs": 7, "curriculum_epochs": 7}},
            {"train": {"curriculum_epochs": 8}},
            "train.curriculum_epochs = 8 is more than train.epochs = 7, which would end before every SNR is taken in; lower the one",
        ),
        (
            {"train": IQ | {"epochs": 4}},
            {"train": {"epochs": 3}},
            "noise_aware.a, b1 and b2 take 3 epochs, which leaves none of train.epochs = 3 for c; lower theirs or raise train.epochs",
        ),
        (
            {"train": IQ, "augment": {"gain_db": 6}},
            {"train": CONSTELLATION},
            "augment.gain_db = 6.0 is for train.input = iq; constellations have no level: set it to 0",
        ),
        (
            {"train": IQ, "evaluate": {"bypass_denoiser": True}},
            {"train": {"model": "mcnet"}},
            "evaluate.bypass_denoiser = true needs a denoiser, which only train.model = cldnn with cldnn.paths = denoised or dual has",
        ),
        (
            {
                "train": IQ | {"model": "mcldnn"},
                "cldnn": {"paths": "raw", "film": False, "condition": "known"},
            },
            {"train": IQ},
            "cldnn.condition = known has nobody to tell with cldnn.paths = raw and neither cldnn.film nor eta_gate; set it to blind",
        ),
        (
            {
                "train": IQ,
                "noise_aware": TAUGHT,
                "augment": {"mixup_alpha": 0.2, "mixup_probability": 0.5},
            },
            {"augment": {"mixup_probability": 1.0}},
            "noise_aware.teacher says nothing about mixed batches, which all are with augment.mixup_probability = 1; lower that, or set",
        ),
        (
            {"train": IQ, "pis": {"fill": "resample"}},
            {"train": CONSTELLATION},
            "pis.fill = resample is for train.input = iq; pixels of a constellation go dark: set it to zero",
        ),
        (
            {"train": IQ},
            {"train": {"input": "constellation"}},
            "train: model = cldnn does not look at input = constellation; models of constellation are resnet18, resnet34,",
        ),
        (
            {"train": CONSTELLATION},
            {"train": {"input": "iq"}},
            "train: model = resnet18 does not look at input = iq; models of iq are cldnn, mcldnn,",
        ),
        (
            {"train": IQ},
            {"train": {"pretrained": "imagenet"}},
            "train: pretrained = imagenet is for input = constellation; set it to none",
        ),
        (
            {"train": IQ | {"model": "mcldnn", "branches": "attention"}},
            {"train": {"model": "cldnn"}},
            "train: branches = attention does not go with model = cldnn, whose branches are its own; set it to plain",
        ),
    ],
)
def test_sections_that_contradict_each_other(params_file, good, bad, message):
    load_params(write_more(params_file, **good))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{params_file}: {message}')}"):
        load_params(write_more(params_file, **bad))


def test_phases_are_free_without_a_denoiser(params_file):
    for change in (
        {"train": IQ | {"model": "mcldnn"}},
        {"train": IQ, "cldnn": {"paths": "raw"}},
        {"train": CONSTELLATION},
    ):
        assert (
            load_params(
                write_more(params_file, **change | {"train": change["train"] | {"epochs": 1}})
            ).train.epochs
            == 1
        )


@pytest.mark.parametrize(
    ("phase", "change", "message"),
    [
        (
            "b1",
            {"epochs": None},
            "noise_aware: b1.epochs = null, which only c may have; say how many epochs phase b1 takes, 0 for none",
        ),
        (
            "c",
            {"epochs": 9},
            "noise_aware: c.epochs = 9, but phase c has what the others leave of train.epochs; set it to null",
        ),
        (
            "b2",
            {"features": 0.03},
            "noise_aware: a weight of features above 0 needs reference, the folder of a trained cldnn; set it",
        ),
        (
            "c",
            {"distillation": 1},
            "noise_aware: a weight of distillation above 0 needs teacher, the folder of a trained cldnn; set it",
        ),
        (
            "a",
            {"gradient": 1.5},
            "noise_aware.a.gradient = 1.5: input should be less than or equal to 1",
        ),
        (
            "a",
            {"noise": -1},
            "noise_aware.a.noise = -1: input should be greater than or equal to 0",
        ),
        ("a", {"denoise": 1}, "unknown key noise_aware.a.denoise"),
    ],
)
def test_phases_that_make_no_sense(params_file, phase, change, message):
    settings = read_yaml(params_file)["noise_aware"][phase] | change
    with pytest.raises(ValueError, match=f"^{re.escape(f'{params_file}: {message}')}"):
        load_params(write_more(params_file, noise_aware={phase: settings}))


def test_the_sources_of_features_and_distillation_may_be_given(params_file):
    content = read_yaml(params_file)["noise_aware"]
    sources = {
        "reference": "trained",
        "teacher": "trained",
        "c": content["c"] | {"features": 0.03, "distillation": 1},
    }
    assert load_params(write_more(params_file, noise_aware=sources)).noise_aware.c.features == 0.03


def test_settings_of_a_cldnn_are_those_of_the_model(params_file):
    assert list(Cldnn.model_fields) == list(Settings._fields)
    check(Settings(**load_params(params_file).cldnn.model_dump()), 128)


def test_what_a_section_asks_for_only_with_another_is_free_without_it(params_file):
    path = write_more(
        params_file,
        render={"views": ["raw", "symbol"], "sps": 2},
        synthesize={"sps": 2},
        perturb={"views": None},
    )
    params = load_params(path)
    assert (params.render.sps, params.perturb.views) == (2, None)


@pytest.mark.parametrize("loss", SNR_LOSSES)
def test_the_regression_head_goes_with_every_loss(params_file, loss):
    train = load_params(
        write_more(params_file, train={"snr_head": "regression", "snr_loss": loss})
    ).train
    assert (train.snr_head, train.snr_loss) == ("regression", loss)


@pytest.mark.parametrize(
    ("field", "registry"),
    [
        ("branches", BRANCHES),
        ("snr_head", SNR_HEADS),
        ("snr_loss", SNR_LOSSES),
        ("weighting", WEIGHTINGS),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
    ],
)
def test_names_that_may_be_set_are_those_that_exist(field, registry):
    assert get_args(Train.model_fields[field].annotation) == tuple(registry)


def test_models_that_may_be_set_are_those_that_exist():
    assert sorted(MODELS["constellation"]) == sorted(BACKBONES)
    assert sorted(MODELS["iq"]) == sorted([CLDNN, *BASELINES])


def test_nothing_is_varied_unless_asked_for():
    """The shipped params, and with them the presets, train on the frames as they are."""
    assert not Augmentation(**load_params(ROOT / "params.yaml").augment.model_dump()).changes_frames
    assert [field.name for field in dataclasses.fields(Augmentation)] == list(Augment.model_fields)


def test_every_view_has_an_extent():
    assert get_args(View) == tuple(Extent.model_fields)


def test_every_mistake_has_its_line(write):
    write("train", "lr", "abc")
    path = write("base", "seed", -1)
    with pytest.raises(ValueError, match=r"base\.seed = -1.*\n.*train\.lr = \"abc\"") as raised:
        load_params(path)
    assert [line.startswith(f"{path}: ") for line in str(raised.value).splitlines()] == [True, True]


def test_a_missing_section_is_named(params_file):
    content = read_yaml(params_file)
    del content["draw"]
    YAML(typ="safe").dump(content, params_file)
    with pytest.raises(ValueError, match=r"params.yaml: draw is missing"):
        load_params(params_file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: [1, 2", "is not valid YAML"),
        ("base:\n  seed: 1\n  seed: 2\n", "is not valid YAML: .*seed"),
        ("just a text", "must hold sections with keys, not str"),
        ("", "must hold sections with keys, not NoneType"),
        ("base: {seed: 2024-01-01}", r'base.seed = "2024-01-01": input should be a valid integer'),
    ],
)
def test_a_file_that_is_no_params_file(text, message, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.yaml.*{message}"):
        load_params(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"nowhere\.yaml does not exist; run from the root of the repository",
    ):
        load_params(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("written", ["1e-05", "1E-5", "0.00001", "1.0e-05"])
def test_every_spelling_of_a_number_is_one(written, params_file):
    params_file.write_text(re.sub(r"(?m)^  lr: .*$", f"  lr: {written}", params_file.read_text()))
    assert load_params(params_file).train.lr == 1e-5


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"trian": {"lr": 1e-4}},
            r"'trian' is not a section of .*params.yaml; allowed are base, data",
        ),
        ({"train": 3}, r"'train' is not a section"),
        (
            {"train": {"lrr": 1e-4}},
            r"params.yaml with the overlay: unknown key train.lrr \(did you mean lr",
        ),
        (
            {"base": {"seed": 7}, "train": {"lr": -1}},
            r"train.lr = -1: input should be greater than 0",
        ),
    ],
)
def test_an_invalid_overlay_changes_nothing(overlay, message, params_file):
    before = params_file.read_bytes()
    with pytest.raises(ValueError, match=message):
        lay_over(params_file, overlay)
    assert params_file.read_bytes() == before


def test_nothing_is_laid_over_a_broken_file(params_file):
    params_file.write_text("base: [1, 2")
    with pytest.raises(ValueError, match="is not valid YAML"):
        lay_over(params_file, {"base": {"seed": 2}})


def test_params_cannot_be_changed_while_running(params_file):
    params = load_params(params_file)
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


def test_class_order_is_that_of_the_columns_of_y(write):
    for name, classes in (("fixed", MODULATIONS), ("classes_txt", CLASSES_TXT)):
        data = load_params(write("data", "class_order", name)).data
        assert data.to(Selection).classes == classes


def test_presets_set_the_same_keys_apart_from_their_own_data():
    """Laid one over another, a preset leaves nothing of the one before."""
    presets = {path.stem: read_yaml(path) for path in PRESETS}
    keys = {
        name: {f"{section}.{key}" for section, values in preset.items() for key in values}
        for name, preset in presets.items()
    }
    generated = {key for key in keys["smoke"] if key.startswith("synthesize.")} | {"data.path"}
    assert generated < keys["smoke"]
    for name in presets:
        assert keys[name] - generated == keys["smoke"] - generated, name
        assert keys[name] & generated in (generated, set()), name
