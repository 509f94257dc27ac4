"""Which samples each point of a view stands for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import signal

from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.receiver.long import EDGE
from pisces.sources.modulators import shape_symbols
from tests.conftest import POINTS, RENDER, SAMPLES
from tests.inputs.signals import ROLLOFF, SPS, VIEWS, tensor, white


def samples_of(name: str, iq: np.ndarray) -> torch.Tensor:
    return views.samples_of(name, tensor(iq), RENDER)


@pytest.mark.parametrize(
    ("name", "each"), [("raw", 1), ("symbol", SPS), ("noise", 1), ("differential", 2)]
)
@pytest.mark.parametrize("samples", [SAMPLES, 88])
def test_every_point_of_every_view_has_its_samples(name, each, samples):
    iq = white((50, samples), "behind")
    behind = samples_of(name, iq)
    points = samples if name == "raw" else VIEWS[name](tensor(iq)).shape[1]
    assert (behind.shape, behind.dtype) == ((50, points, each), torch.int64)
    assert behind.min() >= 0
    assert behind.max() < samples
    assert (behind.flatten(1).unique(dim=0).shape[0] > 1) == (
        name == "symbol"
    )  # only there it hangs on the frame
    assert all(len(set(point)) == each for point in behind[0].tolist())


def test_a_raw_point_is_its_own_sample(frames):
    assert torch.equal(
        samples_of("raw", frames), torch.arange(SAMPLES).view(1, -1, 1).expand(60, -1, -1)
    )


def test_silent_factors_darken_just_the_differential_points_they_are_in(frames):
    behind = samples_of("differential", frames)[0]
    for point in (0, 100, 251):
        silenced = frames.copy()
        silenced[:, behind[point]] = 0
        dark = (views.differential(tensor(silenced), 4) == 0).numpy()
        expected = (behind[:, :, None] == behind[point]).any((1, 2)).numpy()
        assert (dark == expected).all()
        assert expected.sum() == (
            2 if point in (0, 251) else 3
        )  # the two samples, four apart, are each in another product as well


def test_an_impulse_is_strongest_at_the_noise_point_in_whose_middle_it_is():
    """The linear-phase taps are largest in the middle.

    Beyond the points' middles an impulse lies in the middle of none.
    """
    impulses = np.eye(SAMPLES)
    behind = samples_of("noise", impulses)[0, :, 0]
    level = VIEWS["noise"](tensor(impulses)).abs()
    assert torch.equal(level.argmax(1)[behind], torch.arange(POINTS["noise"]))
    assert behind.tolist() == list(range(41, SAMPLES - 41))


@pytest.mark.parametrize("sps", [2, 5, 8])
@pytest.mark.parametrize("timing", [-0.47, -0.2, 0.03, 0.123, 0.31, 0.47])
def test_a_lone_symbol_has_most_of_its_energy_in_its_samples(sps, timing):
    """Of all sps samples in a row those nearest to its middle have the most.

    A pulse on its own beats at its own timing.
    """
    symbols = 32
    iq = shape_symbols(
        np.eye(symbols), sps=sps, rolloff=ROLLOFF, timing=timing
    )  # frame k: symbol k alone
    behind = views.samples_of("symbol", tensor(iq), replace(RENDER, sps=sps))
    energy = signal.convolve(
        np.abs(iq) ** 2, np.ones((1, sps)), mode="valid"
    )  # of sps samples from each on
    assert behind.shape == (symbols, symbols - 2 * EDGE, sps)
    for k in range(EDGE, symbols - EDGE):
        first = int(energy[k].argmax())
        assert behind[k, k - EDGE].tolist() == list(range(first, first + sps))


@pytest.mark.parametrize("sps", [2, 8])
def test_samples_of_short_frames_end_with_the_frame(sps):
    """All symbols whose middle lies in the frame are shown, the outermost by what there is."""
    samples = 16 * sps
    iq = white((200, samples), "short")
    render = replace(RENDER, sps=sps)
    behind = views.samples_of("symbol", tensor(iq), render)
    assert behind.shape == (200, 16, sps)
    assert behind.min() == 0
    assert behind.max() == samples - 1

    timing = views.symbols_of(tensor(iq), render).timing
    first = ((timing - 0.5) * sps).ceil().long()
    inner = behind[:, 1:-1, 0]
    assert torch.equal(inner, first + sps * torch.arange(1, 15))


@pytest.mark.parametrize("sps", [2, 5, 8])
def test_symbols_share_no_sample_and_leave_none_out_at_any_timing(sps):
    """From one symbol to the next the line turns once, through both ends of -1/2..1/2."""
    timing, symbols = np.arange(-0.5, 0.501, 1e-3)[:, None], 32
    sent = (
        generator(1, "test tiled")
        .choice(constellation("QPSK"), (1, symbols))
        .repeat(len(timing), 0)
    )
    iq = shape_symbols(sent, sps=sps, rolloff=ROLLOFF, timing=timing)
    behind = views.samples_of("symbol", tensor(iq), replace(RENDER, sps=sps))
    in_a_row = behind.flatten(1)
    assert (in_a_row.diff() == 1).all()
    assert (
        (EDGE - 1) * sps <= in_a_row.min() <= (EDGE - 1) * sps + 1
    )  # the lower only at -1/2 itself
    assert in_a_row.max() == (symbols - EDGE) * sps - 1
    middle = (behind[:, 0].double().mean(1) / sps).numpy() - EDGE
    assert (
        np.abs(middle - timing[:, 0])[1:-1].max() < 0.5 / sps + 1e-3
    )  # the ends themselves may round to each other
