"""Features that a radio engineer would compute of the frame as it was received; the two experts of `moe` are in baselines.py.

Frames are float32 (n, 2, samples), I then Q, over their RMS.
"""

import torch
from torch import nn
from torch.nn import functional

LAGS = (1, 2, 3)
CHANNELS = {"v1": 9, "v2": 11}
MAPS = 64
SHORTENED = 4
"""Samples fewer in the maps than in the frame, as in those of the network that they join."""
EPS = 1e-6
"""Far below the power 2 of a frame, so that only silence is altered."""


def local_correlations(frames: torch.Tensor, version: str, window: int) -> torch.Tensor:
    """What the correlation of neighbouring samples says: (n, 2, samples) -> (n, `CHANNELS[version]`, samples).

    `v1`: Re and Im of x[n+k] x*[n] for k = 1, 2, 3; |x|; cosine and sine of the step of the phase.
    `v2`: Re, Im and magnitude of the same products over the local power; cosine and sine. It does not depend on gain. Give it a
    window: without one, the magnitude is |x[n+k] / x[n]|, whose variance is infinite in noise.

    Products and power are means over a centred window (odd, in samples), which is cut at the ends of the frame. Of the last k
    samples, which have no partner, the products are 0.
    """
    iq = _iq(frames)
    products = [_product(iq, lag, window) for lag in LAGS]
    step = _product(iq, 1, 1)
    step = step / (_norm(step) + EPS)  # no arctangent, whose gradient is without bound
    if version == "v1":
        return torch.cat([*products, iq.abs()[:, None], step], 1)
    power = _local_mean(iq.abs().square()[:, None], window) + EPS
    coefficients = [product / power for product in products]
    return torch.cat([*coefficients, *map(_norm, coefficients), step], 1)


def _product(iq: torch.Tensor, lag: int, window: int) -> torch.Tensor:
    """Re and Im of x[n+lag] x*[n], averaged: (n, samples) -> (n, 2, samples)."""
    product = torch.view_as_real(
        iq[:, lag:] * iq[:, :-lag].conj()
    ).mT  # (n, samples - lag) -> (n, 2, samples - lag)
    return functional.pad(_local_mean(product, window), (0, lag))


def _local_mean(maps: torch.Tensor, window: int) -> torch.Tensor:
    return functional.avg_pool1d(
        maps, window, stride=1, padding=window // 2, count_include_pad=False
    )


def _norm(pairs: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(pairs, dim=1, keepdim=True)


def _iq(frames: torch.Tensor) -> torch.Tensor:
    """(n, 2, samples) -> complex (n, samples)."""
    return torch.complex(*frames.unbind(1))


class ExpertMaps(nn.Module):
    """A convolutional network on `local_correlations`: (n, 2, samples) -> (n, `MAPS`, samples - `SHORTENED`)."""

    def __init__(self, version: str, window: int, dropout: float):
        super().__init__()
        self.version, self.window = version, window
        shapes = ((CHANNELS[version], 7, 3), (MAPS, 5, 2), (MAPS, SHORTENED + 1, 0))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(channels, MAPS, kernel, padding=padding),
                    nn.BatchNorm1d(MAPS),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                )
                for channels, kernel, padding in shapes
            )
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.layers(local_correlations(frames, self.version, self.window))


def cyclostationary(frames: torch.Tensor) -> torch.Tensor:
    """Scalars of whole frames, none of which depends on gain or carrier phase: (n, 2, samples) -> (n, `scalars(samples)`).

    |R[k]| of the autocorrelation R[k] = E x[n+k] x*[n] / E |x|^2 at the first lags, Re and Im of R[k] / |R[k]| at the second ones
    of `lags`, and E |x|^4 / (E |x|^2)^2 - 2, which is 0 for noise and -1 for a constant envelope.
    """
    iq = _iq(frames)
    magnitude_lags, phase_lags = lags(frames.shape[2])
    power = iq.abs().square()
    mean = power.mean(1, keepdim=True) + EPS  # (n, 1)
    autocorrelation = (
        torch.stack([(iq[:, lag:] * iq[:, :-lag].conj()).mean(1) for lag in magnitude_lags], 1)
        / mean
    )  # (n, lags)
    phases = autocorrelation[:, : len(phase_lags)]
    phases = phases / (phases.abs() + EPS)
    kurtosis = power.square().mean(1, keepdim=True) / mean.square() - 2
    return torch.cat([autocorrelation.abs(), phases.real, phases.imag, kurtosis], 1)


def lags(samples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lags of the magnitudes, and of the phases, which are the first of them; frames of 256 samples or more have more to average."""
    return ((1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8)) if samples >= 256 else ((1, 2, 4, 8), (1, 2))


def scalars(samples: int) -> int:
    magnitude_lags, phase_lags = lags(samples)
    return len(magnitude_lags) + 2 * len(phase_lags) + 1
