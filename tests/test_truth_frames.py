"""Frames as models are given them, with masked symbols drawn anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.frames import PHYSICS
from pisces.inputs import binning
from pisces.inputs.settings import OtherViews, RenderSettings
from pisces.pis.regions import ring_numbers
from pisces.sources.synthesis import synthesize_cell
from pisces.truth import found
from pisces.truth.frames import RedrawableFrames
from pisces.truth.law import SymbolLaw
from pisces.truth.redraw import generators
from tests.conftest import RENDER, SIZE

VIEWS = ("raw", "symbol", "noise", "differential")
LONG: RenderSettings = replace(RENDER, samples=1024)
MODULATIONS = ("QPSK", "16QAM", "FM", "OQPSK")
EACH, SNR_DB = 3, 12


def frames_of() -> tuple[torch.Tensor, list[str]]:
    physics = replace(PHYSICS, rolloff=(0.35, 0.35))
    parts = [synthesize_cell(name, SNR_DB, range(EACH), physics, seed=7) for name in MODULATIONS]
    names = [name for name in MODULATIONS for _ in range(EACH)]
    return torch.view_as_real(torch.from_numpy(np.concatenate(parts))), names


def redrawable(other_views: OtherViews) -> RedrawableFrames:
    iq, names = frames_of()
    law = SymbolLaw(MODULATIONS, 8 * 10 ** (SNR_DB / 10))
    return RedrawableFrames(iq, names, LONG, law, other_views)


def rngs_of(mask: str) -> list[np.random.Generator]:
    return generators(1, [(name, SNR_DB, row) for name in MODULATIONS for row in range(EACH)], mask)


def pixels(*numbers: int) -> torch.Tensor:
    masked = torch.zeros(1, SIZE**2, dtype=torch.bool)
    masked[0, list(numbers)] = True
    return masked


def changed(frames: RedrawableFrames, bins: dict[str, torch.Tensor], view: str) -> list[bool]:
    return (bins[view].int() != frames.bins[view].int()).any(1).tolist()


@pytest.mark.parametrize("other_views", ["held", "redrawn"])
def test_an_empty_mask_changes_no_bit(other_views):
    frames = redrawable(other_views)
    plain = binning.bin_frames(frames_of()[0], LONG)
    same = frames.without(pixels(), "free", rngs_of("nothing")).bins
    for view in VIEWS:
        assert same[view].numpy().tobytes() == plain[view].numpy().tobytes()


def test_frames_without_symbols_are_refused_and_stay():
    frames = redrawable("held")
    assert frames.refused == ("",) * (2 * EACH) + (found.NO_POINTS,) * (2 * EACH)
    assert frames.refusals() == {found.NO_POINTS: 2 * EACH}

    everything = torch.ones(1, SIZE**2, dtype=torch.bool)
    new = frames.without(everything, "free", rngs_of("all"))
    expected = [True] * (2 * EACH) + [False] * (2 * EACH)
    assert changed(frames, new.bins, "symbol") == expected
    assert new.removed.any(1).tolist() == expected


def test_other_views_are_held_or_show_the_new_samples():
    """But for that of the noise, in which hardly a symbol shows."""
    masked = torch.from_numpy(ring_numbers(np.arange(SIZE**2), SIZE, 4) == 3)[None]
    for other_views, moves in (("held", False), ("redrawn", True)):
        frames = redrawable(other_views)
        new = frames.without(masked, "region", rngs_of("ring"))
        assert any(changed(frames, new.bins, "symbol"))
        for view in ("raw", "differential"):
            assert any(changed(frames, new.bins, view)) == moves
        of_noise = (new.bins["noise"].int() != frames.bins["noise"].int()).float().mean()
        assert of_noise < 0.1


def test_symbols_of_a_ring_stay_in_it():
    ring = torch.from_numpy(ring_numbers(np.arange(SIZE**2), SIZE, 4) == 3)[None]
    frames = redrawable("held")
    new = frames.without(ring, "region", rngs_of("ring"))
    inside = ring[0][new.bins["symbol"].long().clamp(max=SIZE**2 - 1)]
    assert new.removed.sum() > 100
    assert inside[new.removed].float().mean() > 0.999


def test_the_likeliest_class_is_told_by_what_stays():
    """At 21 dB a symbol a few symbols are enough; of none all classes are alike."""
    frames = redrawable("held")
    shape = frames.bins["symbol"].shape
    some, all_of_them = torch.ones(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)
    some[:, ::6] = False
    known = [frames.likeliest(removed)[: 2 * EACH].tolist() for removed in (None, some)]
    assert known == [[0] * EACH + [1] * EACH] * 2
    assert len(set(frames.likeliest(all_of_them).tolist())) == 1


def test_the_number_of_symbols_in_a_region_tells_the_class():
    """All of QPSK lie in two rings, of 16QAM three quarters: no symbol stays, but their number."""
    iq, names = frames_of()
    law = SymbolLaw(("16QAM", "QPSK"), 8 * 10 ** (SNR_DB / 10))
    frames = RedrawableFrames(iq[:EACH], names[:EACH], LONG, law)
    rings = ring_numbers(np.arange(SIZE**2), SIZE, 4)
    masked = torch.from_numpy((rings == 2) | (rings == 3))[None]

    told = frames.without(masked, "region", rngs_of("rings"))
    assert told.removed.all()
    assert told.likeliest.tolist() == [law.classes.index("QPSK")] * EACH
    untold = frames.without(masked, "free", rngs_of("rings"))
    assert untold.likeliest.tolist() == [0] * EACH


def test_what_stays_whole_keeps_its_likeliest_class():
    frames = redrawable("redrawn")
    new = frames.without(pixels(), "free", rngs_of("nothing"))
    assert new.likeliest.tolist() == frames.likeliest().tolist()
    assert new.iq is not None
    assert (new.iq == redrawable("redrawn").without(pixels(), "free", rngs_of("x")).iq).all()


def test_the_view_symbol_is_needed():
    iq, names = frames_of()
    law = SymbolLaw(MODULATIONS, 10.0)
    with pytest.raises(ValueError, match=r"render\.views = raw lacks symbol"):
        RedrawableFrames(iq, names, replace(LONG, views=("raw",)), law)
