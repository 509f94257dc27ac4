"""The CLDNN family: its sizes, what each part sees, and where the gradients of training go."""

import pytest
import torch
from torch import nn

from pisces.models import cldnn, denoiser
from pisces.models.cldnn import Cldnn, Settings
from tests.test_denoiser import EPS, awake, parameters, random

SAMPLES, MODULATIONS = 32, 3
A0 = Settings(dropout=0.2, channels=8)
A1 = A0._replace(film=True)
A2 = A0._replace(paths="denoised")
A3 = A0._replace(paths="dual")
A4 = A3._replace(film=True)
A5 = A4._replace(expert="v1", cyclo=True)
GATED = A5._replace(expert="v2", expert_window=5, eta_gate=True, soft_blend=True)
FAMILY = [A0, A1, A2, A3, A4, A5, GATED, A0._replace(cyclo=True, eta_gate=True)]
KNOWN = [settings._replace(condition="known") for settings in (A1, A2, GATED)]
SNR_DB = torch.tensor([-10.0, 0.0, 10.0])
PUBLISHED_SNR_HEAD = 128 + 1
"""One number from the pooled feature, which the published counts include."""
PUBLISHED_UNUSED = 2 + 128 + 1
"""Their FiLM has an estimate of eta of its own, which nothing reads when there is a denoiser: we
leave it out.
"""


def build(settings: Settings, samples: int = SAMPLES, seed: int = 1) -> Cldnn:
    """Small, with a denoiser and a FiLM that do something, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Cldnn(
            settings, samples, MODULATIONS, lambda features: nn.Linear(features, 4)
        ).eval()
        if model.film is not None:
            nn.init.normal_(model.film.gamma.weight)
    if model.has_denoiser:
        awake(model.denoiser)
    return model


def frames(seed: int = 1, samples: int = SAMPLES) -> torch.Tensor:
    return random(3, 2, samples, seed=seed)


def labels(model: Cldnn) -> torch.Tensor | None:
    return SNR_DB if model.settings.condition == "known" else None


@pytest.mark.parametrize(
    ("settings", "at_128", "at_1024", "left_out"),
    [
        (Settings(), 414_648, 577_561, PUBLISHED_SNR_HEAD),
        (Settings(paths="denoised"), 782_973, 945_886, PUBLISHED_SNR_HEAD),
        (Settings(paths="dual"), 784_573, 947_486, PUBLISHED_SNR_HEAD),
        (Settings(paths="dual", channels=48), 1_212_157, 1_375_070, PUBLISHED_SNR_HEAD),
        (
            Settings(paths="dual", film=True),
            805_632,
            968_545,
            PUBLISHED_SNR_HEAD + PUBLISHED_UNUSED,
        ),
        (
            Settings(paths="dual", film=True, expert="v1", cyclo=True),
            885_120,
            1_049_185,
            PUBLISHED_SNR_HEAD + PUBLISHED_UNUSED,
        ),
        # Ours alone: FiLM with the noise estimate that the denoiser has elsewhere
        (
            Settings(film=True),
            442_074,
            604_987,
            0,
        ),
    ],
)
def test_sizes_are_the_published_ones(settings, at_128, at_1024, left_out):
    with torch.device("meta"):
        sizes = [
            parameters(Cldnn(settings, *shape, lambda _: nn.Identity()))
            for shape in ((128, 11), (1024, 24))
        ]
    assert [size + left_out for size in sizes] == [at_128, at_1024]


@pytest.mark.parametrize("settings", FAMILY + KNOWN)
def test_training_and_inference_predict_the_same(settings):
    model, clean, degraded = build(settings), frames(1), frames(2)
    snr_db = labels(model)
    modulation, snr = model(clean, snr_db)
    outputs = model.learn(clean, clean, degraded, snr_db=snr_db, degraded_snr_db=snr_db)
    assert (modulation.shape, snr.shape) == ((3, MODULATIONS), (3, 4))
    assert torch.equal(outputs.modulation, modulation)
    assert torch.equal(outputs.snr, snr)
    assert (outputs.eta is not None) == model.has_noise_estimate
    for denoised, of in ((outputs.denoised, clean), (outputs.denoised_degraded, degraded)):
        assert (denoised is not None) == model.has_denoiser
        if model.has_denoiser:
            condition = model.estimate(of) if snr_db is None else denoiser.eta(snr_db)
            assert torch.equal(denoised, model.denoiser(of, condition))


@pytest.mark.parametrize("settings", FAMILY + KNOWN)
def test_mixed_frames_reach_the_classifier_only(settings):
    model, clean, degraded, mixed = build(settings), frames(1), frames(2), frames(3)
    snr_db = labels(model)
    plain, outputs = (
        model.learn(x, clean, degraded, snr_db=snr_db, degraded_snr_db=snr_db)
        for x in (clean, mixed)
    )
    assert torch.equal(outputs.modulation, model(mixed, snr_db)[0])
    assert not torch.equal(outputs.modulation, plain.modulation)
    for auxiliary in ("eta", "denoised", "denoised_degraded"):
        first, second = getattr(plain, auxiliary), getattr(outputs, auxiliary)
        assert first is second is None or torch.equal(first, second)


@pytest.mark.parametrize("settings", FAMILY + KNOWN)
def test_every_parameter_learns(settings):
    model, clean, degraded = build(settings).train(), frames(1), frames(2)
    snr_db = labels(model)
    outputs = model.learn(clean, clean, degraded, snr_db=snr_db, degraded_snr_db=snr_db)
    sum(output.square().sum() for output in outputs if output is not None).backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in model.parameters()
    )


@pytest.mark.parametrize("mixed", [False, True])
def test_gradient_into_the_denoiser_is_scaled_and_its_value_is_not(mixed):
    model, clean = build(A5), frames(1)
    classified = frames(3) if mixed else clean

    def learn(gradient: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        model.zero_grad()
        logits = model.learn(classified, clean, gradient=gradient).modulation
        logits.square().sum().backward()
        return logits, model.denoiser.stem.weight.grad, model.early.both[1].weight.grad

    (full, into, own), (same, tenth, own_tenth), (again, nothing, own_nothing) = (
        learn(scale) for scale in (1.0, 0.1, 0.0)
    )
    assert torch.equal(full, same)
    assert torch.equal(full, again)
    assert into.any()
    assert not nothing.any()
    # A sum over samples and layers
    torch.testing.assert_close(tenth, into / 10, rtol=0, atol=64 * EPS * into.abs().max().item())
    assert torch.equal(own, own_tenth)
    assert torch.equal(own, own_nothing)


@pytest.mark.parametrize("settings", [A1, A4, GATED])
def test_classifier_does_not_train_the_noise_estimate(settings):
    model, clean = build(settings), frames(1)
    for classified in (clean, frames(3)):
        outputs = model.learn(classified, clean)
        (outputs.modulation.square().sum() + outputs.snr.square().sum()).backward()
        assert all(parameter.grad is None for parameter in model.noise.parameters())
    model.learn(clean, clean).eta.sum().backward()
    assert model.noise.a.grad.any()


def test_inference_has_the_whole_gradient_of_the_frames():
    model = build(A4).double()
    clean, direction = frames(1).double().requires_grad_(), frames(2).double()
    assert (model.estimate(clean).abs() < 5).all()  # away from the clamp

    def logit(x: torch.Tensor) -> torch.Tensor:
        return model(x)[0][:, 0].sum()

    (gradient,) = torch.autograd.grad(logit(clean), clean)
    step = 1e-5
    difference = (logit(clean + step * direction) - logit(clean - step * direction)) / (2 * step)
    # Error of second order, 1e-10, and rounding
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("settings", [A2, A3])
def test_bypass_shows_the_classifier_the_frame_itself(settings):
    model, clean = build(settings), frames(1)
    asleep = build(settings)
    nn.init.zeros_(asleep.denoiser.out.weight)
    before = model(clean)[0]
    model.bypass = True
    assert torch.equal(model(clean)[0], asleep(clean)[0])
    assert not torch.equal(model(clean)[0], before)
    assert torch.equal(model.learn(clean, clean).denoised, clean)


def test_a_bypassed_single_path_is_the_plain_classifier():
    plain, model = build(A0), build(A2)
    plain.load_state_dict(
        {
            name: weight
            for name, weight in model.state_dict().items()
            if not name.startswith(("noise.", "denoiser."))
        }
    )
    model.bypass = True
    assert torch.equal(model(frames())[0], plain(frames())[0])


def test_raw_gain_attenuates_the_raw_path_alone():
    clean, denoised, gain = frames(1), frames(2), torch.tensor([0.0, 0.5, 1.0])
    raw, other = build(A3).paths(clean, denoised, gain).unbind(1)
    assert torch.equal(raw, torch.stack([0 * clean[0], 0.5 * clean[1], clean[2]]))
    assert torch.equal(other, denoised)
    model = build(A5)  # experts see the frame as it is
    attenuated, whole = (model.learn(clean, clean, raw_gain=g).modulation for g in (gain, None))
    assert (attenuated != whole).any(1).tolist() == [True, True, False]


def test_paths_of_each_kind():
    clean, denoised = frames(1), frames(2)
    assert torch.equal(build(A0).paths(clean, None), clean[:, None])
    assert torch.equal(build(A2).paths(clean, denoised), denoised[:, None])
    assert build(A3).early(build(A3).paths(clean, denoised)).shape == (3, 100, SAMPLES - 4)


@pytest.mark.parametrize("branch", ["i", "q"])
def test_branches_of_one_component_are_causal(branch):
    early, x = build(A0).early, random(1, 1, SAMPLES)
    later = x.clone()
    later[:, :, 20] += 1
    changed = (getattr(early, branch)(x) != getattr(early, branch)(later)).any(1)[0]
    assert not changed[:20].any()
    assert changed[20:28].any()
    assert not changed[28:].any()  # eight taps


@pytest.mark.parametrize("component", [0, 1])
@pytest.mark.parametrize(("silenced", "reach"), [(slice(50, 100), (2, 13)), (slice(50), (2, 20))])
def test_both_components_arrive_together_and_each_alone(silenced, reach, component):
    early, x = build(A0).early, frames(1)[:, None]
    with torch.no_grad():
        early.merge[1].weight[:, silenced] = 0
    other = x.clone()
    other[:, :, component, 10] += 1
    reached = (early(other) != early(x)).any(1).any(0).nonzero().flatten()
    # Together, output t sees the inputs t-3..t+4; alone t-7..t, of which t-3..t+4 meet; after both,
    # outputs t..t+4 become one.
    assert (reached.min(), reached.max()) == reach


@pytest.mark.parametrize(
    ("time", "steps"), [(124, 124), (192, 192), (193, 97), (255, 128), (1020, 128)]
)
def test_long_maps_are_halved_until_they_fit(time, steps):
    with torch.device("meta"):
        assert cldnn.reduction(164, time, 0.2)(torch.empty(2, 164, time)).shape == (
            2,
            164 if time <= 192 else 100,
            steps,
        )


def test_attention_is_a_mean_with_weights():
    pooling, states = build(A0).pooling, random(2, 9, cldnn.FEATURES)
    weights = pooling.weights(states)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 1), rtol=0, atol=9 * EPS)
    assert (weights > 0).all()
    assert weights.std(1).min() > 0.001
    same = states[:, :1].expand(-1, 9, -1)
    torch.testing.assert_close(pooling(same), same[:, 0], rtol=0, atol=64 * EPS)
    nn.init.zeros_(pooling.score[-1].weight)
    torch.testing.assert_close(pooling(states), states.mean(1), rtol=0, atol=64 * EPS)


def test_film_starts_as_identity_and_depends_on_eta():
    film, features, eta = cldnn.Film(), random(3, cldnn.FEATURES), torch.tensor([-8.0, -1.25, 5.5])
    assert torch.equal(film(features, eta), features)
    nn.init.normal_(film.gamma.weight)
    nn.init.normal_(film.beta.weight)
    scale = film(torch.ones(3, cldnn.FEATURES), eta) - film(torch.zeros(3, cldnn.FEATURES), eta)
    torch.testing.assert_close(
        film(features, eta), scale * features + film(0 * features, eta), rtol=0, atol=1e-4
    )
    assert (scale[0] - scale[2]).abs().max() > 0.01


def test_gate_closes_in_little_noise():
    torch.testing.assert_close(
        cldnn.gate(torch.tensor([0.8, 0.8 + 0.7, -8.0])),
        torch.tensor([0.5, 0.7310586, 3.47e-6]),
        rtol=1e-3,
        atol=0,
    )


@pytest.mark.parametrize("part", [{"expert": "v1"}, {"cyclo": True}])
def test_expert_features_count_in_noise_alone(part):
    model, clean = build(A0._replace(eta_gate=True, condition="known", **part)), frames(1)
    levels = [torch.full((3,), snr_db) for snr_db in (100.0, -10.0)]
    before = [model(clean, snr_db)[0] for snr_db in levels]
    reader = (
        model.lstm.weight_ih_l0[:, cldnn.EARLY :]
        if "expert" in part
        else model.head[0].weight[:, cldnn.FEATURES :]
    )
    with torch.no_grad():
        reader.zero_()
    quiet, noisy = (
        model(clean, snr_db)[0] - logits for snr_db, logits in zip(levels, before, strict=True)
    )
    assert noisy.abs().max() > 1e-4
    # The gate is 3e-6 there and 0.9 here
    assert quiet.abs().max() < 1e-4 * noisy.abs().max() + 16 * EPS


def test_snr_head_comes_before_film():
    model, clean = build(A1), frames(1)
    modulation, snr = model(clean)
    nn.init.normal_(model.film.beta.bias)
    again, same = model(clean)
    assert torch.equal(snr, same)
    assert not torch.equal(modulation, again)


def test_labels_are_required():
    model = build(KNOWN[1])
    for call in (
        lambda: model(frames()),
        lambda: model.learn(frames(), frames(2), frames(3), snr_db=SNR_DB),
    ):
        with pytest.raises(ValueError, match="needs the true SNRs of its frames; give snr_db"):
            call()


def test_other_frames_are_refused():
    with pytest.raises(ValueError, match="takes frames of 32 samples, not 40"):
        build(A0)(frames(samples=40))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"paths": "both"}, "paths 'both' is unknown; there are raw, denoised, dual"),
        ({"expert": "v3"}, "expert 'v3' is unknown; there are none, v1, v2"),
        ({"condition": "guessed"}, "condition 'guessed' is unknown; there are blind, known"),
        ({"expert_window": 4}, "expert_window = 4 has no centre"),
        ({"eta_gate": True}, "eta_gate = true finds nothing to gate; set expert or cyclo"),
    ],
)
def test_settings_that_do_not_exist(wrong, message):
    with pytest.raises(ValueError, match=message):
        build(A0._replace(**wrong))


def test_frames_that_are_too_short():
    with pytest.raises(ValueError, match="frames of 8 samples are too short"):
        build(A0, samples=8)


def test_weights_are_those_of_the_seed():
    first, again, other = (build(A5, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lstm.weight_hh_l0"], other["lstm.weight_hh_l0"])
