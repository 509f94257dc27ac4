"""The fewest symbols are the fewest there are, and moves follow the law of the rival."""

import doctest
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom

from pisces import models
from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.settings import AttributionSettings
from pisces.core.modulations import NAMES, constellation
from pisces.counterfactuals import (
    choice,
    measure,
    orders,
    reasons,
    search,
    settings,
    summary,
    tables,
    turning,
)
from pisces.counterfactuals.moved_frames import MovedFrames
from pisces.counterfactuals.moves import Moves, draw
from pisces.counterfactuals.search import NEVER
from pisces.counterfactuals.settings import CounterfactualSettings, Pair, has_points, pairs_of
from pisces.evaluation import references
from pisces.inputs import binning
from pisces.inputs.receiver.chain import Symbols
from pisces.models import Architecture
from pisces.truth import found, samples
from pisces.truth.classifier import Sending, exact_model
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses
from pisces.truth.received import Received, receive
from tests.conftest import POINTS, RENDER
from tests.test_judged import SNRS

SNR = 100.0
LAW = SymbolLaw(("QPSK", "16QAM"), SNR)


def sent(name: str, frames: int, symbols: int, snr: float = SNR, seed: int = 1) -> torch.Tensor:
    """Symbols of the law, at a random phase of each frame: complex64 (frames, symbols)."""
    rng = np.random.default_rng(seed)
    phase = np.exp(2j * np.pi * rng.random((frames, 1)))
    noise = rng.normal(scale=np.sqrt(0.5 / snr), size=(frames, 2 * symbols)).view(complex)
    clean = rng.choice(constellation(name), (frames, symbols))
    return torch.from_numpy((phase * clean + noise).astype(np.complex64))


def rngs(frames: int, seed: int = 1) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, number]) for number in range(frames)]


def drawn(law: SymbolLaw = LAW, frames: int = 6, symbols: int = 60) -> Moves:
    return draw(sent(law.classes[0], frames, symbols, law.snr), law, rngs(frames))


def several_orders(moves: Moves) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    at_random = np.stack([rng.permutation(moves.old.shape[1]) for _ in moves.old])
    return orders.all_orders(moves, {"upside_down": -moves.gain}, at_random)


# The optimum of the likelihood


def test_no_subset_turns_the_likelihood_with_fewer_moves():
    rng = np.random.default_rng(1)
    symbols = 9
    evidence, after = rng.normal(1, 2, (40, symbols)), rng.normal(-1, 2, (40, symbols))
    nothing = np.zeros((40, symbols), complex)
    moves = Moves(nothing, nothing, evidence, after)
    fewest = search.of_likelihood(moves, several_orders(moves), orders.GAIN)[orders.GAIN].moves

    def turns(frame: int, some: tuple[int, ...]) -> bool:
        is_moved = np.isin(np.arange(symbols), some)
        return np.where(is_moved, after[frame], evidence[frame]).sum() < 0

    for frame, count in enumerate(fewest):
        by_search = next(
            (
                size
                for size in range(symbols + 1)
                if any(turns(frame, some) for some in combinations(range(symbols), size))
            ),
            NEVER,
        )
        assert count == by_search
    assert len(set(fewest)) > 3


def test_the_gain_of_real_frames_is_the_greedy_order():
    """Move by move the one that leaves the class least likely."""
    moves = drawn(symbols=30)
    order = several_orders(moves)[orders.GAIN]
    for frame, chosen in enumerate(order):
        left = set(range(30))
        says = moves.evidence[frame].copy()
        for symbol in chosen:
            after = {k: says.sum() - moves.gain[frame, k] for k in left}
            assert after[symbol] == pytest.approx(min(after.values()))
            says[symbol] = moves.evidence_after[frame, symbol]
            left.remove(symbol)


def test_an_order_that_beats_the_optimum_is_no_optimum():
    moves = drawn()
    with pytest.raises(AssertionError, match="not the optimum"):
        search.of_likelihood(moves, several_orders(moves), optimum=orders.RANDOM)


# Planted models


def test_a_model_that_is_the_likelihood_needs_exactly_its_number():
    moves = drawn(SymbolLaw(("64QAM", "256QAM"), 200.0), symbols=80)

    def predict(rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        says = np.where(moved.numpy(), moves.evidence_after[rows], moves.evidence[rows])
        return (says.sum(1) < 0).astype(int)

    by_order = several_orders(moves)
    is_of_class = np.zeros(len(moves.old), int)
    assert (moves.evidence.sum(1) > 0).all()
    by_model = search.of_model(predict, by_order, is_of_class)
    by_likelihood = search.of_likelihood(moves, by_order, orders.GAIN)
    for name in by_order:
        assert by_model[name].moves.tolist() == by_likelihood[name].moves.tolist()
        assert by_model[name].into.tolist() == by_likelihood[name].into.tolist()

    fewest, at_random = (by_model[name].moves for name in (orders.GAIN, orders.RANDOM))
    assert (fewest <= at_random).all()
    assert 1 < fewest.mean() < at_random.mean() / 2


@pytest.mark.parametrize(("turning", "first"), [((5, 17), 5), ((1,), 1), ((23,), 23), ((), NEVER)])
def test_the_first_flip_is_the_shortest_prefix_that_turns(turning, first):
    """A model that turns back is not taken for one that stays turned, nor the other way about."""

    def predict(_rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        return np.where(np.isin(moved.sum(1).numpy(), turning), 4, 2)

    order = np.random.default_rng(1).permutation(23)[None]
    flips = search.first_flips(predict, np.zeros(1, int), order, np.array([2]))
    assert flips.moves.tolist() == [first]
    assert flips.into.tolist() == [4 if turning else -1]


def test_symbols_move_in_their_order():
    seen = []

    def predict(_rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        seen.extend(torch.nonzero(one)[:, 0].tolist() for one in moved)
        return np.zeros(len(moved), int)

    search.first_flips(predict, np.zeros(1, int), np.array([[2, 0, 3, 1]]), np.zeros(1, int))
    assert seen == [[2], [0, 2], [0, 2, 3], [0, 1, 2, 3]]


# The law of the moves


@pytest.mark.parametrize(
    ("law", "fourth"),
    [
        (SymbolLaw(("QPSK", "16QAM"), 30.0), 1.32),
        (SymbolLaw(("16QAM", "8PSK"), 30.0), 1.0),
        (SymbolLaw(("8PSK", "QPSK"), 4.0), 1.0),
    ],
)
def test_moved_symbols_follow_the_law_of_the_rival(law, fourth):
    """Their moments about the noise, and how far they lie from the points of the rival."""
    moves = drawn(law, frames=100, symbols=100)
    power = np.abs(moves.new.ravel()) ** 2
    noise = 1 / law.snr
    expected = {1: 1 + noise, 2: fourth + 4 * noise + 2 * noise**2}
    for exponent, mean in expected.items():
        values = power**exponent
        assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(values.size)

    # The phase is one for a frame: together they are as likely as symbols that were sent.
    rival = SymbolLaw(law.classes[1:], law.snr)
    fresh = sent(law.classes[1], 100, 100, law.snr, seed=2)
    both = [torch.from_numpy(moves.new.astype(np.complex64)), fresh]
    chances = [hypotheses(x, rival).best(100).log_chance.numpy() for x in both]
    spread = np.hypot(chances[0].std(), chances[1].std()) / np.sqrt(100)
    assert abs(chances[0].mean() - chances[1].mean()) < 4 * spread


def test_a_draw_depends_on_its_generator_alone():
    x = sent("QPSK", 4, 40)
    whole, part = draw(x, LAW, rngs(4)), draw(x[2:], LAW, rngs(4)[2:])
    assert whole.new[2:].tobytes() == part.new.tobytes()
    assert np.abs(draw(x, LAW, rngs(4, seed=2)).new - whole.new).min() > 0


def test_evidence_speaks_for_the_class_before_and_for_the_rival_after():
    moves = drawn()
    assert (moves.evidence.sum(1) > 20).all()
    assert (moves.evidence_after.sum(1) < -20).all()


# Frames of a data set, and the exact classifier as a model


@pytest.fixture(scope="module")
def explained(data) -> ExplainedModel:
    snrs = {float(label): snr for label, snr in SNRS.items()}
    trained = exact_model(Sending(data.modulations, snrs, POINTS["symbol"]), data.render)
    prober = trained.input.prober(data.root.parent, "zero", 1)
    return ExplainedModel.on_device(trained, prober, data, 1, torch.device("cpu"))


SETTINGS = CounterfactualSettings(("QPSK to 16QAM",), None, 5, ("gradient", "grad_cam"), "held")
ATTRIBUTION = AttributionSettings(
    methods=("gradient",),
    frames_per_cell=1,
    layer="auto",
    ig_steps=2,
    ig_tolerance=1,
    ig_most_steps=2,
    window=0.5,
    stride=0.5,
    rise_masks=4,
    rise_cells=2,
    rise_keep=0.5,
    shapley_permutations=1,
    levels_percent=(50.0,),
    infidelity_samples=1,
    masked_frames_per_cell=1,
    checked_frames=1,
    sensitivity_radius=0.1,
    sensitivity_samples=1,
    randomised_steps=1,
    shuffled_frames=1,
    shuffled_epochs=1,
    resamples=1,
)


def chosen_of(explained: ExplainedModel, index: np.ndarray, **changes) -> choice.Choice:
    return choice.choose(explained, index, replace(SETTINGS, **changes), ATTRIBUTION)


def received_of(explained, iq_data, rows: np.ndarray, other_views="held") -> Received:
    names = [explained.data.modulations[m] for m in rows[:, 0]]
    law = SymbolLaw(explained.data.modulations, SNRS[20])
    iq = torch.from_numpy(iq_data.gather(rows))
    return receive(iq, names, explained.data.render, law, other_views)


def cell(index: np.ndarray, modulation: int, snr: int, count: int = 4) -> np.ndarray:
    return index[(index[:, 0] == modulation) & (index[:, 1] == snr)][:count]


@pytest.mark.parametrize("other_views", ["held", "redrawn"])
def test_without_moves_the_model_is_shown_the_frames_as_they_are(
    explained, iq_data, index, other_views
):
    rows = cell(index, 1, 2)
    received = received_of(explained, iq_data, rows, other_views)
    moved_to = np.exp(0.4j) * received.found.x.numpy().astype(complex)
    frames = MovedFrames.of(explained, rows, received, moved_to)
    nothing = torch.zeros(4, POINTS["symbol"], dtype=torch.bool)
    whole, _ = Frames.of(explained, rows).predict_whole(explained.model)
    same = frames.logits(np.arange(4), nothing)
    assert np.array_equal(same, whole.float().numpy())

    # Turned as a whole it is another picture of the same class.
    turned = frames.logits(np.arange(4), ~nothing)
    assert not np.array_equal(same, turned)
    assert (turned.argmax(1) == same.argmax(1)).all()


def test_other_views_show_the_new_samples_where_they_are_redrawn(explained, iq_data, index):
    rows = cell(index, 1, 2)
    everything = torch.ones(4, POINTS["symbol"], dtype=torch.bool)
    moves = {}
    for other_views in ("held", "redrawn"):
        received = received_of(explained, iq_data, rows, other_views)
        frames = MovedFrames.of(
            explained, rows, received, np.exp(0.4j) * received.found.x.numpy().astype(complex)
        )
        before = frames.stored(torch.arange(4), ~everything)
        after = frames.stored(torch.arange(4), everything)
        by_view = (before != after).any(0).split(list(POINTS.values()))
        changed = [bool(one.any()) for one in by_view]
        moves[other_views] = dict(zip(RENDER.views, changed, strict=True))
    assert moves["held"] == {"raw": False, "symbol": True, "noise": False, "differential": False}
    assert moves["redrawn"]["raw"]
    assert moves["redrawn"]["symbol"]


def test_symbols_move_to_the_pixels_of_the_draws(explained, iq_data, index):
    rows = cell(index, 1, 2)
    received = received_of(explained, iq_data, rows)
    new = np.exp(0.4j) * received.found.x.numpy().astype(complex)
    frames = MovedFrames.of(explained, rows, received, new)
    moved = torch.zeros(4, POINTS["symbol"], dtype=torch.bool)
    moved[:, 3] = True
    _, points, *_ = frames.stored(torch.arange(4), moved).split(list(POINTS.values()), 1)
    places = torch.view_as_real((torch.from_numpy(new) * received.found.level).to(torch.complex64))
    pixels = binning.bin_points(places, RENDER.size / 2 / RENDER.extent.symbol, RENDER.size).int()
    assert (points[:, 3] - RENDER.size**2).tolist() == pixels[:, 3].tolist()
    as_stored = torch.from_numpy(explained.data.gather(rows)[1].astype(int))
    assert (points[:, 4:] - RENDER.size**2).tolist() == as_stored[:, 4:].tolist()


def test_the_exact_classifier_turns_about_when_the_likelihood_does(explained, iq_data, index):
    measured = measure.measure(explained, iq_data, chosen_of(explained, index, frames_per_cell=12))
    table = measured.table
    at_20 = table[(table["snr_db"] == 20)].set_index(["of", "order"])
    assert at_20.loc[("model", orders.GAIN), "frames"] >= 8
    fewest, by_model = at_20.loc[("likelihood", orders.GAIN)], at_20.loc[("model", orders.GAIN)]
    assert abs(fewest["median"] - by_model["median"]) <= 1
    assert by_model["median"] <= at_20.loc[("model", orders.RANDOM), "median"]
    assert by_model["into_rival"] == by_model["flipped"] == by_model["frames"]
    assert by_model["ends_as_rival"] == by_model["frames"]
    assert by_model["kept"] == fewest["kept"] == 0

    # At -10 dB, which is -1 dB a symbol, no timing is found; all is counted.
    at_low = table[table["snr_db"] == -10]
    assert (at_low["wrong"] + at_low["refused"] == at_low["tested"]).all()
    assert at_low["refused_why"].str.contains(found.LOW_SNR).all()
    of_all = table[table["snr_db"].isna()]
    assert (of_all["tested"] == 36).all()
    counts = of_all["wrong"] + of_all["refused"] + of_all["frames"]
    assert (counts == of_all["tested"]).all()

    arrays = measured.arrays
    assert arrays["titles"].tolist() == ["QPSK to 16QAM, 20 dB"]
    assert arrays["predictions"].tolist() == [["QPSK", "16QAM"]]
    stayed = ~arrays["moved"]
    assert (arrays["before"][stayed] == arrays["after"][stayed]).all()
    assert (arrays["before"][~stayed] != arrays["after"][~stayed]).all()


def test_the_same_settings_make_the_same_bytes(explained, iq_data, index):
    chosen = chosen_of(explained, index, snrs_db=(20,))
    once, again = (measure.measure(explained, iq_data, chosen) for _ in range(2))
    assert once.table.to_csv() == again.table.to_csv()
    assert once.headline == again.headline
    for name, array in once.arrays.items():
        assert array.tobytes() == again.arrays[name].tobytes()

    # Nor does it matter which other frames are asked about.
    alone = measure.measure(explained, iq_data, chosen._replace(frames=cell(index, 1, 2, 5)))
    assert alone.table.to_csv() == once.table.to_csv()


def test_the_headline_is_what_the_tables_say_of_a_single_pair(explained, iq_data, index):
    chosen = chosen_of(explained, index, snrs_db=(20,), frames_per_cell=12)
    measured = measure.measure(explained, iq_data, chosen)
    table, evidence = measured.table, measured.evidence
    medians = table[table["snr_db"].isna()].set_index(["of", "order"])["median"]
    assert measured.headline["moves"] == {
        "model": medians["model", orders.SWAPS],
        "likelihood": medians["likelihood", orders.GAIN],
    }
    of_all = evidence[evidence["snr_db"].isna()].set_index("method")["agreement"]
    agreement = {"highest": of_all["gradient"], "random": of_all["random"]}
    assert measured.headline["agreement"] == agreement


def test_the_headline_is_over_frames_and_leaves_out_what_is_not_known():
    def cell_of(*moves: float) -> tables.Cell:
        turned = [tables.Turned(orders.SWAPS, "model", one, True, True, "") for one in moves]
        turned += [tables.Turned(orders.RANDOM, "model", 90.0, True, True, "")]
        return tables.Cell("QPSK", "8PSK", 4, 12, 1, [], turned)

    evidence = pd.DataFrame({"method": [], "snr_db": [], "agreement": []})
    known = summary.headline([cell_of(1, 2), cell_of(3, 4, NEVER)], evidence)
    assert known == {"moves": {"model": 3.0}, "agreement": {}}
    mostly_never = summary.headline([cell_of(1, NEVER, NEVER)], evidence)
    assert mostly_never == {"moves": {}, "agreement": {}}


def test_a_runner_up_is_the_rival_frame_by_frame(explained, iq_data, index):
    chosen = chosen_of(explained, index, pairs=("QPSK to runner_up",), snrs_db=(20,))
    found = measure.measure(explained, iq_data, chosen)
    assert set(found.table["rival"]) == {"runner_up"}
    assert (found.table["frames"] == 5).all()
    assert (found.frames, found.refused) == (5, 0)


def test_a_runner_up_is_the_likeliest_other_class_with_points():
    names = ("QPSK", "OQPSK", "FM", "8PSK", "16QAM")
    logits = np.array([[9.0, 8, 7, 1, 2], [9, 1, 2, 4, 3]], np.float32)
    assert turning.rivals_of(Pair("QPSK", "runner_up"), logits, names) == ["16QAM", "8PSK"]
    assert turning.rivals_of(Pair("QPSK", "runner_up"), logits[:, :3], names[:3]) == []
    assert turning.rivals_of(Pair("QPSK", "8PSK"), logits, names) == ["8PSK"] * 2


def test_evidence_needs_no_pairs(explained, iq_data, index):
    chosen = chosen_of(explained, index, snrs_db=(20,))._replace(pairs=())
    found = measure.measure(explained, iq_data, chosen)
    assert found.table.empty
    assert (found.frames, found.refused) == (0, 0)
    rows = found.evidence.set_index("method")
    assert set(rows["snr_db"].dropna()) == {20}
    assert set(rows.index) == {"pixel middle", "gradient", "random"}
    assert rows.loc["gradient", "agreement"].min() > rows.loc["random", "agreement"].max()


def test_data_with_fewer_than_two_classes_with_points_have_nothing_to_move(explained, index):
    named = explained.data.__class__(explained.data.root)
    named.modulations = ("FM", "GMSK", "QPSK")
    changed = replace(explained, data=named)
    chosen = choice.choose(changed, index, replace(SETTINGS, pairs=None), ATTRIBUTION)
    assert (chosen.pairs, chosen.methods) == ((), [])
    assert choice.NO_CLASSES in chosen.remarks[0]


def test_methods_that_cannot_explain_the_model_are_left_out(explained, index):
    chosen = chosen_of(explained, index)
    assert [method.name for method in chosen.methods] == ["gradient"]
    assert "grad_cam" in chosen.remarks[0]


def test_frames_of_another_pulse_are_refused(explained):
    """Rectangular pulses leave symbols in each other, or samples that no pulse explains."""
    rng = np.random.default_rng(1)
    held = np.repeat(rng.choice(constellation("QPSK"), (4, 32)), 8, axis=1)
    noise = rng.normal(scale=0.01, size=(4, 512)).view(complex)
    iq = torch.view_as_real(torch.from_numpy((held + noise).astype(np.complex64)))
    law = SymbolLaw(("QPSK", "16QAM"), 8e4)
    received = receive(iq, ["QPSK"] * 4, explained.data.render, law, "redrawn")
    assert set(received.refused) <= {samples.NO_FIT, found.MISFIT}


def test_a_receiver_keeps_what_belongs_to_a_frame(explained, iq_data, index):
    received = received_of(explained, iq_data, cell(index, 1, 2), "redrawn")
    some = received.some(np.array([2, 0]))
    assert isinstance(some.symbols, Symbols)
    assert torch.equal(some.symbols.points, received.symbols.points[[2, 0]])
    assert np.array_equal(some.iq, received.iq[[2, 0]])
    assert some.pulses is not None
    assert np.array_equal(some.pulses.gain, received.pulses.gain[[2, 0]])


# Why a prediction stays


@pytest.mark.parametrize(
    ("rival", "name", "within"),
    [("QPSK", "8PSK", True), ("8PSK", "QPSK", False), ("16QAM", "64QAM", False)],
)
def test_a_rival_may_lie_within_a_class(rival, name, within):
    assert reasons.is_within(constellation(rival), constellation(name)) == within


class Stubborn:
    """Frames of which a model predicts class 1 in orientations within some angles of a first."""

    def __init__(self, angles: tuple[float, float], angle: float = 0.0) -> None:
        self.angles, self.angle = angles, angle
        self.new = torch.zeros(2, 5, dtype=torch.complex64)

    def turned(self, angle: np.ndarray) -> "Stubborn":
        return Stubborn(self.angles, float(angle[0]))

    def predict(self, rows: np.ndarray, _moved: torch.Tensor) -> np.ndarray:
        low, high = self.angles
        return np.full(len(rows), int(low < self.angle < high))


@pytest.mark.parametrize(
    ("angles", "likelihood", "names", "reason"),
    [
        ((0.5, 0.9), False, ("QPSK", "8PSK"), reasons.NOISE),
        ((0.5, 0.9), True, ("QPSK", "8PSK"), reasons.ORIENTATION),
        ((9, 9), True, ("8PSK", "QPSK"), reasons.WITHIN),
        ((9, 9), True, ("QPSK", "8PSK"), reasons.TAKEN),
    ],
)
def test_a_prediction_that_stays_has_a_reason(angles, likelihood, names, reason):
    if names == ("QPSK", "8PSK") and angles == (0.5, 0.9):
        angles = (0.3, 0.5)  # 8PSK repeats itself after .79
    asked = np.array([0, 1]), np.zeros(2, int), np.full(2, likelihood), (*names, "bipolar")
    assert reasons.why(Stubborn(angles), *asked) == [reason] * 2


# Tables


def test_the_interval_of_a_median_covers():
    """A value is below the median as often as above, so ranks alone decide."""
    for n in range(6, 80):
        low, high = tables.median_interval(np.arange(1.0, n + 1))
        below = np.arange(n + 1)  # how many values lie below the median
        covered = (below >= low) & (below < high)
        assert binom.pmf(below, n, 0.5)[covered].sum() >= 0.95
    assert tables.median_interval(np.arange(5.0)) == (0, NEVER)


def test_frames_that_never_turn_are_more_than_all():
    turned = [tables.Turned("random", "model", float(k), True, k < 3, "") for k in range(1, 4)]
    turned += [tables.Turned("random", "model", 4.0, False, False, reasons.WITHIN)]
    turned += [tables.Turned("random", "model", NEVER, False, False, reasons.TAKEN)] * 6
    found_ones = tables.Cell("QPSK", "8PSK", 4, 12, 1, ["x"], turned)
    rows = tables.table([found_ones], ["random"])
    row = rows[(rows["snr_db"] == 4) & (rows["of"] == "model")].iloc[0]
    assert (row["median"], row["ci_low"], row["ci_high"]) == (NEVER, 2, NEVER)
    assert (row["flipped"], row["share"], row["never"]) == (4, 0.4, 6)
    assert (row["into_rival"], row["ends_as_rival"], row["kept"]) == (3, 2, 7)
    assert row["kept_why"] == f"6 {reasons.TAKEN}; 1 {reasons.WITHIN}"
    assert (row["tested"], row["wrong"], row["refused"], row["refused_why"]) == (12, 1, 1, "1 x")
    assert list(tables.table([], []).columns) == list(tables.COLUMNS)


# Bad input


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("QPSK to QPSK", "the rival is the class itself"),
        ("QPSK to FM", "FM has no constellation points"),
        ("QPSK to GMSK", "GMSK has no constellation points"),
        ("QPSK to drone", "drone has no constellation points"),
        ("QPSK to 8PKS", "8PKS is no class of the data"),
        ("OQPSK to QPSK", "OQPSK has no constellation points"),
        ("QPSK to 8PSK", "8PSK is no class of the data, which are QPSK, 16QAM, FM"),
        ("runner_up to QPSK", "runner_up is no class of the data"),
        ("QPSK-16QAM", 'write it as "QPSK to 8PSK"'),
    ],
)
def test_a_pair_that_cannot_be_measured_is_refused_in_one_line(pair, message):
    with pytest.raises(ValueError, match=message) as error:
        pairs_of([pair], ("QPSK", "16QAM", "FM", "OQPSK", "drone"))
    assert "\n" not in str(error.value)
    assert repr(pair) in str(error.value)


def test_a_pair_that_is_named_twice_is_refused_however_it_is_spaced():
    with pytest.raises(ValueError, match="QPSK to 16QAM more than once"):
        pairs_of(["QPSK to 16QAM", "QPSK  to  16QAM"], ("QPSK", "16QAM"))


def test_usual_pairs_are_those_of_the_data():
    assert pairs_of(None, ("QPSK", "8PSK", "FM")) == (Pair("QPSK", "8PSK"), Pair("8PSK", "QPSK"))
    assert pairs_of(None, ("FM", "GMSK")) == ()
    assert pairs_of(["QPSK to runner_up"], ("QPSK", "FM")) == (Pair("QPSK", "runner_up"),)


def test_classes_with_points_are_those_that_can_be_recognised():
    assert tuple(name for name in NAMES if has_points(name)) == references.recognisable(NAMES)


def test_a_model_that_is_shown_no_symbols_is_left_out_or_refused(explained, index):
    raw = replace(explained.trained.input, render=replace(RENDER, views=("raw",)))
    blind = replace(explained, trained=explained.trained._replace(input=raw))
    nothing = chosen_of(blind, index, pairs=None)
    assert nothing.pairs == ()
    assert choice.NO_SYMBOLS in nothing.remarks[0]
    with pytest.raises(ValueError, match=r"pairs names 1, but the model is shown no view symbol"):
        chosen_of(blind, index)


def test_a_label_that_the_data_lack_is_named(explained, index):
    with pytest.raises(ValueError, match=r"snrs_db has 7, which the data lack; name some of -10"):
        chosen_of(explained, index, snrs_db=(7,))


def test_nothing_to_measure_makes_empty_files(explained, iq_data, index):
    chosen = chosen_of(explained, index)._replace(pairs=())
    nothing = measure.measure(explained, iq_data, chosen)
    assert (len(nothing.table), nothing.frames) == (0, 0)
    assert nothing.arrays["titles"].tolist() == []


@pytest.mark.parametrize("module", [reasons, settings, tables])
def test_examples_run(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def test_a_model_that_predicts_one_class_never_turns(explained, iq_data, index):
    """A convolutional one, whose map Grad-CAM reads. Frames of other classes are wrong."""
    torch.manual_seed(1)
    architecture = Architecture("small_cnn", "plain", "standard")
    shape, snrs_db = explained.trained.input.shape, explained.trained.snrs_db
    model = models.build(architecture, shape, 3, snrs_db).eval()
    constant = explained.trained._replace(model=model, architecture=architecture)
    with torch.no_grad():
        *_, last = model.modulation_head.modules()
        last.bias[:] = torch.tensor([0.0, 50.0, 0.0])
    untrained = explained.with_model(constant)

    pairs = ("QPSK to 16QAM", "16QAM to QPSK")
    chosen = chosen_of(untrained, index, snrs_db=(20,), pairs=pairs)
    assert [method.name for method in chosen.methods] == ["gradient", "grad_cam"]
    table = measure.measure(untrained, iq_data, chosen).table
    of_model = table[(table["of"] == "model") & (table["snr_db"] == 20)].set_index("class")
    assert (of_model.loc["QPSK", "never"] == 5).all()
    assert set(of_model.loc["QPSK", "kept_why"]) == {f"5 {reasons.TAKEN}"}
    assert np.isinf(of_model.loc["QPSK", "median"]).all()
    assert (of_model.loc["16QAM", "wrong"] == 5).all()
    assert of_model.loc["16QAM", "median"].isna().all()
