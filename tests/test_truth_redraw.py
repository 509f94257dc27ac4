"""Symbols drawn anew: nothing else changes, and the law of frames stays what it was."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pisces.core.seeding import generator
from pisces.inputs.binning import OUTSIDE, bin_points
from pisces.pis.regions import ring_numbers, sector_numbers
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses
from pisces.truth.redraw import Redrawn, Refused, generators, redraw, touched, way_of
from pisces.truth.region import Region, bands

NAMES = ("BPSK", "QPSK", "8PSK", "16APSK", "16QAM", "64QAM")
FRAMES, SYMBOLS, SIZE, EXTENT = 512, 60, 32, 2.0
PIXELS = np.arange(SIZE**2)
REGIONS = {
    "ring 1": ring_numbers(PIXELS, SIZE, 4) == 1,
    "ring 2": ring_numbers(PIXELS, SIZE, 4) == 2,
    "ring 3": ring_numbers(PIXELS, SIZE, 4) == 3,
    "sector 2": sector_numbers(PIXELS, SIZE, 8) == 2,
}
ENOUGH = 4.0
"""Standard errors that a mean may be off by: 6e-5 of all fair tests are further."""


class Frames(NamedTuple):
    x: torch.Tensor
    classes: np.ndarray
    level: torch.Tensor


def frames_of(law: SymbolLaw, count: int, rng: np.random.Generator) -> Frames:
    """Frames of the law itself, shown at levels that differ by 3 %."""
    classes = rng.integers(len(law.classes), size=count)
    sent = np.stack([rng.choice(law.points[c], SYMBOLS) for c in classes])
    phase = np.exp(2j * np.pi * rng.random((count, 1)))
    noise = rng.normal(scale=math.sqrt(0.5 / law.snr), size=(count, 2 * SYMBOLS)).view(complex)
    x = torch.from_numpy((sent * phase + noise).astype(np.complex64))
    level = torch.from_numpy(rng.normal(1, 0.03, (count, 1)).astype(np.float32))
    return Frames(x, classes, level)


def bins_of(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return bin_points(torch.view_as_real(x * level), SIZE / 2 / EXTENT, SIZE)


def removed_by(what: str, frames: Frames) -> tuple[torch.Tensor, Region | None]:
    """Which symbols go, and the region that they are drawn inside of."""
    if what == "every fourth":
        removed = torch.zeros(frames.x.shape, dtype=torch.bool)
        removed[:, ::4] = True
        return removed, None
    masked = REGIONS[what]
    bins = bins_of(frames.x, frames.level)
    return touched(bins, torch.from_numpy(masked)[None]), Region(masked, EXTENT)


def redrawn(frames: Frames, law: SymbolLaw, what: str, free: bool = False) -> Redrawn:
    removed, region = removed_by(what, frames)
    rngs = generators(1, [("test", 0, row) for row in range(len(frames.x))], what)
    inside = None if free else region
    return redraw(frames.x, law, removed, rngs, region=inside, level=frames.level)


def features(x: torch.Tensor, level: torch.Tensor) -> np.ndarray:
    """Moments and counts of frames: (n, features)."""
    power = x.abs().square()
    rings = np.minimum((4 * x.abs()).int().numpy(), 7)
    pixels = bins_of(x, level).int().numpy()
    lit = [len(np.unique(row)) for row in pixels]
    columns = [
        x.real.mean(1),
        x.imag.mean(1),
        power.mean(1),
        power.square().mean(1),
        power.pow(3).mean(1),
        (x**4).mean(1).abs(),
        (x**8).mean(1).abs(),
        torch.tensor(lit).float(),
    ]
    counts = [(rings == ring).mean(1) for ring in range(8)]
    return np.stack([*(column.numpy() for column in columns), *counts], 1)


def log_likelihood(x: torch.Tensor, classes: np.ndarray, law: SymbolLaw) -> np.ndarray:
    """log p(x | class of each frame), and its lead over all classes: (n, 2)."""
    known = hypotheses(x, law)
    total = torch.zeros(len(x), len(law.classes)).double()
    total.index_put_((known.frame, known.classes), known.log_chance.double().exp(), True)
    own = total[torch.arange(len(x)), torch.from_numpy(classes)]
    right = own / total.sum(1)
    return np.stack([total.sum(1).clamp_min(1e-300).log().numpy(), right.numpy()], 1)


def z_of(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Standard errors by which means of columns (n, features) differ, frame by frame."""
    step = after - before
    spread = np.maximum(step.std(0), 1e-12)
    return np.abs(step.mean(0)) / spread * math.sqrt(len(step))


def accuracy_of_a_classifier(old: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> float:
    """How often a linear classifier, fitted to half of the frames, tells old from new ones."""
    halves = np.concatenate([old[::2], new[1::2]])  # no frame on both sides
    halves = (halves - halves.mean(0)) / (halves.std(0) + 1e-9)
    is_new = np.arange(len(halves)) >= len(old[::2])
    order = rng.permutation(len(halves))
    fit, test = order[::2], order[1::2]
    design = np.column_stack([halves, halves**2, np.ones(len(halves))])
    weights, *_ = np.linalg.lstsq(design[fit], 2.0 * is_new[fit] - 1, rcond=None)
    return float(np.mean((design[test] @ weights > 0) == is_new[test]))


@pytest.mark.parametrize("snr_db", [9, 20])
@pytest.mark.parametrize("what", ["every fourth", *REGIONS])
def test_the_law_stays(what, snr_db):
    """Of moments, counts, the likelihood and the posterior of the class that was drawn."""
    rng = generator(2, "test redraw", what, snr_db)
    law = SymbolLaw(NAMES, 10 ** (snr_db / 10))
    frames = frames_of(law, FRAMES, rng)
    new = redrawn(frames, law, what)

    kept = new.classes.numpy() < 0
    classes = np.where(kept, frames.classes, new.classes.numpy())
    before, after = features(frames.x, frames.level), features(new.x, frames.level)
    judged = [
        log_likelihood(frames.x, frames.classes, law),
        log_likelihood(new.x, classes, law),
    ]
    z = z_of(np.column_stack([before, judged[0]]), np.column_stack([after, judged[1]]))
    assert (new.x != frames.x).any(1).numpy().mean() > 0.3
    assert z.max() < ENOUGH
    # Half of the frames are tested.
    accuracy = accuracy_of_a_classifier(before, after, rng)
    assert abs(accuracy - 0.5) < ENOUGH * 0.5 / math.sqrt(FRAMES / 2)


def test_free_symbols_in_place_of_a_ring_break_the_law():
    """Which shows that these tests would find it: symbols leave the ring and none come in."""
    rng = generator(2, "test redraw")
    law = SymbolLaw(NAMES, 100.0)
    frames = frames_of(law, FRAMES, rng)
    new = redrawn(frames, law, "ring 1", free=True)
    before, after = features(frames.x, frames.level), features(new.x, frames.level)
    assert z_of(before, after).max() > 10
    assert accuracy_of_a_classifier(before, after, rng) > 0.6


@pytest.mark.parametrize("what", REGIONS)
def test_symbols_of_a_region_stay_in_it_and_all_others_stay(what):
    law = SymbolLaw(NAMES, 30.0)
    frames = frames_of(law, 40, generator(3, "test redraw"))
    removed, _ = removed_by(what, frames)
    new = redrawn(frames, law, what)
    assert torch.equal(new.x[~removed], frames.x[~removed])
    again, _ = removed_by(what, frames._replace(x=new.x))
    # A symbol on a border may be rounded out of it, to float32.
    assert (again == removed).float().mean() > 0.9995


def test_an_empty_mask_changes_no_bit():
    law = SymbolLaw(NAMES, 10.0)
    frames = frames_of(law, 8, generator(4, "test redraw"))
    nothing = torch.zeros(frames.x.shape, dtype=torch.bool)
    rngs = generators(1, [("test", 0, row) for row in range(8)], "nothing")
    new = redraw(frames.x, law, nothing, rngs)
    assert new.x.numpy().tobytes() == frames.x.numpy().tobytes()
    assert (new.classes == -1).all()


def test_what_is_drawn_depends_on_the_frame_alone():
    law = SymbolLaw(NAMES, 10.0)
    frames = frames_of(law, 6, generator(5, "test redraw"))
    removed, _ = removed_by("every fourth", frames)
    identities = [("QPSK", 4, row) for row in range(6)]

    together = redraw(frames.x, law, removed, generators(1, identities, "a")).x
    alone = redraw(frames.x[3:4], law, removed[3:4], generators(1, identities[3:4], "a")).x
    other = redraw(frames.x, law, removed, generators(1, identities, "b")).x
    assert torch.equal(together[3], alone[0])
    assert not torch.equal(together, other)


def test_with_no_symbol_left_every_class_is_drawn():
    """As often as any other: chance is 1 / 6 with a standard error of 1.9 points."""
    law = SymbolLaw(NAMES, 10.0)
    frames = frames_of(law, 384, generator(6, "test redraw"))
    everything = torch.ones(frames.x.shape, dtype=torch.bool)
    rngs = generators(1, [("test", 0, row) for row in range(384)], "all")
    classes = redraw(frames.x, law, everything, rngs).classes
    share = torch.bincount(classes, minlength=len(NAMES)) / 384
    assert share.numpy() == pytest.approx(1 / len(NAMES), abs=ENOUGH * 0.019)


def test_a_symbol_is_touched_when_its_pixel_is_masked():
    bins = torch.tensor([[0, 3, OUTSIDE], [3, 3, 1]], dtype=torch.int32).to(torch.uint16)
    masked = torch.tensor([[False, False, False, True]])
    assert touched(bins, masked).tolist() == [[False, True, False], [True, True, False]]


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (("noise", "ring", "1"), "are no symbols"),
        (("raw", "exact", "random"), "mix neighbouring symbols"),
        (("differential", "exact", "random"), "mix neighbouring symbols"),
        (("symbol", "exact", "top"), "no closed form"),
        (("symbol", "percentile", "bottom"), "no closed form"),
        (("symbol", "cluster", "core"), "no closed form"),
    ],
)
def test_masks_without_a_law_are_refused(mask, why):
    with pytest.raises(Refused, match=why):
        way_of(*mask)


def test_masks_with_a_law():
    assert way_of("symbol", "window", "0-16") == "region"
    assert way_of("symbol", "exact", "random") == "free"


def test_the_chance_of_a_band_is_the_integral():
    """Of all bands together, and of one that a point lies in the middle of."""
    edges = np.linspace(-1, 1, 5)
    found = bands(np.array([0.25]), edges, 0.25)
    assert found.sum() == pytest.approx(
        math.erf(3 / math.sqrt(2)) / 2 + math.erf(5 / math.sqrt(2)) / 2
    )
    assert found[0, 2] == pytest.approx(math.erf(1 / math.sqrt(2)))
