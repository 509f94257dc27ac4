"""A model comes back from its two files as it was, or not at all."""

import copy
import json
import shutil
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pisces import models
from pisces.core.files import sha256
from pisces.core.settings import to_json
from pisces.inputs.drawing import OF_THE_DATA, BinStore, Drawing
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import Architecture, modelfile
from pisces.models.calibration import Array, Calibration, FeatureNovelty, Novelty
from pisces.models.cldnn import Settings
from pisces.models.modelfile import CARD, WEIGHTS, TrainedModel, check_fits
from tests.conftest import MODULATIONS, RENDER, SAMPLES, SIZE, SNRS_DB, draw

ARCHITECTURE = Architecture("resnet18", "attention", "regression")
DRAWING = Drawing(RENDER, draw("enhanced"))
CHANNELS = 12  # three of each of four views


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    """After one forward pass in training mode, so that batch statistics are not fresh ones."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, DRAWING.shape, 3, SNRS_DB)
        model(torch.rand(8, CHANNELS, SIZE, SIZE))
    return TrainedModel(model.eval(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    root = tmp_path_factory.mktemp("saved") / "models"
    modelfile.save(root, trained)
    return root


@pytest.fixture
def folder(saved, tmp_path):
    """A copy, for tests that change a file."""
    return shutil.copytree(saved, tmp_path / "models")


def change_card(folder, **changes) -> None:
    """Other values of keys of the card, of `kind`, `render` and `draw` within its `input`."""
    card = json.loads((folder / CARD).read_text())
    of_input = ("kind", "render", "draw")
    card["input"] |= {key: changes.pop(key) for key in of_input if key in changes}
    (folder / CARD).write_text(json.dumps(card | changes))


def test_round_trip_gives_identical_logits(trained, saved):
    loaded = modelfile.load(saved)
    assert loaded[1:] == trained[1:]
    assert not loaded.model.training
    images = torch.rand(4, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for before, after in zip(trained.model(images), loaded.model(images), strict=True):
            assert torch.equal(before, after)
            assert before.std() > 0


def test_same_bytes_twice_and_nothing_else_in_the_folder(trained, saved, tmp_path):
    modelfile.save(tmp_path / "again", trained)
    assert sorted(p.name for p in saved.iterdir()) == sorted([WEIGHTS, CARD])
    for name in (WEIGHTS, CARD):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_memory_format_does_not_reach_the_file(trained, saved, tmp_path):
    moved = trained._replace(
        model=copy.deepcopy(trained.model).to(memory_format=torch.channels_last)
    )
    modelfile.save(tmp_path / "moved", moved)
    assert (saved / WEIGHTS).read_bytes() == (tmp_path / "moved" / WEIGHTS).read_bytes()


def test_card_describes_the_model(saved):
    card = json.loads((saved / CARD).read_text())
    assert (
        Architecture(card["model"], card["branches"], card["snr_head"], card["cldnn"])
        == ARCHITECTURE
    )
    assert (card["modulations"], card["snrs_db"]) == (list(MODULATIONS), list(SNRS_DB))
    assert set(card["input"]) == {"kind", "render", "draw"}
    assert card["input"]["kind"] == "constellation"
    assert card["input"]["render"] == json.loads(to_json(RENDER))
    assert card["input"]["draw"] == json.loads(to_json(DRAWING.draw))
    assert set(card["versions"]) == {"pisces", "torch", "torchvision", "python"}


def test_weights_of_another_model_are_refused(folder):
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    with pytest.raises(
        ValueError,
        match=r"model.safetensors is not the file .*model.json describes .*keep the two together",
    ):
        modelfile.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"{name} does not exist; make it with dvc repro train"
    ):
        modelfile.load(folder)


def test_card_with_other_classes_than_the_weights(folder):
    change_card(folder, modulations=["BPSK", "QPSK"])
    with pytest.raises(
        ValueError,
        match=r"model.safetensors does not fit the resnet18 of .*model.json: [^$]*modulation_head",
    ):
        modelfile.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "spectrogram"},
            r"model.json is not a model card: input.kind = 'spectrogram' is unknown; "
            r"it is one of constellation, iq; use the model.json that belongs to .*safetensors",
        ),
        ({"kind": "iq"}, r"model.json is not a model card: in its input, samples is missing"),
        ({"kind": ["iq"]}, r"model.json is not a model card: input.kind = \['iq'\] is unknown"),
        (
            {"render": "32 px"},
            r"model.json is not a model card: in its input, render = \"32 px\": .*an object; "
            r".*make both again with dvc repro --force train",
        ),
        (
            {"render": asdict(RENDER) | {"views": ["raw", "eye"]}},
            r"model.json is not a model card: in its input, render.views.1 = \"eye\": .*'symbol'",
        ),
        (
            {"draw": asdict(draw("enhanced")) | {"method": "scatter"}},
            r"model.json is not a model card: in its input, draw.method = \"scatter\": .*enhanced",
        ),
        (
            {"render": asdict(RENDER) | {"views": ["raw"]}},
            r"does not fit the resnet18 of .*model.json",
        ),
        ({"branches": "plain"}, r"does not fit the resnet18 of .*model.json"),
        ({"snr_head": "tall"}, r"snr_head 'tall' is unknown; there are standard"),
    ],
)
def test_card_of_another_model_is_refused(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(ValueError, match=message):
        modelfile.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sps": 0}, r"render\.sps = 0 must be 2 to 1024"),
        ({"sps": 1}, r"render\.sps = 1 must be 2 to 1024"),
        ({"sps": 1025}, r"render\.sps = 1025 must be 2 to 1024"),
        ({"size": 4097}, r"render\.size = 4097 must be 2 to 4096"),
        ({"delay": SAMPLES}, rf"render\.delay = {SAMPLES} must be 1 to {SAMPLES - 1}"),
        ({"delay": 0}, r"render\.delay = 0 must be 1 to"),
        ({"delay": 65537, "samples": 0}, r"render\.delay = 65537 must be 1 to 65536"),
        ({"samples": SAMPLES + 1}, r"render\.samples = 257 must be a multiple of render\.sps = 8"),
        ({"samples": -8}, r"render\.samples = -8 must be 1 or more"),
        (
            {"pulse": "estimated", "response": [1.0] * 64},
            r"render\.response holds 64 numbers and must hold 65",
        ),
    ],
)
def test_settings_that_no_frames_can_be_rendered_with_are_refused(folder, changes, message):
    change_card(folder, render=asdict(RENDER) | changes)
    with pytest.raises(
        ValueError, match=rf"model\.json is not a model card: in its input, {message}"
    ):
        modelfile.load(folder)


def test_settings_at_their_bounds_are_taken(folder):
    at_bounds = {"delay": SAMPLES - 1, "pulse": "estimated", "response": [1.0] * 65}
    change_card(folder, render=asdict(RENDER) | at_bounds)
    assert modelfile.load(folder).input.render.delay == SAMPLES - 1


def calibration(**changes) -> dict:
    """One that a model of the classes of `trained` can have, with other values of some keys."""
    one, levels = Array.of(np.ones(1)), Array.of(np.ones((2, len(SNRS_DB))))
    centroids = Array.of(np.zeros((len(MODULATIONS), len(SNRS_DB), 1)))
    features = FeatureNovelty(one, Array.of(np.ones((1, 1))), centroids, levels)
    thresholds = {name: changes.pop(name, 3.0) for name in ("threshold", "feature_threshold")}
    novelty = Novelty(features, None, **thresholds)
    return asdict(replace(Calibration(100, 1.0, 1.0, 0.9, 1.5, novelty), **changes))


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("threshold", 0.0, "above 0"),
        ("feature_threshold", -1.0, "above 0"),
        ("modulation_temperature", 0.009, r"0\.01 to 100"),
        ("snr_temperature", 101.0, r"0\.01 to 100"),
        ("spreads", 2e6, r"0 to 1e\+06"),
        ("spreads", -1.0, r"0 to 1e\+06"),
    ],
)
def test_a_calibration_that_no_fit_gives_is_refused(folder, key, value, allowed):
    change_card(folder, calibration=calibration(**{key: value}))
    with pytest.raises(ValueError, match=rf"model\.json .*\.{key} = {value} is not {allowed}"):
        modelfile.load(folder)


@pytest.mark.parametrize("threshold", [None, 1e-3])
def test_a_calibration_at_its_bounds_is_taken(folder, threshold):
    changes = {"modulation_temperature": 0.01, "snr_temperature": 100.0, "spreads": 1e6}
    change_card(folder, calibration=calibration(threshold=threshold, **changes))
    assert modelfile.load(folder).calibration.novelty.threshold == threshold


def test_card_that_names_no_kind_of_input(folder):
    card = json.loads((folder / CARD).read_text())
    del card["input"]["kind"]
    (folder / CARD).write_text(json.dumps(card))

    message = r"model.json is not a model card: input.kind is missing; .* constellation, iq"
    with pytest.raises(ValueError, match=message):
        modelfile.load(folder)


KEYS = ("model", "branches", "snr_head", "cldnn", "modulations", "snrs_db", "input")


@pytest.mark.parametrize("key", [*KEYS, "weights_sha256"])
def test_card_without_a_key_names_it(folder, key):
    card = json.loads((folder / CARD).read_text())
    del card[key]
    (folder / CARD).write_text(json.dumps(card))

    remedy = "use the model.json that belongs to .*safetensors, or make both again with dvc repro"
    with pytest.raises(ValueError, match=rf"model.json is .*: {key} is missing; {remedy}"):
        modelfile.load(folder)


@pytest.mark.parametrize("key", [*KEYS, "weights_sha256"])
def test_card_with_a_key_of_the_wrong_type_says_what_is_allowed(folder, key):
    change_card(folder, **{key: 3})
    allowed = r"input should be a(n array|n object|n array or an object| valid \w+); use the"
    with pytest.raises(ValueError, match=rf"model.json is .*: {key} = 3: {allowed}"):
        modelfile.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_card_that_is_no_object(folder, text):
    (folder / CARD).write_text(text)
    with pytest.raises(ValueError, match=r"model.json is not a model card: .*use the model.json"):
        modelfile.load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(folder, value):
    state = load_file(folder / WEIGHTS)
    state["backbone.layer1.0.conv1.weight"][0, 0, 0, 0] = value
    save_file(state, folder / WEIGHTS)
    change_card(folder, weights_sha256=sha256(folder / WEIGHTS))
    message = r"model.safetensors holds NaN or infinity in 1 tensor, such as backbone.layer1.0"
    with pytest.raises(ValueError, match=message):
        modelfile.load(folder)


def test_a_damaged_header_is_named(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(b"\xff" * 8 + content[8:])
    change_card(folder, weights_sha256=sha256(folder / WEIGHTS))
    with pytest.raises(ValueError, match=r"model.safetensors is damaged \(.*header.*train again"):
        modelfile.load(folder)


def test_a_card_of_a_huge_model_takes_no_memory(folder):
    card = json.loads((folder / CARD).read_text())
    card["input"]["render"]["size"] = 10**9
    change_card(folder, input=card["input"], model="small_cnn")
    with pytest.raises(ValueError, match=r"model\.(json|safetensors)"):
        modelfile.load(folder)


def test_fits_the_data_it_was_made_for(trained, data):
    check_fits(trained, data)


OTHER = {
    "views": ("raw", "noise", "symbol", "differential"),
    "size": 48,
    "extent": replace(RENDER.extent, **{"noise": 70.0}),
    "sps": 4,
    "delay": 8,
    "samples": 128,
    "equalizer": "blind",
}
"""Settings that make other pictures of the same frames."""


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("modulations", {"modulations": ("4ASK", "16QAM", "QPSK")}),
        ("SNRs in dB", {"snrs_db": (-10, 0, 18)}),
        ("SNR labels of the convention", {"snr_label": "amplitude"}),
        *(
            (
                f"render.{key}",
                {"input": Drawing(replace(RENDER, **{key: other}), draw("enhanced"))},
            )
            for key, other in OTHER.items()
        ),
    ],
)
def test_other_classes_or_render_settings_are_refused(trained, data, what, change):
    with pytest.raises(
        ValueError,
        match=rf"the model knows {what} .* but .*constellations has .*dvc repro train",
    ):
        check_fits(trained._replace(**change), data)


def test_a_card_keeps_what_the_labels_mean_and_an_old_one_means_power(trained, tmp_path):
    modelfile.save(tmp_path, trained._replace(snr_label="amplitude"))
    assert modelfile.load(tmp_path).snr_label == "amplitude"

    card = json.loads((tmp_path / CARD).read_text())
    del card["snr_label"]
    (tmp_path / CARD).write_text(json.dumps(card))
    assert modelfile.load(tmp_path).snr_label == "power"


def test_every_render_setting_is_compared():
    assert {*OTHER, *OF_THE_DATA} == {field.name for field in fields(RENDER)}


# Models of raw IQ; that each of them survives is in test_combinations.py

CLDNN = Architecture(
    "cldnn",
    "plain",
    "standard",
    Settings(paths="dual", film=True, expert="v2", expert_window=5, channels=8),
)


def iq_model(samples: int = SAMPLES) -> TrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TrainedModel(
            models.build(CLDNN, (2, samples), 3, SNRS_DB).eval(),
            CLDNN,
            Waveform(samples),
            MODULATIONS,
            SNRS_DB,
        )


def test_a_cldnn_comes_back_with_its_settings(tmp_path):
    modelfile.save(tmp_path, iq_model(128))
    card = json.loads((tmp_path / CARD).read_text())
    assert card["input"] == {"kind": "iq", "samples": 128, "sps": None}
    assert card["cldnn"] == CLDNN.cldnn._asdict()
    loaded = modelfile.load(tmp_path)
    assert loaded[1:] == iq_model(128)[1:]
    assert loaded.model.settings == CLDNN.cldnn
    change_card(tmp_path, cldnn=card["cldnn"] | {"channels": 16})
    with pytest.raises(
        ValueError, match=r"model.safetensors does not fit the cldnn of .*model.json"
    ):
        modelfile.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts": "v1"}, r"cldnn\.experts is unknown"),
        ({"film": "yes"}, r"cldnn\.film = \"yes\": input should be a valid boolean"),
        ({"channels": -1}, r"no cldnn can be built from it"),
        ({"condition": None}, r"cldnn\.condition = null: input should be a valid string"),
    ],
)
def test_settings_of_no_cldnn(tmp_path, changes, message):
    modelfile.save(tmp_path, iq_model(128))
    change_card(tmp_path, cldnn=CLDNN.cldnn._asdict() | changes)
    with pytest.raises(ValueError, match=rf"model.json is not a model card: {message}.*; use the"):
        modelfile.load(tmp_path)


def test_a_cldnn_that_leaves_a_setting_unsaid(tmp_path):
    """Its default may be another than that of the model which was made."""
    modelfile.save(tmp_path, iq_model(128))
    settings = CLDNN.cldnn._asdict()
    del settings["expert_window"]
    change_card(tmp_path, cldnn=settings)
    with pytest.raises(ValueError, match=r"model card: cldnn.expert_window missing; use the"):
        modelfile.load(tmp_path)


def test_a_model_of_frames_is_not_built_for_images_nor_the_other_way_round():
    for architecture, shape, known in (
        (CLDNN, (3, 32, 32), "resnet18"),
        (ARCHITECTURE, (2, 128), "cldnn"),
    ):
        with pytest.raises(
            ValueError, match=rf"model '{architecture.model}' is unknown; there are {known}"
        ):
            models.build(architecture, shape, 3, SNRS_DB)


def test_each_model_opens_what_it_was_trained_on(trained, constellations, iq_shards):
    pictures, waves = (one.input.open(iq_shards.parent) for one in (trained, iq_model()))
    assert isinstance(pictures, BinStore)
    assert isinstance(waves, IqStore)
    assert (pictures.root, waves.root) == (constellations, iq_shards)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("frames of so many samples: 128", {"input": Waveform(128)}),
        ("modulations", {"modulations": ("4ASK", "16QAM", "QPSK")}),
        ("SNRs in dB", {"snrs_db": (-10, 0, 18)}),
    ],
)
def test_frames_of_another_length_or_class_are_refused(iq_data, what, change):
    with pytest.raises(
        ValueError,
        match=rf"the model knows {what} .*but .*split_hdf5 has .*dvc repro train",
    ):
        check_fits(iq_model()._replace(**change), iq_data)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ({"shape": [10**18, 10**18]}, r"holds 8 characters of base64, .* not those of \(10{18}, "),
        ({"shape": [0, 10**30]}, "its shape must be up to 3 numbers of 1 or more"),
        ({"shape": [1] * 100}, "its shape must be up to 3 numbers of 1 or more"),
        ({"float32": ""}, "holds 0 characters of base64"),
        ({"float32": "A" * 1_000_000}, "holds 1000000 characters of base64"),
        ({"float32": "AAAAéA=="}, "is no base64"),
        ({"float32": "AAAAAAAA"}, r"holds 6 bytes, not those of \(1,\) numbers"),
    ],
)
def test_an_array_of_a_card_that_does_not_hold_its_numbers_is_refused(folder, array, message):
    own = calibration()
    own["novelty"]["features"]["mean"] |= array
    change_card(folder, calibration=own)
    with pytest.raises(ValueError, match=rf"features\.mean: it.*{message}|mean: {message}"):
        modelfile.load(folder)


def test_a_card_larger_than_any_is_not_read(folder):
    with (folder / CARD).open("r+b") as file:
        file.truncate(10**11)  # sparse: it takes no room
    with pytest.raises(ValueError, match=r"is not a model card: it has 100\.0 GB, and a card has"):
        modelfile.load(folder)
