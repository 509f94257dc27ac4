"""Baselines of the field on raw IQ.

Frames are float32 (n, 2, samples), I then Q, over their RMS; features are (n, width). Each baseline
is the published network up to its last dense layer; `moe` and `moeformer` follow the idea of their
papers alone. The first six are laid out as in AMR-Benchmark, whose Keras code
(github.com/Richardzhangxx/AMR-Benchmark) has as many parameters. Maps are (n, channels, rows,
time), the rows I and Q. Weights start as Keras' do, with the exceptions noted.
"""

from collections.abc import Callable

from torch import nn

from pisces.models.layers import (
    OWN_DROPOUT,
    Cat,
    Causal,
    Derotation,
    GaussianDropout,
    GaussianNoise,
    Last,
    Mixture,
    Polar,
    Sum,
    Transformer,
    dense,
    m_block,
    max_pool,
    network,
    same,
    stack,
    valid,
    zeros,
)
from pisces.models.rotary import RotaryTransformer


def mcldnn(samples: int) -> tuple[nn.Module, int]:
    """Spatial and temporal features of I and Q together and of each alone.

    Xu et al., IEEE Wireless Commun. Lett. 2020.
    """
    _at_least(5, samples, "mcldnn")
    # Both (n, 2, time) -> (n, 50, 2, time)
    together = nn.Sequential(nn.Unflatten(1, (1, 2)), same(1, 50, (2, 8)))
    apart = nn.Sequential(Causal(50, 8), same(50, 50, (1, 8)))

    return network(
        Cat([together, apart]),  # (n, 100, 2, time)
        valid(100, 100, (2, 5)),  # (n, 100, 1, time - 4)
        nn.Flatten(2),
        Last(nn.LSTM(100, 128, num_layers=2, batch_first=True)),  # (n, 128)
        dense(128, 128, nn.SELU(), nn.Dropout(0.5)),
        dense(128, 128, nn.SELU(), nn.Dropout(0.5)),
    ), 128


def pet_cgdnn(samples: int) -> tuple[nn.Module, int]:
    """The frame turned back by an estimated phase, convolutions and a GRU.

    Zhang et al., IEEE Commun. Lett. 2021.
    """
    _at_least(12, samples, "pet_cgdnn")
    return network(
        Derotation(samples),
        nn.Unflatten(1, (1, 2)),  # (n, 1, 2, time)
        valid(1, 75, (2, 8)),  # (n, 75, 1, time - 7)
        valid(75, 25, (1, 5)),  # (n, 25, 1, time - 11)
        nn.Flatten(2),
        Last(nn.GRU(25, 128, batch_first=True)),
    ), 128


def cgdnet(samples: int) -> tuple[nn.Module, int]:
    """Convolutions with a skip along time, and a GRU (Njoku et al., IEEE Netw. Lett. 2021).

    The steps of the GRU are the 50 filters and its features rows x time, as AMR-Benchmark's code
    has it.
    """
    _at_least(16, samples, "cgdnet")

    def block(channels: int) -> nn.Sequential:  # (n, channels, 2, time) -> (n, 50, 2, time - 5)
        pool = max_pool((2, 2), (1, 1))
        return nn.Sequential(valid(channels, 50, (1, 6)), pool, GaussianDropout(0.2))

    first = block(1)
    hidden = dense(50, 256, nn.ReLU(), GaussianDropout(0.2))
    skipped = 2 * samples - 20  # time - 5 of the first block beside time - 15 of all three
    backbone = network(
        nn.Unflatten(1, (1, 2)),
        first,
        Cat([nn.Identity(), nn.Sequential(block(50), block(50))], dim=3),  # (n, 50, 2, skipped)
        nn.Flatten(2),
        Last(nn.GRU(2 * skipped, 50, batch_first=True), time=1),
        GaussianDropout(0.2),
        hidden,
    )

    # Of both the weights come first, then the bias. Linear is LeCun's.
    nn.init.kaiming_uniform_(next(first.parameters()), nonlinearity="linear")
    nn.init.kaiming_normal_(next(hidden.parameters()), nonlinearity="relu")
    return backbone, 256


def ic_amcnet(samples: int) -> tuple[nn.Module, int]:
    """Convolutions, and noise on the last features (Hermawan et al., IEEE Commun. Lett. 2020)."""
    _at_least(2, samples, "ic_amcnet")
    return network(
        nn.Unflatten(1, (1, 2)),
        same(1, 64, (1, 8)),  # (n, 64, 2, time)
        nn.MaxPool2d(2),  # (n, 64, 1, time / 2)
        same(64, 64, (1, 4)),
        same(64, 128, (1, 8)),
        nn.Dropout(0.4),
        same(128, 128, (1, 8)),
        nn.Dropout(0.4),
        nn.Flatten(),
        dense(128 * (samples // 2), 128, nn.ReLU(), nn.Dropout(0.4), GaussianNoise(1)),
    ), 128


def mcnet(samples: int) -> tuple[nn.Module, int]:
    """Blocks of small asymmetric convolutions, each with a shortcut.

    Huynh-The et al., IEEE Commun. Lett. 2020.
    """
    if samples < 128 or samples % 128:
        raise _unfit("mcnet", "of a multiple of 128 samples", samples)
    halve, wide = (1, 2), (1, 3)

    # With ceil_mode the last mean is over what lies within the map.
    pooled = nn.Sequential(same(64, 32, (3, 1)), nn.AvgPool2d(wide, halve, ceil_mode=True))
    shortcut = nn.Sequential(same(64, 128, (1, 1), halve), max_pool(wide, halve))

    return network(
        nn.Unflatten(1, (1, 2)),
        same(1, 64, (3, 7), halve),
        max_pool(wide, halve),  # (n, 64, 2, time / 4)
        Cat([pooled, same(64, 32, wide, halve)]),  # (n, 64, 2, time / 8)
        # (n, 128, 2, time / 32)
        Sum([nn.Sequential(max_pool(wide, halve), m_block(64, 2)), shortcut]),
        Sum([m_block(128), nn.Identity()]),
        Sum([m_block(128, 2), max_pool((2, 2), halve)]),  # (n, 128, 2, time / 64)
        Sum([m_block(128), nn.Identity()]),
        Sum([m_block(128, 2), max_pool((2, 2), halve)]),  # (n, 128, 2, time / 128)
        Cat([m_block(128, widths=(64, 96, 96)), nn.Identity()]),  # (n, 384, 2, time / 128)
        nn.AvgPool2d((2, samples // 128)),
        nn.Flatten(),
        nn.Dropout(0.5),
    ), 384


def resnet_amr(samples: int) -> tuple[nn.Module, int]:
    """AMR-Benchmark's ResNet, after Liu et al. (Asilomar 2017).

    Its shortcut adds the frame itself to all 256 maps.
    """
    _at_least(1, samples, "resnet_amr")
    filters = nn.Sequential(same(1, 256, (1, 3)), zeros((2, 3)), nn.Conv2d(256, 256, (2, 3)))
    return network(
        nn.Unflatten(1, (1, 2)),
        Sum([filters, nn.Identity()]),  # (n, 256, 2, time) + (n, 1, 2, time)
        nn.ReLU(),
        same(256, 80, (1, 3)),
        same(80, 80, (1, 3)),
        nn.Dropout(0.6),
        nn.Flatten(),
        dense(80 * 2 * samples, 128, nn.ReLU(), nn.Dropout(0.6)),
    ), 128


def lstm2(samples: int) -> tuple[nn.Module, int]:
    """Two LSTM layers over amplitude and phase.

    Rajendran et al., IEEE Trans. Cogn. Commun. Netw. 2018.
    """
    _at_least(1, samples, "lstm2")
    lstm = nn.LSTM(2, 128, num_layers=2, batch_first=True)
    return network(Polar(), Last(lstm)), 128


def resnet_oshea(samples: int) -> tuple[nn.Module, int]:
    """Residual stacks, each halving the time, down to 16 steps.

    O'Shea, Roy and Clancy, IEEE J. Sel. Topics Signal Process. 2018. For 1024 samples and 24
    classes that is 165,144 parameters with the kernels of 3 here, and would be 214,296 with 5. The
    236,344 quoted elsewhere are not reproduced.
    """
    stacks = _halvings_to_16(samples, "resnet_oshea")
    return network(
        stack(2),
        *[stack(32) for _ in range(stacks - 1)],  # (n, 32, 16)
        nn.Flatten(),
        dense(512, 128, nn.SELU(), nn.AlphaDropout(OWN_DROPOUT)),
        dense(128, 128, nn.SELU(), nn.AlphaDropout(OWN_DROPOUT)),
    ), 128


def moe(samples: int) -> tuple[nn.Module, int]:
    """Two experts and a gate that mixes them, after MoE-AMC (Gao et al., arXiv:2312.02298, 2023).

    The paper is public; this network follows its abstract alone. From there come the pair of
    experts, a Transformer for low SNR and a ResNet for high SNR, and their mixture. The gate's
    form, all sizes and the training are ours: no part is conditioned on the SNR or trained on some
    SNRs first, and the gate learns from the loss alone how to weight the experts.
    """
    _halvings_to_16(samples, "moe")
    gate = _gate(experts=2)
    resnet, width = resnet_oshea(samples)
    return network(Mixture(gate, [Transformer(samples, width), resnet])), width


def moeformer(samples: int) -> tuple[nn.Module, int]:
    """Experts that see the frame at three rates, and a gate, after MoEformer.

    Wang et al., arXiv:2606.09085, 2026. The network follows the abstract: views of the frame at
    several rates, an expert for each, a gate that reads the frame, and Transformers with rotary
    positions. Ours are the rest: the rates (1, 1/2 and 1/4, by means of neighbours), the form of
    the gate, and all sizes. These are chosen for about as many parameters as published: 238,059
    for 24 classes, and 237,270 in the paper.
    """
    if samples < 32 or samples % 32:
        raise _unfit("moeformer", "of a multiple of 32 samples", samples)
    channels, width = 64, 128

    def expert(shortened: int) -> nn.Sequential:
        view = nn.AvgPool1d(shortened)  # (n, 2, samples) -> (n, 2, samples / shortened)
        transformer = RotaryTransformer(samples // shortened, channels, layers=2)
        return nn.Sequential(view, transformer, dense(channels, width, nn.GELU()))

    experts = [expert(shortened) for shortened in (1, 2, 4)]
    return network(Mixture(_gate(len(experts)), experts)), width


def _gate(experts: int) -> nn.Sequential:
    """Weights of the experts, which sum to 1: frames (n, 2, samples) -> (n, experts)."""
    return nn.Sequential(
        nn.Conv1d(2, 16, 8, stride=4),
        nn.ReLU(),
        nn.Conv1d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        dense(32, experts, nn.Softmax(1)),
    )


def _at_least(least: int, samples: int, name: str) -> None:
    if samples < least:
        raise _unfit(name, f"of {least} or more samples", samples)


def _halvings_to_16(samples: int, name: str) -> int:
    """How often a frame is halved until 16 samples are left."""
    halvings = int(samples).bit_length() - 5
    if halvings < 1 or samples != 16 << halvings:
        raise _unfit(name, "of 32, 64, 128, 256, ... samples", samples)
    return halvings


def _unfit(name: str, allowed: str, samples: int) -> ValueError:
    return ValueError(
        f"{name} takes frames {allowed}, not {samples}; "
        "set train.model to another, such as lstm2, or take other frames"
    )


BASELINES: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    build.__name__: build
    for build in (
        *(mcldnn, pet_cgdnn, cgdnet, ic_amcnet, mcnet, resnet_amr, lstm2, resnet_oshea),
        *(moe, moeformer),
    )
}
"""Name -> builder, from the samples of a frame to a backbone and the width of its features.

It raises ValueError when the network cannot take frames of that length.
"""
