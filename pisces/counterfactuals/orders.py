"""In which order symbols move: by evidence, by what the model does, by attributions, at random."""

from collections.abc import Mapping, Sequence

import numpy as np

from pisces.attribution import judged, methods
from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.head import DifferenceHead
from pisces.attribution.methods import METHODS, OF_SUMS, Method
from pisces.attribution.settings import AttributionSettings
from pisces.attribution.shapley import is_summing
from pisces.core.seeding import generator
from pisces.counterfactuals.moves import Moves
from pisces.inputs.binning import OUTSIDE
from pisces.truth.evidence import Duel

GAIN, EVIDENCE, SWAPS, RANDOM = "evidence_gain", "evidence", "own_swaps", "random"
"""The optimum of the likelihood; what symbols say before they move; how far one move alone turns
the model's difference of logits; a random order."""


def chosen_methods(
    names: Sequence[str], explained: ExplainedModel, settings: AttributionSettings
) -> list[Method]:
    """Those of the methods that can explain a model of pictures.

    Args:
        names: `counterfactual.methods`.
        explained: the model.
        settings: of the methods, the section `attribute`.

    Returns:
        The methods, set up.
    """
    sums = is_summing(explained.model)
    able = [name for name in names if (sums or name not in OF_SUMS)]
    able = [name for name in able if not (sums and METHODS[name].needs_map)]
    return [methods.build(name, settings, explained.seed) for name in able]


def attributed(
    method: Method, explained: ExplainedModel, index: np.ndarray, duel: Duel
) -> np.ndarray:
    """What the map of a method says for the class against the rival, at each symbol.

    A symbol has what its pixel says `judged.per_point`; one beyond the image has 0.

    Args:
        method: the attribution.
        explained: the model, shown the view `symbol`.
        index: frames (n, 3).
        duel: their classes and rivals, numbers in the model.

    Returns:
        (n, symbols).
    """
    frames, render = Frames.of(explained, index), explained.data.render
    head = DifferenceHead(explained.model, "modulation", explained.trained.input.from_images)
    context = (*frames.probe.context, *explained.condition(frames.snr_db))
    maps = judged.scores_of(method, head, frames.probe.images, duel, context)

    channel, pixels = render.views.index("symbol"), render.size**2
    scores = methods.pixel_scores(maps, len(render.views)).cpu().numpy()
    scores, counts = (
        one.reshape(len(index), len(render.views), pixels)[:, channel]
        for one in (scores, frames.probe.counts.cpu().numpy())
    )
    scores = judged.per_point(method, scores, counts)

    pixel = explained.data.gather(index)[channel].astype(int)
    inside = pixel != OUTSIDE
    at_symbols = np.take_along_axis(scores, np.where(inside, pixel, 0), 1)
    return np.where(inside, at_symbols, 0.0)


def swap_scores(logits: np.ndarray, whole: np.ndarray, duel: Duel) -> np.ndarray:
    """By how much each move alone lowers the model's logit of the class over that of the rival.

    Args:
        logits: of each frame with one symbol moved, (n, symbols, classes).
        whole: of the frames as they are, (n, classes).
        duel: numbers in the model.

    Returns:
        (n, symbols).
    """
    rows = np.arange(len(whole))
    before = whole[rows, duel.chosen] - whole[rows, duel.rival]
    after = logits[rows, :, duel.chosen] - logits[rows, :, duel.rival]
    return before[:, None] - after


def random_orders(
    seed: int, identities: Sequence[tuple[str, int, int]], symbols: int
) -> np.ndarray:
    """An order of each frame that depends on which frame it is alone: int (n, symbols)."""
    rngs = [generator(seed, "counterfactual order", *identity) for identity in identities]
    return np.stack([rng.permutation(symbols) for rng in rngs])


def all_orders(
    moves: Moves, scores: Mapping[str, np.ndarray], at_random: np.ndarray
) -> dict[str, np.ndarray]:
    """Name -> order of the symbols, the first to move first, int (n, symbols).

    Args:
        moves: of n frames.
        scores: name -> (n, symbols), the largest moves first; ties in the random order.
        at_random: that order.
    """
    by_score = {GAIN: moves.gain, EVIDENCE: moves.evidence, **scores}
    ties = at_random.argsort(1)
    found = {name: np.lexsort((ties, -score), axis=1) for name, score in by_score.items()}
    return {**found, RANDOM: at_random}


def duel_numbers(names: Sequence[str], rivals: Sequence[str], classes: Sequence[str]) -> Duel:
    """Classes and rivals of frames as numbers in the model.

    Args:
        names: of the classes, (n,).
        rivals: of the rivals, (n,).
        classes: of the model.
    """
    number = {name: place for place, name in enumerate(classes)}
    return Duel(np.array([number[name] for name in names]), np.array([number[r] for r in rivals]))
