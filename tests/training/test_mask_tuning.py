"""Masks take what they say, and tuning differs from its control by the masks alone."""

import numpy as np
import pytest
import torch

from pisces.models import modelfile
from pisces.training import components, devices, mask_tuned, mask_tuning
from pisces.training.frames import frames_of_epoch, stored_frames
from pisces.training.masking import draw
from pisces.training.settings import MaskTuning
from tests.training.tiny import CPU, configure

# Masks of training frames


def test_half_of_the_views_lack_a_share_from_nothing_to_the_most():
    identities = [("QPSK", 0, row) for row in range(400)]
    taken = draw(0.5, (2, 4096), 1, 1, identities).reshape(400, 2, 4096)
    shares = taken.mean(axis=2)  # (frames, views)
    masked = shares[shares > 0]
    # One view in two, each by itself: binomial of 800. A share may come out as 0 of 4096 pixels.
    assert abs(len(masked) - 400) < 5 * np.sqrt(800 / 4)
    assert abs(np.corrcoef(shares.T)[0, 1]) < 5 / np.sqrt(400)
    # Uniform: a mean of 1/4 and a standard deviation of 1/2 / sqrt(12), over some 400 of them.
    assert abs(masked.mean() - 0.25) < 5 * 0.5 / np.sqrt(12 * len(masked))
    assert shares.max() < 0.5 + 5 * 0.5 / np.sqrt(4096)
    assert np.array_equal(taken[7:8].reshape(1, -1), draw(0.5, (2, 4096), 1, 1, identities[7:8]))


def test_masked_batches_lack_points_and_keep_labels(training_data):
    stored, config = stored_frames(training_data, CPU), configure()
    masked = training_data._replace(masked_share=1.0)
    plain_loader, order = frames_of_epoch(training_data, config, 1, 1, stored)
    loader, same_order = frames_of_epoch(masked, config, 1, 1, stored)
    assert np.array_equal(order, same_order)
    plain, batch = (one.prepare(one.gather(order)) for one in (plain_loader, loader))
    count = training_data.input.count
    assert torch.equal(plain.modulation, batch.modulation)
    before, after = count(plain.stored), count(batch.stored)
    is_emptied = after != before
    assert is_emptied.any()
    assert (after[is_emptied] == 0).all()


# Tuning


def tune(tiny_model, data, folder, epochs):
    tuning = MaskTuning(epochs=epochs, share=0.5, lr=1e-3)
    fabric, rows = devices.make_fabric("cpu", "auto"), []
    tuned = mask_tuning.tune(
        tiny_model,
        data,
        configure(),
        tuning,
        folder,
        fabric,
        lambda name, row: rows.append((name, row["epoch"])),
    )
    return tuned, rows


@pytest.fixture
def tiny_model(tiny, training_data, tmp_path):  # noqa: ARG001
    fabric = devices.make_fabric("cpu", "auto")
    model = components.build_model(configure(), training_data, 1, fabric).eval()
    modelfile.save(tmp_path, components.trained_model(model, configure(), training_data))
    return tmp_path


def test_both_models_take_as_many_steps_and_differ_by_the_masks_alone(
    tiny_model, training_data, tmp_path
):
    tuned, rows = tune(tiny_model, training_data, tmp_path / "one", epochs=2)
    assert rows == [(name, epoch) for name in ("tuned", "control") for epoch in (1, 2)]
    again, _ = tune(tiny_model, training_data, tmp_path / "two", epochs=2)
    for name, model in tuned.items():
        for one, other in zip(model.parameters(), again[name].parameters(), strict=True):
            assert torch.equal(one, other)
    masked, control = (list(model.parameters()) for model in tuned.values())
    assert any(not torch.equal(*pair) for pair in zip(masked, control, strict=True))


def test_no_epochs_tune_nothing(tiny_model, training_data, tmp_path):
    assert tune(tiny_model, training_data, tmp_path / "none", epochs=0) == ({}, [])


def test_a_missing_record_names_the_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro tune_masks"):
        mask_tuned.load(tmp_path)
