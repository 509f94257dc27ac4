"""Losses of the two tasks, one a frame, always computed in float32.

All SNR losses take the same three arguments, so that they can be chosen by name (`SNR_LOSSES`):
scores (n, SNRs), ascending in SNR, of which the largest is the prediction; the true classes; and
the positions of the classes on the SNR axis, in class steps (`pisces.models.heads.positions`).
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from pisces.models.heads import regressed


def modulation_loss(
    logits: torch.Tensor, target: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Cross-entropy with smoothed labels (Szegedy et al., CVPR 2016).

    Args:
        logits: (n, modulations).
        target: true classes, int64 (n,).
        label_smoothing: share of the target that is spread over all classes, 0 to 1.

    Returns:
        Losses (n,).
    """
    return functional.cross_entropy(
        logits.float(), target, reduction="none", label_smoothing=label_smoothing
    )


def snr_loss(
    name: str, scores: torch.Tensor, target: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """The SNR loss of that name.

    Args:
        name: a key of `SNR_LOSSES`.
        scores: of an SNR head, (n, SNRs).
        target: true classes, int64 (n,).
        positions: of the classes, (SNRs,).

    Returns:
        Losses (n,).

    Raises:
        ValueError: for a name that is not in `SNR_LOSSES`.
    """
    if name not in SNR_LOSSES:
        raise ValueError(f"SNR loss {name!r} is unknown; there are {', '.join(SNR_LOSSES)}")
    return SNR_LOSSES[name](scores.float(), target, positions)


def cross_entropy_loss(
    scores: torch.Tensor, target: torch.Tensor, _positions: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy, which knows no order of the classes.

    Args:
        scores: of an SNR head, (n, SNRs).
        target: true classes, int64 (n,).
        _positions: of the classes, not looked at.

    Returns:
        Losses (n,).
    """
    return functional.cross_entropy(scores, target, reduction="none")


def distance_loss(
    scores: torch.Tensor, target: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy plus the expected distance from the true class, in class steps.

    The expectation is that under the softmax of the scores. Penalising the distance of the
    prediction itself, through argmax, would add a number that has no gradient.

    Args:
        scores: of an SNR head, (n, SNRs).
        target: true classes, int64 (n,).
        positions: of the classes, (SNRs,).

    Returns:
        Losses (n,).
    """
    distances = (positions - positions[target, None]).abs()  # (n, SNRs)
    expected = (torch.softmax(scores, 1) * distances).sum(1)
    return functional.cross_entropy(scores, target, reduction="none") + expected


def ordinal_loss(
    scores: torch.Tensor, target: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of "the SNR is above class k", summed over the SNRs - 1 thresholds k.

    The binary questions are those of Frank and Hall (ECML 2001), here of one softmax. The sum of
    their logarithmic scores is the ranked ignorance score (Tödter and Ahrens, Monthly Weather
    Review 140, 2012), which is strictly proper. The spacing of the classes does not matter.

    Args:
        scores: of an SNR head, (n, SNRs).
        target: true classes, int64 (n,).
        positions: of the classes, (SNRs,); only their number counts.

    Returns:
        Losses (n,).
    """
    log_p = torch.log_softmax(scores, 1)
    log_at_most = log_p.logcumsumexp(1)[:, :-1]
    log_above = log_p.flip(1).logcumsumexp(1).flip(1)[:, 1:]
    thresholds = torch.arange(len(positions) - 1, device=target.device)
    above = target[:, None] > thresholds  # (n, SNRs - 1)
    return -torch.where(above, log_above, log_at_most).sum(1)


def regression_loss(
    scores: torch.Tensor, target: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Smooth L1 (Girshick, ICCV 2015, eq. 3) of the number behind the scores, in class steps.

    Only the regression head has such a number.

    Args:
        scores: of an SNR head, (n, SNRs).
        target: true classes, int64 (n,).
        positions: of the classes, (SNRs,).

    Returns:
        Losses (n,).
    """
    value = regressed(scores, positions)
    return functional.smooth_l1_loss(value, positions[target], reduction="none")


SNR_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": cross_entropy_loss,
    "distance": distance_loss,
    "ordinal": ordinal_loss,
    "regression": regression_loss,
}
