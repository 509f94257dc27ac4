"""What a model of raw IQ is given, and what is left of it when pixels are masked.

All against loops over points and samples.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.binning import rms
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.waveform import (
    IqStore,
    Waveform,
    WaveformProbe,
    WaveformProber,
    gains,
    normalise,
    resample,
    samples_behind,
)
from tests.conftest import POINTS, RENDER, SAMPLES, SIZE

EPS = float(np.finfo(np.float32).eps)
PIXELS = 4 * SIZE**2
VIEWS = RENDER.views


@pytest.fixture(scope="module")
def some(index) -> np.ndarray:
    """A frame of each modulation and SNR, int64 (9, 3)."""
    return index[3::20]


@pytest.fixture(scope="module")
def frames(iq_shards, some) -> torch.Tensor:
    """As they are in the shards, float32 (9, samples, 2)."""
    return torch.from_numpy(IqStore(iq_shards).gather(some))


@pytest.fixture(scope="module")
def bins(data, some) -> torch.Tensor:
    """Of the same frames, int32 (9, points)."""
    return torch.from_numpy(data.bins(some))


def orders() -> torch.Tensor:
    """A random permutation of the samples for each frame, int64 (9, samples)."""
    rngs = [generator(1, "test signals", frame) for frame in range(9)]
    return torch.from_numpy(np.stack([rng.permutation(SAMPLES) for rng in rngs]))


# Level


def test_mean_square_is_one_and_the_gain_is_gone(frames):
    normal = normalise(frames)
    assert (normal.shape, normal.dtype) == ((9, 2, SAMPLES), torch.float32)
    # A sum of 2 * 256 squares, pairwise, and a square root round by about log2(512) / 2 eps.
    assert normal.double().square().mean((1, 2)).sub(1).abs().max() < 8 * EPS
    assert frames.square().mean((1, 2)).sub(1).abs().max() > 0.1
    assert torch.equal(normalise(frames * 2.0**-30), normal)
    torch.testing.assert_close(normalise(frames * 0.3), normal, rtol=8 * EPS, atol=0)


def test_i_and_q_keep_their_places_and_ratio(frames):
    scale = normalise(frames).mT / frames
    torch.testing.assert_close(
        scale, (2**0.5 / rms(frames))[:, None, None].expand_as(frames), rtol=4 * EPS, atol=0
    )
    waveform = Waveform(SAMPLES)
    assert waveform.shape == normalise(frames).shape[1:]
    assert torch.equal(waveform.tensors(normalise(frames)), normalise(frames))


def test_a_silent_frame_has_no_level():
    with pytest.raises(ValueError, match="frame 0 of 1 has no power; leave all-zero frames out"):
        normalise(torch.zeros(1, 8, 2))


# Points and samples


def test_points_are_counted_on_through_the_views(frames, bins):
    points, samples = samples_behind(frames, RENDER)
    assert (
        points.shape
        == samples.shape
        == (9, POINTS["raw"] + 8 * POINTS["symbol"] + POINTS["noise"] + 2 * POINTS["differential"])
    )
    assert bins.shape[1] == sum(POINTS.values())
    iq, first = torch.view_as_complex(frames), 0
    for view in VIEWS:
        expected = views.samples_of(view, iq, RENDER)
        for point in (0, POINTS[view] - 1):
            for frame in (0, 8):
                behind = samples[frame][points[frame] == first + point]
                assert sorted(behind.tolist()) == sorted(expected[frame, point].tolist())
        first += POINTS[view]


@pytest.mark.parametrize("exponent", [-40, 40])
def test_a_gain_moves_no_sample(frames, exponent):
    """Also where the fourth power of a sample leaves float32."""
    before, after = samples_behind(frames, RENDER), samples_behind(frames * 2.0**exponent, RENDER)
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_gains_multiply_the_points_a_sample_is_behind():
    visible = torch.tensor([[0.5, 0.3, 1.0, 0.2], [1.0, 1.0, 0.0, 0.9]])
    samples = torch.tensor([[0, 0, 1, 3], [2, 1, 1, 3]])
    torch.testing.assert_close(
        gains(visible, samples, 5), torch.tensor([[0.15, 1, 1, 0.2, 1], [1, 0, 1, 0.9, 1]])
    )


@pytest.mark.parametrize("dark", [(), (0,), (0, 1), (0, 1, 2, 3, 4, 5)])
def test_gains_have_a_gradient_even_where_points_are_dark(dark):
    visible = torch.tensor(generator(1, "test gradient").uniform(0.2, 1, (1, 6)))
    visible[0, list(dark)] = 0
    samples = torch.tensor([[0, 0, 0, 1, 2, 2]])
    assert torch.autograd.gradcheck(
        lambda visible: gains(visible, samples, 4), visible.requires_grad_()
    )
    (gradient,) = torch.autograd.grad(gains(visible, samples, 4).sum(), visible)
    assert gradient[0, 3] == 1  # nothing else is behind sample 1


# Resampling


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_samples_that_are_gone_are_filled_with_kept_ones_of_their_frame(frames, share):
    normal = normalise(frames)
    kept = torch.from_numpy(generator(1, "test kept", int(10 * share)).random((9, SAMPLES)) < share)
    filled = resample(normal, kept, orders())
    columns = normal.mT  # (n, samples, 2)
    assert torch.equal(filled.mT[kept], columns[kept])  # bit for bit
    for frame in range(9):
        mine = {tuple(sample) for sample in columns[frame][kept[frame]].tolist()}
        gone = [tuple(sample) for sample in filled.mT[frame][~kept[frame]].tolist()]
        assert set(gone) <= (mine or {(0.0, 0.0)})  # nothing kept: silence
        # Each kept sample is taken once before any is taken again.
        uses = [gone.count(sample) for sample in mine] if mine else []
        assert not uses or max(uses) - min(uses) <= 1
        assert len(gone) == (~kept[frame]).sum()


def test_what_fills_is_the_beginning_of_the_order():
    """Kept are 1, 3, 4 and 6; of them the order names 4, 1, 6 and then 3."""
    frame = torch.arange(8.0).repeat(1, 2, 1) + 10
    kept = torch.tensor([[False, True, False, True, True, False, True, False]])
    order = torch.tensor([[0, 4, 7, 1, 6, 2, 3, 5]])
    filled = resample(frame, kept, order)
    assert (filled - 10)[0].tolist() == [[4, 1, 1, 3, 4, 6, 6, 3]] * 2
    assert torch.equal(resample(frame, kept, order), filled)
    assert not torch.equal(resample(frame, kept, order.flip(1)), filled)
    few = torch.tensor([[False] * 3 + [True] * 2 + [False] * 3])
    assert (resample(frame, few, order) - 10)[0, 0].tolist() == [4, 3, 4, 3, 4, 3, 4, 3]


# Frames without pixels


@pytest.fixture(scope="module", params=["zero", "resample"])
def probe(request, frames, bins) -> WaveformProbe:
    return WaveformProbe(frames, bins, RENDER, orders() if request.param == "resample" else None)


EVERY = list(range(9))


def lists_of(bins: torch.Tensor, kind: str) -> list[np.ndarray]:
    """Of each frame a fifth of the lit pixels of the views `kind`, and as many dark ones."""
    allowed = (
        np.arange(PIXELS) if kind == "all" else np.arange(SIZE**2) + VIEWS.index(kind) * SIZE**2
    )
    lists = []
    for frame, row in enumerate(bins.numpy()):
        rng = generator(1, "test lists", kind, frame)
        lit = np.intersect1d(row, allowed)
        lists.append(
            np.union1d(rng.choice(lit, len(lit) // 5 + 1), rng.choice(allowed, len(lit) // 5 + 1))
        )
    return lists


def joined(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(lists), np.cumsum([0, *map(len, lists)])


def slow_silent(frame: torch.Tensor, bins: np.ndarray, pixels: set[int]) -> set[int]:
    """The samples of one frame (samples, 2) behind some pixels.

    Point by point, as the text of `views.samples_of` says.
    """
    timing = float(views.symbols_of(torch.view_as_complex(frame)[None], RENDER).timing)
    instants = {k: (k + timing) * RENDER.sps for k in range(EDGE, SAMPLES // RENDER.sps - EDGE)}
    half = RENDER.sps / 2
    behind = [{n} for n in range(SAMPLES)]
    behind += [
        {n for n in range(SAMPLES) if -half <= n - instant < half} for instant in instants.values()
    ]
    behind += [{n + 41} for n in range(POINTS["noise"])]
    behind += [{n, n - RENDER.delay} for n in range(RENDER.delay, SAMPLES)]
    return set().union(
        *(samples for samples, pixel in zip(behind, bins.tolist(), strict=True) if pixel in pixels)
    )


@pytest.mark.parametrize("kind", [*VIEWS, "all"])
def test_silence_is_just_behind_the_pixels(frames, bins, kind):
    lists = lists_of(bins, kind)
    shown = WaveformProbe(frames, bins, RENDER, None).without(EVERY, *joined(lists))
    normal = normalise(frames)
    for frame, pixels in enumerate(lists):
        silent = slow_silent(frames[frame], bins[frame].numpy(), set(pixels.tolist()))
        assert 0 < len(silent) < SAMPLES
        expected = normal[frame].clone()
        expected[:, sorted(silent)] = 0
        assert torch.equal(shown[frame], expected)


def test_the_same_samples_go_however_they_are_filled(frames, bins):
    lists = joined(lists_of(bins, "all"))
    zero, filled = (
        WaveformProbe(frames, bins, RENDER, order).without(EVERY, *lists)
        for order in (None, orders())
    )
    silent = (zero == 0).all(1)
    normal = normalise(frames)
    assert torch.equal(filled.mT[~silent], normal.mT[~silent])
    assert torch.equal(filled, resample(normal, ~silent, orders()))
    assert (filled.mT[silent] != 0).any(1).all()


def test_nothing_taken_is_the_frame_itself(probe, frames):
    shown = probe.without(EVERY, np.empty(0, np.int32), np.zeros(10, np.int64))
    assert torch.equal(shown, normalise(frames))
    assert shown.is_contiguous()


def test_dark_pixels_take_nothing(probe, frames, bins):
    dark = [np.setdiff1d(np.arange(PIXELS), row) for row in bins.numpy()]
    assert torch.equal(probe.without(EVERY, *joined(dark)), normalise(frames))


def test_samples_beyond_the_extent_are_never_taken(probe, frames, bins):
    """All pixels of `raw` take all samples inside; the number after the last pixel is no pixel of
    any list.
    """
    shown = probe.without(EVERY, *joined([np.arange(SIZE**2)] * 9))
    outside = bins[:, :SAMPLES] == PIXELS
    assert 0 < outside.sum() < 0.1 * outside.numel()
    for frame in EVERY:
        left, mine = shown[frame].T, normalise(frames)[frame].T
        assert torch.equal(left[outside[frame]], mine[outside[frame]])
        allowed = (
            mine[outside[frame]]
            if probe.order is not None and outside[frame].any()
            else torch.zeros(1, 2)
        )
        assert (left[~outside[frame]][:, None] == allowed).all(2).any(1).all()


def test_frames_come_in_any_order_and_number(probe, bins):
    lists = lists_of(bins, "all")
    together = probe.without(EVERY, *joined(lists))
    some = [4, 4, 0, 8]
    assert torch.equal(probe.without(some, *joined([lists[i] for i in some])), together[some])
    assert torch.equal(probe.without([2], *joined([lists[2]])), together[2:3])
    (pixels, offsets), before = joined(lists), probe.frames.clone()
    for i, (a, b) in enumerate(pairwise(offsets)):
        assert torch.equal(probe.without([i], pixels[a:b], np.array([0, b - a]))[0], together[i])
    assert torch.equal(probe.frames, before)


def test_counts_are_those_of_the_constellations(probe, data, some):
    expected = np.stack([np.bincount(row, minlength=PIXELS + 1)[:-1] for row in data.bins(some)])
    assert np.array_equal(probe.counts.numpy(), expected)


# The prober


@pytest.mark.parametrize("fill", ["zero", "resample"])
def test_a_probe_depends_on_the_frame_and_the_seed_alone(data, iq_shards, some, bins, fill):
    def shown(seed: int, chosen: list[int]) -> torch.Tensor:
        prober = WaveformProber(IqStore(iq_shards), data, fill, seed)
        lists = [lists_of(bins, "raw")[i] for i in chosen]
        return prober.probe(some[chosen], torch.device("cpu")).without(
            list(range(len(chosen))), *joined(lists)
        )

    whole = shown(1, EVERY)
    assert torch.equal(shown(1, EVERY), whole)
    assert torch.equal(shown(1, [7, 2]), whole[[7, 2]])
    assert torch.equal(shown(2, EVERY), whole) == (fill == "zero")


def test_each_frame_has_a_random_order_of_its_own(data, iq_shards, some):
    order = (
        WaveformProber(IqStore(iq_shards), data, "resample", 1)
        .probe(some, torch.device("cpu"))
        .order
    )
    assert torch.equal(order.sort(1).values, torch.arange(SAMPLES).expand(9, -1))
    assert len(order.unique(dim=0)) == 9
    assert (
        (order == torch.arange(SAMPLES)).sum(1) < 10
    ).all()  # of a random one, about one is in its place (Poisson)


def test_a_probe_shows_what_a_model_is_trained_on(data, iq_shards, some):
    source = IqStore(iq_shards)
    shown = (
        WaveformProber(source, data, "zero", 1)
        .probe(some, torch.device("cpu"))
        .without(EVERY, np.empty(0, int), np.zeros(10, int))
    )
    assert torch.equal(
        shown, Waveform(SAMPLES).tensors(source.prepare(source.gather(some), torch.device("cpu")))
    )
    assert torch.equal(shown, normalise(torch.from_numpy(source.gather(some))))
