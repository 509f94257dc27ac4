"""Guards of deletion and insertion: what they reward beside a faithful ranking.

- **Blur.** Measures by removal were shown to prefer blurred maps (arXiv 2304.13836). Each map is
  blurred and measured again; where the copy does better, the curve rewards the shape of the hole.
- **Mask-only.** A classifier is shown which pixels a mask takes, and nothing of what was there.
  Where it tells the class, the mask carries the class into the frame that is left (Rong et al., "A
  consistent and efficient evaluation strategy for attribution methods", ICML 2022).
"""

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from pisces.core.paired import difference_interval
from pisces.core.stats import wilson

BLUR = 1 / 32
"""Standard deviation of the blur, of the side of the image: 2 of 64 pixels."""
MASK_PERCENT = 10
"""Of the lit pixels, in the masks that the mask-only classifier is shown."""
COARSE, RINGS = 8, 16
"""What it sees of a mask: pixels taken in so many cells a side, and in so many rings."""
FOLDS, FEWEST = 5, 3
"""Of the cross-validation: how many at most, and frames of each class at least, so that two of each
are left to learn from."""
MASK_ONLY = "mask_only"


# Blur


def blurred(scores: np.ndarray, lit: np.ndarray, size: int) -> np.ndarray:
    """Scores of lit pixels, each the mean of those around it, weighted by a Gaussian.

    Dark pixels have no weight, so that where many pixels are lit plays no part.

    Args:
        scores: (n, pixels of all views).
        lit: which of them hold a point, bool, likewise.
        size: side of a view in pixels.

    Returns:
        Scores (n, pixels), 0 where a pixel is dark.
    """
    shape = len(scores), -1, size, size
    sigma = (0, 0, BLUR * size, BLUR * size)
    weights = lit.reshape(shape).astype(float)
    weighted = weights * scores.reshape(shape)

    sums = gaussian_filter(weighted, sigma, mode="constant")
    weight = gaussian_filter(weights, sigma, mode="constant")
    means = np.divide(sums, weight, out=np.zeros_like(sums), where=weights > 0)
    return means.reshape(scores.shape)


def blur_row(measure: str, paired: dict[str, Any]) -> dict[str, Any]:
    """How an area changes when the maps behind it are blurred.

    Args:
        measure: `deletion_area`, of which less is better, or `insertion_area`.
        paired: `value` of the copies, `reference` of the maps, and their `difference` frame by
            frame with its interval.

    Returns:
        The same with the name of the guard; `fails` is yes where the interval says that the copies
        do better.
    """
    is_lower, is_higher = paired["difference_ci_high"] < 0, paired["difference_ci_low"] > 0
    does_better = is_lower if measure == "deletion_area" else is_higher
    return {"guard": f"blurred_{measure}"} | paired | {"fails": _yes_or_no(does_better)}


# Mask-only


def look(taken: np.ndarray, size: int) -> np.ndarray:
    """What a classifier is shown of masks: where they take pixels, coarsely, and how many.

    Args:
        taken: bool (n, pixels of all views).
        size: side of a view in pixels, a multiple of 2.

    Returns:
        float (n, numbers): log(1 + pixels taken) in the cells and in the rings of each view.
    """
    masks = taken.reshape(len(taken), -1, size * size)  # (n, views, pixels)
    cells = _counts(masks, _cell_of_pixels(size), COARSE**2)
    rings = _counts(masks, _ring_of_pixels(size), RINGS)
    return np.log1p(np.concatenate([cells, rings], axis=2).reshape(len(taken), -1))


def _counts(masks: np.ndarray, part: np.ndarray, parts: int) -> np.ndarray:
    """Pixels taken in each part of each view, (n, views, parts)."""
    is_in_part = part[:, None] == np.arange(parts)  # (pixels, parts)
    return masks.astype(np.float32) @ is_in_part.astype(np.float32)


def _cell_of_pixels(size: int) -> np.ndarray:
    along = np.arange(size) * COARSE // size
    return (along[:, None] * COARSE + along).ravel()


def _ring_of_pixels(size: int) -> np.ndarray:
    """The ring of each pixel, of equal width out to the middle of a side; corners are the last."""
    from_centre = np.arange(size) - (size - 1) / 2
    radius = np.hypot(from_centre[:, None], from_centre).ravel()
    return np.minimum(radius * 2 / size * RINGS, RINGS - 1).astype(int)


def tells_class(seen: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whether a classifier of masks alone is right about each frame, which it did not learn from.

    A linear discriminant with shrinkage (Ledoit and Wolf), cross-validated.

    Args:
        seen: what `look` shows of the masks, (n, numbers).
        classes: true classes, int (n,).
        rng: what divides the frames into folds.

    Returns:
        bool (n,); of no frame where a class has fewer than `FEWEST`.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    _, frames = np.unique(classes, return_counts=True)
    if frames.min() < FEWEST or len(frames) < 2:
        return np.zeros(0, bool)

    # What is the same in all masks has no variance to divide by.
    differing = seen[:, np.ptp(seen, axis=0) > 0]
    if not differing.shape[1]:
        return classes == np.argmax(np.bincount(classes))
    folds = StratifiedKFold(
        min(FOLDS, frames.min()), shuffle=True, random_state=int(rng.integers(2**31))
    )
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return cross_val_predict(classifier, differing, classes, cv=folds) == classes


def mask_only_row(right: np.ndarray, of_random: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """How often masks alone tell the class.

    Args:
        right: as `tells_class`, of the masks of a method.
        of_random: of those of the random ranking, on the same frames.
        classes: true classes (n,).

    Returns:
        `value` is the accuracy and `chance` that of whoever always names the most frequent class;
        `reference` that of the random ranking;
        `fails` is yes where the interval lies above chance. NaN where there is no classifier.
    """
    chance = np.bincount(classes).max() / len(classes)
    row: dict[str, Any] = {"guard": MASK_ONLY, "n": len(right), "chance": chance, "fails": "no"}
    if not len(right):
        return row

    low, high = wilson(int(right.sum()), len(right))
    more, less = np.sum(right & ~of_random), np.sum(of_random & ~right)
    difference = difference_interval(more, less, len(right))
    return row | {
        "value": right.mean(),
        "ci_low": low,
        "ci_high": high,
        "reference": of_random.mean(),
        "difference": (more - less) / len(right),
        "difference_ci_low": float(difference[0]),
        "difference_ci_high": float(difference[1]),
        "fails": _yes_or_no(low > chance),
    }


def _yes_or_no(is_shown: bool) -> str:
    return "yes" if is_shown else "no"
