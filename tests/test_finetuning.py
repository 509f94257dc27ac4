"""A finished model is trained on: outputs go by class, everything else as it is."""

import json
from dataclasses import replace

import pytest
import torch

from pisces import models
from pisces.inputs.drawing import Drawing
from pisces.models import Architecture, finetuning, modelfile
from pisces.models.modelfile import TrainedModel
from tests.conftest import RENDER, SAMPLES, draw

DRAWING = Drawing(RENDER, draw("log_histogram"))
OLD = ("BPSK", "QPSK", "16QAM"), (-4, 0, 4)
"""Modulations, and labels of twice as many dB."""


def build(architecture, seed, modulations=OLD[0], snrs_db=OLD[1]):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.build(architecture, DRAWING.shape, len(modulations), snrs_db).eval()


def architecture(model="pixel_set", snr_head="standard") -> Architecture:
    return Architecture(model, "plain", snr_head)


def finished(folder, design=None):
    """The folder of a model, and the model."""
    design = design or architecture()
    model = build(design, seed=1)
    modelfile.save(folder, TrainedModel(model, design, DRAWING, *OLD, "amplitude"))
    return model


def start(folder, model, modulations, snrs_db, design=None, seen=DRAWING):
    return finetuning.start_from(
        folder, model, design or architecture(), seen, modulations, snrs_db, "power"
    )


def images(n=6):
    return torch.rand(n, *DRAWING.shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_the_outputs_of_a_class_follow_it_to_its_new_place(tmp_path):
    old = finished(tmp_path)
    modulations, snrs_db = ("4ASK", "QPSK", "BPSK"), (-8, 6, 8)
    new = build(architecture(), 2, modulations, snrs_db)
    untouched = new(images())
    taken = start(tmp_path, new, modulations, snrs_db)

    before, after = old(images()), new(images())
    # QPSK and BPSK.
    torch.testing.assert_close(after[0][:, [1, 2]], before[0][:, [1, 0]])
    # Labels of -4 and 4, whose SNR is twice that.
    torch.testing.assert_close(after[1][:, [0, 2]], before[1][:, [0, 2]])
    assert taken.new_modulations == ["4ASK"]
    assert taken.new_snrs_db == [6]
    # What is new was drawn afresh, above features that are now others.
    assert not torch.allclose(after[0][:, 0], untouched[0][:, 0])
    assert taken.tensors == taken.of
    assert str(taken).endswith("new outputs: 4ASK, 6 dB")


@torch.no_grad()
@pytest.mark.parametrize("model", ["pixel_set", "small_cnn", "resnet18"])
def test_equal_classes_make_an_equal_model(tmp_path, model):
    design = architecture(model)
    old, new = finished(tmp_path, design), build(design, 2)
    start(tmp_path, new, OLD[0], (-8, 0, 8), design)
    for one, other in zip(old(images()), new(images()), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_a_regressed_snr_starts_afresh_on_another_grid(tmp_path):
    design = architecture(snr_head="regression")
    old = finished(tmp_path, design)
    same, other = build(design, 2), build(design, 2, snrs_db=(0, 4, 8))
    fresh = other.snr_head.linear.weight.clone()

    start(tmp_path, same, OLD[0], (-8, 0, 8), design)
    taken = start(tmp_path, other, OLD[0], (0, 4, 8), design)
    assert torch.equal(same.snr_head.linear.weight, old.snr_head.linear.weight)
    assert torch.equal(other.snr_head.linear.weight, fresh)
    assert taken.new_snrs_db == [0, 4, 8]


@pytest.mark.parametrize(
    ("design", "seen", "message"),
    [
        (architecture("small_cnn"), DRAWING, "train.model = pixel_set, and the params say small"),
        (architecture(snr_head="dual_layer"), DRAWING, "train.snr_head = standard"),
        (None, replace(DRAWING, draw=draw("histogram")), "with draw = .*histogram"),
        (None, replace(DRAWING, render=replace(RENDER, sps=4)), "with render.sps = 8, .* say 4"),
    ],
)
def test_a_model_that_differs_in_more_than_classes_is_refused(tmp_path, design, seen, message):
    finished(tmp_path)
    new = build(design or architecture(), 2)
    with pytest.raises(ValueError, match=f"train.pretrained = .*{message}"):
        start(tmp_path, new, *OLD, design, seen)


def test_a_frozen_part_keeps_weights_and_statistics():
    model = build(architecture(), 1)
    finetuning.freeze(model, ["backbone.tables", "backbone.after_sum"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    modulation, snr = model(images())
    (modulation.square().mean() + snr.square().mean()).backward()
    optimizer.step()

    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    heads = ("modulation_head", "snr_head")
    assert changed == {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    assert model.modulation_head.training


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["backbones"], "names 'backbones', .* there are backbone, backbone.tables, .*snr_head"),
        ([""], "names '', and the model has no such part"),
        (["branches"], "names 'branches', and the model has no such part with weights"),
        (["backbone", "modulation_head", "snr_head"], "leaves nothing to train"),
    ],
)
def test_what_cannot_be_frozen(names, message):
    with pytest.raises(ValueError, match=f"train.freeze .*{message}"):
        finetuning.freeze(build(architecture(), 1), names)


@pytest.mark.parametrize("samples", [0, None])
def test_a_card_that_does_not_say_how_long_frames_are_is_one_clear_line(tmp_path, samples):
    finished(tmp_path)
    card = tmp_path / modelfile.CARD
    content = json.loads(card.read_text())
    del content["input"]["render"]["samples"]
    if samples is not None:
        content["input"]["render"]["samples"] = samples
    card.write_text(json.dumps(content))

    with pytest.raises(ValueError, match=r"^train\.pretrained = .* older version") as raised:
        start(tmp_path, build(architecture(), 2), *OLD)

    # What it advises helps.
    assert f'write "samples": {SAMPLES} into input.render of {card}' in str(raised.value)
    content["input"]["render"]["samples"] = SAMPLES
    card.write_text(json.dumps(content))
    assert start(tmp_path, build(architecture(), 2), *OLD).tensors


def test_frames_of_another_length_are_refused(tmp_path):
    finished(tmp_path)
    other = replace(DRAWING, render=replace(RENDER, samples=512))
    message = f"is a model of frames of {SAMPLES} samples, and those of the data have 512; name a"
    with pytest.raises(ValueError, match=f"^train.pretrained = .* {message}"):
        start(tmp_path, build(architecture(), 2), *OLD, seen=other)


def test_a_card_that_lacks_a_key_is_refused_by_the_name_of_the_param(tmp_path):
    finished(tmp_path)
    card = tmp_path / modelfile.CARD
    content = json.loads(card.read_text())
    del content["input"]["render"]["sps"]
    card.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"^train\.pretrained = .*: .* render\.sps is missing"):
        start(tmp_path, build(architecture(), 2), *OLD)
