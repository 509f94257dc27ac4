"""Models by name: shapes, what each task trains, image sizes, branches and SNR heads; and that the
seed decides the weights.
"""

from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from pisces import models
from pisces.models import Architecture, heads
from pisces.models.branches import AttentionBranches

EVEN, UNEVEN = (-4, 0, 4, 8, 12, 16, 20), (-10, 0, 6, 12, 18, 24, 30)
EPS = torch.finfo(torch.float32).eps


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other by spinning make these small models ten times slower on a
    busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(
    seed: int = 1,
    channels: int = 1,
    size: int = 32,
    model="resnet18",
    branches="plain",
    snr_head="standard",
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.build(
            Architecture(model, branches, snr_head), (channels, size, size), 5, UNEVEN
        )


@cache
def built(model: str) -> nn.Module:
    """For tests that read it only; the large ones take a second to build."""
    return build(model=model, channels=3).eval()


@pytest.fixture
def one_layer(monkeypatch):
    """One layer a stage of true width: what is tested of the heads is the same at any depth."""
    shallow = partial(ResNet, BasicBlock, [1, 1, 1, 1])
    backbone = models.BACKBONES["resnet18"]._replace(builder=shallow)
    monkeypatch.setitem(models.BACKBONES, "resnet18", backbone)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("model", "channels", "size"),
    [
        (name, channels, size)
        for name in models.BACKBONES
        if name != "vit_h_14"
        for channels, size in ((1, 32), (4, 224))
    ]
    + [
        ("vit_h_14", 2, 28),
        ("resnet18", 2, 8),
        ("resnet50", 1, 254),
        ("swin_tiny", 2, 8),
        ("swin_tiny", 1, 252),
        ("vit_b_16", 2, 16),
    ],
)
def test_scores_of_both_heads(model, channels, size):
    with torch.device("meta"):
        modulation, snr = build(channels=channels, size=size, model=model).eval()(
            torch.empty(3, channels, size, size)
        )
    assert (modulation.shape, snr.shape) == ((3, 5), (3, 7))


@pytest.mark.parametrize("model", models.OWN_BACKBONES)
@pytest.mark.parametrize(("channels", "size"), [(4, 16), (1, 254)])
def test_scores_of_both_heads_of_small_models(model, channels, size):
    images = random(3, channels, size, size).abs()
    modulation, snr = build(channels=channels, size=size, model=model).eval()(images)
    assert (modulation.shape, snr.shape) == ((3, 5), (3, 7))
    assert modulation.std(0).min() > 0


@pytest.mark.parametrize(
    ("model", "size", "patch", "instead"),
    [
        ("swin_tiny", 34, 4, "32 or 36"),
        ("swin_base", 6, 4, "4 or 8"),
        ("vit_b_16", 30, 16, "16 or 32"),
        ("vit_b_16", 40, 16, "32 or 48"),
        ("vit_b_32", 16, 32, "32"),
        ("vit_b_32", 250, 32, "224"),
        ("vit_h_14", 32, 14, "28 or 42"),
    ],
)
def test_image_of_broken_patches(model, size, patch, instead):
    with pytest.raises(
        ValueError,
        match=f"{model} .* a multiple of {patch} px, not {size}; set render.size to {instead}$",
    ):
        build(model=model, size=size)


@pytest.mark.parametrize(("model", "size"), [("resnet18", 34), ("swin_tiny", 36), ("vit_b_32", 32)])
def test_every_pixel_reaches_both_heads(model, size):
    network, images = built(model), random(1, 3, size, size).requires_grad_()
    for task, scores in enumerate(network(images)):
        (gradient,) = torch.autograd.grad(scores.square().sum(), images, retain_graph=task == 0)
        assert gradient.all()


@pytest.mark.parametrize("model", ["swin_tiny", "vit_b_32"])
def test_stems_of_transformers_learn_from_both_tasks(model):
    network = built(model)
    modulation, snr = network(random(2, 3, 32, 32))
    stem = network.backbone.get_submodule(models.BACKBONES[model].stem).weight
    for loss in (modulation.square().sum(), snr.square().sum()):
        (gradient,) = torch.autograd.grad(loss, stem, retain_graph=True)
        assert gradient.any()


@pytest.mark.usefixtures("one_layer")
@pytest.mark.parametrize("snr_head", models.SNR_HEADS)
@pytest.mark.parametrize("branches", models.BRANCHES)
def test_each_task_alone_trains_the_backbone_and_its_own_head(branches, snr_head):
    model = build(branches=branches, snr_head=snr_head, channels=2, size=16)
    for task in range(2):
        model.zero_grad(set_to_none=True)
        functional.cross_entropy(model(random(6, 2, 16, 16))[task], torch.arange(6) % 5).backward()
        own, other = (
            (model.modulation_head, model.snr_head),
            (model.snr_head, model.modulation_head),
        )[task]
        assert all(p.grad is not None and p.grad.any() for p in own.parameters())
        assert all(p.grad is None for p in other.parameters())
        assert all(p.grad is not None and p.grad.any() for p in model.backbone.parameters())


@pytest.mark.usefixtures("one_layer")
@pytest.mark.parametrize("snr_head", models.SNR_HEADS)
@pytest.mark.parametrize("branches", models.BRANCHES)
def test_every_parameter_learns_from_the_two_tasks_together(branches, snr_head):
    model = build(branches=branches, snr_head=snr_head, size=16)
    losses = [
        functional.cross_entropy(scores, torch.arange(6) % 5)
        for scores in model(random(6, 1, 16, 16))
    ]
    sum(losses).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_weights_are_those_of_the_seed():
    first, again, other = (
        build(seed, branches="attention", snr_head="dual_layer").state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    stems = ("conv1.weight", "head.weight", "gate.0.weight")
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith(stems))


@pytest.mark.parametrize(
    ("model", "variance"),
    [
        ("resnet18", 2 / (64 * 49)),  # He, over the fan-out
        ("vit_b_32", 1 / (3 * 32**2)),  # LeCun, over the fan-in
        ("swin_tiny", 1 / (3 * 3 * 4**2)),  # torch's own, uniform within 1 / sqrt(fan-in)
    ],
)
def test_stem_has_the_variance_of_its_initialisation(model, variance):
    stem = built(model).backbone.get_submodule(models.BACKBONES[model].stem).weight
    # The standard deviation of n normal numbers scatters by 1 / sqrt(2 n) of itself, that of
    # uniform ones by less.
    assert stem.std().item() == pytest.approx(variance**0.5, rel=5 / (2 * stem.numel()) ** 0.5)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            ("vgg", "plain", "standard"),
            "model 'vgg' is unknown; there are resnet18, resnet34, .*, small_cnn, pixel_set",
        ),
        (
            ("resnet18", "twig", "standard"),
            "branches 'twig' is unknown; there are plain, attention",
        ),
        (
            ("resnet18", "plain", "bottleneck"),
            "snr_head 'bottleneck' is unknown; there are standard, bottleneck_64, .*regression",
        ),
    ],
)
def test_unknown_names(architecture, message):
    with pytest.raises(ValueError, match=message):
        models.build(Architecture(*architecture), (1, 32, 32), 2, EVEN)


def test_plain_branches_hand_on_the_features():
    branches, width = models.BRANCHES["plain"](16)
    features = random(4, 16)
    assert width == 16
    assert all(torch.equal(task, features) for task in branches(features))


def attention(features: int = 32, closed: bool = False) -> AttentionBranches:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        branches, _ = models.BRANCHES["attention"](features)
    if closed:
        for branch in (branches.modulation, branches.snr):
            nn.init.constant_(branch.gate[2].bias, -1e4)
    return branches.eval()


@torch.no_grad()
def test_three_tenths_of_what_both_tasks_get_are_shared():
    branches, features = attention(), random(4, 32)
    for branch in (branches.modulation, branches.snr):
        nn.init.zeros_(branch.branch[1].weight)  # batch norm gives 0, and so do GELU and ReLU
    modulation, snr = branches(features)
    assert modulation.shape == (4, 8)
    assert torch.equal(modulation, snr)
    torch.testing.assert_close(modulation, 0.3 * branches.residual(features), rtol=4 * EPS, atol=0)


@torch.no_grad()
def test_seven_tenths_are_of_each_task_alone():
    branches, features = attention(), random(4, 32)
    nn.init.zeros_(branches.residual.weight), nn.init.zeros_(branches.residual.bias)
    modulation, snr = branches(features)
    torch.testing.assert_close(
        modulation, 0.7 * branches.modulation(features), rtol=4 * EPS, atol=0
    )
    torch.testing.assert_close(snr, 0.7 * branches.snr(features), rtol=4 * EPS, atol=0)
    assert snr.min() == 0  # ReLU
    assert -0.7 * 0.17 - 1e-2 < modulation.min() < 0  # GELU, whose minimum is -0.17


@torch.no_grad()
def test_a_closed_gate_lets_nothing_through():
    branches = attention(closed=True)
    one, other = branches.modulation(random(4, 32)), branches.modulation(random(4, 32, seed=2))
    assert torch.equal(one, other)
    assert not torch.equal(*(attention().modulation(random(4, 32, seed=seed)) for seed in (1, 2)))


@torch.no_grad()
def test_gates_are_homogeneous_for_modulation_and_odd_for_snr():
    branches, features = attention(), random(4, 32)
    for branch in (branches.modulation, branches.snr):
        nn.init.zeros_(branch.gate[0].bias), nn.init.zeros_(branch.gate[2].bias)
    gate, odd = branches.modulation.gate, branches.snr.gate
    # ReLU doubles with its input; with tanh and the sigmoid, gate(-x) = 1 - gate(x).
    torch.testing.assert_close(
        gate(2 * features).logit(), 2 * gate(features).logit(), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(odd(-features), 1 - odd(features), rtol=0, atol=4 * EPS)
    assert (gate(-features) - 1 + gate(features)).abs().max() > 0.01


@pytest.mark.usefixtures("one_layer")
@pytest.mark.parametrize(
    ("branches", "snr_head"),
    [
        ("plain", "bottleneck_64"),
        ("plain", "dual_layer"),
        ("plain", "regression"),
        ("attention", "standard"),
    ],
)
def test_predictions_of_a_trained_model_do_not_depend_on_chance(branches, snr_head):
    model = build(branches=branches, snr_head=snr_head, size=16)
    images = random(4, 1, 16, 16)
    random_layers = branches == "attention" or snr_head.startswith(("bottleneck", "dual"))
    assert torch.equal(*(model(images)[1].detach() for _ in range(2))) != random_layers
    model.eval()
    assert torch.equal(*(model(images)[1].detach() for _ in range(2)))


@pytest.mark.parametrize(
    ("snr_head", "widths"),
    [
        ("standard", ()),
        ("bottleneck_64", (64,)),
        ("bottleneck_128", (128,)),
        ("dual_layer", (256, 64)),
    ],
)
def test_hidden_layers_of_a_head(snr_head, widths):
    steps = list(zip((512, *widths), (*widths, len(UNEVEN)), strict=True))
    head = models.SNR_HEADS[snr_head](512, UNEVEN)
    assert sum(p.numel() for p in head.parameters()) == sum(a * b + b for a, b in steps)
    assert not widths or sum(isinstance(layer, nn.ReLU) for layer in head) == len(widths)


def regression(snrs_db: tuple[int, ...]) -> nn.Module:
    """A regression head whose v is its one feature."""
    head = models.SNR_HEADS["regression"](1, snrs_db)
    nn.init.ones_(head.linear.weight), nn.init.zeros_(head.linear.bias)
    return head


def test_neighbours_on_an_even_grid_are_one_apart():
    torch.testing.assert_close(heads.positions(EVEN), torch.arange(-3.0, 4.0), rtol=0, atol=0)
    uneven = heads.positions(UNEVEN)
    assert uneven.dtype == torch.float32
    assert uneven.diff().mean().item() == pytest.approx(1, abs=4 * EPS)
    assert uneven.mean().item() == pytest.approx(0, abs=4 * EPS)


@pytest.mark.parametrize("snrs_db", [EVEN, UNEVEN, UNEVEN[::-1], (0, 10)])
def test_regression_predicts_the_class_nearest_in_db(snrs_db):
    snrs = torch.tensor(snrs_db).double()
    true_db = torch.linspace(snrs.min() - 20, snrs.max() + 20, 997).double()
    v = (true_db - snrs.mean()) / ((snrs.max() - snrs.min()) / (len(snrs) - 1))
    distances = (true_db[:, None] - snrs).abs()
    clear = distances.topk(2, largest=False).values.diff().squeeze(1) > 1e-3
    assert clear.sum() > 900
    predicted = regression(snrs_db)(v.float()[:, None]).argmax(1)
    assert torch.equal(predicted[clear], distances.argmin(1)[clear])


@torch.no_grad()
@pytest.mark.parametrize("snrs_db", [EVEN, UNEVEN, (0, 10)])
def test_what_was_regressed_is_found_again(snrs_db):
    v, c = 30 * random(500), heads.positions(snrs_db)
    found = heads.regressed(regression(snrs_db)(v[:, None]), c)
    # A score is (|v| + |c|)^2 / 2 within 2 eps of itself; two of them are subtracted and divided by
    # the width of the grid.
    bound = 2 * EPS * (v.abs() + c.abs().max()) ** 2 / (c[-1] - c[0]) + 2 * EPS * (
        v.abs() + c.abs().max()
    )
    assert ((found - v).abs() <= bound).all()


@torch.no_grad()
def test_softmax_of_regression_scores_is_a_normal_density():
    v, c = 0.3, heads.positions(EVEN)
    density = torch.distributions.Normal(v, 1).log_prob(c).exp()
    torch.testing.assert_close(
        regression(EVEN)(torch.tensor([[v]])).softmax(1)[0], density / density.sum()
    )


@torch.no_grad()
def test_mixed_precision_does_not_round_the_regression():
    features, head = 5 + random(64, 32), models.SNR_HEADS["regression"](32, UNEVEN)
    with torch.autocast("cpu", torch.bfloat16):
        scores = head(features)
        assert head.linear(features).dtype == torch.bfloat16
        assert build(snr_head="regression").eval()(random(2, 1, 32, 32))[1].dtype == torch.float32
    assert torch.equal(scores, head(features))
    torch.testing.assert_close(
        heads.regressed(scores, head.positions)[:, None],
        head.linear(features),
        rtol=1e-5,
        atol=1e-5,
    )


def test_regression_over_one_snr():
    with pytest.raises(
        ValueError, match=r"regression needs two or more SNRs, not \[10\]; set train.snr_head"
    ):
        models.build(Architecture("resnet18", "plain", "regression"), (1, 32, 32), 2, (10,))
