"""Baselines of the field on raw IQ: frames float32 (n, 2, samples), I then Q over the frame's RMS -> features (n, width).

Each is the published network up to its last dense layer. The first six are laid out as in AMR-Benchmark, whose Keras code
(github.com/Richardzhangxx/AMR-Benchmark) has as many parameters. Maps are (n, channels, rows, time), the rows I and Q. Weights
start as Keras' do unless said otherwise.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

Pair = tuple[int, int]
_OWN_DROPOUT = 0.3  # where the papers' rate is not known to us


def mcldnn(samples: int) -> tuple[nn.Module, int]:
    """Spatial and temporal features of I and Q together and of each alone (Xu et al., IEEE Wireless Commun. Lett. 2020)."""
    _at_least(5, samples, "mcldnn")
    together = nn.Sequential(
        nn.Unflatten(1, (1, 2)), _same(1, 50, (2, 8))
    )  # (n, 2, time) -> (n, 50, 2, time)
    apart = nn.Sequential(Causal(50, 8), _same(50, 50, (1, 8)))  # the same shapes
    return _network(
        Cat([together, apart]),  # (n, 100, 2, time)
        _valid(100, 100, (2, 5)),  # (n, 100, 1, time - 4)
        nn.Flatten(2),
        Last(nn.LSTM(100, 128, num_layers=2, batch_first=True)),  # (n, 128)
        _dense(128, 128, nn.SELU(), nn.Dropout(0.5)),
        _dense(128, 128, nn.SELU(), nn.Dropout(0.5)),
    ), 128


def pet_cgdnn(samples: int) -> tuple[nn.Module, int]:
    """The frame turned back by a phase it estimates, convolutions and a GRU (Zhang et al., IEEE Commun. Lett. 2021)."""
    _at_least(12, samples, "pet_cgdnn")
    return _network(
        Derotation(samples),
        nn.Unflatten(1, (1, 2)),  # (n, 1, 2, time)
        _valid(1, 75, (2, 8)),  # (n, 75, 1, time - 7)
        _valid(75, 25, (1, 5)),  # (n, 25, 1, time - 11)
        nn.Flatten(2),
        Last(nn.GRU(25, 128, batch_first=True)),
    ), 128


def cgdnet(samples: int) -> tuple[nn.Module, int]:
    """Convolutions with a skip along time, and a GRU (Njoku et al., IEEE Netw. Lett. 2021).

    The steps of the GRU are the 50 filters and its features rows x time, as AMR-Benchmark's code has it.
    """
    _at_least(16, samples, "cgdnet")

    def block(channels: int) -> nn.Sequential:  # (n, channels, 2, time) -> (n, 50, 2, time - 5)
        return nn.Sequential(
            _valid(channels, 50, (1, 6)), _max_pool((2, 2), (1, 1)), GaussianDropout(0.2)
        )

    first, dense = block(1), _dense(50, 256, nn.ReLU(), GaussianDropout(0.2))
    backbone = _network(
        nn.Unflatten(1, (1, 2)),
        first,
        Cat(
            [nn.Identity(), nn.Sequential(block(50), block(50))], dim=3
        ),  # (n, 50, 2, time - 5 + time - 15)
        nn.Flatten(2),
        Last(nn.GRU(2 * (2 * samples - 20), 50, batch_first=True), time=1),
        GaussianDropout(0.2),
        dense,
    )
    nn.init.kaiming_uniform_(first[0][0].weight, nonlinearity="linear")  # LeCun's
    nn.init.kaiming_normal_(dense[0].weight, nonlinearity="relu")
    return backbone, 256


def ic_amcnet(samples: int) -> tuple[nn.Module, int]:
    """Convolutions, and noise on the last features (Hermawan et al., IEEE Commun. Lett. 2020)."""
    _at_least(2, samples, "ic_amcnet")
    return _network(
        nn.Unflatten(1, (1, 2)),
        _same(1, 64, (1, 8)),  # (n, 64, 2, time)
        nn.MaxPool2d(2),  # (n, 64, 1, time / 2)
        _same(64, 64, (1, 4)),
        _same(64, 128, (1, 8)),
        nn.Dropout(0.4),
        _same(128, 128, (1, 8)),
        nn.Dropout(0.4),
        nn.Flatten(),
        _dense(128 * (samples // 2), 128, nn.ReLU(), nn.Dropout(0.4), GaussianNoise(1)),
    ), 128


def mcnet(samples: int) -> tuple[nn.Module, int]:
    """Blocks of small asymmetric convolutions, each with a shortcut (Huynh-The et al., IEEE Commun. Lett. 2020)."""
    if samples < 128 or samples % 128:
        raise _unfit("mcnet", "of a multiple of 128 samples", samples)
    halve, wide = (1, 2), (1, 3)
    pooled = nn.Sequential(
        _same(64, 32, (3, 1)), nn.AvgPool2d(wide, halve, ceil_mode=True)
    )  # means over what is within the map
    shortcut = nn.Sequential(_same(64, 128, (1, 1), halve), _max_pool(wide, halve))
    return _network(
        nn.Unflatten(1, (1, 2)),
        _same(1, 64, (3, 7), halve),
        _max_pool(wide, halve),  # (n, 64, 2, time / 4)
        Cat([pooled, _same(64, 32, wide, halve)]),  # (n, 64, 2, time / 8)
        Sum(
            [nn.Sequential(_max_pool(wide, halve), _m_block(64, 2)), shortcut]
        ),  # (n, 128, 2, time / 32)
        Sum([_m_block(128), nn.Identity()]),
        Sum([_m_block(128, 2), _max_pool((2, 2), halve)]),  # (n, 128, 2, time / 64)
        Sum([_m_block(128), nn.Identity()]),
        Sum([_m_block(128, 2), _max_pool((2, 2), halve)]),  # (n, 128, 2, time / 128)
        Cat([_m_block(128, widths=(64, 96, 96)), nn.Identity()]),  # (n, 384, 2, time / 128)
        nn.AvgPool2d((2, samples // 128)),
        nn.Flatten(),
        nn.Dropout(0.5),
    ), 384


def resnet_amr(samples: int) -> tuple[nn.Module, int]:
    """AMR-Benchmark's ResNet, after Liu et al. (Asilomar 2017): its shortcut adds the frame itself to all 256 maps."""
    _at_least(1, samples, "resnet_amr")
    filters = nn.Sequential(_same(1, 256, (1, 3)), _zeros((2, 3)), nn.Conv2d(256, 256, (2, 3)))
    return _network(
        nn.Unflatten(1, (1, 2)),
        Sum([filters, nn.Identity()]),  # (n, 256, 2, time) + (n, 1, 2, time)
        nn.ReLU(),
        _same(256, 80, (1, 3)),
        _same(80, 80, (1, 3)),
        nn.Dropout(0.6),
        nn.Flatten(),
        _dense(80 * 2 * samples, 128, nn.ReLU(), nn.Dropout(0.6)),
    ), 128


def lstm2(samples: int) -> tuple[nn.Module, int]:
    """Two LSTM layers over amplitude and phase (Rajendran et al., IEEE Trans. Cogn. Commun. Netw. 2018)."""
    _at_least(1, samples, "lstm2")
    return _network(Polar(), Last(nn.LSTM(2, 128, num_layers=2, batch_first=True))), 128


def resnet_oshea(samples: int) -> tuple[nn.Module, int]:
    """Residual stacks, each halving the time, down to 16 steps (O'Shea, Roy and Clancy, IEEE J. Sel. Topics Signal Process. 2018).

    For 1024 samples and 24 classes that is 165,144 parameters with the kernels of 3 that stand here, and would be 214,296
    with 5; the 236,344 quoted elsewhere are not reproduced.
    """
    stacks = _halvings_to_16(samples, "resnet_oshea")
    return _network(
        _stack(2),
        *(_stack(32) for _ in range(stacks - 1)),  # (n, 32, 16)
        nn.Flatten(),
        _dense(512, 128, nn.SELU(), nn.AlphaDropout(_OWN_DROPOUT)),
        _dense(128, 128, nn.SELU(), nn.AlphaDropout(_OWN_DROPOUT)),
    ), 128


def moe(samples: int) -> tuple[nn.Module, int]:
    """Inspired by MoE-AMC (arXiv:2312.02298, 2023), not a copy: no more than its abstract was at hand.

    From it come the pair of experts, a Transformer for low SNR and a ResNet for high SNR, and the gate that mixes them;
    all sizes are ours. Nothing tells the experts the SNR: the gate learns from the loss alone whom to trust.
    """
    _halvings_to_16(samples, "moe")
    gate = nn.Sequential(
        nn.Conv1d(2, 16, 8, stride=4),
        nn.ReLU(),
        nn.Conv1d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        _dense(32, 2, nn.Softmax(1)),
    )
    resnet, width = resnet_oshea(samples)
    return _network(Mixture(gate, [Transformer(samples, width), resnet])), width


class Cat(nn.ModuleList):
    """The outputs of all modules for the same input, side by side along `dim`."""

    def __init__(self, modules: list[nn.Module], dim: int = 1):
        super().__init__(modules)
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([module(x) for module in self], self.dim)


class Sum(nn.ModuleList):
    """The sum of the outputs of all modules for the same input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(module(x) for module in self)


class Last(nn.Module):
    """What a recurrent layer says at the last step: (n, features, time) -> (n, hidden), or with the steps along another axis."""

    def __init__(self, layer: nn.RNNBase, time: int = 2):
        super().__init__()
        self.layer = layer
        self.time = time

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.layer(x.movedim(self.time, 1))
        return steps[:, -1]


class GaussianDropout(nn.Module):
    """In training, multiplies by normal numbers of mean 1 and variance rate / (1 - rate) (Srivastava et al., JMLR 2014, section 10)."""

    def __init__(self, rate: float):
        super().__init__()
        self.std = math.sqrt(rate / (1 - rate))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + self.std * torch.randn_like(x)) if self.training else x


class GaussianNoise(nn.Module):
    """In training, adds normal numbers of mean 0."""

    def __init__(self, std: float):
        super().__init__()
        self.std = std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x


class Causal(nn.Module):
    """Filters of I and filters of Q, none of which sees a later sample: (n, 2, time) -> (n, filters, 2, time), with ReLU."""

    def __init__(self, filters: int, taps: int):
        super().__init__()
        self.past = nn.ZeroPad1d((taps - 1, 0))
        self.filters = nn.ModuleList(nn.Conv1d(1, filters, taps) for _ in "IQ")

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        rows = self.past(frames).split(1, dim=1)  # two of (n, 1, taps - 1 + time)
        return torch.stack(
            [conv(row) for conv, row in zip(self.filters, rows, strict=True)], dim=2
        ).relu()


class Derotation(nn.Module):
    """The frame turned back by the angle that a linear layer reads off it."""

    def __init__(self, samples: int):
        super().__init__()
        self.angle = nn.Linear(2 * samples, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return derotated(frames, self.angle(frames.flatten(1)).squeeze(1))


def derotated(frames: torch.Tensor, phi_rad: torch.Tensor) -> torch.Tensor:
    """exp(-j phi) x for frames x (n, 2, time) and `phi_rad` (n,): I cos + Q sin, Q cos - I sin. A positive phi turns clockwise."""
    i, q = frames.unbind(1)
    cos, sin = phi_rad.cos()[:, None], phi_rad.sin()[:, None]
    return torch.stack([i * cos + q * sin, q * cos - i * sin], dim=1)


class Polar(nn.Module):
    """Amplitude, whose squares sum to 1 over the frame, and phase / pi in -1 to 1: (n, 2, time) -> (n, 2, time)."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        iq = torch.complex(
            *frames.unbind(1)
        )  # whose modulus and angle, unlike hypot and atan2, have a gradient at 0
        return torch.stack([functional.normalize(iq.abs(), dim=1), iq.angle() / math.pi], dim=1)


class Transformer(nn.Module):
    """Tokens of 8 samples that attend to each other, averaged over time, where noise cancels: (n, 2, samples) -> (n, width)."""

    def __init__(self, samples: int, width: int, channels: int = 64):
        super().__init__()
        self.tokens = nn.Conv1d(2, channels, 8, stride=8)
        self.positions = nn.Parameter(0.02 * torch.randn(samples // 8, channels))
        layer = nn.TransformerEncoderLayer(
            channels,
            4,
            dim_feedforward=2 * channels,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, 2, nn.LayerNorm(channels), enable_nested_tensor=False
        )
        self.out = _dense(channels, width, nn.SELU(), nn.AlphaDropout(_OWN_DROPOUT))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(frames).movedim(2, 1) + self.positions  # (n, samples / 8, channels)
        return self.out(self.encoder(tokens).mean(1))


class Mixture(nn.Module):
    """Features of all experts, weighted by a gate's (n, experts) of sum 1; a linear head then mixes their logits likewise."""

    def __init__(self, gate: nn.Module, experts: list[nn.Module]):
        super().__init__()
        self.gate = gate
        self.experts = nn.ModuleList(experts)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        features = torch.stack(
            [expert(frames) for expert in self.experts], dim=1
        )  # (n, experts, width)
        return (self.gate(frames).unsqueeze(2) * features).sum(1)


def _network(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers).apply(_start)


def _start(layer: nn.Module) -> None:
    """Keras' defaults: Glorot uniform, biases 0; recurrent weights orthogonal, the bias of an LSTM's forget gate 1."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.RNNBase):
        for name, parameter in layer.named_parameters():
            start = (
                nn.init.zeros_
                if "bias" in name
                else nn.init.orthogonal_
                if "_hh_" in name
                else nn.init.xavier_uniform_
            )
            start(parameter)
            if isinstance(layer, nn.LSTM) and "bias_ih" in name:
                nn.init.ones_(
                    parameter[layer.hidden_size : 2 * layer.hidden_size]
                )  # gates are input, forget, cell, output


def _dense(inputs: int, outputs: int, *then: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), *then)


def _valid(channels: int, filters: int, kernel: Pair, stride: Pair = (1, 1)) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, filters, kernel, stride), nn.ReLU())


def _same(channels: int, filters: int, kernel: Pair, stride: Pair = (1, 1)) -> nn.Sequential:
    return nn.Sequential(_zeros(kernel, stride), *_valid(channels, filters, kernel, stride))


def _max_pool(kernel: Pair, stride: Pair) -> nn.Sequential:
    """Of maps without negative values, among which the zeros around them win no maximum."""
    return nn.Sequential(_zeros(kernel, stride), nn.MaxPool2d(kernel, stride))


def _zeros(kernel: Pair, stride: Pair = (1, 1)) -> nn.ZeroPad2d:
    """TensorFlow's `same` padding of maps whose sides are multiples of the stride: of an odd number of zeros, one more right or below."""
    rows, columns = (max(taps - step, 0) for taps, step in zip(kernel, stride, strict=True))
    return nn.ZeroPad2d((columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _m_block(
    channels: int, step: int = 1, widths: tuple[int, int, int] = (32, 48, 48)
) -> nn.Sequential:
    """MCNet's block of three branches: (n, channels, 2, time) -> (n, sum(widths), 2, time / step)."""
    point, column, row = widths
    across = nn.Sequential(
        _same(32, column, (3, 1)), *([_max_pool((1, 3), (1, step))] if step > 1 else [])
    )
    branches = [_same(32, point, (1, 1), (1, step)), across, _same(32, row, (1, 3), (1, step))]
    return nn.Sequential(_same(channels, 32, (1, 1)), Cat(branches))


def _stack(channels: int) -> nn.Sequential:
    """O'Shea's residual stack: (n, channels, time) -> (n, 32, time / 2)."""
    return nn.Sequential(nn.Conv1d(channels, 32, 1), _residual(), _residual(), nn.MaxPool1d(2))


def _residual() -> nn.Sequential:
    filters = nn.Sequential(
        nn.Conv1d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 32, 3, padding=1)
    )
    return nn.Sequential(Sum([filters, nn.Identity()]), nn.ReLU())


def _at_least(least: int, samples: int, name: str) -> None:
    if samples < least:
        raise _unfit(name, f"of {least} or more samples", samples)


def _halvings_to_16(samples: int, name: str) -> int:
    halvings = int(samples).bit_length() - 5
    if halvings < 1 or samples != 16 << halvings:
        raise _unfit(name, "of 32, 64, 128, 256, ... samples", samples)
    return halvings


def _unfit(name: str, allowed: str, samples: int) -> ValueError:
    return ValueError(
        f"{name} takes frames {allowed}, not {samples}; set train.model to another, such as lstm2, or take other frames"
    )


BASELINES: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    build.__name__: build
    for build in (mcldnn, pet_cgdnn, cgdnet, ic_amcnet, mcnet, resnet_amr, lstm2, resnet_oshea, moe)
}
"""Name -> builder, which takes the samples of a frame, returns (backbone, width of its features) and raises ValueError
when the network cannot take frames of that length."""
