"""Where each symbol of a frame would move to, and what it says before and after.

A symbol moves to a draw from the law of the rival: a point of it, at a phase from the rival's
posterior, with timing, carrier offset and level as the receiver found them, and noise at the SNR of
the frame. One draw a symbol, the same whatever order they move in.

Evidence is that of two hypotheses, each at a phase from its own posterior: so it adds up over the
symbols, moved or not, and neither is favoured by a phase that fits it best.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from pisces.truth.evidence import Duel, evidence_at
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses


class Moves(NamedTuple):
    """Symbols of n frames of a class, and draws of its rival in their place."""

    old: np.ndarray
    """Of unit signal power, complex128 (n, symbols)."""
    new: np.ndarray
    """Likewise."""
    evidence: np.ndarray
    """What the old ones say for the class against the rival, nats, (n, symbols)."""
    evidence_after: np.ndarray
    """What the new ones say."""

    @property
    def gain(self) -> np.ndarray:
        """What each move gains the rival, nats, (n, symbols)."""
        return self.evidence - self.evidence_after


def draw(x: torch.Tensor, law: SymbolLaw, rngs: Sequence[np.random.Generator]) -> Moves:
    """Draws of the rival in place of all symbols.

    Args:
        x: symbols of unit signal power, complex64 (n, symbols).
        law: of two classes, that of the frames and its rival.
        rngs: a generator for each frame.

    Returns:
        The moves.
    """
    n, symbols = x.shape
    duel = Duel(np.zeros(n, int), np.ones(n, int))
    alone = [SymbolLaw((name,), law.snr, law.ask) for name in law.classes]
    phases = _phases(x, alone[0], rngs), _phases(x, alone[1], rngs)

    noise_std = math.sqrt(0.5 / law.snr)
    drawn = []
    for angle, rng in zip(phases[1], rngs, strict=True):
        points = rng.choice(law.points[1], symbols) * np.exp(1j * angle)
        noise = rng.normal(scale=noise_std, size=2 * symbols).view(complex)
        drawn.append(points + noise)
    old, new = x.numpy().astype(complex), np.stack(drawn)
    return Moves(old, new, evidence_at(old, law, phases, duel), evidence_at(new, law, phases, duel))


def _phases(x: torch.Tensor, alone: SymbolLaw, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """A phase of each frame from its posterior, for a law of one class: radians (n,)."""
    known = hypotheses(x, alone)
    phases = []
    for number, rng in enumerate(rngs):
        at = torch.nonzero(known.frame == number)[:, 0]
        share = known.log_chance[at].double().softmax(0).numpy()
        one = int(at[rng.choice(len(at), p=share)])
        within = rng.uniform(-1, 1) * float(known.half_step[one])
        phases.append(float(known.phase[one]) + within)
    return np.array(phases)
