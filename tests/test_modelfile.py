"""A model comes back from its two files as it was, or not at all."""

import copy
import dataclasses
import json

import pytest
import torch

from pisces import modelfile, models
from pisces.modelfile import CARD, WEIGHTS, Trained, check_fits
from pisces.rendering import Drawing
from tests.conftest import EXTENT, MODULATIONS, SIZE, SNRS_DB

DRAWING = Drawing(SIZE, EXTENT, "enhanced", 1.0, (0.5, 1.0, 2.0))


@pytest.fixture(scope="module")
def trained() -> Trained:
    """After one forward pass in training mode, so that the batch statistics are not those of a fresh model."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build("resnet18", DRAWING.channels, 3, 3)
        model(torch.rand(8, 3, SIZE, SIZE))
    return Trained(model.eval(), DRAWING, MODULATIONS, SNRS_DB)


@pytest.fixture
def folder(trained, tmp_path):
    modelfile.save(tmp_path / "models", "resnet18", trained)
    return tmp_path / "models"


def change_card(folder, **changes) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | changes))


def test_round_trip_gives_identical_logits(trained, folder):
    loaded = modelfile.load(folder)
    assert loaded[1:] == trained[1:]
    assert not loaded.model.training
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for before, after in zip(trained.model(images), loaded.model(images), strict=True):
            assert torch.equal(before, after)
            assert before.std() > 0


def test_same_bytes_twice_and_nothing_else_in_the_folder(trained, folder, tmp_path):
    modelfile.save(tmp_path / "again", "resnet18", trained)
    assert sorted(p.name for p in folder.iterdir()) == sorted([WEIGHTS, CARD])
    for name in (WEIGHTS, CARD):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_memory_format_does_not_reach_the_file(trained, folder, tmp_path):
    moved = trained._replace(model=copy.deepcopy(trained.model).to(memory_format=torch.channels_last))
    modelfile.save(tmp_path / "moved", "resnet18", moved)
    assert (folder / WEIGHTS).read_bytes() == (tmp_path / "moved" / WEIGHTS).read_bytes()


def test_card_tells_what_the_model_is(folder):
    card = json.loads((folder / CARD).read_text())
    assert card["model"] == "resnet18"
    assert (card["modulations"], card["snrs_db"]) == (list(MODULATIONS), list(SNRS_DB))
    assert card["drawing"] == json.loads(json.dumps(dataclasses.asdict(DRAWING)))
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


def test_fits_the_data_it_was_made_for(trained, data):
    check_fits(trained, data)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("modulations", {"modulations": ("4ASK", "16QAM", "QPSK")}),
        ("SNRs in dB", {"snrs_db": (-10, 0, 18)}),
        ("render.size", {"drawing": dataclasses.replace(DRAWING, size=48)}),
        ("render.extent", {"drawing": dataclasses.replace(DRAWING, extent=3.0)}),
    ],
)
def test_other_classes_or_render_settings_are_refused(trained, data, what, change):
    with pytest.raises(ValueError, match=rf"the model knows {what} .* but .*constellations has .*; train again with dvc repro train"):
        check_fits(trained._replace(**change), data)
