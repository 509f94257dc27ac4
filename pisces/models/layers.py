"""Layers of the baselines, and how their weights start: as Keras' do.

Maps are (n, channels, rows, time), the rows I and Q; frames are float32 (n, 2, samples).
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

Pair = tuple[int, int]
"""Rows and time of a kernel or a stride."""
OWN_DROPOUT = 0.3
"""Where the rate of a paper is not known to us."""


class Cat(nn.ModuleList):
    """The outputs of all modules for the same input, side by side along `dim`."""

    def __init__(self, modules: Sequence[nn.Module], dim: int = 1) -> None:
        super().__init__(modules)
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([module(x) for module in self], self.dim)


class Sum(nn.ModuleList):
    """The sum of the outputs of all modules for the same input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(module(x) for module in self)


class Last(nn.Module):
    """The state of a recurrent layer at its last step: (n, features, time) -> (n, hidden).

    `time` is the axis of the steps.
    """

    def __init__(self, layer: nn.RNNBase, time: int = 2) -> None:
        super().__init__()
        self.layer = layer
        self.time = time

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.layer(x.movedim(self.time, 1))
        return steps[:, -1]


class GaussianDropout(nn.Module):
    """In training, multiplies by normal numbers of mean 1 and variance rate / (1 - rate).

    Srivastava et al., JMLR 2014, section 10.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.std = math.sqrt(rate / (1 - rate))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x * (1 + self.std * torch.randn_like(x))


class GaussianNoise(nn.Module):
    """In training, adds normal numbers of mean 0 and standard deviation `std`."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x + self.std * torch.randn_like(x)


class Causal(nn.Module):
    """Filters of I and filters of Q, with ReLU: (n, 2, time) -> (n, filters, 2, time).

    None of them sees a later sample.
    """

    def __init__(self, filters: int, taps: int) -> None:
        super().__init__()
        self.past = nn.ZeroPad1d((taps - 1, 0))
        self.filters = nn.ModuleList(nn.Conv1d(1, filters, taps) for _ in "IQ")

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        rows = self.past(frames).split(1, dim=1)  # two of (n, 1, taps - 1 + time)
        maps = [conv(row) for conv, row in zip(self.filters, rows, strict=True)]
        return torch.stack(maps, dim=2).relu()


class Derotation(nn.Module):
    """Frames (n, 2, samples) turned back by the angle that a linear layer reads off them."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.angle = nn.Linear(2 * samples, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        phi_rad = self.angle(frames.flatten(1)).squeeze(1)  # (n,)
        return derotated(frames, phi_rad)


def derotated(frames: torch.Tensor, phi_rad: torch.Tensor) -> torch.Tensor:
    """exp(-j phi) x of frames x (n, 2, time) for `phi_rad` (n,); positive turns clockwise."""
    i, q = frames.unbind(1)
    cos = phi_rad.cos()[:, None]
    sin = phi_rad.sin()[:, None]
    return torch.stack([i * cos + q * sin, q * cos - i * sin], dim=1)


class Polar(nn.Module):
    """Amplitude and phase / pi, -1..1: (n, 2, time) -> (n, 2, time).

    The squares of the amplitude sum to 1 over the frame.
    """

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        # The modulus and angle of complex numbers, unlike hypot and atan2, have a gradient at 0.
        iq = torch.complex(*frames.float().unbind(1))  # there are no complex numbers of bfloat16
        amplitude = functional.normalize(iq.abs(), dim=1)
        return torch.stack([amplitude, iq.angle() / math.pi], dim=1)


class Transformer(nn.Module):
    """Tokens of 8 samples that attend to each other, averaged over time, where noise cancels.

    (n, 2, samples) -> (n, width).

    Args:
        samples: of the frames, a multiple of 8.
        width: of the features.
        channels: of the tokens.
    """

    def __init__(self, samples: int, width: int, channels: int = 64) -> None:
        super().__init__()
        self.tokens = nn.Conv1d(2, channels, 8, stride=8)
        self.positions = nn.Parameter(0.02 * torch.randn(samples // 8, channels))
        layer = nn.TransformerEncoderLayer(
            channels,
            nhead=4,
            dim_feedforward=2 * channels,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(channels)
        self.encoder = nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
        self.out = dense(channels, width, nn.SELU(), nn.AlphaDropout(OWN_DROPOUT))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(frames).movedim(2, 1) + self.positions  # (n, samples / 8, channels)
        mean = self.encoder(tokens).mean(1)  # (n, channels)
        return self.out(mean)


class Mixture(nn.Module):
    """Features of all experts, weighted by a gate: frames (n, 2, samples) -> (n, width).

    The weights (n, experts) sum to 1, so that a linear head mixes the logits likewise.
    """

    def __init__(self, gate: nn.Module, experts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.gate = gate
        self.experts = nn.ModuleList(experts)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        features = torch.stack([expert(frames) for expert in self.experts], dim=1)
        weights = self.gate(frames).unsqueeze(2)  # (n, experts, 1)
        return (weights * features).sum(1)  # (n, experts, width) -> (n, width)


def network(*layers: nn.Module) -> nn.Sequential:
    """Layers one after another, with weights that start as Keras' do."""
    return nn.Sequential(*layers).apply(_start)


def _start(layer: nn.Module) -> None:
    """Keras' defaults: weights Glorot uniform and biases 0, but see `_start_recurrent`."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.RNNBase):
        for name, parameter in layer.named_parameters():
            _start_recurrent(layer, name, parameter)


def _start_recurrent(layer: nn.RNNBase, name: str, parameter: nn.Parameter) -> None:
    """Recurrent weights are orthogonal, and the bias of an LSTM's forget gate is 1."""
    if "bias" in name:
        nn.init.zeros_(parameter)
    elif "_hh_" in name:
        nn.init.orthogonal_(parameter)
    else:
        nn.init.xavier_uniform_(parameter)

    if isinstance(layer, nn.LSTM) and "bias_ih" in name:
        # Gates are input, forget, cell, output.
        forget = slice(layer.hidden_size, 2 * layer.hidden_size)
        nn.init.ones_(parameter[forget])


def dense(inputs: int, outputs: int, *then: nn.Module) -> nn.Sequential:
    """A linear layer (n, inputs) -> (n, outputs) and what comes after it."""
    return nn.Sequential(nn.Linear(inputs, outputs), *then)


def valid(channels: int, filters: int, kernel: Pair, stride: Pair = (1, 1)) -> nn.Sequential:
    """A convolution without padding, and ReLU.

    Args:
        channels: of the maps that come in.
        filters: of the maps that come out.
        kernel: its rows and time.
        stride: along rows and time.

    Returns:
        Module (n, channels, rows, time) -> (n, filters, fewer rows, less time).
    """
    return nn.Sequential(nn.Conv2d(channels, filters, kernel, stride), nn.ReLU())


def same(channels: int, filters: int, kernel: Pair, stride: Pair = (1, 1)) -> nn.Sequential:
    """A convolution padded as by `zeros`, and ReLU.

    Args:
        channels: of the maps that come in.
        filters: of the maps that come out.
        kernel: its rows and time.
        stride: along rows and time.

    Returns:
        Module (n, channels, rows, time) -> (n, filters, rows / stride, time / stride).
    """
    return nn.Sequential(zeros(kernel, stride), *valid(channels, filters, kernel, stride))


def max_pool(kernel: Pair, stride: Pair) -> nn.Sequential:
    """Largest values of maps padded as by `zeros`.

    It is for maps without negative values, among which the zeros win no maximum.
    """
    return nn.Sequential(zeros(kernel, stride), nn.MaxPool2d(kernel, stride))


def zeros(kernel: Pair, stride: Pair = (1, 1)) -> nn.ZeroPad2d:
    """TensorFlow's `same` padding of maps whose sides are multiples of the stride.

    Of an odd number of zeros, one more is right or below.
    """
    rows = max(kernel[0] - stride[0], 0)
    columns = max(kernel[1] - stride[1], 0)
    left, top = columns // 2, rows // 2
    return nn.ZeroPad2d((left, columns - left, top, rows - top))


def m_block(
    channels: int, step: int = 1, widths: tuple[int, int, int] = (32, 48, 48)
) -> nn.Sequential:
    """MCNet's three branches, side by side.

    Args:
        channels: of the maps that come in.
        step: by which the time is shortened.
        widths: filters of the branches with kernels (1, 1), (3, 1) and (1, 3).

    Returns:
        Module (n, channels, 2, time) -> (n, sum(widths), 2, time / step).
    """
    point_width, column_width, row_width = widths
    stride = (1, step)

    column = nn.Sequential(same(32, column_width, (3, 1)))
    if step > 1:
        column.append(max_pool((1, 3), stride))
    point = same(32, point_width, (1, 1), stride)
    row = same(32, row_width, (1, 3), stride)
    return nn.Sequential(same(channels, 32, (1, 1)), Cat([point, column, row]))


def stack(channels: int) -> nn.Sequential:
    """O'Shea's residual stack: (n, channels, time) -> (n, 32, time / 2)."""
    return nn.Sequential(nn.Conv1d(channels, 32, 1), residual(), residual(), nn.MaxPool1d(2))


def residual() -> nn.Sequential:
    """Maps (n, 32, time) plus two convolutions of them, and ReLU: of the same shape."""
    first = nn.Conv1d(32, 32, 3, padding=1)
    second = nn.Conv1d(32, 32, 3, padding=1)
    filters = nn.Sequential(first, nn.ReLU(), second)
    return nn.Sequential(Sum([filters, nn.Identity()]), nn.ReLU())
