"""Features that a radio engineer would compute of the frame as it was received.

The two experts of `moe` are in baselines.py. Frames are float32 (n, 2, samples), I then Q, over
their RMS.
"""

import torch
from torch import nn
from torch.nn import functional

LAGS = (1, 2, 3)
"""Samples between the factors of the products of `local_correlations`."""
CHANNELS = {"v1": 9, "v2": 11}
"""By version of `local_correlations`."""
MAPS = 64
"""Channels of the output of `ExpertMaps`."""
SHORTENED = 4
"""Samples fewer in the maps than in the frame, as in those of the network that they join."""
EPS = 1e-6
"""Far below the power 2 of a frame, so that only silence is altered."""


def local_correlations(frames: torch.Tensor, version: str, window: int) -> torch.Tensor:
    """Correlations of neighbouring samples and steps of the phase, sample by sample.

    - `v1`: Re and Im of x[n+k] x*[n] for k in `LAGS`; |x|; cosine and sine of the phase step.
    - `v2`: Re, Im and magnitude of the same products over the local power; cosine and sine of the
      phase step. It does not depend on gain. Give it a window: without one, the magnitude is
      |x[n+k] / x[n]|, whose variance is infinite in noise.

    Of the last k samples, which have no partner, the products are 0.

    Args:
        frames: float32 (n, 2, samples).
        version: `v1` or `v2`.
        window: samples, odd, over which products and power are averaged. It is centred and cut at
            the ends of the frame.

    Returns:
        float32 (n, `CHANNELS[version]`, samples).
    """
    iq = _iq(frames)
    products = [_product(iq, lag, window) for lag in LAGS]
    step = _product(iq, 1, 1)
    step = step / (_norm(step) + EPS)  # no arctangent, whose gradient is without bound
    if version == "v1":
        magnitude = iq.abs()[:, None]
        return torch.cat([*products, magnitude, step], 1)

    power = _local_mean(iq.abs().square()[:, None], window) + EPS
    coefficients = [product / power for product in products]
    magnitudes = [_norm(coefficient) for coefficient in coefficients]
    return torch.cat([*coefficients, *magnitudes, step], 1)


def _product(iq: torch.Tensor, lag: int, window: int) -> torch.Tensor:
    """Re and Im of x[n+lag] x*[n], averaged: (n, samples) -> (n, 2, samples)."""
    product = iq[:, lag:] * iq[:, :-lag].conj()  # (n, samples - lag)
    pairs = torch.view_as_real(product).mT  # (n, 2, samples - lag)
    return functional.pad(_local_mean(pairs, window), (0, lag))


def _local_mean(maps: torch.Tensor, window: int) -> torch.Tensor:
    """Means over a centred window of maps (n, channels, time), of the same shape."""
    return functional.avg_pool1d(
        maps, window, stride=1, padding=window // 2, count_include_pad=False
    )


def _norm(pairs: torch.Tensor) -> torch.Tensor:
    """Magnitudes of (Re, Im): (n, 2, time) -> (n, 1, time)."""
    return torch.linalg.vector_norm(pairs, dim=1, keepdim=True)


def _iq(frames: torch.Tensor) -> torch.Tensor:
    """(n, 2, samples) -> complex (n, samples)."""
    return torch.complex(*frames.unbind(1))


class ExpertMaps(nn.Module):
    """A convolutional network on `local_correlations`.

    (n, 2, samples) -> (n, `MAPS`, samples - `SHORTENED`).
    """

    def __init__(self, version: str, window: int, dropout: float) -> None:
        super().__init__()
        self.version = version
        self.window = window
        # The last one is not padded, so that its maps are as short as those they join.
        self.layers = nn.Sequential(
            _layer(CHANNELS[version], 7, 3, dropout),
            _layer(MAPS, 5, 2, dropout),
            _layer(MAPS, SHORTENED + 1, 0, dropout),
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.layers(local_correlations(frames, self.version, self.window))


def _layer(channels: int, kernel: int, padding: int, dropout: float) -> nn.Sequential:
    convolution = nn.Conv1d(channels, MAPS, kernel, padding=padding)
    return nn.Sequential(convolution, nn.BatchNorm1d(MAPS), nn.ReLU(), nn.Dropout(dropout))


def cyclostationary(frames: torch.Tensor) -> torch.Tensor:
    """Scalars of whole frames, none of which depends on gain or carrier phase.

    (n, 2, samples) -> (n, `scalars(samples)`), of R[k] = E x[n+k] x*[n] / E |x|^2:

    - |R[k]| at the first lags of `lags`;
    - Re and Im of R[k] / |R[k]| at the second ones;
    - E |x|^4 / (E |x|^2)^2 - 2, which is 0 for noise and -1 for a constant envelope.
    """
    iq = _iq(frames)
    magnitude_lags, phase_lags = lags(frames.shape[2])
    power = iq.abs().square()
    mean = power.mean(1, keepdim=True) + EPS  # (n, 1)

    products = [(iq[:, lag:] * iq[:, :-lag].conj()).mean(1) for lag in magnitude_lags]
    autocorrelation = torch.stack(products, 1) / mean  # (n, lags)
    phases = autocorrelation[:, : len(phase_lags)]
    phases = phases / (phases.abs() + EPS)

    kurtosis = power.square().mean(1, keepdim=True) / mean.square() - 2
    return torch.cat([autocorrelation.abs(), phases.real, phases.imag, kurtosis], 1)


def lags(samples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lags of the magnitudes, and of the phases, which are the first of them."""
    # Long frames have enough to average at large lags too.
    if samples >= 256:
        return (1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8)
    return (1, 2, 4, 8), (1, 2)


def scalars(samples: int) -> int:
    """How many numbers `cyclostationary` gives of frames of so many samples."""
    magnitude_lags, phase_lags = lags(samples)
    return len(magnitude_lags) + 2 * len(phase_lags) + 1
