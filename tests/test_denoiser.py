"""Noise levels, the energy between samples, what the estimate makes of it, and a denoiser that
starts as nothing at all.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from pisces.models import denoiser
from pisces.models.denoiser import Denoiser, NoiseFraction

EPS = torch.finfo(torch.float32).eps


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def frames_of(iq: torch.Tensor) -> torch.Tensor:
    """Complex (n, samples) -> float32 (n, 2, samples)."""
    return torch.view_as_real(iq).mT.float().contiguous()


def tone(frequency: float, samples: int = 128) -> torch.Tensor:
    """Complex exponential of `frequency` cycles a sample, (1, 2, samples)."""
    phase = 2 * torch.pi * frequency * torch.arange(samples, dtype=torch.float64)
    return frames_of(torch.polar(torch.ones_like(phase), phase)[None])


def awake(module: nn.Module) -> nn.Module:
    """The denoiser with a last convolution that is not zero, as after training."""
    torch.nn.init.normal_(module.out.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return module


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def uncorrected() -> NoiseFraction:
    """The straight line alone."""
    noise = NoiseFraction()
    for parameter in noise.correction[-1].parameters():
        nn.init.zeros_(parameter)
    return noise


def test_noise_levels():
    snr_db = torch.tensor([0.0, 10.0, -10.0, 60.0, -60.0], dtype=torch.float64)
    torch.testing.assert_close(
        denoiser.eta(snr_db),
        torch.tensor([0, -math.log(10), math.log(10), -8, 5.5], dtype=torch.float64),
    )


def test_eta_is_the_logit_of_the_share_of_noise():
    snr_db = torch.arange(-20, 31, 2, dtype=torch.float64)
    torch.testing.assert_close(torch.logit(1 / (1 + 10 ** (snr_db / 10))), denoiser.eta(snr_db))


def test_difference_energy_of_a_constant_and_of_silence_is_zero():
    frames = torch.cat([torch.ones(1, 2, 64), torch.zeros(1, 2, 64)])
    assert denoiser.difference_energy(frames).tolist() == [0, 0]


@pytest.mark.parametrize("frequency", [0.01, 0.125, 0.25, 0.5])
def test_difference_energy_of_a_tone(frequency):
    energy = denoiser.difference_energy(3 * tone(frequency)).item()
    # Samples are rounded by up to EPS / 2 each, a step of length 2 or less hence by EPS, and its
    # square by 4 EPS; then the sums.
    assert energy == pytest.approx(2 - 2 * math.cos(2 * math.pi * frequency), abs=16 * EPS)


def test_difference_energy_of_white_noise_is_two():
    samples = 2**14
    energy = denoiser.difference_energy(random(16, 2, samples))
    # E = 2 - 2 Re R[1], whose standard deviation is sqrt(1/2N)
    assert (energy - 2).abs().max() < 5 * math.sqrt(2 / samples)
    assert energy.std() > 0


@pytest.mark.parametrize("snr_db", [-10, 0, 10])
def test_difference_energy_of_noise_on_a_constant_is_twice_its_share(snr_db):
    samples, power = 2**14, 10 ** (-snr_db / 10)
    noise = torch.complex(*random(2, 4, samples).double()) * math.sqrt(power / 2)
    energy = denoiser.difference_energy(frames_of(1 + noise))
    share = power / (1 + power)
    # Relative variance of the steps' mean 3/2N, of the power's mean at most 1/N.
    assert (energy / (2 * share) - 1).abs().max() < 5 * math.sqrt(2.5 / samples)


def test_noise_fraction_has_its_size():
    assert parameters(NoiseFraction()) == 6_627


def test_calibration_recovers_a_line():
    frames, noise = random(40, 2, 32), uncorrected()
    energy = denoiser.difference_energy(frames)
    noise.calibrate(energy, 3.25 * energy - 7.5)
    torch.testing.assert_close(
        torch.nn.functional.softplus(noise.a).item(), 3.25, rtol=8 * EPS, atol=0
    )
    # Float32 of numbers up to 10
    torch.testing.assert_close(noise(frames), 3.25 * energy - 7.5, rtol=0, atol=32 * EPS)


def test_calibration_is_the_fit_of_least_squares():
    energy, scatter, noise = 1 + random(50, seed=3).tanh(), random(50, seed=4), uncorrected()
    eta = 2 * energy - 1 + scatter
    noise.calibrate(energy, eta)
    residual = eta - (torch.nn.functional.softplus(noise.a) * energy + noise.b)
    bound = 50 * 16 * EPS  # of 50 rounded numbers up to 8
    assert residual.sum().abs() < bound
    assert (residual * energy).sum().abs() < 2 * bound
    assert scatter.sum().abs() > 1  # so that an unfitted line fails


def test_more_energy_never_means_less_noise():
    energy, noise = torch.linspace(0, 2, 20), uncorrected()
    noise.calibrate(energy, 3 - energy)
    assert torch.nn.functional.softplus(noise.a).item() == pytest.approx(1e-6, rel=1e-4)
    assert noise.b.item() == pytest.approx(2, abs=1e-5)  # the mean of the labels


def test_estimates_stay_in_range():
    noise, frames = uncorrected(), torch.cat([tone(0.0), tone(0.5)])  # energies 0 and 4
    noise.calibrate(torch.tensor([0.0, 4.0]), torch.tensor([-20.0, 20.0]))
    assert noise(frames).tolist() == [-8, 5.5]


def test_the_correction_depends_on_the_frame():
    noise, frames = NoiseFraction(), random(3, 2, 64).requires_grad_()
    noise(frames).sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in noise.parameters()
    )
    # Reversed in time, a frame has the same energy; what differs is the correction.
    assert (noise(frames) - noise(frames.flip(2))).abs().max() > 16 * EPS


@pytest.mark.parametrize(("channels", "count"), [(32, 361_698), (48, 789_282)])
def test_denoiser_has_its_size_and_starts_as_identity(channels, count):
    module, frames = Denoiser(channels, 0.1, soft_blend=False), random(2, 2, 30)
    assert parameters(module) == count
    assert torch.equal(module(frames, torch.tensor([-8.0, 5.5])), frames)


@pytest.mark.parametrize("samples", [29, 31, 32])
def test_denoiser_takes_any_length_and_depends_on_eta(samples):
    module, frames = (
        awake(Denoiser(8, 0.0, soft_blend=False)),
        random(1, 2, samples).expand(2, -1, -1),
    )
    quiet, noisy = module(frames, torch.tensor([-8.0, 5.5])) - frames
    assert quiet.any()
    assert (quiet - noisy).abs().max() > 0.01 * quiet.abs().max()


@pytest.mark.parametrize("time", [2, 7, 64])
def test_maps_are_stretched_as_torch_interpolates(time):
    maps = torch.randn(3, 4, time, generator=torch.Generator().manual_seed(1))
    wanted = functional.interpolate(maps, scale_factor=2, mode="linear", align_corners=False)
    doubled = denoiser.doubled(maps, 2 * time)
    torch.testing.assert_close(doubled, wanted, rtol=0, atol=4 * torch.finfo(torch.float32).eps)

    longer = denoiser.doubled(maps, 2 * time + 1)
    assert torch.equal(longer[..., :-1], doubled)
    assert torch.equal(longer[..., -1], maps[..., -1])


def test_soft_blend_closes_above_10_db():
    snr_db = torch.tensor([-10.0, 10.0, 30.0])
    hard, soft = Denoiser(8, 0.0, soft_blend=False), awake(Denoiser(8, 0.0, soft_blend=True))
    hard.load_state_dict(soft.state_dict())
    frames = random(1, 2, 32).expand(3, -1, -1)
    change, blended = (module(frames, denoiser.eta(snr_db)) - frames for module in (hard, soft))
    closed = 1 / (1 + 100 ** (1 / 0.46))  # 20 dB, a ratio of 100, from the middle
    share = torch.tensor([1 - closed, 0.5, closed])[:, None, None]
    # Of the sum with the frame
    torch.testing.assert_close(
        blended, share * change, rtol=0, atol=4 * EPS * frames.abs().max().item()
    )
    assert change.abs().amax((1, 2)).min() > 0.01
