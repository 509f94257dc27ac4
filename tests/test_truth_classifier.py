"""The exact classifier is the likelihood of the counts, and every method explains it."""

import math

import numpy as np
import pytest
import torch

from pisces.attribution import methods
from pisces.attribution.head import DifferenceHead, Head
from pisces.attribution.methods import attribute
from pisces.attribution.shapley import is_summing
from pisces.core.modulations import constellation
from pisces.inputs.binning import bin_points, count_points
from pisces.models.modelfile import TrainedModel
from pisces.truth.classifier import Sending, exact_model
from pisces.truth.counts import pixel_chances
from tests.test_attribution import FORMULAS
from tests.test_truth_counts import EXTENT, noise, render

CLASSES, SIZE, SYMBOLS = ("BPSK", "QPSK", "8PSK", "16QAM"), 32, 60
SNRS = {3.0: 10.0, 8.0: 40.0}
"""dB over the band -> linear, of a symbol: of no world, so that neither follows from the other."""


@pytest.fixture(scope="module")
def exact() -> TrainedModel:
    return exact_model(Sending(CLASSES, SNRS, SYMBOLS), render(SIZE))


def images_of(name: str, frames: int, snr: float, phase: float = 0.2) -> torch.Tensor:
    rng = np.random.default_rng(4)
    sent = rng.choice(constellation(name), (frames, SYMBOLS)) * np.exp(1j * phase)
    received = sent + noise(sent.shape, 1 / snr)
    both = torch.from_numpy(np.stack([received.real, received.imag], -1)).float()
    hit = bin_points(both, SIZE / 2 / EXTENT.symbol, SIZE)
    return count_points(hit.int(), SIZE**2).view(frames, 1, SIZE, SIZE)


def snrs(frames: int, snr_db: float = 8.0) -> torch.Tensor:
    return torch.full((frames,), snr_db)


def test_it_is_the_likelihood_of_the_counts_averaged_over_the_phase(exact):
    image = images_of("QPSK", 1, 10.0)
    logits, _ = exact.model(image, snrs(1, 3.0))

    seen = image.double().flatten()
    lit = seen > 0
    phases = np.exp(1j * np.linspace(0, 2 * np.pi, 3000, endpoint=False))
    for number, name in enumerate(CLASSES):
        turned = torch.from_numpy(phases[:, None] * constellation(name))
        chances = pixel_chances(turned, 10.0, SIZE, EXTENT.symbol)
        by_phase = chances[:, lit].log() @ seen[lit]
        expected = by_phase.logsumexp(0) - math.log(len(phases))
        # 2 exp(-2 (pi / 1.5)^2) = .0003 of a normal peak; pixels make it a little less smooth.
        assert float(logits[0, number]) == pytest.approx(float(expected), abs=0.01)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("phase", [0.0, 1.0])
def test_it_names_what_was_sent_at_any_phase(exact, name, phase):
    logits, _ = exact.model(images_of(name, 8, 40.0, phase), snrs(8))
    assert (logits.argmax(1) == CLASSES.index(name)).all()


def test_a_dark_picture_says_nothing(exact):
    logits, _ = exact.model(torch.zeros(2, 1, SIZE, SIZE), snrs(2))
    assert torch.allclose(logits, torch.zeros_like(logits), atol=1e-9)


def test_its_gradient_is_that_of_the_likelihood(exact):
    image = images_of("16QAM", 1, 40.0).requires_grad_()
    logits, _ = exact.model(image, snrs(1))
    (gradient,) = torch.autograd.grad(logits[0, 3] - logits[0, 1], image)

    number, step = int(image.flatten().argmax()), 1e-2
    ends = []
    for sign in (1, -1):
        moved = image.detach().clone()
        moved.view(-1)[number] += sign * step
        of_moved, _ = exact.model(moved, snrs(1))
        ends.append(float(of_moved[0, 3] - of_moved[0, 1]))
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 0.1
    assert float(gradient.flatten()[number]) == pytest.approx(slope, rel=1e-3)


def test_frames_of_several_snrs_are_read_each_by_its_own_law(exact):
    images = images_of("8PSK", 4, 40.0)
    mixed = torch.tensor([8.0, 3.0, 8.0, 3.0])
    logits, scores = exact.model(images, mixed)
    for row in range(4):
        alone, _ = exact.model(images[row : row + 1], mixed[row : row + 1])
        assert torch.allclose(logits[row], alone[0])
    assert not torch.allclose(logits[0], exact.model(images[:1], snrs(1, 3.0))[0][0], atol=1)
    assert scores.argmax(1).tolist() == [1, 0, 1, 0]


def test_an_snr_without_a_law_is_refused(exact):
    with pytest.raises(ValueError, match=r"no law for a true SNR of 5 dB, only for 3, 8"):
        exact.model(images_of("BPSK", 2, 40.0), torch.tensor([8.0, 5.0]))


def test_a_picture_without_symbols_is_refused():
    with pytest.raises(ValueError, match=r"add it to render\.views"):
        exact_model(Sending(CLASSES, SNRS, SYMBOLS), render(SIZE, "noise"))


def test_snrs_are_scored_by_the_noise_view():
    exact = exact_model(Sending(CLASSES, SNRS, SYMBOLS), render(SIZE, "symbol", "noise"))
    images = torch.zeros(2, 2, SIZE, SIZE)
    # Rings of points at -3 and -9 dB about the centre: 67 and 61 dB above the floor of the view.
    for row, level_db in enumerate((-3.0, -9.0)):
        images[row, 1, SIZE // 2, SIZE // 2 + int((level_db + 70) / 80 * SIZE / 2)] = 500
    _, scores = exact.model(images, torch.tensor([3.0, 3.0]))
    assert scores.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "grad_cam"])
def test_every_method_explains_it(exact, name):
    images, rivals = images_of("QPSK", 2, 40.0), torch.tensor([2, 0])
    targets = torch.tensor([1, 1])
    method = methods.build(name, FORMULAS, seed=1)
    head = DifferenceHead(exact.model, "modulation")
    maps = attribute(method, head, images, targets, (snrs(2), rivals))
    assert maps.shape == images.shape
    assert maps.isfinite().all()
    assert maps.flatten(1).std(1).min() > 0

    # A frame has the same map in any batch, and another one against another rival.
    alone = attribute(method, head, images[1:], targets[1:], (snrs(1), rivals[1:]))
    assert torch.allclose(maps[1:], alone, rtol=1e-4, atol=1e-4)
    if name not in methods.REFERENCES:
        other = attribute(method, head, images[1:], targets[1:], (snrs(1), rivals[:1]))
        assert not torch.allclose(alone, other, rtol=1e-2, atol=1e-2)


def test_grad_cam_is_refused_for_want_of_a_map(exact):
    assert is_summing(exact.model)
    named = methods.applicable(("grad_cam", "gradient"), spatial=True, is_summing=True)
    assert named == ("gradient",)
    method, image = methods.build("grad_cam", FORMULAS, seed=1), images_of("QPSK", 1, 40.0)
    head = Head(exact.model, "modulation")
    with pytest.raises(ValueError, match=r"ExactClassifier has none; leave grad_cam out"):
        attribute(method, head, image, torch.tensor([1]), (snrs(1),))


@pytest.mark.parametrize("task", ["modulation", "snr"])
def test_leave_one_out_is_the_fall_when_a_pixel_goes_dark(task):
    exact = exact_model(Sending(CLASSES, SNRS, SYMBOLS), render(SIZE, "symbol", "noise"))
    image = torch.cat([images_of("QPSK", 1, 40.0), torch.zeros(1, 1, SIZE, SIZE)], 1)
    image[0, 1, SIZE // 2, SIZE - 3 : SIZE] = torch.tensor([2.0, 1.0, 4.0])
    head = DifferenceHead(exact.model, task)
    context = (snrs(1), torch.tensor([0]))
    maps = attribute(methods.LeaveOneOut(), head, image, torch.tensor([1]), context).flatten()

    lit = image.flatten().nonzero()[:, 0]
    falls = []
    for pixel in lit:
        without = image.clone()
        without.view(-1)[pixel] = 0
        fall = head(image, *context) - head(without, *context)
        falls.append(float(fall[0, 1]))
    assert max(falls) - min(falls) > 0.5
    assert np.allclose(maps[lit].numpy(), falls, rtol=1e-4, atol=1e-4)


def test_values_of_complete_methods_add_up_to_the_difference(exact):
    images, targets = images_of("8PSK", 2, 40.0), torch.tensor([2, 2])
    head, context = DifferenceHead(exact.model, "modulation"), (snrs(2), torch.tensor([1, 3]))
    differences = head(images, *context)[[0, 1], targets].detach()
    assert differences.abs().min() > 5
    for method in (methods.Shapley(3, seed=1), methods.IntegratedGradients(steps=256)):
        maps = attribute(method, head, images, targets, context)
        assert torch.allclose(maps.double().sum((1, 2, 3)), differences, rtol=0.01)
