"""Do control models lack what was learnt, and do only maps that ignore the model survive them?"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import ResNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import BasicBlock

from pisces.attribution import controls, sanity
from pisces.core.seeding import generator
from pisces.core.stats import rank_correlation
from pisces.inputs.drawing import Drawing
from pisces.models.branches import AttentionBranches
from pisces.models.joint import JointModel
from tests.conftest import draw, raw_only

SIZE, WIDTH = 16, 16
DRAWING = Drawing(raw_only(SIZE), draw("log_histogram"))


@pytest.fixture
def rng():
    return generator(1, "test sanity")


def resnet() -> nn.Module:
    net = ResNet(BasicBlock, [1, 1, 1, 1])
    net.conv1 = nn.Conv2d(1, 64, 3, bias=False)
    # Most weights are in the last stage, which is left out.
    net.layer4, net.fc = nn.Identity(), nn.Linear(256, WIDTH)
    return net


def vit() -> nn.Module:
    net = VisionTransformer(SIZE, 4, num_layers=2, num_heads=2, hidden_dim=WIDTH, mlp_dim=32)
    net.conv_proj, net.heads = nn.Conv2d(1, WIDTH, 4, 4), nn.Identity()
    return net


def swin() -> nn.Module:
    net = SwinTransformer([2, 2], WIDTH // 2, [1, 1], [2, 2], [2, 2])
    net.features[0][0], net.head = nn.Conv2d(1, WIDTH // 2, 2, 2), nn.Identity()
    return net


STEMS = {resnet: "backbone.conv1", vit: "backbone.conv_proj", swin: "backbone.features.0.0"}


def learnt(kind) -> nn.Module:
    """A model of that kind in which no two entries are alike, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = JointModel(
            kind(), AttentionBranches(WIDTH, 8), nn.Linear(8, 3), nn.Linear(8, 4)
        ).eval()
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(
                        tensor
                        + 0.1
                        * (
                            torch.rand_like(tensor)
                            if name.endswith("var")
                            else torch.randn_like(tensor)
                        )
                    )
    return model


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def moved(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """Share of the entries of each learnt tensor that are no longer where they were."""
    old, new = before.state_dict(), after.state_dict()
    parameters = dict(before.named_parameters())
    names = [
        name for name in old if name in parameters or name.endswith(("running_mean", "running_var"))
    ]
    return {name: float((old[name] != new[name]).float().mean()) for name in names}


# Weights made random


@pytest.mark.parametrize("kind", STEMS)
def test_at_the_end_nothing_learnt_is_left(kind, rng):
    """A permutation of k entries leaves one where it was on average, and more than 8 once in a
    million times; none of those tensors lacks a permutation, a class token, positions and bias
    tables included."""
    model = learnt(kind)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shares, copies = zip(*controls.randomised(model, 3, rng), strict=True)
    assert shares[-1] == 1
    assert shares == pytest.approx([1 / 3, 2 / 3, 1], abs=0.05)
    for name, share in moved(model, copies[-1]).items():
        size = before[name].numel()
        assert (1 - share) * size <= min(8, size / 2), name
        assert torch.equal(
            before[name].flatten().sort().values,
            copies[-1].state_dict()[name].flatten().sort().values,
        ), name
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()
    )  # the model itself stays
    own, *others = [copy(images())[0] for copy in (model, *copies)]
    assert all(not torch.allclose(own, other, atol=1e-3) for other in others)
    # The last still depends on its images: an explanation of it is no map of zeros.
    assert others[-1].std(0).min() > 1e-6


@pytest.mark.parametrize("kind", STEMS)
def test_heads_go_first_and_the_stem_last(kind, rng):
    model = learnt(kind)
    steps = [moved(model, copy) for _, copy in controls.randomised(model, 4, rng)]
    assert [step["snr_head.weight"] > 0 for step in steps] == [True] * 4
    assert [step["modulation_head.weight"] > 0 for step in steps] == [True] * 4
    assert [step[f"{STEMS[kind]}.weight"] > 0 for step in steps] == [False, False, False, True]
    for before, after in pairwise(steps):  # what is random stays, and more comes to it
        assert {name for name, share in before.items() if share} < {
            name for name, share in after.items() if share
        }


def test_running_statistics_of_a_channel_stay_together(rng):
    model = learnt(resnet)
    ((_, copy),) = controls.randomised(model, 1, rng)
    old, new = model.backbone.bn1, copy.backbone.bn1
    assert not torch.equal(old.running_mean, new.running_mean)
    pairs = [
        set(zip(norm.running_mean.tolist(), norm.running_var.tolist(), strict=True))
        for norm in (old, new)
    ]
    assert pairs[0] == pairs[1]


def test_the_end_does_not_depend_on_the_steps_but_on_the_generator():
    def last(steps: int, seed: int) -> nn.Module:
        return list(controls.randomised(learnt(vit), steps, generator(seed, "test")))[-1][1]

    assert not any(moved(last(2, 1), last(5, 1)).values())
    assert all(moved(last(2, 1), last(2, 2)).values())


def test_more_steps_than_modules():
    with pytest.raises(
        ValueError,
        match=r"3 steps are more than the 2 modules with weights; set attribute.randomised_steps",
    ):
        next(
            controls.randomised(
                nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), 3, generator(1, "test")
            )
        )


# Shuffled labels


class Plain(nn.Module):
    """Both heads straight from the pixels, behind dropout so that training draws from torch's
    generator."""

    def __init__(self, dropout: float = 0.1):
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(), nn.Linear(SIZE * SIZE, 64), nn.ReLU(), nn.Dropout(dropout)
        )
        self.heads = nn.ModuleList([nn.Linear(64, 2), nn.Linear(64, 3)])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(images)
        return self.heads[0](features), self.heads[1](features)


def telling(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose pictures are their labels: bins int32 (n, 8), of which the first half says which
    of 2 and the rest which of 3."""
    targets = torch.stack([torch.arange(n) % 2, torch.arange(n) % 3], dim=1)
    return (
        10 + targets.repeat_interleave(4, dim=1) + torch.tensor([0] * 4 + [100] * 4)
    ).int(), targets


def drawn(bins: torch.Tensor) -> tuple[torch.Tensor]:
    return (DRAWING(DRAWING.count(bins)),)


def fit(bins, targets, epochs: int, seed: int = 1):
    return controls.fit_shuffled(
        Plain,
        drawn,
        (bins,),
        targets=targets,
        epochs=epochs,
        batch_size=32,
        lr=3e-3,
        rng=generator(seed, "test fit"),
    )


def test_shuffled_labels_are_not_in_the_pictures():
    """Six pictures of 100 frames each: nothing can be memorised but which label a picture has
    got by chance a little more often.

    In units of the standard error of 600 predictions, one picture's share scatters by sqrt(6). The
    best of two shares is on average sqrt(2 / pi) of that above a half, the best of three 1.04 above
    a third: 2.0 and 2.5 units. Were the labels those of the pictures, all would be right.
    """
    model, accuracy = fit(*telling(600), epochs=3)
    for task, classes in (("modulation", 2), ("snr", 3)):
        error = np.sqrt((1 - 1 / classes) / classes / 600)
        assert 1 / classes - 5 * error < accuracy[task] < 1 / classes + (5 + 2.5) * error
    assert not model.training


def test_labels_are_shuffled_each_task_on_its_own(monkeypatch):
    """Both labels of a frame are equal here; shuffled together they would stay so, and each keeps
    how often each class is there."""
    seen = []
    cross_entropy = controls.functional.cross_entropy
    monkeypatch.setattr(
        controls.functional,
        "cross_entropy",
        lambda logits, labels: (seen.append(labels), cross_entropy(logits, labels))[1],
    )
    bins, _ = telling(30)
    fit(bins, torch.tensor([[0, 0]] * 20 + [[1, 1]] * 10), epochs=1)
    modulation, snr = seen
    assert (modulation.sum(), snr.sum()) == (10, 10)
    assert not torch.equal(modulation, snr)


def test_distinct_frames_are_memorised():
    """33 frames in batches of 32, each with pixels of its own: every label is remembered, though
    none has a reason."""
    bins = torch.arange(33 * 7).view(33, 7).int()
    _, accuracy = fit(bins, telling(33)[1], epochs=60)
    assert accuracy == {"modulation": 1, "snr": 1}


def test_the_condition_goes_with_its_frame():
    """Waveforms of the level that comes beside them, in training and prediction, in any batch."""
    levels, seen = torch.arange(1.0, 34), []

    class Conditioned(Plain):
        def forward(
            self, frames: torch.Tensor, level: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            whole = frames.shape[1:] == (2, SIZE * SIZE // 2)
            seen.append(whole and torch.equal(frames.amax((1, 2)), level))
            return super().forward(frames / 33)

    stored = levels[:, None, None].expand(-1, 2, SIZE * SIZE // 2), levels
    controls.fit_shuffled(
        Conditioned,
        lambda *given: given,
        stored,
        targets=telling(33)[1],
        epochs=2,
        batch_size=32,
        lr=1e-3,
        rng=generator(1, "test"),
    )
    assert seen == [True] * 5  # two batches an epoch, and once all


def test_training_is_decided_by_the_generator_alone():
    bins, targets = telling(40)
    with torch.random.fork_rng():
        fitted = []
        for seed in (1, 1, 2):
            torch.rand(1)  # a global state that no other training began with
            state = torch.get_rng_state()
            fitted.append(fit(bins, targets, 2, seed)[0])
            assert torch.equal(torch.get_rng_state(), state)
    one, other, third = fitted
    assert not any(moved(one, other).values())
    assert all(moved(one, third).values())


def test_each_step_has_the_gradient_of_its_own_batch():
    """At a rate of 0 all steps on the same frames have the same gradient, and five of them leave no
    more of it than one."""
    bins, targets = telling(20)

    def after(epochs: int) -> nn.Module:
        return controls.fit_shuffled(
            lambda: Plain(0),
            drawn,
            (bins,),
            targets=targets,
            epochs=epochs,
            batch_size=20,
            lr=0,
            rng=generator(1, "test"),
        )[0]

    one, five = after(1), after(5)
    for a, b in zip(one.parameters(), five.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    assert all(a.grad.abs().max() > 1e-3 for a in one.parameters())


def test_no_batch_of_a_single_frame():
    """33 frames in batches of at most 32 are 17 and 16: a batch norm of a remainder of one would
    not train."""
    assert [len(batch) for batch in controls.batches(np.arange(33), 32)] == [17, 16]
    assert torch.cat(controls.batches(np.arange(33), 32)).tolist() == list(range(33))


# What survives


def linear_gradient(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    images = images.clone().requires_grad_()
    (maps,) = torch.autograd.grad(model(images.flatten(1))[:, 0].sum(), images)
    return maps.flatten(1).numpy()


@pytest.mark.parametrize(
    ("explain", "survives"),
    [
        (lambda _model, images, _rng: images.flatten(1).numpy(), True),  # brightness
        (lambda _model, images, _rng: -images.flatten(1).numpy(), True),
        (lambda _model, images, rng: rng.random((len(images), SIZE * SIZE)), False),
        (lambda model, images, _rng: linear_gradient(model, images), False),
    ],
    ids=["brightness", "darkness", "random", "gradient"],
)
def test_what_ignores_the_model_survives_and_nothing_else(explain, survives, rng):
    """Rankings of 256 pixels that have nothing to do with each other correlate by 1 / sqrt(255) =
    0.06, far below one half."""
    model, frames = nn.Linear(SIZE * SIZE, 2), images(20)
    ((_, copy),) = controls.randomised(model, 1, rng)
    correlations = rank_correlation(
        explain(model, frames, rng), explain(copy, frames, rng), frames.flatten(1).numpy() > 0
    )
    result = sanity.similarity_of_maps(correlations, 200, rng)
    assert result.survives == ("yes" if survives else "no")
    assert result.ci_low <= result.correlation <= result.ci_high
    assert result.correlation == pytest.approx(1) if survives else result.correlation < 0.3


@pytest.mark.parametrize(("value", "survives"), [(0.51, True), (-0.51, True), (0.49, False)])
def test_survival_is_beyond_a_half_whatever_the_sign(value, survives, rng):
    result = sanity.similarity_of_maps(np.full(10, value), 50, rng)
    assert (result.correlation, result.survives) == (
        pytest.approx(abs(value)),
        "yes" if survives else "no",
    )


def test_survival_needs_its_whole_interval(rng):
    """A mean of 0.6 from frames as different as 1 and 0.2 is not known to be above a half; frames
    without a ranking do not count."""
    result = sanity.similarity_of_maps(np.array([1, 0.2, np.nan] * 4), 500, rng)
    assert result.correlation == pytest.approx(0.6)
    assert (result.ci_low < 0.5 < result.ci_high, result.survives, result.n) == (
        True,
        "unknown",
        8,
    )
    nothing = sanity.similarity_of_maps(np.full(3, np.nan), 50, rng)
    assert np.isnan(nothing.correlation)
    assert (nothing.survives, nothing.n) == ("unknown", 0)
