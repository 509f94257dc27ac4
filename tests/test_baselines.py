"""Baselines on raw IQ: sizes to the unit, what reaches the heads, and the physics and arithmetic
within.
"""

import math
from functools import cache

import pytest
import torch
from torch import nn
from torch.nn import functional

from pisces import models
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture, layers, modelfile
from pisces.models.baselines import BASELINES
from pisces.models.branches import PlainBranches
from pisces.models.joint import JointModel
from pisces.models.layers import (
    Causal,
    Derotation,
    GaussianDropout,
    GaussianNoise,
    Last,
    Mixture,
    Polar,
)
from pisces.models.modelfile import TrainedModel
from pisces.models.rotary import Rotary, RotaryAttention

EPS = torch.finfo(torch.float32).eps
SURE = ("pet_cgdnn", "lstm2")  # no chance in their training
MIXTURES = ("moe", "moeformer")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other by spinning make these small models ten times slower on a
    busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        yield


@cache
def built(name: str, samples: int = 128) -> nn.Module:
    """In eval mode, for tests that read it only."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return BASELINES[name](samples)[0].eval()


def architecture(name: str) -> Architecture:
    return Architecture(name, "plain", "standard")


def noise(n: int, samples: int = 128, seed: int = 1) -> torch.Tensor:
    """Frames (n, 2, samples) over their RMS."""
    frames = torch.randn(n, 2, samples, generator=torch.Generator().manual_seed(seed))
    return frames / frames.square().mean((1, 2), keepdim=True).sqrt()


def rotated(frames: torch.Tensor, phi_rad: torch.Tensor) -> torch.Tensor:
    """exp(j phi) x in complex arithmetic, `phi_rad` (n, 1)."""
    iq = torch.complex(*frames.unbind(1)) * torch.exp(1j * phi_rad)
    return torch.stack([iq.real, iq.imag], dim=1)


@pytest.mark.parametrize(
    ("name", "short", "long"),
    [
        ("mcldnn", 406_199, 407_876),
        ("pet_cgdnn", 71_871, 75_340),
        ("cgdnet", 124_933, 665_874),
        ("ic_amcnet", 1_264_011, 8_605_720),
        ("mcnet", 121_611, 126_616),
        ("resnet_amr", 3_098_283, 21_450_040),
        (
            "lstm2",
            4 * 128 * (2 + 128 + 2) + 4 * 128 * (128 + 128 + 2) + 129 * 11,
            199_680 + 129 * 24,
        ),
        ("resnet_oshea", 123_051, 165_144),
        ("moe", 202_973, 252_234),
        ("moeformer", 236_382, 238_059),  # published: 237,270
    ],
)
def test_parameters_with_a_modulation_head(name, short, long):
    for samples, modulations, parameters in ((128, 11, short), (1024, 24, long)):
        with torch.device("meta"):
            backbone, width = BASELINES[name](samples)
            model = nn.Sequential(backbone, nn.Linear(width, modulations))
        assert sum(p.numel() for p in model.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize("samples", [128, 1024])
@pytest.mark.parametrize("name", BASELINES)
def test_features_have_the_width_that_the_builder_returns(name, samples):
    backbone, width = BASELINES[name](samples)
    assert backbone(noise(2, samples)).shape == (2, width)


@pytest.mark.parametrize("name", BASELINES)
def test_every_parameter_learns_from_the_two_tasks_together(name):
    backbone, width = BASELINES[name](128)
    model = JointModel(backbone, PlainBranches(), nn.Linear(width, 11), nn.Linear(width, 5))
    assert backbone(noise(2)).dtype == torch.float32
    sum(
        functional.cross_entropy(scores, torch.arange(6) % 5) for scores in model(noise(6))
    ).backward()
    assert all(
        p.grad is not None and p.grad.any() and p.grad.isfinite().all() for p in model.parameters()
    )


@pytest.mark.parametrize("name", BASELINES)
def test_every_number_of_a_frame_reaches_the_features(name):
    frames = noise(8).requires_grad_()
    (gradient,) = torch.autograd.grad(built(name)(frames).square().sum(), frames)
    assert gradient.any(0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_samples_set_to_zero_leave_finite_features_and_gradients(name):
    frames = noise(3)
    frames[0], frames[1, :, ::2] = 0, 0
    features = built(name)(frames.requires_grad_())
    (gradient,) = torch.autograd.grad(features.square().sum(), frames)
    assert features.isfinite().all()
    assert gradient.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("name", BASELINES)
def test_predictions_of_a_trained_model_do_not_depend_on_chance(name):
    model = BASELINES[name](128)[0]
    assert torch.equal(model(noise(2)), model(noise(2))) == (name in SURE)
    model.eval()
    assert torch.equal(model(noise(2)), model(noise(2)))


@pytest.mark.parametrize(
    ("name", "least", "refused", "allowed"),
    [
        ("mcldnn", 5, 4, "of 5 or more samples"),
        ("pet_cgdnn", 12, 11, "of 12 or more samples"),
        ("cgdnet", 16, 15, "of 16 or more samples"),
        ("ic_amcnet", 2, 1, "of 2 or more samples"),
        ("mcnet", 128, 192, "of a multiple of 128 samples"),
        ("mcnet", 384, 0, "of a multiple of 128 samples"),
        ("resnet_amr", 1, 0, "of 1 or more samples"),
        ("lstm2", 1, 0, "of 1 or more samples"),
        ("resnet_oshea", 32, 16, "of 32, 64, 128, 256, ... samples"),
        ("resnet_oshea", 64, 96, "of 32, 64, 128, 256, ... samples"),
        ("moe", 32, 100, "of 32, 64, 128, 256, ... samples"),
        ("moeformer", 32, 80, "of a multiple of 32 samples"),
        ("moeformer", 96, 0, "of a multiple of 32 samples"),
    ],
)
def test_frames_of_a_wrong_length(name, least, refused, allowed):
    backbone, width = BASELINES[name](least)
    assert backbone.eval()(noise(2, least)).shape == (2, width)
    with pytest.raises(
        ValueError,
        match=f"^{name} takes frames {allowed}, not {refused}; set train.model to another",
    ):
        BASELINES[name](refused)


@torch.no_grad()
def test_causal_filters_see_eight_samples_of_their_own_row_and_none_to_come():
    causal, frames = Causal(50, 8), noise(2)
    for moment, row in ((0, 0), (70, 1), (125, 0)):
        changed = frames.clone()
        changed[:, row, moment] += 10
        differs = (causal(changed) != causal(frames)).any(1).any(0)  # (2, time)
        assert differs[row].nonzero().squeeze(1).tolist() == list(
            range(moment, min(moment + 8, 128))
        )
        assert not differs[1 - row].any()


def test_mcldnn_filters_each_row_alone_in_causal_filters():
    (causal,) = (layer for layer in built("mcldnn").modules() if isinstance(layer, Causal))
    assert [tuple(conv.weight.shape) for conv in causal.filters] == [(50, 1, 8)] * 2


@pytest.mark.parametrize(
    ("kernel", "stride", "tap", "ahead"),
    [
        ((1, 8), (1, 1), (0, 0), (0, -3)),
        ((1, 8), (1, 1), (0, 7), (0, 4)),
        ((2, 8), (1, 1), (1, 3), (1, 0)),
        ((2, 3), (1, 1), (0, 1), (0, 0)),
        ((3, 1), (1, 1), (0, 0), (-1, 0)),
        ((1, 3), (1, 2), (0, 0), (0, 0)),
        ((1, 3), (1, 2), (0, 2), (0, 2)),
        ((3, 7), (1, 2), (1, 0), (0, -2)),
        ((1, 1), (1, 2), (0, 0), (0, 0)),
    ],
)
@torch.no_grad()
def test_same_padding_puts_the_odd_zero_right_or_below(kernel, stride, tap, ahead):
    """TensorFlow's rule: of the zeros needed, half of them, rounded down, come before.

    One tap of 1 then shows which sample it reads.
    """
    layer = layers.same(1, 1, kernel, stride)
    nn.init.zeros_(layer[1].weight), nn.init.zeros_(layer[1].bias)
    layer[1].weight[0, 0, tap[0], tap[1]] = 1
    image = 1 + torch.arange(64.0).reshape(1, 1, 2, 32)
    row, column = torch.meshgrid(
        torch.arange(0, 2, stride[0]) + ahead[0],
        torch.arange(0, 32, stride[1]) + ahead[1],
        indexing="ij",
    )
    inside = (row >= 0) & (row < 2) & (column >= 0) & (column < 32)
    assert torch.equal(layer(image)[0, 0], torch.where(inside, 1.0 + 32 * row + column, 0.0))


def test_pools_of_mcnet_take_nothing_from_beyond_the_map():
    (mean,) = (
        layer
        for layer in built("mcnet").modules()
        if isinstance(layer, nn.AvgPool2d) and layer.kernel_size == (1, 3)
    )
    assert torch.equal(mean(torch.ones(1, 1, 2, 32)), torch.ones(1, 1, 2, 16))
    rising = torch.arange(32.0).expand(1, 1, 2, 32)
    assert torch.equal(
        layers.max_pool((1, 3), (1, 2))(rising)[0, 0, 0], torch.tensor([*range(2, 32, 2), 31.0])
    )


def test_the_steps_of_cgdnet_are_its_filters():
    seen = {}
    gru = next(layer for layer in built("cgdnet").modules() if isinstance(layer, nn.GRU))
    with gru.register_forward_pre_hook(lambda _, inputs: seen.update(shape=inputs[0].shape)):
        built("cgdnet")(noise(3))
    assert seen["shape"] == (3, 50, 2 * (2 * 128 - 20))


@torch.no_grad()
def test_a_recurrent_layer_returns_its_last_state():
    layer, x = nn.LSTM(3, 5, num_layers=2, batch_first=True), torch.randn(4, 3, 7)
    _, (hidden, _) = layer(x.movedim(2, 1))
    torch.testing.assert_close(Last(layer)(x), hidden[-1], rtol=4 * EPS, atol=4 * EPS)
    assert torch.equal(Last(layer, time=1)(x.movedim(1, 2)), Last(layer)(x))


@torch.no_grad()
def test_a_known_phase_is_turned_back():
    frames, phi_rad = noise(9), torch.linspace(-math.pi, 2 * math.pi, 9)
    # Each number is a sum of two products of numbers below 6, each rounded, as is the angle.
    torch.testing.assert_close(
        layers.derotated(rotated(frames, phi_rad[:, None]), phi_rad),
        frames,
        rtol=0,
        atol=60 * EPS,
    )
    assert (layers.derotated(frames, phi_rad) - frames)[4].abs().max() > 0.1


@torch.no_grad()
def test_the_layer_of_one_angle_turns_the_frame_by_it():
    layer, frames = Derotation(128), noise(4)
    nn.init.zeros_(layer.angle.weight), nn.init.constant_(layer.angle.bias, 0.7)
    torch.testing.assert_close(
        layer(rotated(frames, torch.full((4, 1), 0.7))), frames, rtol=0, atol=60 * EPS
    )
    layer.angle.weight[0, 3] = 1  # of I at sample 3
    torch.testing.assert_close(
        layer(frames), rotated(frames, -0.7 - frames[:, 0, 3:4]), rtol=0, atol=60 * EPS
    )


def test_amplitude_and_phase():
    amplitude, phase = Polar()(torch.tensor([[[3.0, 0.0, 0.0, -12.0], [4.0, 0.0, -84.0, 0.0]]]))[0]
    torch.testing.assert_close(
        amplitude, torch.tensor([5.0, 0.0, 84.0, 12.0]) / 85, rtol=4 * EPS, atol=0
    )
    torch.testing.assert_close(
        phase, torch.tensor([math.atan2(4, 3) / math.pi, 0, -0.5, 1]), rtol=4 * EPS, atol=0
    )


def test_amplitude_and_phase_are_blind_to_gain_and_shift_with_a_rotation():
    frames, phi_rad = noise(5), torch.linspace(0.3, 3, 5)[:, None]
    before, louder, turned = (Polar()(x) for x in (frames, 4 * frames, rotated(frames, phi_rad)))
    assert torch.equal(before, louder)  # 4 is a power of two
    torch.testing.assert_close(turned[:, 0], before[:, 0], rtol=8 * EPS, atol=0)
    shift = (turned[:, 1] - before[:, 1]) % 2
    torch.testing.assert_close(shift, (phi_rad / math.pi).expand(5, 128), rtol=0, atol=16 * EPS)


def test_features_of_lstm2_are_blind_to_gain():
    model = built("lstm2")
    assert torch.equal(model(noise(4)), model(noise(4) / 8))
    assert not torch.equal(model(noise(4)), model(rotated(noise(4), torch.ones(4, 1))))


@torch.no_grad()
@pytest.mark.parametrize("name", MIXTURES)
def test_logits_of_the_mixture_are_those_of_the_experts_weighted_by_the_gate(name):
    (mixture,) = built(name)
    assert isinstance(mixture, Mixture)
    frames, head = noise(6), nn.Linear(128, 11)
    weights = mixture.gate(frames)
    torch.testing.assert_close(weights.sum(1), torch.ones(6), rtol=0, atol=2 * EPS)
    assert (weights > 0).all()
    assert weights.std(0).min() > 1e-3
    logits = torch.stack([head(expert(frames)) for expert in mixture.experts], dim=1)
    assert logits.std(1).max() > 0.1
    torch.testing.assert_close(
        head(mixture(frames)), (weights[:, :, None] * logits).sum(1), rtol=0, atol=128 * EPS
    )


@torch.no_grad()
@pytest.mark.parametrize(("name", "trusted"), [("moe", k) for k in range(2)] + [("moeformer", 2)])
def test_a_gate_that_trusts_one_expert_gives_its_features(name, trusted):
    (mixture,) = BASELINES[name](32)[0].eval()
    last = mixture.gate[-1][0]
    nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
    last.bias[trusted] = 1e4
    torch.testing.assert_close(
        mixture(noise(3, 32)), mixture.experts[trusted](noise(3, 32)), rtol=0, atol=0
    )


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize("name", MIXTURES)
def test_each_task_alone_teaches_the_gate_and_every_expert(name, task):
    model = models.build(architecture(name), (2, 128), 11, (-10, 0, 10))
    scores = model(noise(6))[task]
    functional.cross_entropy(scores, torch.arange(6) % 3).backward()
    (mixture,) = model.backbone
    for part in (mixture.gate, *mixture.experts):
        assert all(p.grad is not None and p.grad.any() for p in part.parameters())


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_memorises_eight_frames(name):
    model = models.build(architecture(name), (2, 64), 4, (0, 10))
    frames, modulation, snr = noise(8, 64), torch.arange(8) % 4, torch.arange(8) // 4
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        logits, scores = model(frames)
        loss = functional.cross_entropy(logits, modulation)
        loss = loss + functional.cross_entropy(scores, snr)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits, scores = model.eval()(frames)
    assert torch.equal(logits.argmax(1), modulation)
    assert torch.equal(scores.argmax(1), snr)


@torch.no_grad()
@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_comes_back_from_its_file(tmp_path, name):
    built_as = architecture(name)
    model = models.build(built_as, (2, 64), 2, (0, 10)).eval()
    seen = Waveform(64)
    modelfile.save(tmp_path, TrainedModel(model, built_as, seen, ("BPSK", "QPSK"), (0, 10)))
    loaded = modelfile.load(tmp_path).model
    for before, after in zip(model(noise(3, 64)), loaded(noise(3, 64)), strict=True):
        assert torch.equal(before, after)


@torch.no_grad()
def test_experts_of_moeformer_see_the_frame_at_three_rates():
    """Of neighbours that cancel, a mean keeps nothing; of those that repeat, all."""
    (mixture,) = built("moeformer")
    frames = noise(3)
    cancels_in_two = torch.tensor([1.0, -1.0]).repeat(64)
    cancels_in_four = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(32)
    for added, blind in (
        (cancels_in_two, [False, True, True]),
        (cancels_in_four, [False, False, True]),
    ):
        change = [
            (expert(frames + added) - expert(frames)).abs().max().item()
            for expert in mixture.experts
        ]
        # The sums are rounded, and the layers carry it on; what is seen moves features by tenths.
        assert [size < 1e-4 for size in change] == blind
        assert all(size > 1e-2 for size, hidden in zip(change, blind, strict=True) if not hidden)


@torch.no_grad()
def test_rotated_scores_depend_on_the_distance_of_two_tokens_alone():
    rotary = Rotary(tokens=12, width=8)
    query, key = torch.randn(2, 8)
    queries, keys = (rotary(x.expand(1, 1, 12, 8))[0, 0] for x in (query, key))
    scores = queries @ keys.T  # (12, 12)
    for distance in range(-11, 12):
        diagonal = scores.diagonal(distance)
        # Eight products of numbers below 4, with cosines that are each rounded.
        torch.testing.assert_close(
            diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=8 * 16 * 12 * EPS
        )
    assert scores[0].std() > 0.1
    torch.testing.assert_close(scores[0, 0], query @ key, rtol=0, atol=8 * 16 * EPS)


@torch.no_grad()
def test_the_first_pair_turns_by_one_radian_a_token():
    rotary = Rotary(tokens=5, width=4)
    turned = rotary(torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 1, 5, 4))[0, 0]
    angles_rad = torch.atan2(turned[:, 2], turned[:, 0])  # of the pair of numbers 0 and 2
    expected = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0 - 2 * math.pi])
    torch.testing.assert_close(angles_rad, expected, rtol=0, atol=16 * EPS)
    assert not turned[:, [1, 3]].any()


@torch.no_grad()
def test_attention_is_that_of_torch_on_rotated_queries_and_keys():
    attention, tokens = RotaryAttention(6, 32).eval(), torch.randn(2, 6, 32)
    parts = attention.queries_keys_values(tokens).chunk(3, dim=2)
    queries, keys, values = (part.unflatten(2, (4, 8)).movedim(2, 1) for part in parts)
    rotary = Rotary(tokens=6, width=8)
    expected = functional.scaled_dot_product_attention(rotary(queries), rotary(keys), values)
    # Sums of 32 products of numbers below 4.
    torch.testing.assert_close(
        attention(tokens), attention.out(expected.movedim(1, 2).flatten(2)), rtol=0, atol=512 * EPS
    )


@torch.no_grad()
def test_attention_knows_the_order_of_tokens():
    """Without positions the mean over tokens would be that of the tokens in reverse."""
    attention, tokens = RotaryAttention(6, 32).eval(), torch.randn(2, 6, 32)
    forward, backward = attention(tokens).mean(1), attention(tokens.flip(1)).mean(1)
    assert (forward - backward).abs().max() > 1e-3


@torch.no_grad()
def test_gaussian_dropout_multiplies_by_normal_numbers_of_mean_one():
    n, layer = 10**6, GaussianDropout(0.2)
    factors = layer(torch.full((n,), 3.0)) / 3
    variance = 0.2 / 0.8
    # Five standard errors: of the mean sigma / sqrt(n), of the variance sigma^2 sqrt(2 / n).
    assert factors.mean().item() == pytest.approx(1, abs=5 * (variance / n) ** 0.5)
    assert factors.var().item() == pytest.approx(variance, rel=5 * (2 / n) ** 0.5)
    assert not layer(torch.zeros(9)).any()
    assert torch.equal(layer.eval()(noise(1)), noise(1))


@torch.no_grad()
def test_gaussian_noise_is_added():
    n, layer = 10**6, GaussianNoise(1)
    added = layer(torch.full((n,), 3.0)) - 3
    assert added.mean().item() == pytest.approx(0, abs=5 / n**0.5)
    assert added.var().item() == pytest.approx(1, rel=5 * (2 / n) ** 0.5)
    assert torch.equal(layer.eval()(noise(1)), noise(1))


@pytest.mark.parametrize(
    ("name", "layer", "limit"),
    [
        ("mcldnn", "1.0", (6 / (100 * 10 + 100 * 10)) ** 0.5),  # Glorot: 6 over fan-in and fan-out
        ("pet_cgdnn", "3.0", (6 / (75 * 5 + 25 * 5)) ** 0.5),
        ("cgdnet", "1.0.0", (3 / 6) ** 0.5),  # LeCun: 3 over fan-in
        ("ic_amcnet", "9.0", (6 / (128 * 64 + 128)) ** 0.5),
    ],
)
def test_weights_start_uniform_within_the_limit_of_their_rule(name, layer, limit):
    start = built(name).get_submodule(layer)
    assert not start.bias.any()
    # The largest of n uniform numbers stays below the limit by a share over k / n with probability
    # exp(-k).
    assert (1 - 20 / start.weight.numel()) * limit < start.weight.abs().max().item() <= limit


def test_he_start_of_cgdnet():
    weight = built("cgdnet")[-1][0].weight  # (256, 50)
    assert weight.std().item() == pytest.approx(
        (2 / 50) ** 0.5, rel=5 / (2 * weight.numel()) ** 0.5
    )


@pytest.mark.parametrize("name", ["mcldnn", "lstm2", "pet_cgdnn", "cgdnet"])
def test_recurrent_layers_start_orthogonal_and_remembering(name):
    layer = next(part for part in built(name).modules() if isinstance(part, nn.RNNBase))
    size = layer.hidden_size
    torch.testing.assert_close(
        layer.weight_hh_l0.T @ layer.weight_hh_l0, torch.eye(size), rtol=0, atol=size * EPS
    )
    # LSTM: input, forget, cell, output
    biases = (layer.bias_ih_l0 + layer.bias_hh_l0).reshape(-1, size)
    assert biases.mean(1).tolist() == ([0, 1, 0, 0] if isinstance(layer, nn.LSTM) else [0, 0, 0])
    assert not biases.std(1).any()


def test_weights_are_those_of_the_current_generator():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(
            torch.cat(
                [
                    p.detach().flatten()
                    for name in BASELINES
                    for p in BASELINES[name](128)[0].parameters()
                ]
            )
        )
    assert torch.equal(states[0], states[1])
    assert (states[0] != states[2]).float().mean() > 0.9
