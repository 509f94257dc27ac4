"""What symbols of new frames say about every class, kept in a file: models whose runners-up differ
are then judged by the same truth, which is searched for once.
"""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pisces.attribution import judged
from pisces.attribution.judged import Truth
from pisces.core import files, shards
from pisces.core.progress import progress
from pisces.evaluation import limits
from pisces.inputs.base import CONSTELLATIONS, IQ_SHARDS
from pisces.inputs.drawing import BinStore
from pisces.truth import evidence
from pisces.truth.evidence import Duel
from pisces.truth.law import SymbolLaw, places

BLOCK = 34
"""Frames that are looked at together."""


class Said(NamedTuple):
    """What symbols of n frames of one SNR say, each class at its best phase."""

    symbols: np.ndarray
    """Log densities of the symbols, float64 (n, classes, symbols)."""
    middles: np.ndarray
    """Of the middles of their pixels, likewise."""
    pixels: np.ndarray
    """Of each symbol, int (n, symbols)."""


class KnownTruth:
    """The truth about frames of one SNR.

    Args:
        root: of the frames' shards and constellations.
        index: frames of one SNR, (n, 3).
        folder: where it is kept.
    """

    def __init__(self, root: Path, index: np.ndarray, folder: Path) -> None:
        (number,) = np.unique(index[:, 1])
        self.root, self.index = root, index
        self.data = BinStore(root / CONSTELLATIONS)
        self.label = self.data.snrs_db[number]
        self.path = folder / f"truth_{self.label}_{len(index)}.npz"

    @cached_property
    def law(self) -> SymbolLaw:
        data, source = self.data, self.root / IQ_SHARDS
        received = limits.reception_of(source, data.modulations, data.snrs_db, data.render)
        snr = received.after_equalizer[self.label]
        return SymbolLaw(data.modulations, snr, shards.ask(source))

    @cached_property
    def said(self) -> Said:
        """From the file, or searched for."""
        if not self.path.exists():
            starts = progress(range(0, len(self.index), BLOCK), f"truth, label {self.label}")
            parts = [self._of_block(self.index[start : start + BLOCK]) for start in starts]
            found = Said(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
            files.write_npz(self.path, found._asdict())
        with np.load(self.path) as kept:
            return Said(**kept)

    def __call__(self, duel: Duel) -> Truth:
        """The truth of duels, numbers of classes in a model of these frames."""
        render, of_law = self.data.render, judged.in_law(duel, self.law)
        pixels, known = render.size**2, (of_law.chosen >= 0) & (of_law.rival >= 0)
        rows = np.flatnonzero(known)
        truth = judged.no_truth(len(self.index), pixels)

        differences = [
            said[rows, of_law.chosen[rows]] - said[rows, of_law.rival[rows]]
            for said in (self.said.symbols, self.said.middles)
        ]
        for whole, one in zip(truth, differences, strict=False):
            whole[rows] = evidence.pixel_means(one, self.said.pixels[rows], pixels)
        truth.ranked[rows] = evidence.can_be_ranked(differences[0])
        return truth

    def _of_block(self, index: np.ndarray) -> Said:
        render, law = self.data.render, self.law
        frames = judged.samples_of(self.data, index, self.root / IQ_SHARDS)
        received = judged.on_level(judged.place(frames, render), law)
        symbols = received.points.numpy().astype(np.complex128)
        middles = evidence.pixel_middles(received.pixels, render.size, render.extent.symbol)
        middles = middles / received.level

        of_symbols, of_middles = [], []
        where = places(received.points, law)
        for number, points in enumerate(law.points):
            same = np.full(len(index), number)
            phase, _ = evidence.best_phases(symbols, law, where, Duel(same, same[:0]))
            back = np.exp(-1j * phase)[:, None]
            for found, one in ((of_symbols, symbols), (of_middles, middles)):
                found.append(evidence.log_densities(one * back, points, law.judged_snr))
        return Said(np.stack(of_symbols, 1), np.stack(of_middles, 1), received.pixels)
