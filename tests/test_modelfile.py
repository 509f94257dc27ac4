"""A model comes back from its two files as it was, or not at all."""

import copy
import json

import pytest
import torch

from pisces import modelfile, models
from pisces.modelfile import CARD, WEIGHTS, Trained, check_fits
from pisces.models import Architecture
from pisces.rendering import Drawing
from tests.conftest import MODULATIONS, RENDER, SIZE, SNRS_DB, draw

ARCHITECTURE = Architecture("resnet18", "attention", "regression")
DRAWING = Drawing(RENDER, draw("enhanced"))
CHANNELS = 12  # three of each of four views


@pytest.fixture(scope="module")
def trained() -> Trained:
    """After one forward pass in training mode, so that the batch statistics are not those of a fresh model."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, CHANNELS, SIZE, 3, SNRS_DB)
        model(torch.rand(8, CHANNELS, SIZE, SIZE))
    return Trained(model.eval(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)


@pytest.fixture
def folder(trained, tmp_path):
    modelfile.save(tmp_path / "models", trained)
    return tmp_path / "models"


def change_card(folder, **changes) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


def test_round_trip_gives_identical_logits(trained, folder):
    loaded = modelfile.load(folder)
    assert loaded[1:] == trained[1:]
    assert not loaded.model.training
    images = torch.rand(4, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for before, after in zip(trained.model(images), loaded.model(images), strict=True):
            assert torch.equal(before, after)
            assert before.std() > 0


def test_same_bytes_twice_and_nothing_else_in_the_folder(trained, folder, tmp_path):
    modelfile.save(tmp_path / "again", trained)
    assert sorted(p.name for p in folder.iterdir()) == sorted([WEIGHTS, CARD])
    for name in (WEIGHTS, CARD):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_memory_format_does_not_reach_the_file(trained, folder, tmp_path):
    moved = trained._replace(model=copy.deepcopy(trained.model).to(memory_format=torch.channels_last))
    modelfile.save(tmp_path / "moved", moved)
    assert (folder / WEIGHTS).read_bytes() == (tmp_path / "moved" / WEIGHTS).read_bytes()


def test_card_tells_what_the_model_is(folder):
    card = json.loads((folder / CARD).read_text())
    assert (card["model"], card["branches"], card["snr_head"]) == ARCHITECTURE
    assert (card["modulations"], card["snrs_db"]) == (list(MODULATIONS), list(SNRS_DB))
    assert card["render"] == json.loads(RENDER.model_dump_json())
    assert card["draw"] == json.loads(DRAWING.draw.model_dump_json())
    assert set(card["versions"]) == {"pisces", "torch", "torchvision", "python"}


def test_weights_of_another_model_are_refused(folder):
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    with pytest.raises(ValueError, match=r"model.safetensors is not the file that .*model.json describes .*keep the two together"):
        modelfile.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} does not exist; make it with dvc repro train"):
        modelfile.load(folder)


def test_card_with_other_classes_than_the_weights(folder):
    change_card(folder, modulations=["BPSK", "QPSK"])
    with pytest.raises(ValueError, match=r"model.safetensors does not fit the resnet18 of .*model.json: [^$]*modulation_head"):
        modelfile.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"render": "32 px"}, r"model.json is not a model card .*make it again with dvc repro --force train"),
        ({"render": json.loads(RENDER.model_dump_json()) | {"views": ["raw", "eye"]}}, r"model.json is not a model card .*views"),
        ({"draw": json.loads(draw("enhanced").model_dump_json()) | {"method": "scatter"}}, r"model.json is not a model card .*method"),
        ({"render": json.loads(RENDER.model_dump_json()) | {"views": ["raw"]}}, r"does not fit the resnet18 of .*model.json"),
        ({"branches": "plain"}, r"does not fit the resnet18 of .*model.json"),
        ({"snr_head": "tall"}, r"snr_head 'tall' is unknown; there are standard"),
    ],
)
def test_card_that_says_something_else(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(ValueError, match=message):
        modelfile.load(folder)


def test_fits_the_data_it_was_made_for(trained, data):
    check_fits(trained, data)


OTHER = {
    "views": ("raw", "noise", "symbol", "differential"),
    "size": 48,
    "extent": RENDER.extent.model_copy(update={"noise": 70.0}),
    "sps": 4,
    "rolloff": 0.2,
    "delay": 8,
}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("modulations", {"modulations": ("4ASK", "16QAM", "QPSK")}),
        ("SNRs in dB", {"snrs_db": (-10, 0, 18)}),
        *(
            (f"render.{key}", {"drawing": Drawing(RENDER.model_copy(update={key: other}), draw("enhanced"))})
            for key, other in OTHER.items()
        ),
    ],
)
def test_other_classes_or_render_settings_are_refused(trained, data, what, change):
    with pytest.raises(ValueError, match=rf"the model knows {what} .* but .*constellations has .*; train again with dvc repro train"):
        check_fits(trained._replace(**change), data)


def test_every_render_setting_is_compared():
    assert OTHER.keys() == type(RENDER).model_fields.keys()
