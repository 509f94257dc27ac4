"""What params.yaml may hold, and that every mistake is answered with key, value and remedy."""

import copy
import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from pisces.config import keys, presets, reference
from pisces.config.io import load_params, parse_params
from pisces.config.schema import Params
from pisces.config.sections.data import Data
from pisces.config.sections.images import Extent
from pisces.config.sections.impairments import Impairments
from pisces.config.sections.noise_aware import Cldnn
from pisces.config.sections.training import MODELS, Augment, Train
from pisces.core import yaml
from pisces.core.impairment_settings import EchoSettings, ImpairmentSettings
from pisces.core.modulations import CLASS_ORDERS, MODULATIONS
from pisces.inputs import INPUTS
from pisces.inputs.settings import ViewName
from pisces.models import BACKBONES, BASELINES, BRANCHES, CLDNN, OWN_BACKBONES, SNR_HEADS
from pisces.models.cldnn import Settings, check
from pisces.sources.settings import SynthesisSettings
from pisces.training.augmentation import Augmentation
from pisces.training.losses import SNR_LOSSES
from pisces.training.schedules import OPTIMIZERS, SCHEDULES
from pisces.training.weighting import WEIGHTINGS

ROOT = Path(__file__).parents[1]
DEFAULTS = yaml.read(ROOT / "presets/default.yaml")
IQ = {"train.input": "iq", "train.model": "cldnn"}
CONSTELLATION = {"train.input": "constellation", "train.model": "resnet18"}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The defaults with values for keys such as `train.lr`, or for whole sections."""
    content = copy.deepcopy(DEFAULTS)
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        place[last] = copy.deepcopy(value)
    return content


def parse(changes: dict[str, Any]) -> Params:
    return parse_params(changed(changes), "some.yaml")


def message(changes: dict[str, Any]) -> str:
    """The line with which these changes are refused, without the name of the file."""
    with pytest.raises(ValueError, match=r"^some\.yaml: ") as raised:
        parse(changes)
    (line,) = str(raised.value).splitlines()
    return line.removeprefix("some.yaml: ")


def test_the_defaults_are_valid():
    params = parse({})
    assert set(params.data.modulations) <= set(MODULATIONS)
    assert isinstance(params.train.lr, float)


NUMBERS = [
    ("train.lr", "abc", "valid number"),
    ("train.lr", "1e-3", "valid number"),
    ("train.lr", 0, "greater than 0"),
    ("train.lr", float("inf"), "finite number"),
    ("train.lr", None, "valid number"),
    ("train.epochs", 2.5, "valid integer"),
    ("train.epochs", True, "valid integer"),
    ("train.epochs", "1_000", "valid integer"),
    ("train.min_task_weight", 0.5, "less than 0.5"),
    ("train.temperature", 0, "greater than 0"),
    ("train.label_smoothing", 1, "less than 1"),
    ("train.batch_size", 1, "greater than or equal to 2"),
    ("train.cycle_epochs", 0, "greater than 0"),
    ("train.max_skipped_steps", -1, "greater than or equal to 0"),
    ("train.snr_balance", 2, "less than or equal to 1"),
    ("train.ema_decay", 1, "less than 1"),
    ("augment.carrier_offset_std", 0.1, "less than 0.1"),
    ("augment.noise_db", -1, "greater than or equal to 0"),
    ("augment.gain_db", 61, "less than or equal to 60"),
    ("augment.mixup_probability", 1.1, "less than or equal to 1"),
    ("augment.mixup_alpha", -0.1, "greater than or equal to 0"),
    ("cldnn.expert_window", 4, "odd"),
    ("noise_aware.temperature", 0, "greater than 0"),
    ("noise_aware.a.gradient", 1.5, "less than or equal to 1"),
    ("noise_aware.a.noise", -1, "greater than or equal to 0"),
    ("render.size", 47, "even"),
    ("render.size", 256, "less than or equal to 254"),
    ("data.frames_per_cell", 0, "greater than 0"),
    ("base.seed", -1, "greater than or equal to 0"),
]
WORDS = [
    ("train.pretrained", "", "at least 1 character"),
    ("train.compile", "yes", "valid boolean"),
    ("augment.phase", 1, "valid boolean"),
    ("cldnn.film", None, "valid boolean"),
    ("train.input", "raw", "constellation, iq"),
    ("train.model", "resnet81", "did you mean resnet18"),
    ("train.model", "mcldn", "did you mean mcldnn"),
    ("train.branches", "own", "'plain' or 'attention'"),
    ("train.snr_head", "wide", "'standard', 'bottleneck_64'"),
    ("train.snr_loss", "mse", "'cross_entropy', 'distance', 'ordinal' or 'regression'"),
    ("train.weighting", "equal", "'kendall', 'softmax', 'fixed' or 'dwa'"),
    ("train.optimizer", "sgd", "'adam' or 'adamw'"),
    ("train.schedule", "step", "'plateau', 'cyclic', 'cosine' or 'one_cycle'"),
    ("train.stop_metric", "loss", "'validation_loss', 'validation_modulation_accuracy'"),
    ("train.precision", "16", "'auto', '32-true', 'bf16-mixed' or '16-mixed'"),
    ("train.accelerator", "gpu", "'auto', 'cpu', 'cuda' or 'mps'"),
    ("augment.mixup_losses", "all", "'classifier_only' or 'all_losses'"),
    ("cldnn.paths", "both", "'raw', 'denoised' or 'dual'"),
    ("pis.fill", "mean", "'zero' or 'resample'"),
    ("pis.removal", "hole", "'blackout', 'redraw' or 'both'"),
    ("pis.other_views", "redraw", "'held' or 'redrawn'"),
    ("draw.method", "log", "'log_histogram', 'histogram'"),
    ("synthesize.format", "pickle", "'hdf5' or 'pkl'"),
    ("data.class_order", "alphabetic", "'fixed' or 'classes_txt'"),
    ("pis", None, "a mapping"),
]
LISTS = [
    ("render.views", ["raw", "raw"], "raw stands more than once"),
    ("render.views", [], "at least 1 item"),
    ("draw.decay_px", [2.0, 1.0, 0.5], "strictly increasing"),
    ("attribute.levels_percent", [5, 1], "strictly increasing"),
    ("perturb.levels_percent", [5, 1], "strictly increasing"),
    ("perturb.masks", ["top", "top"], "top stands more than once"),
    ("synthesize.rolloff", [0.2, 0.3, 0.5], "it has 3 values and takes 2 values: number"),
    ("data.modulations", ["QPSK", "16QMA"], "did you mean 16QAM"),
    ("data.modulations", ["QPSK", "BPSK", "QPSK"], "QPSK stands more than once"),
    ("data.modulations", ["QPSK"], "name two or more"),
    ("data.snrs_db", [10, 0], "strictly increasing"),
    ("data.snrs_db", [0, 0, 10], "strictly increasing"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), [*NUMBERS, *WORDS, *LISTS])
def test_a_mistake_names_key_value_and_what_is_allowed(key, value, allowed):
    line = message({key: value})
    assert line.startswith(f"{key} = {json.dumps(value)}: ")
    assert allowed in line


@pytest.mark.parametrize(
    ("key", "value", "at", "wrong", "allowed"),
    [
        ("train.task_weights", [1, 0], "1", 0, "greater than 0"),
        ("render.views", ["symbols"], "0", "symbols", "'raw', 'symbol', 'noise'"),
        ("draw.decay_px", [0, 1, 2], "0", 0, "greater than 0"),
        ("render.views", ["raw", "symbols"], "1", "symbols", "'raw', 'symbol', 'noise'"),
        ("perturb.regions", ["rings"], "0", "rings", "'ring', 'sector', 'cluster' or 'window'"),
        ("perturb.levels_percent", [1, 101], "1", 101, "less than or equal to 100"),
        ("perturb.levels_percent", [0, 1], "0", 0, "greater than 0"),
        ("perturb.curve_percent", [0], "0", 0, "greater than 0"),
        ("attribute.methods", ["rise", "gradcam"], "1", "gradcam", "'grad_cam'"),
        ("data.snrs_db", [0, 2.5], "1", 2.5, "valid integer"),
    ],
)
def test_a_mistake_in_a_list_names_its_place(key, value, at, wrong, allowed):
    line = message({key: value})
    assert line.startswith(f"{key}.{at} = {json.dumps(wrong)}: ")
    assert allowed in line


@pytest.mark.parametrize(
    ("key", "value", "missing"),
    [
        ("evaluate", {}, "evaluate.bypass_denoiser"),
        ("stratify", {"train": 0.8, "validation": 0.1}, "stratify.test"),
    ],
)
def test_what_is_missing_is_named_and_where_to_copy_it_from(key, value, missing):
    assert message({key: value}).startswith(f"{missing} is missing; copy it from presets/default")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("train.task_weights", [1], r"= \[1\]: it has 1 value and takes 2 values: number, > 0"),
        ("noise_aware.degrade_db", [], r"= \[\]: it has 0 values and takes 2 values: number"),
        (
            "synthesize.impairments",
            {"echo": {"amplitude": [0.1], "delay": [0, 1]}},
            r"echo.amplitude = \[0.1\]: it has 1 value and takes 2 values: .*Over the direct path",
        ),
        (
            "synthesize.impairments",
            {"echo": {"amplitude": [0, 0.1]}},
            r"echo.delay is missing; write it, since .* has none; it takes 2 values: .* in symbols",
        ),
        (
            "synthesize.multipath",
            {"k_factor_db": 1, "paths": 4},
            "delay_spread is missing; write it, .*; it takes number, > 0, in samples",
        ),
        ("synthesize.impairments", {"lowpass": 0.2}, r"lowpass = 0.2: it takes 2 values: number"),
        ("synthesize.impairments", {"echo": 3}, "echo = 3: it takes a mapping of amplitude, delay"),
        ("augment.impairments", {"quantiser": {}}, "quantiser.bits is missing; .* takes 2 values"),
    ],
)
def test_what_is_wanted_of_a_key_is_said(key, value, says):
    with pytest.raises(ValueError, match=rf"some.yaml: {key}.*{says}"):
        parse({key: value})


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("./data/raw/synthetic.hdf5", "another spelling .* write data/raw/synthetic.hdf5"),
        ("data//raw/../raw/synthetic.pkl", "another spelling .* write data/raw/synthetic.pkl"),
        ("~/x.h5", "replaced by a shell only.* write /home/user/x.h5"),
        ("$HOME/x.h5", "replaced by a shell only.* write /home/user/x.h5"),
        ("https://example.org/x.h5", "is an address.* download it"),
    ],
)
def test_a_path_that_names_no_file_as_it_stands(monkeypatch, path, says):
    monkeypatch.setenv("HOME", "/home/user")
    line = message({"data.path": path})
    assert line.startswith(f'data.path = "{path}": ')
    assert re.search(says, line)


@pytest.mark.parametrize(
    ("key", "unknown", "close"),
    [
        ("train.lrr", "train.lrr", "did you mean lr"),
        ("augment.noise", "augment.noise", "did you mean noise_db"),
        ("trian", "trian", "did you mean train"),
        ("noise_aware.a.denoise", "noise_aware.a.denoise", "allowed here are epochs, gradient"),
    ],
)
def test_an_unknown_key_is_named_with_those_that_there_are(key, unknown, close):
    line = message({key: {}})
    assert line.startswith(f"unknown key {unknown}")
    assert close in line


@pytest.mark.parametrize("share", [0, -200, 0.0, 1.0, 200.0, True, "200", None])
def test_a_share_is_a_ratio_or_a_whole_number(share):
    line = message({"stratify.test": share})
    assert line.startswith(f"stratify.test = {json.dumps(share)}: must be a ratio")
    assert "whole number of frames" in line


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (600, 200, 200), (1, 1, 1)])
def test_shares_stay_ratios_or_numbers(shares):
    parts = ("stratify.train", "stratify.validation", "stratify.test")
    found = parse(dict(zip(parts, shares, strict=True))).stratify.shares
    assert found == shares
    assert [type(share) for share in found] == [type(share) for share in shares]


ONE_GAIN = {"probability": 0, "below_db": 0, "low": 0, "high": 0.5}
TAUGHT = {"noise_aware.teacher": "/trained", "noise_aware.c.distillation": 0.5}
CONTRADICTIONS = {
    "heads": (
        {},
        {"train.snr_loss": "regression"},
        "needs snr_head = regression, .* change one of the two",
    ),
    "shares of one kind": ({}, {"stratify.test": 200}, "three ratios .* or three whole numbers"),
    "shares sum": ({}, {"stratify.test": 0.2}, "1.1 and must be 1; change one"),
    "rolloff": ({}, {"synthesize.rolloff": [0.5, 0.2]}, r"a range with 0 < low <= high <= 1"),
    "perturb stride": ({}, {"perturb.stride": 0.5}, "windows of 0.25; lower it"),
    "attribute stride": ({}, {"attribute.stride": 0.5}, "windows of 0.25; lower it"),
    "curve": ({}, {"perturb.rules": ["percentile"]}, "add exact to rules or set curve_percent"),
    "views": (
        {"render.views": ["raw", "noise"], "perturb.views": ["noise"]},
        {"perturb.views": ["symbol", "noise", "differential"]},
        "names differential, symbol, .* leave it out .* or add it to render.views",
    ),
    "rival": (
        {"counterfactual.pairs": ["QPSK to 8PSK", "BPSK to runner_up"]},
        {"counterfactual.pairs": ["QPSK to QPSK"]},
        "'QPSK to QPSK': the rival is the class itself, .* name another rival",
    ),
    "label of frames that are turned": (
        {"counterfactual.snrs_db": [4, 6]},
        {"counterfactual.snrs_db": [4, 7]},
        "counterfactual.snrs_db has 7, which the data lack; name some of ",
    ),
    "nothing to find a pulse from": (
        {"data.modulations": ["FM", "GMSK", "BPSK"]},
        {"data.modulations": ["FM", "GMSK"]},
        "data.modulations are FM, GMSK; set render.pulse to rrc or rml2018, or leave symbol out",
    ),
    "no band": (
        {"data.path": "frames.hdf5", "render.views": ["raw", "noise"], "render.sps": 3},
        {"render.sps": 2},
        "render.sps = 2 .* to 3 or more, or leave noise out",
    ),
    "symbols": (
        {"data.path": "frames.hdf5", "render.sps": 4},
        {"data.path": "data/raw/synthetic.hdf5"},
        "render.sps = 4 is not synthesize.sps = 8 .* set both alike",
    ),
    "step": (
        IQ | {"noise_aware.degrade_db": [1, 2]},
        {"noise_aware.degrade_db": [1, 1.5]},
        r"degrade_db = \[1.0, 1.5\] .* raise it",
    ),
    "band": (
        {"noise_aware.teach_band_db": [-14, -6]},
        {"noise_aware.teach_band_db": [-6, -14]},
        r"teach_band_db = \[-6.0, -14.0\] .* exchange the two",
    ),
    "own model": (
        {"noise_aware.teacher": "models/teacher"},
        {"noise_aware.teacher": "models/"},
        "teacher = models/ is where this training writes; name a copy",
    ),
    "gain": (
        {"noise_aware.raw_gain": ONE_GAIN},
        {"noise_aware.raw_gain": ONE_GAIN | {"low": 0.6}},
        r"raw_gain.low, high = \[0.6, 0.5\] must be a range from low to high",
    ),
    "curriculum": (
        {"train.epochs": 7, "train.curriculum_epochs": 7},
        {"train.curriculum_epochs": 8},
        "curriculum_epochs = 8 is more than train.epochs = 7, .* lower the one or raise the other",
    ),
    "phases": (
        IQ | {"train.epochs": 4},
        {"train.epochs": 3},
        "take 3 epochs, .* train.epochs = 3 for c; lower theirs or raise train.epochs",
    ),
    "level": (
        IQ | {"augment.gain_db": 6},
        CONSTELLATION,
        "augment.gain_db = 6.0 is for train.input = iq; .* set it to 0",
    ),
    "bypass": (
        IQ | {"evaluate.bypass_denoiser": True},
        {"train.model": "mcnet"},
        "bypass_denoiser = true needs a denoiser, .* set it to false",
    ),
    "condition": (
        IQ
        | {"train.model": "mcldnn", "cldnn.condition": "known"}
        | {"cldnn.paths": "raw", "cldnn.film": False},
        IQ,
        "cldnn.condition = known .* set it to blind",
    ),
    "features": (
        IQ
        | {"train.model": "mcldnn", "cldnn.paths": "raw"}
        | {"noise_aware.reference": "/trained", "noise_aware.c.features": 0.03},
        IQ,
        "c.features needs a denoiser, .* set it to 0 or change cldnn.paths",
    ),
    "teacher": (
        IQ | TAUGHT | {"augment.mixup_alpha": 0.2, "augment.mixup_probability": 0.5},
        {"augment.mixup_probability": 1.0},
        "mixup_probability = 1; lower that, or set augment.mixup_alpha to 0",
    ),
    "fill": (
        IQ | {"pis.fill": "resample"},
        CONSTELLATION,
        "pis.fill = resample is for train.input = iq; .* set it to zero",
    ),
    "no symbols": (
        {"pis.removal": "redraw"},
        {"render.views": ["raw"]},
        "pis.removal = redraw .* render.views are raw; add it there, or set .* to blackout",
    ),
    "no samples": (
        {"pis.removal": "redraw", "render.sps": 3, "data.path": "/frames.h5"},
        {"pis.other_views": "redrawn"},
        "render.sps = 3; set pis.removal to blackout",
    ),
    "no pairs of a model of frames": (
        IQ | {"counterfactual.pairs": None},
        {"counterfactual.pairs": ["QPSK to 8PSK"]},
        "pairs names 1, .* train.input = iq; leave counterfactual.pairs empty",
    ),
    "no pairs without symbols": (
        {"counterfactual.pairs": ["QPSK to 8PSK"]},
        {"render.views": ["raw"]},
        "pairs names 1, .* render.views are raw; add it there, or leave counterfactual.pairs empty",
    ),
    "no samples for pairs": (
        {"pis.removal": "blackout", "render.sps": 3, "data.path": "/frames.h5"},
        {"counterfactual.other_views": "redrawn"},
        "other_views = redrawn .* render.sps = 3; set it to held",
    ),
    "no samples for the explorer": (
        {"pis.removal": "blackout", "render.sps": 3, "data.path": "/frames.h5"}
        | {"data.modulations": ["BPSK", "16QAM"]},
        {"counterfactual.other_views": "redrawn"},
        "other_views = redrawn .* render.sps = 3; set it to held",
    ),
    "model of frames": (
        IQ,
        {"train.input": "constellation"},
        "model = cldnn .* input = constellation; models of constellation are resnet18, resnet34,",
    ),
    "model of images": (
        CONSTELLATION,
        {"train.input": "iq"},
        "model = resnet18 .* input = iq; models of iq are cldnn, mcldnn,",
    ),
    "own output": (
        {"train.pretrained": "models/other"},
        {"train.pretrained": "models/mask_tuned/tuned"},
        "pretrained = models/mask_tuned/tuned is where tune_masks writes .* cp -rL models",
    ),
    "weights": (IQ, {"train.pretrained": "imagenet"}, "pretrained = imagenet .* set it to none"),
    "no weights": (
        {"train.model": "pixel_set"},
        {"train.pretrained": "imagenet"},
        "pretrained = imagenet .* not for model = pixel_set; set it to none",
    ),
    "compile": (IQ, {"train.compile": True}, "compile = true .* set it to false"),
    "branches": (
        IQ | {"train.model": "mcldnn", "train.branches": "attention"},
        {"train.model": "cldnn"},
        "branches = attention .* set it to plain",
    ),
    "open end": ({}, {"noise_aware.b1.epochs": None}, "b1.epochs = null, .* 0 for none"),
    "end": ({}, {"noise_aware.c.epochs": 9}, "c.epochs = 9, .* set it to null"),
    "no reference": (
        {"noise_aware.reference": "trained", "noise_aware.b2.features": 0.03},
        {"noise_aware.reference": "none"},
        "features above 0 needs reference, .* set it, or the weights to 0",
    ),
    "null for a dependency": (
        TAUGHT,
        {"noise_aware.teacher": None},
        "noise_aware.teacher = null: write none, or the path of a folder",
    ),
    "no teacher": (
        TAUGHT,
        {"noise_aware.teacher": "none"},
        "distillation above 0 needs teacher, .* set it, or the weights to 0",
    ),
}


@pytest.mark.parametrize(("good", "bad", "remedy"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_a_remedy(good, bad, remedy):
    parse(good)
    assert re.search(remedy, message(good | bad))


def test_a_mistake_of_a_whole_section_is_not_drowned_in_it():
    """The message names keys and values; the section as JSON, cut somewhere, says nothing more."""
    assert "{" not in message({"stratify.test": 0.2})
    assert message({"train.lr": {"start": 1}}) == "train.lr: input should be a valid number"


def test_every_mistake_has_its_line():
    with pytest.raises(ValueError, match=r"base\.seed = -1.*\n.*train\.lr = \"abc\"") as raised:
        parse({"train.lr": "abc", "base.seed": -1})
    lines = str(raised.value).splitlines()
    assert [line.startswith("some.yaml: ") for line in lines] == [True, True]


@pytest.mark.parametrize(
    "changes",
    [
        IQ | {"train.model": "mcldnn"},
        IQ | {"cldnn.paths": "raw"},
        CONSTELLATION,
    ],
)
def test_phases_are_free_without_a_denoiser(changes):
    assert parse(changes | {"train.epochs": 1}).train.epochs == 1


def test_what_a_section_asks_for_only_with_another_is_free_without_it():
    changes = {"render.views": ["raw", "symbol"], "render.sps": 2, "synthesize.sps": 2}
    assert parse(changes | {"perturb.views": None}).render.sps == 2


@pytest.mark.parametrize("loss", SNR_LOSSES)
def test_the_regression_head_goes_with_every_loss(loss):
    train = parse({"train.snr_head": "regression", "train.snr_loss": loss}).train
    assert (train.snr_head, train.snr_loss) == ("regression", loss)


def test_impairments_may_be_named_one_by_one():
    echo = {"amplitude": [0, 0.5], "delay": [0, 2]}
    settings = parse({"synthesize.impairments": {"echo": echo, "lowpass": [0.2, 0.4]}}).synthesize
    found = settings.to(SynthesisSettings).impairments
    expected = ImpairmentSettings(echo=EchoSettings((0, 0.5), (0, 2)), lowpass=(0.2, 0.4))
    assert found == expected

    given = {"augment.impairments": {"echo": echo, "lowpass": [0.2, 0.4]}}
    varied = parse(given).augment.to(Augmentation)
    assert varied.impairments == expected
    assert varied.changes_frames


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("apsk_rates.64APSK", ["2/3"], "64APSK has no code rate 2/3; known are 128/180, .* source"),
        ("apsk_rates.64APSK", [], "64APSK has no code rate; name one or more of 128/180"),
        ("apsk_rates", {"64APSK": ["4/5"]}, "name each of 16APSK, 32APSK, 64APSK, 128APSK once"),
        ("impairments", {"lowpass": [0.4, 0.2]}, r"must be a range \[low, high\]; swap the two"),
        ("impairments", {"lowpas": [0.2, 0.4]}, "unknown key .*did you mean lowpass"),
        ("pulse", "rc", "'rrc' or 'rml2018'"),
        ("ask", "ook", "'bipolar' or 'unipolar'"),
        ("snr_label", "db", "'power' or 'amplitude'"),
    ],
)
def test_a_world_that_cannot_be_is_refused(key, value, said):
    assert re.search(said, message({f"synthesize.{key}": value}))


def test_multipath_may_be_given():
    channel = {"k_factor_db": 10, "paths": 4, "delay_spread": 2.0}
    assert parse({"synthesize.multipath": channel}).synthesize.multipath.paths == 4


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
    assert sorted(MODELS["constellation"]) == sorted([*BACKBONES, *OWN_BACKBONES])
    assert sorted(MODELS["iq"]) == sorted([CLDNN, *BASELINES])


def test_a_further_input_needs_no_line_of_the_schema(monkeypatch):
    monkeypatch.setitem(INPUTS, "spectrogram", "somewhere:Spectrogram")
    assert parse({"train.input": "spectrogram"}).train.input == "spectrogram"


def test_settings_of_a_cldnn_are_those_of_the_model():
    assert list(Cldnn.model_fields) == list(Settings._fields)
    check(Settings(**parse({}).cldnn.model_dump()), 128)


def test_no_frame_is_varied_by_default():
    assert not parse({}).augment.to(Augmentation).changes_frames
    fields = [field.name for field in dataclasses.fields(Augmentation)]
    assert fields == list(Augment.model_fields)


def test_every_view_has_an_extent():
    assert get_args(ViewName) == tuple(Extent.model_fields)


def test_class_orders_that_may_be_set_are_those_that_exist():
    assert get_args(Data.model_fields["class_order"].annotation) == tuple(CLASS_ORDERS)


def test_params_cannot_be_changed_while_running():
    params = parse({})
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


def test_the_schema_holds_no_defaults():
    """No stage depends on it, so that a default in it could change results without a rerun."""
    sections = [Params]
    for section in sections:
        for name, field in section.model_fields.items():
            left_out = section is Impairments and field.default is None  # the same as null
            assert field.is_required() or left_out, f"{section.__name__}.{name}"
            inner = keys.section_of(field.annotation)
            sections += [inner] if inner else []
    assert len(sections) > len(Params.model_fields)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("base: [1, 2", "is not valid YAML"),
        ("base:\n  seed: 1\n  seed: 2\n", "is not valid YAML: .*seed"),
        ("just a text", "must hold sections with keys, not str"),
        ("", "is empty; correct it$"),
        ("base: {seed: 2024-01-01}", 'base.seed = "2024-01-01": input should be a valid integer'),
    ],
)
def test_a_file_that_is_no_params_file(text, named, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.yaml.*{named}"):
        load_params(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml .* root of the repository"):
        load_params(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("written", ["1e-05", "1E-5", "0.00001", "1.0e-05"])
def test_every_spelling_of_a_number_is_one(written, tmp_path):
    text = (ROOT / "presets/default.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"(?m)^  lr: .*$", f"  lr: {written}", text))
    assert load_params(path).train.lr == 1e-5


def test_the_reference_page_is_made_from_the_schema(monkeypatch):
    monkeypatch.setattr(presets, "PRESETS", ROOT / "presets")
    monkeypatch.setattr(reference, "PRESETS", ROOT / "presets")
    committed = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert committed == reference.page(), "run python -m pisces docs"


def test_the_reference_page_has_every_key_with_a_meaning():
    rows = []
    for line in (ROOT / reference.PAGE).read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert all(len(row) == len(reference.COLUMNS) and row[4] for row in rows)
    keys = {row[0] for row in rows}
    assert {"`lr`", "`extent.raw`", "`c.distillation`", "`multipath.paths`"} <= keys


# Work without end


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("perturb", "stride", 1e-9, "less than 0.02, which makes thousands of windows"),
        ("perturb", "window", 1e-9, "less than 0.02"),
        ("attribute", "stride", 1e-9, "less than 0.02"),
        ("perturb", "levels_percent", [n / 20 for n in range(1, 2001)], "2000 values, more than"),
        ("perturb", "curve_percent", [n / 20 for n in range(1, 2001)], "2000 values, more than"),
        ("attribute", "levels_percent", [n / 20 for n in range(1, 2001)], "2000 values, more"),
        ("attribute", "rise_masks", 10**9, "more than 100000, each a pass of every frame"),
        ("attribute", "resamples", 10**12, "more than 1000000, which no longer changes"),
        ("limits", "trials", 10**12, "more than 100000, which take about an hour"),
        ("limits", "blind_frames", 10**12, "more than 1000000000, more than any file holds"),
        ("synthesize", "frames_per_cell", 10**12, "more than 100000, which are 20 GB"),
        ("train", "epochs", 10**12, "more than 1000000"),
        ("train", "batch_size", 10**12, "more than 1000000"),
        ("base", "seed", 10**30, "the largest number of 64 bits"),
    ],
)
def test_work_without_end_is_refused_with_a_reason(section, key, value, reason):
    with pytest.raises(ValueError, match=rf"{section}\.{key} = .*{reason}"):
        parse_params(changed({f"{section}.{key}": value}), "params.yaml")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"QAM{n}" for n in range(100_000)], "'QAM0' is not a modulation"),
        (100_000 * ["QPSK"], "QPSK stands more than once"),
        (50_000 * ["QPSK", "8PSK"], "8PSK, QPSK stands more than once"),
    ],
)
def test_many_names_take_no_time_and_one_line(names, message):
    params = changed({"data.modulations": names})
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message) as error:
        parse_params(params, "params.yaml")
    assert "\n" not in str(error.value)
    assert time.perf_counter() - started < 5


def test_a_list_has_one_line_for_all_its_mistakes():
    params = changed({"render.views": ["eye", "raw", "ear", "nose"]})
    with pytest.raises(ValueError, match=r"views.0 = \"eye\".*and 2 more such values") as error:
        parse_params(params, "params.yaml")
    assert "\n" not in str(error.value)


def test_a_list_that_falls_is_named_once():
    params = changed({"perturb.levels_percent": [1, 0.5]})
    message = r"levels_percent = \[1, 0.5\]: must be strictly increasing; sort it"
    with pytest.raises(ValueError, match=message) as error:
        parse_params(params, "params.yaml")
    assert "[1.0" not in str(error.value)
