"""Local correlations and cyclostationary scalars of tones, noise and pulses, whose values are
known.
"""

import math

import pytest
import torch

from pisces.models import experts
from pisces.models.experts import ExpertMaps
from tests.test_denoiser import EPS, frames_of, random, tone

STEP = 2 * math.pi * 0.07
"""Radians a sample of `tone(0.07)`."""
ROUNDING = 16 * EPS + experts.EPS


def turned(frames: torch.Tensor, phase: float) -> torch.Tensor:
    return frames_of(
        torch.complex(*frames.double().unbind(1)) * complex(math.cos(phase), math.sin(phase))
    )


def loud(batch: int, samples: int) -> torch.Tensor:
    """Random phases and radii from 1 to 2: nothing is near 0, where `experts.EPS` counts."""
    radius, phase = 1 + random(batch, samples).sigmoid(), 10 * random(batch, samples, seed=2)
    return frames_of(torch.polar(radius, phase))


def unit(angle: float) -> list[float]:
    return [math.cos(angle), math.sin(angle)]


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize(("version", "gain"), [("v1", 2.0), ("v2", 1.0)])
def test_maps_of_a_tone(version, gain, window):
    maps = experts.local_correlations(math.sqrt(gain) * tone(0.07, 40), version, window)[0]
    products = [gain * part for lag in (1, 2, 3) for part in unit(lag * STEP)]
    magnitudes = [math.sqrt(gain)] if version == "v1" else [1.0] * 3
    expected = torch.tensor([*products, *magnitudes, *unit(STEP)])
    assert len(maps) == experts.CHANNELS[version]
    torch.testing.assert_close(
        maps[:, :37], expected[:, None].expand(-1, 37), rtol=0, atol=2 * ROUNDING
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_samples_without_a_partner_are_zero(version):
    maps = experts.local_correlations(random(2, 2, 20), version, 3)
    for lag in (1, 2, 3):
        products = maps[:, 2 * lag - 2 : 2 * lag]
        assert not products[:, :, -lag:].any()
        assert products[:, :, : 20 - lag].all()


def test_window_is_centred_and_cut_at_the_ends():
    frames = torch.zeros(1, 2, 20)
    frames[0, 0, 8:10] = 1  # I alone: x[9] x*[8] = 1
    product = experts.local_correlations(frames, "v1", 5)[0, 0]
    expected = torch.zeros(20)
    expected[6:11] = 1 / 5
    torch.testing.assert_close(product, expected, rtol=0, atol=EPS)
    pair = frames.roll(-8, 2)
    assert experts.local_correlations(pair, "v1", 5)[0, 0, :3].tolist() == pytest.approx(
        [1 / 3, 1 / 4, 1 / 5]
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_maps_do_not_know_the_carrier_phase(version):
    frames = loud(3, 64)
    maps, again = (experts.local_correlations(x, version, 5) for x in (frames, turned(frames, 1.0)))
    # Products of samples up to 2, each turned and rounded anew
    torch.testing.assert_close(again, maps, rtol=0, atol=64 * EPS)


def test_gain_scales_the_products_of_v1_and_nothing_of_v2():
    frames = loud(3, 64)
    v1, louder1 = (experts.local_correlations(x, "v1", 5) for x in (frames, 4 * frames))
    v2, louder2 = (experts.local_correlations(x, "v2", 5) for x in (frames, 4 * frames))
    assert torch.equal(louder1[:, :6], 16 * v1[:, :6])
    assert torch.equal(louder1[:, 6], 4 * v1[:, 6])
    # No power is below 1, where EPS takes its own share; coefficients reach 4.
    torch.testing.assert_close(louder1[:, 7:], v1[:, 7:], rtol=0, atol=ROUNDING)
    torch.testing.assert_close(louder2, v2, rtol=0, atol=4 * ROUNDING)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_expert_maps_join_those_of_the_network(version):
    module, frames = ExpertMaps(version, 5, 0.1), random(3, 2, 40)
    maps = module(frames)
    assert maps.shape == (3, experts.MAPS, 36)
    maps.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert module.layers[0][0].weight.grad.any()


@pytest.mark.parametrize(
    ("samples", "magnitudes", "phases"),
    [(128, (1, 2, 4, 8), (1, 2)), (1024, (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8))],
)
def test_scalars_of_a_tone(samples, magnitudes, phases):
    stats = experts.cyclostationary(3 * tone(0.07, samples))[0]
    cosines, sines = zip(*(unit(lag * STEP) for lag in phases), strict=True)
    expected = torch.tensor([*[1.0] * len(magnitudes), *cosines, *sines, -1.0])
    assert len(stats) == len(expected) == experts.scalars(samples) == {128: 9, 1024: 16}[samples]
    torch.testing.assert_close(stats, expected, rtol=0, atol=4 * ROUNDING)


def test_scalars_of_noise():
    samples = 2**14
    stats = experts.cyclostationary(random(4, 2, samples))
    # |R|^2 is exponential with mean 1/N: beyond 5 standard deviations with e^-25
    assert stats[:, :7].max() < 5 / math.sqrt(samples)
    # Delta method: E p^2 / (E p)^2 of exponential p has variance 4/N
    assert stats[:, -1].abs().max() < 5 * 2 / math.sqrt(samples)


def test_scalars_know_neither_gain_nor_carrier_phase():
    frames = loud(3, 128)
    stats, again = (experts.cyclostationary(x) for x in (frames, turned(8 * frames, 1.0)))
    least = stats[:, :2].min().item()  # of the |R| that phases are divided by
    torch.testing.assert_close(again, stats, rtol=0, atol=4 * ROUNDING / least)
    assert least > 0.01
    assert (stats[0] - stats[1]).abs().max() > 0.1


@pytest.mark.parametrize(
    "features",
    [
        lambda x: experts.local_correlations(x, "v1", 1),
        lambda x: experts.local_correlations(x, "v2", 5),
    ],
)
def test_silence_has_features_and_gradients(features):
    frames = torch.zeros(1, 2, 128, requires_grad=True)
    values = torch.cat([features(frames).flatten(), experts.cyclostationary(frames).flatten()])
    values.sum().backward()
    assert values.isfinite().all()
    assert frames.grad.isfinite().all()
