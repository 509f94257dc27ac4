"""Calibrated predictions: probabilities, intervals and thresholds do what they promise."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pisces import models
from pisces.core.seeding import generator
from pisces.inputs.drawing import Drawing
from pisces.models import Architecture, modelfile
from pisces.models.calibration import Array
from pisces.models.modelfile import CARD, TrainedModel
from pisces.prediction import checks, conformal, evidence, fit, novelty, signals
from pisces.prediction.calibration import (
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
    tempered,
)
from pisces.prediction.frames import of_evidence, predict
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import MODULATIONS, RENDER, SAMPLES, SNRS_DB, draw
from tests.physics import physics

DRAWING = Drawing(RENDER, draw("log_histogram"))
ARCHITECTURE = Architecture("pixel_set", "plain", "standard")


def rng(name: str) -> np.random.Generator:
    return generator(1, "test prediction", name)


# Temperature and reliability


def drawn_classes(scores: torch.Tensor, name: str) -> torch.Tensor:
    """Classes of the probabilities that the scores have at temperature 1."""
    probabilities = scores.double().softmax(1).numpy()
    draws = rng(name).random((len(scores), 1))
    return torch.from_numpy((probabilities.cumsum(1) < draws).sum(1))


@pytest.mark.parametrize("factor", [0.7, 1.0, 3.0])
def test_the_temperature_of_scores_that_are_too_sure_is_how_much_they_are(factor):
    scores = torch.from_numpy(rng("scores").normal(size=(20_000, 5)) * 2)
    classes = drawn_classes(scores, "classes")
    found = fit_temperature(factor * scores, classes)
    # The standard error of 1 / temperature is that of a slope over 20 000 frames.
    inverse = scores.softmax(1)
    variance = (inverse * scores**2).sum(1) - (inverse * scores).sum(1) ** 2
    error = float(1 / (len(scores) * variance.mean()).sqrt())
    assert factor / found == pytest.approx(1, abs=4 * error)


def test_no_other_temperature_is_likelier():
    scores = torch.from_numpy(rng("other").normal(size=(500, 4)))
    classes = drawn_classes(scores / 2, "true")
    found = fit_temperature(scores, classes)
    least = log_loss(scores, classes, found)
    assert least <= log_loss(scores, classes, 0.98 * found)
    assert least <= log_loss(scores, classes, 1.02 * found)


def test_tempered_probabilities_are_those_of_the_scores_over_the_temperature():
    scores = torch.from_numpy(rng("tempered").normal(size=(50, 4)) * 3)
    expected = (scores / 2.5).softmax(1).numpy()
    assert tempered(scores.softmax(1).numpy(), 2.5) == pytest.approx(expected, rel=1e-6)


def test_the_calibration_error_is_the_gap_weighted_by_frames():
    confidence = np.array([0.9] * 30 + [0.5] * 10)
    right = np.array([True] * 18 + [False] * 12 + [True] * 5 + [False] * 5)
    assert expected_calibration_error(confidence, right) == pytest.approx(0.75 * 0.3)

    table = reliability(confidence, right)
    assert table["frames"].tolist() == [10, 30]
    assert table["accuracy"].tolist() == [0.5, 0.6]
    assert (table["ci_low"] < table["accuracy"]).all()


# Intervals


def test_the_quantile_covers_a_further_frame_as_often_as_it_says():
    # With n scores and one more, all exchangeable, coverage is ceil((n + 1) share) / (n + 1).
    n, trials = 29, 20_000
    scores = rng("exchangeable").normal(size=(trials, n + 1)) ** 2
    covered = [further <= conformal.quantile(known, 0.9) for *known, further in scores]
    expected = 27 / 30
    assert np.mean(covered) == pytest.approx(expected, abs=4 * np.sqrt(0.09 / trials))


def test_too_few_frames_have_no_quantile():
    assert conformal.quantile(np.arange(8), 0.9) is None
    assert conformal.quantile(np.arange(9), 0.9) == 8
    assert conformal.quantile(np.arange(19), 0.95) == 18
    assert conformal.quantile(np.arange(18), 0.95) is None


def test_intervals_of_frames_that_were_not_fitted_cover_their_share():
    snrs_db = np.arange(-10.0, 11, 4)
    true = rng("snr").integers(len(snrs_db), size=4000)
    off = snrs_db[true][:, None] + rng("error").normal(size=(4000, 1)) * 3 - snrs_db
    probabilities = torch.from_numpy(-(off**2) / 8).softmax(1).numpy()  # with errors of its own
    fitted, tested = slice(0, 2000), slice(2000, 4000)

    true_db = snrs_db[true]
    spreads = conformal.spreads_needed(probabilities[fitted], true_db[fitted], snrs_db)
    low, high = conformal.interval(probabilities[tested], snrs_db, spreads)
    covered = np.mean((low <= true_db[tested]) & (true_db[tested] <= high))
    # Scatter of 2000 tested frames, and that of the quantile of 2000 others.
    assert covered == pytest.approx(0.9, abs=4 * np.sqrt(2 * 0.09 / 2000))

    wide_low, wide_high = conformal.interval(probabilities[tested], snrs_db, spreads, between=True)
    assert low - wide_low == pytest.approx(2)
    assert wide_high - high == pytest.approx(2)


# Known or not


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    """Random weights tell frames apart well enough to have classes."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, DRAWING.shape, len(MODULATIONS), SNRS_DB)
        model(torch.rand(16, *DRAWING.shape))
    return TrainedModel(model.eval(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)


@pytest.fixture(scope="module")
def parts(index) -> dict[str, np.ndarray]:
    row = index[:, 2]
    return {
        "train": index[row < 8],
        "validation": index[(row >= 8) & (row < 14)],
        "test": index[row >= 14],
    }


@pytest.fixture(scope="module")
def calibrated(trained, data, iq_data, parts) -> TrainedModel:
    own = trained._replace(input=replace(DRAWING, render=data.render))
    return fit.calibrated(own, data, iq_data, parts)


def test_false_alarms_on_validation_frames_are_what_the_threshold_lets_pass(
    calibrated, data, iq_data, parts
):
    found = evidence.collect(calibrated, data, iq_data, parts["validation"])
    alarms = ~of_evidence(calibrated, found).known
    n = len(alarms)
    # The k-th smallest of n scores is the threshold, k = ceil(0.95 (n + 1)).
    assert alarms.sum() == n - int(np.ceil(round(0.95 * (n + 1), 9)))


def test_stored_frames_and_the_same_frames_from_anywhere_agree(calibrated, data, iq_data, parts):
    stored = evidence.collect(calibrated, data, iq_data, parts["test"])
    frames = torch.from_numpy(iq_data.gather(parts["test"]))
    anew = predict(calibrated, 3 * frames)
    assert anew.novelty == pytest.approx(of_evidence(calibrated, stored).novelty, rel=1e-3)


def test_the_calibration_comes_back_from_the_card_as_it_was(calibrated, tmp_path):
    modelfile.save(tmp_path, calibrated)
    first = (tmp_path / CARD).read_bytes()
    assert modelfile.load(tmp_path).calibration == calibrated.calibration
    modelfile.save(tmp_path, modelfile.load(tmp_path))
    assert (tmp_path / CARD).read_bytes() == first


def test_the_same_frames_make_the_same_calibration(calibrated, trained, data, iq_data, parts):
    own = trained._replace(input=calibrated.input)
    assert fit.calibrate(own, data, iq_data, parts) == calibrated.calibration


def test_a_card_without_calibration_is_predicted_as_trained(trained, tmp_path):
    modelfile.save(tmp_path, trained)
    card = json.loads((tmp_path / CARD).read_text())
    del card["calibration"]
    (tmp_path / CARD).write_text(json.dumps(card))

    old = modelfile.load(tmp_path)
    assert old.calibration is None
    found = evidence.Evidence(torch.zeros(2, 3), torch.zeros(2, 3), None, None)
    prediction = of_evidence(old, found)
    assert prediction.known is None
    assert prediction.snr_interval_db is None
    assert prediction.modulation_prob == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("modulation_temperature",), 0, "calibration.modulation_temperature = 0"),
        (("coverage",), 1.5, "calibration.coverage = 1.5"),
        (("spreads",), -1.0, "calibration.spreads = -1"),
        (("novelty", "threshold"), "high", "calibration.novelty.threshold"),
        (
            ("novelty", "features", "mean", "float32"),
            "?",
            "features.mean: it holds 1 character of base64",
        ),
        (("novelty", "features", "mean", "shape"), [3], "features.mean: it holds 1368 characters"),
        (("novelty", "signal", "weakest"), [1.0], "calibration.novelty.signal.weakest"),
        (("more",), 1, "calibration.more is unknown"),
    ],
)
def test_a_damaged_calibration_is_named(calibrated, tmp_path, path, value, words):
    modelfile.save(tmp_path, calibrated)
    card = json.loads((tmp_path / CARD).read_text())
    *above, last = path
    place = card["calibration"]
    for key in above:
        place = place[key]
    place[last] = value
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(ValueError, match="is not a model card") as raised:
        modelfile.load(tmp_path)
    assert words in str(raised.value)


def test_arrays_of_another_shape_are_named(calibrated, tmp_path):
    known = calibrated.calibration.novelty
    features = replace(known.features, centroids=Array.of(np.zeros((2, 3, 4))))
    wrong = replace(calibrated.calibration, novelty=replace(known, features=features))
    modelfile.save(tmp_path, calibrated._replace(calibration=wrong))
    with pytest.raises(ValueError, match=r"features.centroids is \(2, 3, 4\), not"):
        modelfile.load(tmp_path)


def test_features_far_from_all_classes_are_novel(calibrated, data, iq_data, parts):
    found = evidence.collect(calibrated, data, iq_data, parts["test"])
    logits = found.modulation_logits, found.snr_logits
    known = novelty.feature_novelty(found.features, *logits, calibrated.calibration)
    far = found.features.mean(0) - 20 * found.features.std(0) * torch.ones_like(found.features)
    strange = novelty.feature_novelty(far, *logits, calibrated.calibration)
    assert float(known.median()) < 1
    assert float(strange.min()) > float(known.max())


def test_an_snr_between_two_of_the_grid_is_on_the_way_from_one_centroid_to_the_other():
    centroids = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 9.0], [4.0, 9.0]]])
    places = torch.tensor([[2.0, 0.0], [2.0, 1.0], [7.0, 4.0]])
    distances = novelty._distance_to_curves(places, centroids)
    expected = torch.tensor([[0.0, 9.0], [1.0, 8.0], [5.0, 34**0.5]])
    assert torch.allclose(distances, expected, atol=1e-4)


def grid_distance(found: list[float]) -> float:
    """Of a frame at the lower of two SNRs, whose named class has grids of 0.4 and 0.1 there."""
    grid = len(signals.GRID)
    width = sum(len(names) for names in signals.BLOCKS.values())
    means = torch.zeros(1, 2, width)
    means[0, :, -grid : 2 - grid] = torch.tensor([[0.4, 0.1], [0.8, 0.4]])
    statistics = torch.zeros(1, width)
    statistics[0, -grid : 2 - grid] = torch.tensor(found)
    logits, snr_logits = torch.zeros(1, 1), torch.tensor([[50.0, 0.0]])
    precisions, relevant = torch.eye(width).tile(2, 1, 1), torch.ones(1, width)
    distances = novelty.block_distances(statistics, logits, snr_logits, means, precisions, relevant)
    return float(distances[0, -1])


def test_symbols_on_a_cleaner_grid_than_the_snr_lets_expect_are_no_news():
    assert grid_distance([0.4, 0.1]) == pytest.approx(0, abs=1e-6)
    assert grid_distance([0.8, 0.4]) == pytest.approx(0, abs=1e-6)  # as those of the higher SNR
    assert grid_distance([1.0, 0.5]) == pytest.approx(0, abs=1e-6)  # and in proportion


def test_symbols_off_their_grid_are_news():
    assert grid_distance([0.2, 0.05]) == pytest.approx(np.hypot(0.2, 0.05), rel=1e-5)
    # Another grid: the nearest multiple is the mean itself, since the first is missing.
    assert grid_distance([0.0, 0.5]) == pytest.approx(np.hypot(0.4, 0.4), rel=1e-5)


def frames_of(modulation: str, snr_db: int, count: int, **changes) -> torch.Tensor:
    iq = synthesize_cell(modulation, snr_db, range(count), physics(samples=1024, **changes), seed=3)
    return torch.from_numpy(iq.view(np.float32).reshape(count, 1024, 2))


RRC = replace(RENDER, pulse="rrc", rolloff=0.35, views=("symbol", "noise"))


def measured(frames: torch.Tensor) -> signals.Signals:
    return signals.measure(frames, RRC)


def test_the_measured_snr_is_the_true_one():
    for snr_db in (0, 10, 20):
        found = measured(frames_of("QPSK", snr_db, 32, rolloff=(0.35, 0.35))).snr_db
        assert float(found.mean()) == pytest.approx(snr_db, abs=0.5)


def test_strength_tells_a_weak_signal_from_noise_alone():
    noise = torch.from_numpy(rng("noise").normal(size=(64, 1024, 2))).float()
    alone = measured(noise).strength
    weak = measured(frames_of("QPSK", -10, 64, rolloff=(0.35, 0.35))).strength
    assert abs(float(alone.mean())) < 4 * float(alone.std()) / 8
    assert float(weak.mean()) == pytest.approx(0.1, rel=0.3)


def test_frequency_shift_keying_has_neighbours_that_depend_on_each_other():
    first = len(signals.SPECTRUM)
    product_squared = first + signals.NEIGHBOURS.index("product_squared")
    msk = measured(frames_of("CPFSK", 20, 16)).statistics[:, product_squared]
    qpsk = measured(frames_of("QPSK", 20, 16)).statistics[:, product_squared]
    assert float(msk.min()) > float(qpsk.max())


def test_the_spectrum_of_another_symbol_rate_is_not_that_of_the_pulse():
    ripple = signals.SPECTRUM.index("ripple")
    own = measured(frames_of("QPSK", 20, 16, rolloff=(0.35, 0.35))).statistics[:, ripple]
    other = measured(frames_of("QPSK", 20, 16, sps=16)).statistics[:, ripple]
    assert float(other.min()) > float(own.max())


def test_symbols_lie_on_the_grid_of_their_own_constellation_alone():
    first = len(signals.SPECTRUM + signals.NEIGHBOURS + signals.MOMENTS)
    for modulation in ("16QAM", "64QAM", "16PSK", "32PSK"):
        found = measured(frames_of(modulation, 30, 8, rolloff=(0.35, 0.35))).statistics[:, first:]
        assert signals.GRID[int(found.median(0).values.argmax())] == modulation
        # Of 120 symbols at an SNR of 39 dB each, nearly all lie on it.
        assert float(found.max(1).values.median()) > 0.8


def test_grids_count_only_where_they_are_not_finer_than_the_points_named():
    counts = signals.relevant(("BPSK", "QAM16", "8PSK"))[:, -len(signals.GRID) :]
    assert counts.sum(1).tolist() == [0, len(signals.SPACINGS), len(signals.POWERS)]


def test_level_phase_and_quarter_turns_change_no_statistic():
    frames = frames_of("16QAM", 15, 8)
    turned = torch.view_as_real(5j * torch.view_as_complex(frames))
    one, other = measured(frames), measured(turned)
    for before, after in zip(one, other, strict=True):
        assert torch.allclose(before, after, rtol=1e-3, atol=1e-4)


def test_the_headlines_and_the_table_are_of_the_same_frames(calibrated, data, iq_data, parts):
    found = evidence.collect(calibrated, data, iq_data, parts["test"])
    headlines = checks.summary(calibrated, found, parts["test"])["calibration"]
    assert set(headlines) == {
        *("modulation_ece", "snr_ece"),
        *("snr_coverage", "snr_interval_db", "false_alarms"),
    }
    table = checks.reliability(calibrated, found, parts["test"])
    of_each = table.groupby(["task", "probabilities"])["frames"].sum()
    assert of_each.tolist() == [len(parts["test"])] * 4

    bare = checks.reliability(calibrated._replace(calibration=None), found, parts["test"])
    assert set(bare["probabilities"]) == {checks.AS_TRAINED}


def test_the_first_frames_of_each_cell():
    index = np.array([[0, 0, 5], [1, 0, 2], [0, 0, 1], [0, 0, 9], [1, 1, 0]])
    assert fit.first_of_each_cell(index, 2)[:, 2].tolist() == [5, 2, 1, 0]


def test_a_cell_without_frames_has_the_mean_of_its_snr():
    index = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 0]])
    values = np.array([[1.0], [3.0], [5.0], [7.0]])
    means = fit.cell_means(values, index, (2, 2))
    assert means[..., 0].tolist() == [[2, 5], [2, 7]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"mean": (3,), "projection": (3, 24)}}, r"features\.mean .* is of 3, and "),
        ({"signal": {"levels": (3, 2, 3)}}, r"signal\.levels .* is of 3, and its model needs 4"),
    ],
)
def test_a_calibration_of_another_model_is_one_line(calibrated, changes, message):
    known = calibrated.calibration.novelty
    for part, shapes in changes.items():
        arrays = {name: Array.of(np.ones(shape)) for name, shape in shapes.items()}
        known = replace(known, **{part: replace(getattr(known, part), **arrays)})
    other = calibrated._replace(calibration=replace(calibrated.calibration, novelty=known))
    with pytest.raises(ValueError, match=rf"calibration\.novelty\.{message}"):
        predict(other, frames_of("QPSK", 10, 2)[:, :SAMPLES])
