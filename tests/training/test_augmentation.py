"""Augmented frames have the phase, carrier, start and SNR that were drawn, and each is drawn for
itself.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal.windows import tukey
from scipy.stats import beta, kstest

from pisces.core.dsp import noise_power
from pisces.core.seeding import generator
from pisces.core.snr_label import true_snr_db
from pisces.data.datasets import StoredFrames
from pisces.inputs.waveform import IqStore
from pisces.training.augmentation import (
    Augmentation,
    Augmented,
    Draws,
    Mix,
    augment,
    draw,
    draw_mix,
    nearest_class,
    shift,
    turn,
)
from pisces.training.noise import splitmix64, white_noise
from pisces.training.settings import require_noise_reaches_a_class

SAMPLES = 1024
GRID = (-20, -10, -4, 0, 4, 10, 20, 30)
NOTHING = Augmentation()
CHANGES = [
    {"phase": True},
    {"carrier_offset_std": 1e-3},
    {"time_shift": True},
    {"noise_db": 12.0},
    {"gain_db": 6.0},
]
EVERYTHING = replace(
    NOTHING, phase=True, carrier_offset_std=1e-3, time_shift=True, noise_db=12.0, gain_db=6.0
)


def identities(count: int, snrs_db=GRID) -> list[tuple[str, int, int]]:
    return [("QPSK", snrs_db[i % len(snrs_db)], i) for i in range(count)]


def labels(frames: list[tuple[str, int, int]]) -> torch.Tensor:
    return torch.tensor([float(snr_db) for _, snr_db, _ in frames])


def random_frames(count: int, samples: int = SAMPLES) -> torch.Tensor:
    return torch.from_numpy(
        generator(1, "test augmentation").normal(size=(count, samples, 2)).astype(np.float32)
    )


def draws(count: int, **changes) -> Draws:
    zero = np.zeros(count)
    none = Draws(
        phase=zero,
        carrier_offset=zero,
        shift=zero,
        snr_drop_db=zero.astype(int),
        noise_seed=np.arange(count),
        gain_db=zero,
    )
    return none._replace(**{name: np.asarray(values) for name, values in changes.items()})


def complex_of(frames: torch.Tensor) -> np.ndarray:
    return torch.view_as_complex(frames).numpy().astype(complex)


# Draws


def test_nothing_on_leaves_every_bit_and_draws_nothing():
    frames, mine = random_frames(8), identities(8)
    off = draw(NOTHING, 1, 1, mine, GRID)
    assert not any(values.any() for values in off)
    out, snr_db = augment(frames, labels(mine), off)
    assert torch.equal(out.view(torch.int32), frames.view(torch.int32))
    assert torch.equal(snr_db, labels(mine))
    assert not replace(NOTHING, mixup_alpha=0.2).changes_frames


@pytest.mark.parametrize("change", CHANGES)
def test_each_setting_draws_its_own_part_and_leaves_the_others_as_they_were(change):
    mine = identities(40)
    alone = draw(replace(NOTHING, **change), 1, 1, mine, GRID)._asdict()
    together = draw(EVERYTHING, 1, 1, mine, GRID)._asdict()
    setting = next(iter(change))
    part = {
        "carrier_offset_std": "carrier_offset",
        "time_shift": "shift",
        "noise_db": "snr_drop_db",
    }.get(setting, setting)
    for name in set(alone) - {"noise_seed"}:
        assert np.array_equal(alone[name], together[name]) == (name == part)
        assert alone[name].any() == (name == part)
    assert replace(NOTHING, **change).changes_frames


def test_phase_shift_and_offset_have_the_asked_distributions():
    count, deviation = 4000, 1e-3
    drawn = draw(replace(EVERYTHING, carrier_offset_std=deviation), 1, 1, identities(count), GRID)
    # Kolmogorov-Smirnov: below one in a million by chance.
    assert kstest(drawn.phase, "uniform").pvalue > 1e-6
    assert kstest(drawn.shift, "uniform").pvalue > 1e-6
    assert kstest(drawn.carrier_offset / deviation, "norm").pvalue > 1e-6
    assert abs(
        np.corrcoef([drawn.phase, drawn.shift, drawn.carrier_offset]) - np.eye(3)
    ).max() < 5 / np.sqrt(count)
    assert len(np.unique(drawn.noise_seed)) == count


@pytest.mark.parametrize(
    ("label", "noise_db", "allowed"),
    [
        (10, 12.0, (10, 4, 0)),
        (10, 10.0, (10, 4, 0)),
        (10, 9.9, (10, 4)),
        (-10, 30.0, (-10, -20)),
        (-20, 30.0, (-20,)),
        (30, 9.0, (30,)),
    ],
)
def test_new_snr_is_uniform_over_the_classes_within_reach(label, noise_db, allowed):
    count = 1200
    drawn = draw(replace(NOTHING, noise_db=noise_db), 1, 1, identities(count, (label,)), GRID)
    found, times = np.unique(label - drawn.snr_drop_db, return_counts=True)
    assert tuple(found) == tuple(sorted(allowed))
    # Binomial.
    p = 1 / len(allowed)
    assert times == pytest.approx(count * p, abs=5 * np.sqrt(count * p * (1 - p)))


@pytest.mark.parametrize("snr_label", ["power", "amplitude"])
@pytest.mark.parametrize("noise_db", [0.5, 5.9, 6.0, 11.9, 12.0, 30.0])
def test_noise_is_refused_exactly_where_it_would_change_no_frame(noise_db, snr_label):
    """Labels 6 apart and more: 6 dB, or 12 where a label is half the SNR in dB."""
    settings, grid = replace(NOTHING, noise_db=noise_db), (-20, -10, 0, 6)
    drawn = draw(settings, 1, 1, identities(400, grid), grid, snr_label)
    changes = bool(drawn.snr_drop_db.any())
    assert changes == (noise_db >= true_snr_db(6, snr_label))
    if changes:
        require_noise_reaches_a_class(noise_db, grid, snr_label)
        return
    with pytest.raises(ValueError, match=r"augment\.noise_db"):
        require_noise_reaches_a_class(noise_db, grid, snr_label)


@pytest.mark.parametrize(
    ("noise_db", "grid", "remedy"),
    [(31.999999, (0, 16), "= 31.999999 .* take 32 or more, or 0"), (50, (0, 26), "; take 0 for")],
)
def test_noise_that_is_refused_says_what_may_be_taken(noise_db, grid, remedy):
    with pytest.raises(ValueError, match=remedy):
        require_noise_reaches_a_class(noise_db, grid, "amplitude")
    require_noise_reaches_a_class(0, grid, "amplitude")


def test_draws_depend_on_seed_epoch_and_identity_alone():
    mine = identities(30)
    one = draw(EVERYTHING, 1, 1, mine, GRID)
    back = draw(EVERYTHING, 1, 1, mine[::-1][:20], GRID)
    assert all(np.array_equal(a[::-1][:20], b) for a, b in zip(one, back, strict=True))
    for other in (
        draw(EVERYTHING, 2, 1, mine, GRID),
        draw(EVERYTHING, 1, 2, mine, GRID),
        draw(EVERYTHING, 1, 1, [("BPSK", *rest) for _, *rest in mine], GRID),
    ):
        assert not (one.phase == other.phase).any()
        assert not (one.noise_seed == other.noise_seed).any()


def test_label_outside_the_grid_is_named():
    with pytest.raises(
        ValueError,
        match=r"frames of \[7\] dB are in none of the SNR classes \[-20, .*leave them out or add",
    ):
        draw(EVERYTHING, 1, 1, [*identities(3), ("QPSK", 7, 0)], GRID)


# Frames


def test_same_frame_comes_out_the_same_in_any_batch():
    frames, mine = random_frames(16), identities(16)
    out, snr_db = augment(frames, labels(mine), draw(EVERYTHING, 1, 3, mine, GRID))
    order = [11, 2, 7]
    again, snr_again = augment(
        frames[order], labels(mine)[order], draw(EVERYTHING, 1, 3, [mine[i] for i in order], GRID)
    )
    assert torch.equal(again, out[order])
    assert torch.equal(snr_again, snr_db[order])
    assert not (out == frames).all((1, 2)).any()


@pytest.mark.parametrize(
    "change", CHANGES[:-1]
)  # gain acts on what a model sees of them: see the last test
def test_input_is_not_changed(change):
    frames, mine = random_frames(16), identities(16)
    before, snr_before = frames.clone(), labels(mine)
    snr_db = snr_before.clone()
    out, new_snr_db = augment(frames, snr_db, draw(replace(NOTHING, **change), 1, 1, mine, GRID))
    assert not torch.equal(out, before)
    assert torch.equal(frames, before)
    assert torch.equal(snr_db, snr_before)
    assert (out.shape, out.dtype, new_snr_db.dtype) == (frames.shape, torch.float32, torch.float32)


def test_phase_turns_by_the_draw():
    frames = random_frames(3)
    turned, _ = augment(frames, torch.zeros(3), draws(3, phase=[0.25, 0.5, 0.8]))
    ratio = complex_of(turned) / complex_of(frames)
    assert abs(ratio - np.exp(2j * np.pi * np.array([[0.25], [0.5], [0.8]]))).max() < 1e-6
    # Counter-clockwise: I becomes Q.
    assert torch.allclose(turned[0], torch.stack([-frames[0, :, 1], frames[0, :, 0]], 1), atol=1e-6)


@pytest.mark.parametrize("bins", [5, -37, 200])
def test_spectral_line_moves_by_the_offset(bins):
    tone = np.exp(2j * np.pi * 0.1 * np.arange(SAMPLES))[None].astype(np.complex64)
    frames = torch.from_numpy(tone.view(np.float32).reshape(1, SAMPLES, 2))
    moved, _ = augment(frames, torch.zeros(1), draws(1, carrier_offset=[bins / SAMPLES]))
    before, after = (np.abs(np.fft.fft(complex_of(x)[0])) for x in (frames, moved))
    # float32 angles of up to 200 turns, each half an ulp (2^-18 turns) off at most.
    assert after == pytest.approx(np.roll(before, bins), abs=SAMPLES * 2 * np.pi * 2**-17)
    assert np.argmax(after) == (102 + bins) % SAMPLES
    # The turning starts at the first sample.
    assert torch.equal(moved[0, 0], frames[0, 0])


def test_shift_is_circular_later_and_invertible():
    frames = random_frames(4)
    out, _ = augment(frames, torch.zeros(4), draws(4, shift=[0.0, 1 / SAMPLES, 0.25, 1 - 2.0**-53]))
    for row, frame, samples in zip(out, frames, (0, 1, 256, 1023), strict=True):
        assert torch.equal(row, frame.roll(samples, 0))
    iq, delay = torch.view_as_complex(frames), torch.tensor([0, 3, 700, 1023])
    assert torch.equal(shift(shift(iq, delay), -delay), iq)
    assert not torch.equal(shift(iq, delay), iq)


def test_the_seam_of_a_shift_measures_as_noise_30_db_down():
    """A tone of a quarter turn more than whole ones jumps by |J|^2 = 2 from end to start, as
    unrelated samples of unit power do on average.

    Unshifted, the tapered ends of the audit hide the jump. In the middle of the frame it has the
    spectrum of a step, |J|^2 / (2 sin pi (f - tone))^2.
    """
    tone = 10.25 / SAMPLES
    iq = torch.from_numpy(np.exp(2j * np.pi * tone * np.arange(SAMPLES))[None].astype(np.complex64))
    before, after = (
        float(noise_power(frames.numpy())[0])
        for frames in (iq, shift(iq, torch.tensor([SAMPLES // 2])))
    )
    f = np.fft.fftfreq(SAMPLES)
    step = np.median(2 / (2 * np.sin(np.pi * (f - tone)))[np.abs(f) > 0.25] ** 2)
    # Over the energy of the taper, and over ln 2, by which the audit makes a mean of a median.
    assert after == pytest.approx(step / np.sum(tukey(SAMPLES, 0.25) ** 2) / np.log(2), rel=0.01)
    assert 10 * np.log10(after) == pytest.approx(-30, abs=0.5)
    assert before < 1e-3 * after


def test_turn_is_undone_by_its_opposite():
    iq, phase, offset = (
        torch.view_as_complex(random_frames(3)),
        torch.tensor([0.1, 0.7, 0.9]),
        torch.tensor([1e-3, -1e-4, 0.0]),
    )
    assert (turn(turn(iq, phase, offset), -phase, -offset) - iq).abs().max() < 1e-5
    assert (turn(iq, phase, offset) - iq).abs().mean(1).min() > 0.1


@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize(
    ("label", "drop_db"), [(30, 2), (30, 30), (20, 10), (4, 4), (0, 20), (-10, 2), (-10, 10)]
)
def test_measured_snr_is_the_class_claimed(label, drop_db, scale):
    """Known noise in the frames: what is not the signal in the result is all noise."""
    count = 64
    rng = generator(1, "test snr", label, drop_db)
    signal = np.exp(2j * np.pi * rng.choice(4, (count, SAMPLES)) / 4)
    noise = rng.normal(scale=np.sqrt(0.5 * 10 ** (-label / 10)), size=(count, 2 * SAMPLES)).view(
        complex
    )
    received = (scale * (signal + noise)).astype(np.complex64)
    frames = torch.from_numpy(received.view(np.float32).reshape(count, SAMPLES, 2))
    seeds = generator(2, "test snr", label, drop_db).integers(2**63, size=count)
    out, claimed = augment(
        frames,
        torch.full((count,), float(label)),
        draws(count, snr_drop_db=[drop_db] * count, noise_seed=seeds),
    )
    assert claimed.tolist() == [label - drop_db] * count
    noise_power = np.mean(np.abs(complex_of(out) / scale - signal) ** 2)
    # 4.34 dB / sqrt(samples) is the deviation of a mean noise power; the power that the added noise
    # is scaled by has as much again at most.
    assert -10 * np.log10(noise_power) == pytest.approx(
        label - drop_db, abs=5 * 4.34 * np.sqrt(2 / (count * SAMPLES))
    )


def test_frame_whose_snr_stays_keeps_every_bit_beside_one_that_falls():
    frames, snr_db = random_frames(2), torch.tensor([10.0, 10.0])
    out, new = augment(frames, snr_db, draws(2, snr_drop_db=[0, 6]))
    assert new.tolist() == [10.0, 4.0]
    assert torch.equal(out[0], frames[0])
    assert not (out[1] == frames[1]).all(1).any()


def test_drawn_frames_land_on_classes():
    mine = identities(200)
    drawn = draw(EVERYTHING, 1, 1, mine, GRID)
    _, snr_db = augment(random_frames(200, 64), labels(mine), drawn)
    classes = nearest_class(snr_db, GRID)
    assert classes.dtype == torch.int64
    assert torch.equal(torch.tensor(GRID)[classes].float(), snr_db)
    fell = labels(mine) - snr_db
    assert fell.min() == 0
    assert 0 < fell.max() <= 12


def test_nearest_class():
    assert nearest_class(
        torch.tensor([-99.0, -15.1, -14.9, 1.9, 2.1, 25.1, 99.0]), GRID
    ).tolist() == [0, 0, 1, 3, 4, 7, 7]


# Noise


def test_splitmix64_gives_the_published_numbers():
    """First outputs of Vigna's splitmix64.c for seed 0, and those that Rosetta Code lists for seed
    1234567.
    """
    published = {
        0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
        1234567: [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821,
        ],
    }
    for seed, numbers in published.items():
        assert [
            z % 2**64 for z in splitmix64(torch.tensor([seed]), len(numbers))[0].tolist()
        ] == numbers


def test_noise_is_white_circular_and_gaussian():
    count = 500
    noise = white_noise(
        torch.from_numpy(generator(1, "test noise").integers(2**63, size=count)), SAMPLES
    ).numpy()
    n = noise.size
    i, q = noise.real.ravel(), noise.imag.ravel()
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1, abs=5 / np.sqrt(n))
    assert abs(np.mean(noise)) < 5 / np.sqrt(n)
    assert abs(np.mean(noise**2)) < 5 * np.sqrt(2 / n)
    assert kstest(i[::10] * np.sqrt(2), "norm").pvalue > 1e-6
    assert kstest(q[::10] * np.sqrt(2), "norm").pvalue > 1e-6
    # E|n|^4 = 2, its variance 24 - 4.
    assert np.mean(np.abs(noise) ** 4) == pytest.approx(2, abs=5 * np.sqrt(20 / n))
    # Mean periodogram of `count` frames: deviation 1/sqrt(count) a bin; 6 deviations for the most
    # extreme of 1024.
    assert np.mean(np.abs(np.fft.fft(noise)) ** 2, axis=0) / SAMPLES == pytest.approx(
        1, abs=6 / np.sqrt(count)
    )
    across = noise[:-1] * noise[1:].conj()
    assert np.abs(across.mean(axis=1)).max() < 6 / np.sqrt(SAMPLES)


def test_neighbouring_seeds_give_unrelated_noise():
    noise = white_noise(torch.arange(50), SAMPLES).numpy()
    products = np.abs(noise @ noise.conj().T) / SAMPLES
    assert products[~np.eye(50, dtype=bool)].max() < 6 / np.sqrt(SAMPLES)
    assert np.diag(products).min() > 0.7


# Mixup


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mixed_images_are_weighted_sums_of_pairs(layout):
    images = torch.stack([torch.full((3, 4, 4), 1.0), torch.full((3, 4, 4), 5.0)]).contiguous(
        memory_format=layout
    )
    shares = set()
    for trial in range(20):
        mix = draw_mix(
            Augmentation(mixup_alpha=1.0), torch.zeros(2), generator(1, "test mix", trial)
        )
        share = mix.share[0].item()
        assert sorted(mix.other.tolist()) == [0, 1]
        assert mix.share.tolist() == [share, share]
        assert mix(images) == pytest.approx(
            share * images + (1 - share) * images[mix.other], abs=1e-5
        )
        assert mix(images).is_contiguous(memory_format=layout)
        shares.add(share if mix.other[0] == 1 else None)
    assert images[:, 0, 0, 0].tolist() == [1, 5]
    assert len(shares) > 3


def test_mixup_is_off_at_alpha_zero_and_then_draws_nothing():
    rng = generator(1, "test mix")
    assert draw_mix(NOTHING, torch.zeros(5), rng) is None
    assert rng.random() == generator(1, "test mix").random()


def test_shares_follow_the_beta_distribution():
    count, rng = 3000, generator(1, "test mix")
    shares = np.array(
        [
            draw_mix(Augmentation(mixup_alpha=0.2), torch.zeros(2), rng).share[0].item()
            for _ in range(count)
        ]
    )
    assert kstest(shares, beta(0.2, 0.2).cdf).pvalue > 1e-6
    # Var = 1 / (4 (2 alpha + 1)). Of all shares 13.4 % mix well and 67.3 % hardly; the lesser frame
    # has a tenth on average.
    assert shares.mean() == pytest.approx(0.5, abs=5 * np.sqrt(1 / (4 * 1.4) / count))
    lesser = np.minimum(shares, 1 - shares)
    assert np.mean(lesser) == pytest.approx(0.101, abs=0.0005 + 5 * np.std(lesser) / np.sqrt(count))
    for found, expected in ((lesser > 0.3, 0.135), (lesser < 0.1, 0.673)):
        assert np.mean(found) == pytest.approx(
            expected, abs=0.002 + 5 * np.sqrt(expected * (1 - expected) / count)
        )


def test_a_batch_is_mixed_as_often_as_asked():
    often, rng = Augmentation(mixup_alpha=0.2, mixup_probability=0.3), generator(1, "test mix")
    mixed = np.mean([draw_mix(often, torch.zeros(2), rng) is not None for _ in range(1000)])
    assert mixed == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 1000))


def test_only_pairs_of_clean_frames_are_mixed():
    snr_db = torch.tensor([-10.0, 6.0, 0.0, 10.0, 20.0, 5.9])
    mix = draw_mix(
        Augmentation(mixup_alpha=1.0, mixup_snr_min_db=6), snr_db, generator(1, "test pairs")
    )
    high = snr_db >= 6
    both = high & high[mix.other]
    assert both.any()
    assert torch.equal(mix.share < 1, both)
    frames = torch.randn(6, 2, 8)
    assert torch.equal(mix(frames)[~both], frames[~both])


def test_mixed_losses_are_weighted_as_the_frames_are():
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    by_target = torch.tensor([10.0, 2.0])  # the loss of either target, whatever the frame
    assert mix.loss(lambda target: by_target[target], torch.tensor([0, 1])).item() == pytest.approx(
        (0.75 * 10 + 0.25 * 2 + 2) / 2
    )


def test_gain_changes_the_level_that_a_model_of_raw_iq_sees_and_nothing_else(iq_shards):
    data = IqStore(iq_shards)
    index = data.every_frame()[::20]
    loader = Augmented(
        data, data, Augmentation(gain_db=12.0), 1, 1, data.snrs_db, torch.device("cpu")
    )
    varied, plain = (
        loader.prepare(loader.gather(index)).stored,
        StoredFrames(data, torch.device("cpu")),
    )
    whole = plain.prepare(plain.gather(index)).stored
    gain_db = 20 * torch.log10(
        varied.square().mean((1, 2)).sqrt() / whole.square().mean((1, 2)).sqrt()
    )
    assert varied == pytest.approx(whole * (10 ** (gain_db / 20))[:, None, None], rel=1e-5)
    assert 3 < gain_db.abs().max() <= 12.0001
    assert gain_db.min() < 0 < gain_db.max()


def test_varied_frames_reach_a_model_of_raw_iq_over_their_rms_with_the_label_they_now_have(
    iq_shards,
):
    data = IqStore(iq_shards)
    index = data.every_frame()[::7]
    loader = Augmented(
        data,
        data,
        replace(EVERYTHING, noise_db=30.0, gain_db=0),
        1,
        1,
        data.snrs_db,
        torch.device("cpu"),
    )
    batch = loader.prepare(loader.gather(index))
    drawn = draw(
        replace(EVERYTHING, noise_db=30.0, gain_db=0),
        1,
        1,
        [data.identity(frame) for frame in index],
        data.snrs_db,
    )
    labels = np.array(data.snrs_db)[index[:, 1]]
    frames, snr_db = augment(
        torch.from_numpy(data.gather(index)), torch.from_numpy(labels).float(), drawn
    )
    assert batch.stored.square().mean((1, 2)).numpy() == pytest.approx(1, abs=1e-5)
    cosine = (
        (batch.stored * frames.mT).sum((1, 2))
        / batch.stored.norm(dim=(1, 2))
        / frames.norm(dim=(1, 2))
    )
    assert cosine.numpy() == pytest.approx(1, abs=1e-5)
    assert np.array_equal(np.array(data.snrs_db)[batch.snr], snr_db.numpy())
    assert (snr_db.numpy() < labels).any()
