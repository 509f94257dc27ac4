"""Each impairment of training frames does to them what it does to generated ones, and is drawn for
each frame alone.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pisces.core import impairments
from pisces.core.impairment_settings import (
    AmplifierSettings,
    EchoSettings,
    ImbalanceSettings,
    ImpairmentSettings,
    InterferenceSettings,
    QuantiserSettings,
)
from pisces.core.seeding import generator
from pisces.data.datasets import StoredFrames
from pisces.training import augmentation, impaired
from pisces.training.augmentation import Augmentation, Augmented
from pisces.training.impaired import KINDS, BatchImpairments, Draws, qpsk

SAMPLES, SPS = 1024, 8
CPU = torch.device("cpu")
EVERYTHING = ImpairmentSettings(
    amplifier=AmplifierSettings((2, 3), (0, 3)),
    echo=EchoSettings((0.3, 0.5), (0.5, 2)),
    clock_drift_ppm=(500, 900),
    phase_noise=(1e-5, 1e-4),
    adjacent=InterferenceSettings((-20, -10), (1.2, 1.5)),
    cochannel=InterferenceSettings((-20, -10), (-0.1, 0.1)),
    lowpass=(0.15, 0.3),
    iq_imbalance=ImbalanceSettings((0.5, 1), (2, 5)),
    dc_offset_db=(-30, -20),
    quantiser=QuantiserSettings((4, 6), (9, 12)),
)


def identities(count):
    return [("QPSK", 10, i) for i in range(count)]


def white(count, samples=SAMPLES):
    """Circular Gaussian noise, complex64 (count, samples)."""
    parts = generator(1, "test impaired").normal(size=(count, samples, 2)).astype(np.float32)
    return torch.view_as_complex(torch.from_numpy(parts))


def tone(bins, count=1):
    angle = 2 * np.pi * bins / SAMPLES * np.arange(SAMPLES)
    return torch.from_numpy(np.exp(1j * angle).astype(np.complex64)).repeat(count, 1)


def only(kind):
    return ImpairmentSettings(**{kind: getattr(EVERYTHING, kind)})


def spoil(iq, settings, drawn=None):
    """Frames with all that is asked for."""
    drawn = drawn or impaired.draw(1.0, 1, 1, identities(len(iq)))
    batch = BatchImpairments(settings, SPS, drawn)
    return batch.after_noise(batch.before_noise(iq))


def spectrum(iq):
    return np.fft.fft(iq.numpy().astype(complex))


def power(values):
    return np.mean(np.abs(values) ** 2, axis=-1)


# Draws


def test_draws_depend_on_seed_epoch_and_identity_alone():
    mine = identities(30)
    one = impaired.draw(0.5, 1, 1, mine)
    back = impaired.draw(0.5, 1, 1, mine[::-1][:20])
    assert all(np.array_equal(a[::-1][:20], b) for a, b in zip(one, back, strict=True))
    for other in (
        impaired.draw(0.5, 2, 1, mine),
        impaired.draw(0.5, 1, 2, mine),
        impaired.draw(0.5, 1, 1, [("BPSK", *rest) for _, *rest in mine]),
    ):
        assert not (one.uniform == other.uniform).all(2).any()
        assert not (one.seed == other.seed).any()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_each_impairment_is_there_as_often_as_asked_whatever_the_others(probability):
    count = 2000
    drawn = impaired.draw(probability, 1, 1, identities(count))
    deviation = np.sqrt(probability * (1 - probability) / count)
    assert drawn.there.mean(axis=0) == pytest.approx(probability, abs=5 * deviation)
    if 0 < probability < 1:
        correlation = np.corrcoef(drawn.there.T) - np.eye(len(KINDS))
        assert np.abs(correlation).max() < 5 / np.sqrt(count)
    numbers = drawn.uniform.reshape(count, -1)
    assert numbers.mean(axis=0) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / count))


def test_impairments_leave_the_other_draws_as_they_were():
    other = Augmentation(phase=True, carrier_offset_std=1e-3, noise_db=10.0, gain_db=3.0)
    grid = (0, 10)
    without = augmentation.draw(other, 1, 1, identities(9), grid)
    together = augmentation.draw(replace(other, impairments=EVERYTHING), 1, 1, identities(9), grid)
    assert all(np.array_equal(a, b) for a, b in zip(without, together, strict=True))
    assert Augmentation(impairments=EVERYTHING).changes_frames


# Frames


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_have_an_impairment_change_and_no_others(kind):
    iq, drawn = white(40), impaired.draw(0.5, 1, 1, identities(40))
    before = iq.clone()
    found = spoil(iq, only(kind), drawn)
    there = drawn.there[:, KINDS.index(kind)]
    changed = (found - iq).abs().square().mean(1) > 1e-6 * iq.abs().square().mean(1)
    assert 5 < there.sum() < 35
    assert np.array_equal(changed.numpy(), there)
    assert torch.equal(found[~there], iq[~there])
    assert torch.equal(iq, before)
    assert (found.shape, found.dtype) == (iq.shape, torch.complex64)


def test_a_frame_comes_out_the_same_in_any_batch_and_at_any_level():
    iq, drawn = white(24), impaired.draw(0.5, 1, 1, identities(24))
    together = spoil(iq, EVERYTHING, drawn)
    order = [11, 2, 7]
    some = Draws(*(values[order] for values in drawn))
    alone = spoil(iq[order], EVERYTHING, some)
    louder = spoil(300 * iq[order], EVERYTHING, some) / 300
    # Rounding may move a sample from one level of the quantiser to the next.
    for found in (alone, louder):
        equal = (found - together[order]).abs() < 1e-4
        assert equal.float().mean() > 0.999


def test_an_echo_gives_the_frame_the_spectrum_of_two_paths():
    iq = white(8)
    echo = EchoSettings((0.36, 0.36), (0.5, 0.5))
    ratio = spectrum(spoil(iq, ImpairmentSettings(echo=echo))) / spectrum(iq)
    frequency = np.fft.fftfreq(SAMPLES)
    late = (ratio - 1) / 0.36
    assert np.abs(late) == pytest.approx(1, abs=1e-3)
    # Half a symbol is four samples; what is left is the phase of the echo, one a frame.
    phase = late * np.exp(2j * np.pi * frequency * SPS / 2)
    assert np.abs(phase - phase[:, :1]).max() < 1e-3
    assert np.abs(phase[:, 0] - phase[0, 0])[1:].min() > 1e-3


def test_dc_has_its_level():
    found = spoil(tone(100, 8), ImpairmentSettings(dc_offset_db=(-20, -20)))
    constant = spectrum(found)[:, 0] / SAMPLES
    assert np.abs(constant) == pytest.approx(0.1, rel=1e-4)
    assert np.std(np.angle(constant)) > 0.1


def test_an_amplifier_saturates():
    amplifier = AmplifierSettings((2, 2), (0, 0))
    iq = white(4)
    found = spoil(iq, ImpairmentSettings(amplifier=amplifier))
    assert (found.abs() <= iq.abs().square().mean(1, keepdim=True).sqrt()).all()


def test_phase_noise_walks_as_far_as_its_linewidth_says():
    count, linewidth = 2000, 1e-4
    found = spoil(tone(0, count), ImpairmentSettings(phase_noise=(linewidth, linewidth)))
    variance = torch.angle(found)[:, 255].var().item()
    # A variance of count normal numbers is known to sqrt(2 / count) of itself.
    expected = 2 * np.pi * linewidth * 256
    assert variance == pytest.approx(expected, rel=5 * np.sqrt(2 / count))


def test_a_drifting_clock_is_right_in_the_middle_and_off_at_the_ends():
    bins, drift = 64, 1e-6 * 800
    found = spoil(tone(bins), ImpairmentSettings(clock_drift_ppm=(800, 800)))
    time = np.arange(SAMPLES) - (SAMPLES - 1) / 2
    gained = drift * time**2 / (2 * SAMPLES)
    turned = np.angle(found[0].numpy() / tone(bins)[0].numpy()) / (2 * np.pi * bins / SAMPLES)
    assert turned == pytest.approx(gained, abs=1e-3)
    assert gained.max() > 0.05


@pytest.mark.parametrize(("kind", "offset"), [("adjacent", 1.5), ("cochannel", 0.0)])
def test_an_interferer_has_its_level_and_its_band(kind, offset):
    iq = tone(256, 8)
    interference = InterferenceSettings((-10, -10), (offset, offset))
    added = spoil(iq, ImpairmentSettings(**{kind: interference})) - iq
    assert power(added.numpy()) == pytest.approx(0.1, rel=1e-3)
    away = np.abs(np.fft.fftfreq(SAMPLES) - offset / SPS)
    inside = away < (1 + impaired.INTERFERER_ROLLOFF) / 2 / SPS + 1e-3
    share = np.abs(spectrum(added)) ** 2
    assert share[:, ~inside].sum() < 1e-6 * share.sum()
    assert np.abs(added.numpy() - added[0].numpy())[1:].max() > 0.1


@pytest.mark.parametrize("samples", [SAMPLES, 1021])
def test_an_interferer_is_qpsk(samples):
    """Behind a matched filter the symbols, where a raised cosine has peaks, are alike."""
    wide = qpsk(torch.tensor([5]), torch.zeros(1, 1), 8 * 128, SPS)
    cut = qpsk(torch.tensor([5]), torch.zeros(1, 1), samples, SPS)
    assert torch.allclose(cut, wide[:, :samples])
    rate = SPS * np.fft.fftfreq(SAMPLES)
    matched = impaired.rrc_response(rate, impaired.INTERFERER_ROLLOFF)
    symbols = np.fft.ifft(spectrum(wide) * matched)[0, ::SPS]
    assert np.abs(symbols) == pytest.approx(np.abs(symbols).mean(), rel=1e-4)
    quadrants = np.angle(symbols * np.abs(symbols[0]) / symbols[0]) / (np.pi / 2)
    assert quadrants == pytest.approx(np.round(quadrants), abs=1e-3)
    assert len(np.unique(np.round(quadrants) % 4)) == 4


def test_the_low_pass_takes_signal_and_noise():
    found = spoil(white(8), ImpairmentSettings(lowpass=(0.2, 0.2)))
    density = (np.abs(np.fft.fft(found.numpy() * np.hanning(SAMPLES))) ** 2).mean(axis=0)
    frequency = np.abs(np.fft.fftfreq(SAMPLES))
    assert density[frequency > 0.26].max() < 1e-5 * density[frequency < 0.15].mean()
    middle = slice(impairments.LOWPASS_REACH, -impairments.LOWPASS_REACH)
    exact = impairments.lowpass(white(8), torch.full((8, 1), 0.2))
    assert torch.allclose(found[:, middle], exact, atol=1e-5)


def test_an_image_has_the_level_of_the_textbook():
    found = spoil(tone(100), ImpairmentSettings(iq_imbalance=ImbalanceSettings((1, 1), (5, 5))))
    level = np.abs(spectrum(found)[0]) ** 2
    gain, cosine = 10 ** (1 / 20), np.cos(np.deg2rad(5))
    rejection = (1 + 2 * gain * cosine + gain**2) / (1 - 2 * gain * cosine + gain**2)
    assert level[100] / level[-100] == pytest.approx(rejection, rel=1e-3)


def test_a_quantiser_has_the_levels_of_its_bits_both_ends_included():
    found = spoil(white(200), ImpairmentSettings(quantiser=QuantiserSettings((2, 4), (9, 9))))
    levels = [len(np.unique(frame.real.round(decimals=4))) for frame in found]
    bits, times = np.unique(np.ceil(np.log2(levels)), return_counts=True)
    assert bits.tolist() == [2, 3, 4]
    # Binomial.
    assert times == pytest.approx(200 / 3, abs=5 * np.sqrt(200 * 2 / 9))


# Loader


def loader(data, settings, store=None, epoch=1):
    store = store or data
    return Augmented(store, data, settings, 1, epoch, data.snrs_db, CPU, SPS)


def test_frames_without_impairments_are_the_stored_ones_to_the_bit(iq_data):
    index = iq_data.every_frame()[::9]
    never = loader(iq_data, Augmentation(impairments=EVERYTHING, impairment_probability=0.0))
    varied = never.prepare(never.gather(index))
    plain = StoredFrames(iq_data, CPU)
    stored = plain.prepare(plain.gather(index))
    assert torch.equal(varied.stored, stored.stored)
    assert torch.equal(varied.snr, stored.snr)


def test_impaired_frames_reach_the_model_with_their_labels(iq_data):
    index = iq_data.every_frame()[::9]
    settings = Augmentation(
        impairments=ImpairmentSettings(dc_offset_db=(0, 0)), impairment_probability=1.0
    )
    first, second = (loader(iq_data, settings, epoch=epoch) for epoch in (1, 2))
    batch = first.prepare(first.gather(index))
    frames = torch.view_as_complex(batch.stored.mT.contiguous())
    share = frames.mean(1).abs() ** 2 / frames.abs().square().mean(1)
    # As much power in the constant as in the frame, save for what the frame has of one.
    assert share.median() == pytest.approx(0.5, abs=0.1)
    assert np.array_equal(batch.modulation.numpy(), index[:, 0])
    assert np.array_equal(batch.snr.numpy(), index[:, 1])
    assert not torch.equal(second.prepare(second.gather(index)).stored, batch.stored)


def test_constellations_are_rendered_from_impaired_frames(iq_data, data):
    index = data.every_frame()[::9]
    echo = ImpairmentSettings(echo=EchoSettings((0.9, 0.9), (1, 1)))
    varied = loader(iq_data, Augmentation(impairments=echo), data)
    gathered = varied.gather(index)
    stored = varied.prepare(gathered).stored
    plain = data.prepare(data.gather(index), CPU)
    moved = (stored != plain).float().mean(1)
    there = gathered.impairments.draws.there[:, KINDS.index("echo")]
    assert 0 < there.sum() < len(index)
    # But for rounding at the edge of a pixel.
    assert moved[~there].max() < 0.01
    assert moved[there].min() > 0.1
