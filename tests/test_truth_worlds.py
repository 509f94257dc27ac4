"""The law of symbols drawn anew in frames that were sent and received."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.frames import PHYSICS
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.receiver.pulse import responses_of
from pisces.sources.synthesis import synthesize_cell
from pisces.truth.found import Found, find
from pisces.truth.law import SymbolLaw
from pisces.truth.redraw import generators, redraw, touched
from pisces.truth.region import Region
from tests.conftest import RENDER
from tests.test_truth_redraw import (
    ENOUGH,
    EXTENT,
    REGIONS,
    accuracy_of_a_classifier,
    bins_of,
    features,
    z_of,
)

NAMES = ("BPSK", "QPSK", "8PSK", "16APSK", "16QAM", "64QAM")
ONE_PULSE = (0.35, 0.35)
FRAMES = 510
SYMBOL = replace(RENDER, views=("symbol",), samples=1024)


def received(snr_db: int, rolloff: tuple[float, float]) -> tuple[Found, SymbolLaw]:
    """As many frames of each class, those that are refused left out.

    Among mixed pulses, which the receiver takes for one, some are refused at a high SNR.
    """
    physics = replace(PHYSICS, rolloff=rolloff)
    each = FRAMES // len(NAMES)
    iq = [synthesize_cell(name, snr_db, range(each), physics, seed=5) for name in NAMES]
    frames = torch.from_numpy(np.concatenate(iq))
    law = SymbolLaw(NAMES, 8 * 10 ** (snr_db / 10))
    names = [name for name in NAMES for _ in range(each)]
    found = find(views.symbols_of(frames, SYMBOL), names, law, responses_of(frames, SYMBOL))

    taken = torch.tensor([reason == "" for reason in found.refused])
    assert taken.float().mean() > (0.99 if rolloff == ONE_PULSE else 0.8)
    return Found(found.x[taken], found.level[taken], ("",) * int(taken.sum())), law


@pytest.mark.slow
@pytest.mark.parametrize("rolloff", [ONE_PULSE, PHYSICS.rolloff], ids=["one pulse", "mixed"])
@pytest.mark.parametrize("snr_db", [0, 12, 24])
@pytest.mark.parametrize("what", ["every fourth", "ring 1", "ring 2", "sector 2"])
def test_the_law_of_received_frames_stays(what, snr_db, rolloff):
    """Where timing, carrier offset and level are what the receiver found."""
    found, law = received(snr_db, rolloff)
    removed, region = torch.zeros(found.x.shape, dtype=torch.bool), None
    removed[:, ::4] = True
    if what in REGIONS:
        region = Region(REGIONS[what], EXTENT)
        bins = bins_of(found.x, found.level)
        removed = touched(bins, torch.from_numpy(region.masked)[None])
    rngs = generators(1, [("test", snr_db, row) for row in range(len(found.x))], what)
    new = redraw(found.x, law, removed, rngs, region=region, level=found.level)

    # The receiver turned the phase so that fourth powers point to -1: no feature asks for it.
    before, after = features(found.x, found.level), features(new.x, found.level)
    assert z_of(before, after).max() < ENOUGH
    accuracy = accuracy_of_a_classifier(before, after, generator(1, "test worlds"))
    assert abs(accuracy - 0.5) < ENOUGH * 0.5 / np.sqrt(len(before) / 2)
