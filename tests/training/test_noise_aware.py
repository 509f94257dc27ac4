"""Noise is added in linear power, each loss is its closed form, mixup stays away from them, and
phases let gradients pass as they say.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.nn import functional

from pisces import models
from pisces.core.seeding import generator
from pisces.data.datasets import Batch, StoredFrames, batches
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture, denoiser, modelfile
from pisces.models.cldnn import Cldnn, Settings
from pisces.models.modelfile import TrainedModel
from pisces.training import noise_aware, noise_losses, objective
from pisces.training import trainer as loop
from pisces.training.augmentation import Augmentation, Mix
from pisces.training.frames import TrainingData
from pisces.training.history import noise_table, training_table
from pisces.training.noise_aware import NoiseAwareObjective, eta_report
from pisces.training.noise_losses import Pair
from pisces.training.objective import LossValues
from pisces.training.settings import NoiseAwareSettings, RawGain
from pisces.training.trainer import Trainer
from tests import conftest
from tests.conftest import MODULATIONS, SAMPLES, SNRS_DB
from tests.test_denoiser import EPS, awake, random
from tests.training.tiny import configure, make_trainer

CPU = torch.device("cpu")
A0 = Settings(dropout=0.0, channels=8)
A2 = A0._replace(paths="denoised")
A4 = A0._replace(paths="dual", film=True)
IQ = {"input": "iq", "model": "cldnn", "batch_size": 9}
CLASSIFIER = ("early", "reduction", "lstm", "pooling", "snr_head", "film", "head")
NOTHING = dict.fromkeys(("denoising", "identity", "noise"), 0)


@pytest.fixture
def training_data(iq_data, index) -> TrainingData:
    """Three frames of each of nine cells to train on, one to validate; a model with all that the
    losses ask for.
    """
    parts = {"train": index[index[:, 2] < 3], "validation": index[index[:, 2] == 3]}
    return TrainingData(
        iq_data, iq_data, parts, Waveform(SAMPLES), Augmentation(), A4, conftest.noise_aware()
    )


@pytest.fixture
def batch(training_data) -> Batch:
    """A frame of each cell."""
    return next(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["train"][::3], 9)
    )


def awake_trainer(training_data: TrainingData, epoch: int = 1, **settings) -> Trainer:
    """Of a cldnn whose denoiser does something, about to train its n-th epoch."""
    trainer = make_trainer(training_data, **IQ | settings)
    if trainer.model.module.has_denoiser:
        awake(trainer.model.module.denoiser)
    trainer.history = [{}] * (epoch - 1)
    return trainer


def fresh(
    settings: Settings, seed: int = 1, samples: int = SAMPLES, model: str = "cldnn"
) -> TrainedModel:
    architecture = Architecture(model, "plain", "standard", settings if model == "cldnn" else None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = models.build(architecture, (2, samples), len(MODULATIONS), SNRS_DB)
    return TrainedModel(made.eval(), architecture, Waveform(samples), MODULATIONS, SNRS_DB)


def objective_of(
    training_data: TrainingData, settings: NoiseAwareSettings, cldnn: Settings = A4
) -> NoiseAwareObjective:
    """Of a fresh cldnn."""
    return NoiseAwareObjective(settings, fresh(cldnn).model, training_data, configure(**IQ), CPU)


def losses_of(trainer: Trainer, batch: Batch) -> LossValues:
    rng = np.random.default_rng(5)
    return trainer.objective.training_losses(trainer.model, batch, trainer.number, rng)


def labels(trainer: Trainer, batch: Batch) -> torch.Tensor:
    return trainer.snrs_db[batch.snr]


# Pairs: white noise up to a lower SNR, in linear power


def received(
    snr_db: float, count: int = 64, samples: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    """A constant-modulus signal, alone and with white noise, both over the RMS of their sum: (n, 2,
    samples) each.
    """
    rng = generator(1, "test noise aware", int(10 * snr_db))
    signal = np.exp(2j * np.pi * rng.choice(4, (count, samples)) / 4)
    noise = rng.normal(scale=math.sqrt(0.5 * 10 ** (-snr_db / 10)), size=(count, 2 * samples)).view(
        complex
    )
    both = torch.from_numpy(np.stack([signal, signal + noise]))
    both = torch.stack([both.real, both.imag], 2).float()  # (2, n, 2, samples)
    alone, frames = both / both[1].square().mean((1, 2), keepdim=True).sqrt()
    return alone, frames


def degraded(frames: torch.Tensor, label: float, target: float) -> Pair:
    seeds = torch.from_numpy(generator(2, "test noise aware").integers(2**63, size=len(frames)))
    return noise_losses.degrade(
        frames, torch.full((len(frames),), label), torch.full((len(frames),), target), seeds
    )


def power(frames: torch.Tensor) -> torch.Tensor:
    """Of complex samples (n, 2, samples), (n,)."""
    return frames.double().square().sum(1).mean(1)


@pytest.mark.parametrize(
    ("label", "target"), [(20.0, 10.0), (30.0, 28.0), (0.0, -6.0), (-10.0, -18.0)]
)
def test_added_power_is_that_of_the_signal_times_the_difference_of_the_inverse_snrs(label, target):
    """Its relative deviation is 1/sqrt(n); that of the measured SNR has as much again from the
    noise that was there.
    """
    alone, frames = received(label)
    pair = degraded(frames, label, target)
    level = (power(frames) / power(pair.original)).sqrt()[:, None, None]
    n = frames[:, 0].numel()
    snr, new = 10 ** (label / 10), 10 ** (target / 10)
    signal_power = power(frames).mean() / (1 + 1 / snr)
    added = power((pair.degraded - pair.original) * level).mean()
    assert added == pytest.approx(signal_power * (1 / new - 1 / snr), rel=5 / math.sqrt(n))
    measured = power(alone).mean() / power(pair.degraded * level - alone).mean()
    assert 10 * math.log10(measured) == pytest.approx(target, abs=5 * 4.34 * math.sqrt(2 / n))


def test_decibels_taken_from_the_total_power_would_add_twice_the_noise_at_0_db():
    """From 0 to -6 dB: half the power is signal, so 1/2 (10^0.6 - 1) = 1.49 of it is to be added,
    and not 10^0.6 - 1 = 2.98.
    """
    _, frames = received(0.0)
    pair = degraded(frames, 0.0, -6.0)
    level = power(frames) / power(pair.original)
    added = power(pair.degraded - pair.original) * level / power(frames)
    assert added.mean() == pytest.approx(1.4905, rel=5 / math.sqrt(frames[:, 0].numel()))


def test_a_pair_is_at_the_level_at_which_a_model_sees_the_noisier_one():
    _, frames = received(10.0, count=4)
    pair = noise_losses.degrade(
        frames, torch.full((4,), 10.0), torch.tensor([10.0, 8.1, 8.0, -5.0]), torch.arange(4)
    )
    assert pair.degraded.square().mean((1, 2)) == pytest.approx(
        1, abs=16 * EPS
    )  # of a pairwise sum
    ratio = pair.original / frames
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=4 * EPS, atol=0)
    assert pair.valid.tolist() == [False, False, True, True]
    assert pair.degraded_snr_db.tolist() == pytest.approx([10.0, 8.1, 8.0, -5.0])
    torch.testing.assert_close(
        pair.degraded[0], frames[0], rtol=0, atol=16 * EPS * frames.abs().max().item()
    )
    # Ten elevenths are signal, to which sqrt(10) times its power is noise in the end. Its sample
    # deviates by 1.5 %.
    assert ratio[3, 0, 0].item() == pytest.approx(
        (10 / 11 * (1 + math.sqrt(10))) ** -0.5, rel=5 * 0.015
    )


def test_steps_are_uniform_and_end_at_the_lowest_snr():
    settings, count = conftest.noise_aware(degrade_db=(2, 8)), 4000
    target_db = noise_losses.target_snr_db(
        np.full(count, 10.0), settings, -20.0, generator(1, "test steps")
    )
    assert kstest((10 - target_db - 2) / 6, "uniform").pvalue > 1e-6
    near = noise_losses.target_snr_db(
        np.full(count, -16.0), settings, -20.0, generator(1, "test steps")
    )
    assert near.min() == -20
    assert np.mean(near == -20) == pytest.approx(4 / 6, abs=5 * math.sqrt(2 / 9 / count))
    assert near.max() == pytest.approx(-18, abs=0.1)


def test_targets_may_be_given_instead_and_are_never_above_the_label():
    settings, count = conftest.noise_aware(degrade_to_db=(-14, -6)), 4000
    high, low = (
        noise_losses.target_snr_db(
            np.full(count, snr_db), settings, -10.0, generator(1, "test targets")
        )
        for snr_db in (20.0, -10.0)
    )
    assert kstest((high + 14) / 8, "uniform").pvalue > 1e-6
    assert np.array_equal(low, np.minimum(high, -10))


# Losses


def made_up_pair(valid: list[bool]) -> Pair:
    n = len(valid)
    return Pair(
        random(n, 2, SAMPLES, seed=1),
        random(n, 2, SAMPLES, seed=2),
        torch.zeros(n),
        torch.tensor(valid),
    )


def test_denoising_is_the_mean_distance_over_the_frames_whose_step_is_large_enough():
    pair = made_up_pair([True, False, True])
    denoised = pair.original + torch.tensor([0.1, 5.0, -0.3])[:, None, None]
    assert noise_losses.denoising_loss(denoised, pair).item() == pytest.approx(0.2, abs=8 * EPS)
    denoised[1] = 1e6
    assert noise_losses.denoising_loss(denoised, pair).item() == pytest.approx(0.2, abs=8 * EPS)
    assert noise_losses.denoising_loss(denoised, made_up_pair([False] * 3)) == 0


def test_steps_too_small_have_no_gradient():
    pair = made_up_pair([True, False])
    denoised = random(2, 2, SAMPLES, seed=3).requires_grad_()
    noise_losses.denoising_loss(denoised, pair).backward()
    assert denoised.grad[0].all()
    assert not denoised.grad[1].any()


def test_identity_weighs_frames_by_how_clean_they_are():
    snr_db, frames = torch.tensor([-20.0, 6.0, 10.0, 12.0, 30.0]), random(5, 2, SAMPLES)
    found = torch.stack(
        [
            noise_losses.identity_loss(frames + one[:, None, None], frames, snr_db)
            for one in torch.eye(5)
        ]
    )
    expected = 1 / (1 + torch.exp(-(snr_db - 10) / 2))
    torch.testing.assert_close(
        found / found[2] / 2, expected, rtol=1e-5, atol=0
    )  # the weight at 10 dB is 1/2
    assert found.sum().item() == pytest.approx(1, abs=1e-5)
    assert noise_losses.identity_loss(frames, frames, snr_db) == 0


def test_noise_loss_is_zero_at_the_truth_and_smooth():
    snr_db = torch.tensor([-10.0, 0.0, 20.0])
    truth = -math.log(10) / 10 * snr_db
    assert noise_losses.noise_loss(truth, snr_db) < 16 * EPS
    off = truth + torch.tensor([0.5, -0.5, 3.0])
    assert noise_losses.noise_loss(off, snr_db).item() == pytest.approx(
        (0.125 + 0.125 + 2.5) / 3, rel=1e-5
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_of_two_classes(temperature):
    """Of softmaxes (p, 1 - p) with p = sigmoid(difference / T)."""
    student, teacher, everything = (
        torch.tensor([[0.3, 0.0]]),
        torch.tensor([[2.0, 0.5]]),
        torch.tensor([True]),
    )
    p, q = (1 / (1 + math.exp(-difference / temperature)) for difference in (1.5, 0.3))
    expected = temperature**2 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    found = noise_losses.distillation_loss(
        student, teacher, torch.tensor([0]), everything, temperature
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # Levels of logits mean nothing.
    assert noise_losses.distillation_loss(
        teacher - 3, teacher, torch.tensor([0]), everything, temperature
    ).item() == pytest.approx(0, abs=1e-6)


def test_distillation_counts_frames_in_band_that_the_teacher_gets_right():
    logits, teacher = random(4, 3, seed=1).requires_grad_(), 3 * torch.eye(4, 3)
    right, in_band = torch.tensor([0, 2, 2, 0]), torch.tensor([True, True, False, True])
    loss = noise_losses.distillation_loss(logits, teacher, right, in_band, 2.0)
    one = [
        noise_losses.distillation_loss(
            logits[i : i + 1], teacher[i : i + 1], right[i : i + 1], torch.tensor([True]), 2.0
        )
        for i in (0, 3)
    ]
    torch.testing.assert_close(
        loss, sum(one) / 2
    )  # of equal predictions, the first is the teacher's
    loss.backward()
    assert logits.grad.any(1).tolist() == [True, False, False, True]
    assert (
        noise_losses.distillation_loss(logits, teacher, right, torch.tensor([False] * 4), 2.0) == 0
    )


@pytest.mark.parametrize("settings", [A0, A4])
def test_features_are_judged_by_a_model_that_does_not_learn(training_data, settings, tmp_path):
    modelfile.save(tmp_path, fresh(settings))
    asked = conftest.noise_aware(reference=str(tmp_path), features=0.1)
    reference, pair = objective_of(training_data, asked).reference, made_up_pair([True, False])
    denoised = random(2, 2, SAMPLES, seed=3).requires_grad_()
    loss = noise_losses.features_loss(reference, denoised, pair)
    loss.backward()
    assert denoised.grad[0].any()
    assert not denoised.grad[1].any()
    assert not any(
        parameter.requires_grad or parameter.grad is not None
        for parameter in reference.parameters()
    )
    assert not reference.training
    assert noise_losses.features_loss(reference, pair.original, pair) == 0
    # A model of two paths hears the noisy frames as well, one of a single path does not.
    louder = noise_losses.features_loss(
        reference, denoised, pair._replace(degraded=2 * pair.degraded)
    )
    assert (louder == loss) == (settings == A0)


# Phases


def test_every_epoch_has_its_phase():
    settings = conftest.noise_aware((2, 0, 3))
    assert [noise_aware.phase_of(settings, epoch) for epoch in range(1, 9)] == [settings.a] * 2 + [
        settings.b2
    ] * 3 + [settings.c] * 3
    assert [noise_aware.phase_number(settings, epoch) for epoch in (1, 3, 6)] == [0, 2, 3]
    assert noise_aware.epochs_before_last_phase(settings) == 5
    assert noise_aware.phase_of(conftest.noise_aware((0, 0, 0)), 1).gradient == 1


def test_features_grow_after_phase_a(training_data, tmp_path):
    modelfile.save(tmp_path, fresh(A0))
    settings = conftest.noise_aware(
        (2, 1, 1), features=0.03, reference=str(tmp_path), features_ramp_epochs=4
    )
    found = objective_of(training_data, settings)
    weights = [found.weights(epoch)["features"] for epoch in range(1, 9)]
    assert weights == pytest.approx([0, 0, 0.0075, 0.015, 0.0225, 0.03, 0.03, 0.03])
    at_once = replace(settings, **{"features_ramp_epochs": 0})
    assert [noise_aware.features_weight(at_once, settings.c, epoch) for epoch in (2, 3)] == [
        0,
        0.03,
    ]


def test_a_model_without_a_denoiser_knows_no_phases(training_data):
    settings = conftest.noise_aware(noise=0.2)
    settings = replace(settings, **({"c": replace(settings.c, **{"classification": 0.625})}))
    assert objective_of(training_data, settings, A0).weights(1) == {
        **dict.fromkeys(("denoising", "identity", "features", "distillation"), 0),
        "classification": 0.625,
        "noise": 0.2,
    }
    with_one = objective_of(training_data, settings)
    assert [with_one.weights(epoch)["classification"] for epoch in (1, 2, 3, 4)] == [0, 1, 1, 0.625]


def gradients(trainer: Trainer, batch: Batch, part: str) -> torch.Tensor:
    """Of the parameters of a part of the model, after a backward pass over the batch."""
    trainer.backward(batch, len(batch.stored), np.random.default_rng(3))
    found = [
        p.grad if p.grad is not None else torch.zeros_like(p)
        for p in getattr(trainer.model.module, part).parameters()
    ]
    return torch.cat([gradient.flatten() for gradient in found])


def test_phase_a_teaches_the_classifier_nothing(training_data, batch):
    trainer = awake_trainer(training_data, epoch=1)
    assert not any(gradients(trainer, batch, part).any() for part in CLASSIFIER)
    assert all(gradients(trainer, batch, part).any() for part in ("denoiser", "noise"))
    trainer = awake_trainer(training_data, epoch=2)
    assert all(
        gradients(trainer, batch, part).any()
        for part in CLASSIFIER
        if part != "reduction" or len(trainer.model.module.reduction)
    )


def test_phase_a_leaves_the_classifier_and_what_adam_knows_of_it_alone(training_data, batch):
    """Gradients of zero would decay its weights and use up Adam's bias correction, after which its
    first steps are too long.
    """
    trainer = awake_trainer(training_data, epoch=1)
    model, state = trainer.model.module, trainer.optimizer.state
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(3):
        trainer.backward(batch, len(batch.stored), np.random.default_rng(3))
        assert trainer.update()
    for name, parameter in model.named_parameters():
        learns = name.startswith(("denoiser.", "noise."))
        assert torch.equal(parameter, before[name]) != learns, name
        assert bool(state[parameter]) == learns
    assert not any(state[parameter] for parameter in trainer.objective.weighting.parameters())
    trainer.history.append({})
    trainer.backward(batch, len(batch.stored), np.random.default_rng(3))
    assert trainer.update()
    # The first step of Adam is the rate or less, but for the decay of AdamW.
    for name, parameter in model.named_parameters():
        if not name.startswith(("denoiser.", "noise.")):
            assert (parameter - before[name]).abs().max() <= trainer.lr * (
                1.001 + trainer.config.weight_decay * before[name].abs().max()
            )


@pytest.mark.parametrize("settings", [A2, A4])
def test_the_classifiers_gradient_enters_the_denoiser_as_the_phase_says(
    training_data, batch, settings
):
    """The denoiser has no other loss, and no frame is degraded; the whole gradient is that
    of inference.
    """
    training_data = training_data._replace(
        cldnn=settings, noise_aware=conftest.noise_aware(**NOTHING)
    )
    a, b1, b2, c = (
        gradients(awake_trainer(training_data, epoch), batch, "denoiser") for epoch in (1, 2, 3, 4)
    )
    trainer = awake_trainer(training_data, 4)
    predictions = trainer.model(batch.stored)
    values = trainer.objective.validation_losses(predictions, batch)
    trainer.objective.weighting(values.tasks).backward()
    whole = torch.cat([p.grad.flatten() for p in trainer.model.module.denoiser.parameters()])
    assert not a.any()
    assert not b1.any()
    tolerance = 1e-5 * whole.abs().max().item()  # float32 through some 150 steps in another order
    assert tolerance > 0
    torch.testing.assert_close(b2, 0.1 * whole, rtol=0, atol=tolerance)
    torch.testing.assert_close(c, whole, rtol=0, atol=tolerance)
    same = [gradients(awake_trainer(training_data, epoch), batch, "head") for epoch in (2, 3, 4)]
    assert all(
        torch.equal(one, same[0]) for one in same
    )  # the classifier itself learns alike in all of them


# Mixup


def spy(monkeypatch, owner: object, name: str, seen: dict[str, tuple]) -> None:
    """Notes the arguments of each call, by name of the function."""
    asked = getattr(owner, name)

    def noting(*arguments, **named):
        seen[name] = (arguments, named)
        return asked(*arguments, **named)

    monkeypatch.setattr(owner, name, noting)


@pytest.fixture
def seen(monkeypatch) -> dict[str, tuple]:
    """What reaches the model and the auxiliary losses."""
    found = {}
    spy(monkeypatch, Cldnn, "learn", found)
    for name in ("degrade", "identity_loss", "noise_loss", "distillation_loss"):
        spy(monkeypatch, noise_losses, name, found)
    return found


def with_mixup(training_data: TrainingData, losses: str | None, **changes) -> TrainingData:
    """With mixup that the auxiliary losses see as `losses` says; None: without mixup."""
    mixed = Augmentation(mixup_alpha=1.0, mixup_losses=losses) if losses else Augmentation()
    return training_data._replace(augmentation=mixed, noise_aware=conftest.noise_aware(**changes))


def test_by_default_auxiliary_losses_see_the_very_bits_of_unmixed_frames(
    training_data, batch, seen
):
    trainer = awake_trainer(with_mixup(training_data, "classifier_only"), epoch=4)
    stored, snr_db = batch.stored.clone(), labels(trainer, batch)
    losses_of(trainer, batch)
    (_, classified, clean, _), named = seen["learn"]
    for frames in (clean, seen["identity_loss"][0][1], seen["degrade"][0][0]):
        assert torch.equal(frames.view(torch.int32), stored.view(torch.int32))
    for label in (
        named["snr_db"],
        seen["identity_loss"][0][2],
        seen["noise_loss"][0][1],
        seen["degrade"][0][1],
    ):
        assert torch.equal(label, snr_db)
    share, other = (lambda rng: (rng.beta(1, 1), rng.permutation(9)))(np.random.default_rng(5))
    torch.testing.assert_close(classified, share * stored + (1 - share) * stored[other])
    assert (classified != stored).any((1, 2)).sum() == (other != np.arange(9)).sum() > 4


def test_asked_for_all_losses_see_mixed_frames(training_data, batch, seen):
    trainer = awake_trainer(with_mixup(training_data, "all_losses"), epoch=4)
    losses_of(trainer, batch)
    share, other = (lambda rng: (rng.beta(1, 1), rng.permutation(9)))(np.random.default_rng(5))
    (_, classified, clean, _), named = seen["learn"]
    mixed = share * batch.stored + (1 - share) * batch.stored[other]
    snr_db = share * labels(trainer, batch) + (1 - share) * labels(trainer, batch)[other]
    for frames in (classified, clean, seen["identity_loss"][0][1], seen["degrade"][0][0]):
        torch.testing.assert_close(frames, mixed)
    for label in (named["snr_db"], seen["identity_loss"][0][2], seen["noise_loss"][0][1]):
        torch.testing.assert_close(label, snr_db)


def test_the_auxiliary_losses_are_those_without_mixup_to_the_bit(training_data, batch, monkeypatch):
    trainer = awake_trainer(training_data, epoch=4)
    plain = losses_of(trainer, batch)
    mix = Mix(torch.arange(9).roll(1), torch.full((9,), 0.4))
    monkeypatch.setattr(objective, "draw_mix", lambda *_: mix)
    mixed = losses_of(trainer, batch)
    names = plain.auxiliary.keys()
    assert names == mixed.auxiliary.keys() == {"denoising", "identity", "noise"}
    assert all(torch.equal(plain.auxiliary[name], mixed.auxiliary[name]) for name in names)
    assert not torch.equal(plain.predictions[0], mixed.predictions[0])


@pytest.fixture
def taught(training_data, batch, tmp_path) -> tuple[Callable[..., Trainer], Batch]:
    """A function that makes a trainer with a teacher, and a batch about which that teacher is
    right.
    """
    teacher = fresh(A0, seed=5)
    modelfile.save(tmp_path, teacher)
    predicted = teacher.model(batch.stored)[0].argmax(1)

    def make(losses: str | None, **changes) -> Trainer:
        teaching = {"distillation": 1.0, "teacher": str(tmp_path)}
        return awake_trainer(with_mixup(training_data, losses, **teaching, **changes), epoch=4)

    return make, batch._replace(modulation=predicted)


@pytest.mark.parametrize("losses", ["classifier_only", "all_losses"])
def test_a_mixed_batch_is_not_distilled(taught, seen, losses):
    make, batch = taught
    assert "distillation" not in losses_of(make(losses), batch).auxiliary
    assert "distillation_loss" not in seen


def test_an_unmixed_batch_is_distilled(taught):
    make, batch = taught
    trainer = make(None)
    values = losses_of(trainer, batch)
    found = values.auxiliary["distillation"]
    assert found > 0
    teacher, _ = trainer.objective.teacher(batch.stored)
    student, wise = (torch.log_softmax(one / 2, 1) for one in (values.predictions[0], teacher))
    expected = 4 * functional.kl_div(student, wise, reduction="batchmean", log_target=True)
    torch.testing.assert_close(found, expected)


def test_distillation_stays_within_its_band(taught):
    make, batch = taught
    trainer = make(None, teach_band_db=(0.0, 10.0))
    values = losses_of(trainer, batch)
    (gradient,) = torch.autograd.grad(values.auxiliary["distillation"], values.predictions[0])
    assert gradient.any(1).tolist() == (labels(trainer, batch) == 0).tolist()


def test_raw_gain_makes_noisy_frames_fainter_as_often_as_asked():
    settings = RawGain(probability=0.3, below_db=5.0, low=0.1, high=0.6)
    snr_db = torch.tensor([0.0, 5.0]).repeat(2000)
    gain = noise_losses.raw_gain(settings, snr_db, np.random.default_rng(1))
    assert (gain[1::2] == 1).all()
    fainter = gain[::2][gain[::2] < 1].numpy()
    assert len(fainter) == pytest.approx(600, abs=5 * math.sqrt(2000 * 0.3 * 0.7))
    assert kstest((fainter - 0.1) / 0.5, "uniform").pvalue > 1e-6


@pytest.mark.parametrize(("probability", "paths"), [(1, "dual"), (0, "dual"), (1, "denoised")])
def test_only_the_raw_path_beside_a_denoised_one_is_made_fainter(
    training_data, batch, seen, probability, paths
):
    gain = {"probability": probability, "below_db": 100, "low": 0.5, "high": 0.5}
    settings = conftest.noise_aware(raw_gain=gain)
    training_data = training_data._replace(noise_aware=settings, cldnn=A4._replace(paths=paths))
    losses_of(awake_trainer(training_data, epoch=4), batch)
    found = seen["learn"][1]["raw_gain"]
    if probability and paths == "dual":
        assert (found == 0.5).all()
    else:
        assert found is None


# Calibration and report


def eta_error(trainer: Trainer) -> float:
    """Root mean square over all training frames."""
    batch = next(batches(StoredFrames(trainer.data.store, CPU), trainer.data.parts["train"], 100))
    with torch.no_grad():
        off = trainer.model.module.estimate(batch.stored) - denoiser.eta(labels(trainer, batch))
    return off.square().mean().sqrt().item()


def test_calibration_brings_the_estimate_near_the_labels(training_data):
    trainer = make_trainer(training_data, **IQ)
    before = eta_error(trainer)
    trainer.calibrate()
    assert eta_error(trainer) < 0.5 * before


@pytest.mark.parametrize("most", [1, 256])
def test_calibration_sees_the_same_training_frames_from_every_process(
    training_data, monkeypatch, most
):
    asked = []

    def note(loader, order, *rest):
        asked.append(order)
        return batches(loader, order, *rest)

    monkeypatch.setattr(loop, "batches", note)
    monkeypatch.setattr(noise_aware, "CALIBRATION_BATCHES", most)
    trainers = [make_trainer(training_data, **IQ | {"batch_size": 8}) for _ in range(2)]
    trainers[1].micro_batches.size = 4  # as in one of two processes
    for trainer in trainers:
        trainer.calibrate()
    assert np.array_equal(*asked)
    assert len(asked[0]) == min(8 * most, 27)
    assert set(map(tuple, asked[0].tolist())) <= set(
        map(tuple, training_data.parts["train"].tolist())
    )
    one, two = (trainer.model.module.noise for trainer in trainers)
    torch.testing.assert_close(
        torch.stack([one.a, one.b]), torch.stack([two.a, two.b]), rtol=1e-6, atol=1e-6
    )
    assert one.b != 0


def test_a_model_without_an_estimate_is_not_calibrated(training_data, monkeypatch):
    trainer = make_trainer(training_data._replace(cldnn=A0), **IQ)
    monkeypatch.setattr(loop, "batches", None)
    trainer.calibrate()


def truth(snr_db: np.ndarray) -> np.ndarray:
    return denoiser.eta(torch.from_numpy(snr_db)).numpy()


def test_perfect_and_reversed_estimates():
    snr_db = np.array([-10.0, 0, 20, 20, 0, -10])
    found, reverse = (eta_report(sign * truth(snr_db), snr_db) for sign in (1, -1))
    names = ("eta_pearson", "eta_spearman", "eta_monotonicity")
    assert [found[name] for name in names] == pytest.approx([1, 1, 1])
    assert [reverse[name] for name in names] == pytest.approx([-1, -1, 0])
    means, spreads = (
        [found[f"eta_{what}_{label}dB"] for label in (-10, 0, 20)] for what in ("mean", "std")
    )
    assert means == pytest.approx([math.log(10), 0, -2 * math.log(10)])
    assert spreads == [0, 0, 0]


def test_report_by_hand():
    """Deviations (0, 1, -1) against those of a falling line, (1, 0, -1); ranks have the same."""
    found = eta_report(np.array([0.0, 1.0, -1.0]), np.array([0.0, 10.0, 20.0]))
    assert [
        found[f"eta_{name}"] for name in ("pearson", "spearman", "monotonicity")
    ] == pytest.approx([0.5, 0.5, 0.5])
    spread = eta_report(np.array([1.0, 3.0, 0.0]), np.array([0.0, 0.0, 10.0]))
    assert (spread["eta_mean_0dB"], spread["eta_std_0dB"]) == (2, 1)
    level = eta_report(np.array([1.0, 1.0, 0.0]), np.array([0.0, 10.0, 20.0]))
    assert level["eta_monotonicity"] == 0.5  # what stays does not fall
    snr_db = np.arange(-20.0, 31, 5)
    bent = eta_report(np.exp(truth(snr_db)), snr_db)
    assert bent["eta_spearman"] == pytest.approx(1)
    assert bent["eta_pearson"] < 0.9


def test_one_label_has_no_correlation():
    found = eta_report(np.array([1.0, 2.0]), np.array([5.0, 5.0]))
    assert [
        math.isnan(found[f"eta_{name}"]) for name in ("pearson", "spearman", "monotonicity")
    ] == [True] * 3
    assert (found["eta_mean_5dB"], found["eta_std_5dB"]) == (1.5, 0.5)


def test_the_row_of_an_epoch_reports_the_estimates_of_the_validation_frames(training_data):
    trainer = make_trainer(training_data, **IQ)
    row = trainer.validate(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["validation"], 4)
    )
    batch = next(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["validation"], 9)
    )
    with torch.no_grad():
        eta = trainer.model.module.estimate(batch.stored).numpy()
    expected = eta_report(eta, labels(trainer, batch).numpy())
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert "eta_pearson" not in make_trainer(training_data._replace(cldnn=A0), **IQ).validate(
        [batch]
    )


def test_tables_of_the_noise_fractions_and_of_the_rest():
    row = {
        "train_loss": 2.0,
        "eta_pearson": 0.5,
        "eta_mean_-10dB": 1.0,
        "eta_std_-10dB": 0.1,
        "eta_mean_0dB": 0.0,
        "eta_std_0dB": 0.2,
    }
    history = [{"epoch": 1} | row, {"epoch": 2} | row]
    assert noise_table(history).to_numpy().tolist() == [
        [e, *rest] for e in (1, 2) for rest in ((-10, 1, 0.1), (0, 0, 0.2))
    ]
    assert list(training_table(history)) == ["epoch", "train_loss", "eta_pearson"]
    assert noise_table([{"epoch": 1}]).empty


# Bad input


@pytest.mark.parametrize("key", ["teacher", "reference"])
@pytest.mark.parametrize(("model", "samples"), [("lstm2", SAMPLES), ("cldnn", 128)])
def test_a_folder_that_holds_another_model(training_data, tmp_path, key, model, samples):
    modelfile.save(tmp_path, fresh(A0, samples=samples, model=model))
    weight = {"teacher": "distillation", "reference": "features"}[key]
    settings = conftest.noise_aware(**{key: str(tmp_path), weight: 0.1})
    with pytest.raises(
        ValueError,
        match=rf"noise_aware.{key} = .* holds {model}, not a cldnn of .* {SAMPLES} samples; name",
    ):
        objective_of(training_data, settings)


def test_a_teacher_of_other_classes(training_data, tmp_path):
    modelfile.save(tmp_path, fresh(A0)._replace(modulations=("BPSK", "QPSK", "8PSK")))
    settings = conftest.noise_aware(teacher=str(tmp_path), distillation=0.1)
    with pytest.raises(
        ValueError,
        match=r"noise_aware.teacher = .* knows \('BPSK', .*\), not \('4ASK', .*; name one",
    ):
        objective_of(training_data, settings)


def test_a_teacher_that_is_not_there(training_data):
    with pytest.raises(
        FileNotFoundError,
        match=r"noise_aware\.teacher = nowhere is no folder; name that of a trained cldnn",
    ):
        objective_of(training_data, conftest.noise_aware(teacher="nowhere"))
