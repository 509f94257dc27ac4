"""Known or not: how far a frame is from all that a model was trained on.

The score joins distances, each in standard deviations of known frames of the SNR that the model
names: of the features from those of known classes, of the spectrum, of neighbouring symbols and of
the constellation from what the named class shows (see `signals`), and of the signal's strength and
SNR from those that were trained on. Only what lies too far counts, and squares add up: one large
distance is enough, and so are several small ones.
"""

import torch

from pisces.models.calibration import (
    Array,
    Calibration,
    Novelty,
    SignalNovelty,
)
from pisces.prediction.signals import BLOCKS, GRID, Signals

FALSE_ALARMS = 0.05
"""Share of known frames that the thresholds let count as unknown."""
WEAK_WEIGHT = 1.5
"""Of too weak a signal, which nothing else shows: 1 of 50 known frames of the lowest SNR reaches a
threshold of 3.2 by it alone."""
ABOVE_DB = 3.0
"""Beyond the highest SNR that was trained on, that count as one standard deviation."""
TINY = 1e-9


def feature_novelty(
    features: torch.Tensor,
    modulation_logits: torch.Tensor,
    snr_logits: torch.Tensor,
    calibration: Calibration,
) -> torch.Tensor:
    """How far features are from those of the named classes, in standard deviations.

    The distance is that of Mahalanobis, with one covariance for all classes (Lee et al., "A simple
    unified framework for detecting out-of-distribution samples", NeurIPS 2018), in the directions
    in which classes differ most. An SNR between two of the grid is no other class: features of a
    modulation lie on a curve over the SNR, here straight lines between its centroids. The distances
    from the curves of all modulations are averaged under their probabilities.

    Matrix products and simple functions of numbers, so that it can be exported with the model.

    Args:
        features: of `Classifier.features`, (n, features).
        modulation_logits: (n, modulations).
        snr_logits: scores of the SNR head, (n, SNRs).
        calibration: with `novelty`.

    Returns:
        (n,): about 0 on the average of known frames, larger the less the frame is known.
    """
    known = _novelty_of(calibration).features
    _check_length("features.mean", known.mean.shape[0], features.shape[1])
    place = (features - _tensor(known.mean, features)) @ _tensor(known.projection, features)
    distance = _distance_to_curves(place, _tensor(known.centroids, features))
    expected = (modulation_logits.softmax(1) * distance).sum(1)
    return _standardised(expected, snr_logits, _tensor(known.levels, features))


def signal_novelty(
    signals: Signals,
    modulation_logits: torch.Tensor,
    snr_logits: torch.Tensor,
    known: SignalNovelty,
) -> torch.Tensor:
    """How far frames are from the named class in each of `signals`, in standard deviations.

    Args:
        signals: of n frames.
        modulation_logits: (n, modulations).
        snr_logits: scores of the SNR head, (n, SNRs).
        known: what known frames look like.

    Returns:
        float32 (n, blocks + 2): of each block, of too weak a signal, and of too high an SNR.
    """
    _check_length("signal.relevant", known.relevant.shape[1], signals.statistics.shape[1])
    _check_length("signal.levels", known.levels.shape[0], len(BLOCKS))
    distances = block_distances(
        signals.statistics,
        modulation_logits,
        snr_logits,
        _tensor(known.means, snr_logits),
        _tensor(known.precisions, snr_logits),
        _tensor(known.relevant, snr_logits),
    )
    levels = _tensor(known.levels, snr_logits)  # (blocks, 2, SNRs)
    columns = [
        _standardised(distance, snr_logits, level)
        for distance, level in zip(distances.unbind(1), levels, strict=True)
    ]

    mean, std = known.weakest
    columns.append(WEAK_WEIGHT * (mean - signals.strength) / max(std, TINY))
    columns.append((signals.snr_db - known.highest_snr_db) / ABOVE_DB)
    return torch.stack(columns, 1)


def score(
    features: torch.Tensor,
    modulation_logits: torch.Tensor,
    snr_logits: torch.Tensor,
    signals: Signals | None,
    calibration: Calibration,
) -> torch.Tensor:
    """The novelty of frames, which are unknown above `calibration.novelty.threshold`.

    Args:
        features: as of `feature_novelty`.
        modulation_logits: likewise.
        snr_logits: likewise.
        signals: of the same frames; None for a model without views of symbols and noise.
        calibration: with `novelty`.

    Returns:
        float32 (n,), 0 or more.

    Raises:
        ValueError: for a calibration of another model.
    """
    columns = [feature_novelty(features, modulation_logits, snr_logits, calibration)[:, None]]
    known = _novelty_of(calibration).signal
    if known is not None and signals is not None:
        columns.append(signal_novelty(signals, modulation_logits, snr_logits, known))
    return torch.cat(columns, 1).clamp_min(0).square().sum(1).sqrt()


def block_distances(
    statistics: torch.Tensor,
    modulation_logits: torch.Tensor,
    snr_logits: torch.Tensor,
    means: torch.Tensor,
    precisions: torch.Tensor,
    relevant: torch.Tensor,
) -> torch.Tensor:
    """Mahalanobis distances of the blocks of statistics from those of the named class.

    Symbols that lie better on their grid than the SNR lets expect are no news: another radio may be
    cleaner. The distance of the grid is the least from this SNR and all above; see `_grid_squares`.

    Args:
        statistics: (n, statistics), in the order of `signals.BLOCKS`.
        modulation_logits: the largest names the modulation, (n, modulations).
        snr_logits: the largest names the SNR; means are averaged under the probabilities, since a
            frame may lie between two SNRs, (n, SNRs).
        means: (modulations, SNRs, statistics).
        precisions: (SNRs, statistics, statistics).
        relevant: (modulations, statistics), 1 or 0.

    Returns:
        (n, blocks).
    """
    named, named_snr = modulation_logits.argmax(1), snr_logits.argmax(1)
    of_class, counts = means[named], relevant[named]  # (n, SNRs, statistics), (n, statistics)
    precision = precisions[named_snr]  # (n, statistics, statistics)
    expected = (snr_logits.softmax(1)[..., None] * of_class).sum(1)
    difference = (statistics - expected) * counts
    weighted = (precision @ difference[..., None])[..., 0]
    widths = [len(names) for names in BLOCKS.values()]
    *others, _ = (part.sum(1) for part in (difference * weighted).split(widths, 1))
    grid = slice(-len(GRID), None)
    of_grid = _grid_squares(
        statistics[:, grid] * counts[:, grid],
        of_class[..., grid] * counts[:, None, grid],
        precision[:, grid, grid],
    )
    is_below = torch.arange(of_grid.shape[1]) < named_snr[:, None]
    cleanest = of_grid.masked_fill(is_below, torch.inf).amin(1)
    return torch.stack([*others, cleanest], 1).clamp_min(0).sqrt()


def _grid_squares(
    found: torch.Tensor, means: torch.Tensor, precision: torch.Tensor
) -> torch.Tensor:
    """Squared distances of statistics of the grid from each SNR's mean, or from a multiple of it.

    Args:
        found: (n, grids).
        means: of the named class, (n, SNRs, grids).
        precision: (n, grids, grids).

    Returns:
        (n, SNRs): the least for multiples of 1 and more, which are of cleaner symbols.
    """
    weighted = means @ precision
    length = (means * weighted).sum(2).clamp_min(TINY)
    multiple = ((found[:, None] * weighted).sum(2) / length).clamp_min(1)
    difference = found[:, None] - multiple[..., None] * means
    return (difference @ precision * difference).sum(2)


def _check_length(name: str, length: int, needed: int) -> None:
    """Raises ValueError unless an array of a calibration is as long as the model needs it."""
    if length != needed:
        raise ValueError(
            f"calibration.novelty.{name} of the model card is of {length}, and its model needs "
            f"{needed}: use the card that belongs to the weights, or make both again with dvc "
            "repro --force train"
        )


def _novelty_of(calibration: Calibration) -> Novelty:
    assert calibration.novelty is not None, "the card of this model knows no novelty"
    return calibration.novelty


def _tensor(array: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(array.values.copy()).to(like)


def _distance_to_curves(place: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Distances of places (n, dims) from the curves of modulations: (n, modulations).

    The centroids (modulations, SNRs, dims) of a modulation are the corners of its curve.
    """
    starts, along = centroids[:, :-1], centroids.diff(dim=1)  # (modulations, SNRs - 1, dims)
    squared_length = along.square().sum(2).clamp_min(TINY)

    place_along = torch.einsum("nd,msd->nms", place, along)
    from_start = place_along - (starts * along).sum(2)
    share = (from_start / squared_length).clamp(0, 1)

    to_start = place.square().sum(1)[:, None, None] + starts.square().sum(2)
    to_start = to_start - 2 * torch.einsum("nd,msd->nms", place, starts)
    squares = to_start - 2 * share * from_start + share.square() * squared_length
    return squares.amin(2).clamp_min(TINY).sqrt()


def _standardised(
    distance: torch.Tensor, snr_logits: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """Distances (n,) over those of known frames of the SNR, whose levels are (2, SNRs)."""
    mean, std = (snr_logits.softmax(1) @ levels.T).unbind(1)
    return (distance - mean) / std.clamp_min(TINY)
