"""Layers of the CLDNN family: before the LSTM, its pooling, FiLM and the head."""

import torch
from torch import nn

from pisces.models.denoiser import ETA_MAX, ETA_MIN
from pisces.models.experts import SHORTENED

EARLY = 100
"""Channels of the maps before the LSTM."""
LONGEST = 192
"""Steps the LSTM takes; longer maps are halved until they fit."""
FEATURES = 128
"""Width of the state of the LSTM, and so of the pooled feature."""


class Early(nn.Module):
    """Layers before the temporal reduction.

    (n, paths, 2, samples) -> (n, `EARLY`, samples - `SHORTENED`): I and Q together, and each alone
    through causal convolutions which then meet. Convolutions of even width are padded as in
    TensorFlow, for which the network was published: the odd zero at the end.
    """

    def __init__(self, paths: int, dropout: float) -> None:
        super().__init__()
        half = EARLY // 2
        self.both = _layer(nn.ZeroPad2d((3, 4, 0, 1)), nn.Conv2d(paths, half, (2, 8)), dropout)
        self.i = _layer(nn.ConstantPad1d((7, 0), 0.0), nn.Conv1d(paths, half, 8), dropout)
        self.q = _layer(nn.ConstantPad1d((7, 0), 0.0), nn.Conv1d(paths, half, 8), dropout)
        self.fuse = _layer(nn.ZeroPad2d((3, 4, 0, 0)), nn.Conv2d(half, half, (1, 8)), dropout)
        self.merge = _layer(nn.Identity(), nn.Conv2d(EARLY, EARLY, (2, SHORTENED + 1)), dropout)

    def forward(self, paths: torch.Tensor) -> torch.Tensor:
        i, q = paths[:, :, 0], paths[:, :, 1]  # (n, paths, samples)
        apart = torch.stack([self.i(i), self.q(q)], 2)  # (n, EARLY / 2, 2, samples)
        maps = torch.cat([self.both(paths), self.fuse(apart)], 1)  # (n, EARLY, 2, samples)
        return self.merge(maps).squeeze(2)  # (n, EARLY, samples - SHORTENED)


def _layer(padding: nn.Module, convolution: nn.Module, dropout: float) -> nn.Sequential:
    return nn.Sequential(padding, convolution, nn.ReLU(), nn.Dropout(dropout))


def reduction(channels: int, time: int, dropout: float) -> nn.Sequential:
    """Maps (n, channels, time) -> (n, `EARLY`, at most `LONGEST`), halved as often as it takes.

    Args:
        channels: of the maps that come in.
        time: steps of these maps.
        dropout: after each convolution, 0..1.

    Returns:
        The layers: none where the maps are short enough, which then keep their channels.
    """
    layers: list[nn.Module] = []
    while time > LONGEST:
        kernel = 5 if time > 256 else 3
        layers += [
            nn.Conv1d(channels, EARLY, kernel, stride=2, padding=kernel // 2),
            nn.BatchNorm1d(EARLY),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
        channels = EARLY
        time = (time + 1) // 2
    return nn.Sequential(*layers)


class AttentionPooling(nn.Module):
    """States (n, time, `FEATURES`) -> their mean (n, `FEATURES`) over time.

    The weights depend on the states.
    """

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh(), nn.Linear(64, 1, bias=False))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return (self.weights(states) * states).sum(1)

    def weights(self, states: torch.Tensor) -> torch.Tensor:
        """(n, time, 1), of sum 1 over time."""
        return self.score(states).softmax(1)


class Film(nn.Module):
    """Features (n, `FEATURES`) scaled and shifted by eta (n,) (Perez et al., AAAI 2018).

    At first it changes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(1, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU())
        self.gamma = nn.Linear(64, FEATURES)
        self.beta = nn.Linear(64, FEATURES)

        for parameter in (self.gamma.weight, self.beta.weight, self.beta.bias):
            nn.init.zeros_(parameter)
        nn.init.ones_(self.gamma.bias)

    def forward(self, features: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
        centre = (ETA_MAX + ETA_MIN) / 2
        half_range = (ETA_MAX - ETA_MIN) / 2
        scaled = (eta[:, None] - centre) / half_range  # (n, 1), -1..1
        embedding = self.embed(scaled)  # (n, 64)
        return self.gamma(embedding) * features + self.beta(embedding)


def head(features: int, modulations: int, dropout: float) -> nn.Sequential:
    """Two hidden layers, wider for more than 16 classes, before the linear one.

    Args:
        features: width of what comes in.
        modulations: how many logits come out.
        dropout: after each hidden layer, 0..1.

    Returns:
        Module (n, features) -> (n, modulations).
    """
    width = max(128, 8 * modulations)
    layers: list[nn.Module] = []
    for inputs in (features, width):
        layers += [nn.Linear(inputs, width), nn.SELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width, modulations))
