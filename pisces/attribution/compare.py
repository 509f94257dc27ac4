"""Attribution methods, PIS's own ranking and chance judged on one scale, and whether what they show needs a model that has learnt.

Every method explains the answer that the model gave, one head at a time, and so orders the lit pixels of all views of a frame. What an
order is worth is measured by what PIS is made of: pixels are taken out, of the counts or with the samples behind them, and the model is
asked again.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from pisces import models
from pisces.attribution import faithfulness, methods, sanity
from pisces.attribution.methods import SPATIAL, TASKS, Head
from pisces.attribution.sanity import Survival
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober
from pisces.inputs.drawing import BinStore
from pisces.models.modelfile import TrainedModel
from pisces.pis.masks import exact_size
from pisces.pis.store import Perturbations

BRIGHTNESS = "brightness"
"""What PIS ranks the pixels of a view by; here those of all views together."""
CURVES = ("deletion", "insertion")
SHOWN_PERCENT = 5  # of the lit pixels, in the mask of an example
FEWEST_MASKS = 5  # of a pattern that can be compared
BATCH = 256  # frames
SHUFFLED_BATCH, SHUFFLED_LR = 64, 1e-3  # of the model trained on shuffled labels


class Subject(NamedTuple):
    """Frames about which any model can be asked."""

    probe: Probe
    snr_db: torch.Tensor  # labels (n,), for models conditioned on the true SNR alone

    def predict(
        self, model: nn.Module, pixels: np.ndarray, offsets: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of both heads for the frames without the listed pixels, lists as in `inputs.pixels`."""
        every = list(range(len(self.snr_db)))
        return predict(model, self.probe.without(every, pixels, offsets), self.snr_db)

    def predict_whole(self, model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """As `predict`, of the frames as they are."""
        nothing = np.zeros(len(self.snr_db) + 1, np.int64)
        return self.predict(model, np.empty(0, np.int64), nothing)


class Scene(NamedTuple):
    """A batch of frames and what the model says of them."""

    identities: list[tuple[str, int, int]]
    subject: Subject
    images: torch.Tensor  # (n, channels, size, size)
    context: tuple[torch.Tensor, ...]  # beside the images, as in attribution.model_input
    answers: dict[str, torch.Tensor]  # task -> class (n,)
    ties: np.ndarray  # (n, pixels), random numbers by which equal scores are ordered

    @property
    def counts(self) -> torch.Tensor:
        """(n, pixels of all views)"""
        return self.subject.probe.counts

    @property
    def lit(self) -> np.ndarray:
        return (self.counts > 0).cpu().numpy()


class Explainer:
    """A trained model, how it looks at data, and the settings of `attribute`.

    Raises:
        ValueError: when none of the methods can explain the model.
    """

    def __init__(
        self,
        trained: TrainedModel,
        prober: Prober,
        data: BinStore,
        settings: AttributionSettings,
        seed: int,
        where: torch.device,
    ):
        self.model = trained.model.to(where, memory_format=torch.channels_last)
        self.trained, self.prober, self.data = trained, prober, data
        self.settings, self.seed, self.where = settings, seed, where
        self.attributions = applicable(settings.methods, trained.input.sees_images)
        self.methods = (*self.attributions, BRIGHTNESS, faithfulness.CHANCE)

    def snr_db(self, index: np.ndarray) -> torch.Tensor:
        """Labels (n,) of the frames of `index` (n, 3)."""
        return torch.tensor(self.data.snrs_db, dtype=torch.float32, device=self.where)[index[:, 1]]

    def condition(self, snr_db: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the model takes beside its input: the labels if it is conditioned on the true SNR, else nothing."""
        return (snr_db,) if self.model.is_oracle else ()

    def head(self, model: nn.Module, task: str) -> Head:
        return Head(model, task, self.trained.input.from_images)

    def subject(self, index: np.ndarray) -> Subject:
        """The frames of `index` (n, 3)."""
        return Subject(self.prober.probe(index, self.where), self.snr_db(index))

    def look(self, index: np.ndarray) -> Scene:
        """The frames of `index` (n, 3) and what the model says of them."""
        subject = self.subject(index)
        answers = (logits.argmax(1).clone() for logits in subject.predict_whole(self.model))
        identities = [self.data.identity(frame) for frame in index]
        rngs = self.generators("attribute tie", identities)
        ties = np.stack([rng.random(subject.probe.counts.shape[1]) for rng in rngs])
        context = (*subject.probe.context, *self.condition(subject.snr_db))
        predicted = dict(zip(TASKS, answers, strict=True))
        return Scene(identities, subject, subject.probe.images, context, predicted, ties)

    def stored(self, index: np.ndarray) -> tuple[torch.Tensor, ...]:
        """What a fresh model is trained on, of the frames of `index` (n, 3): their stored form, and its condition."""
        store = self.prober.store
        stored = store.prepare(store.gather(index), self.where)
        return stored, *self.condition(self.snr_db(index))

    def inputs(self, stored: torch.Tensor, *condition: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a model takes of such frames."""
        return self.trained.input.tensors(stored).contiguous(), *condition

    def generators(
        self, purpose: str, identities: list[tuple[str, int, int]]
    ) -> list[np.random.Generator]:
        """One a frame."""
        return [generator(self.seed, purpose, *identity) for identity in identities]

    def maps(
        self,
        method: str,
        head: Head,
        images: torch.Tensor,
        answers: torch.Tensor,
        *context: torch.Tensor,
    ) -> torch.Tensor:
        """Maps (n, channels, size, size); a method that draws draws the same for every batch and model."""
        rng = generator(self.seed, "attribute", method)
        return methods.attribute(method, head, images, answers, self.settings, rng, *context)

    def scores(self, method: str, model: nn.Module, scene: Scene, task: str) -> np.ndarray:
        """The maps of `model` for the answers of the trained one, a number a pixel: (n, pixels of all views)."""
        return self.per_pixel(
            method,
            self.maps(
                method, self.head(model, task), scene.images, scene.answers[task], *scene.context
            ),
            scene,
        )

    def per_pixel(self, method: str, maps: torch.Tensor, scene: Scene) -> np.ndarray:
        """By brightness pixels rank as PIS ranks them, by their points, however they are drawn."""
        values = (
            methods.per_pixel(maps, len(self.data.render.views))
            if method != BRIGHTNESS
            else scene.counts
        )
        return values.cpu().numpy()

    def judge(self, method: str, scene: Scene, task: str) -> dict[str, np.ndarray]:
        """What one method's maps are worth: measure -> a number a frame (n,); `deletion` and `insertion` curves are (n, levels + 1)."""
        head, targets, settings = self.head(self.model, task), scene.answers[task], self.settings
        maps = self.maps(method, head, scene.images, targets, *scene.context)
        passes = {"forward_passes": head.forward_frames, "backward_passes": head.backward_frames}
        scores, counts = self.per_pixel(method, maps, scene), scene.counts.cpu().numpy()

        def without(pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
            return scene.subject.predict(self.model, pixels, offsets)[TASKS.index(task)]

        order = faithfulness.order(scores, counts, scene.ties)
        curves = faithfulness.curves(without, scene.counts, order, settings.levels_percent, targets)
        found = {name: curves[name] for name in CURVES}
        found |= {
            f"{name}_area": faithfulness.area(curves[name], settings.levels_percent)
            for name in CURVES
        }
        rngs, samples = self.generators("infidelity", scene.identities), settings.infidelity_samples
        found["infidelity"] = faithfulness.infidelity(
            head, scene.images, maps, targets, samples, rngs, *scene.context
        )
        found["agreement"] = faithfulness.rank_correlation(scores, counts, scene.lit)
        return found | {
            name: np.full(len(targets), value / len(targets)) for name, value in passes.items()
        }

    def sensitivity(self, method: str, scene: Scene, task: str) -> np.ndarray:
        """Of each frame; that of chance is 0, as its noise belongs to the frame and not to how it looks."""
        if method == faithfulness.CHANCE:
            return np.zeros(len(scene.images))
        explain = partial(self.maps, method, self.head(self.model, task))
        rngs = self.generators("sensitivity", scene.identities)
        radius, samples = self.settings.sensitivity_radius, self.settings.sensitivity_samples
        return faithfulness.sensitivity(
            explain, scene.images, scene.answers[task], radius, samples, rngs, *scene.context
        )


def applicable(methods: tuple[str, ...], sees_images: bool) -> tuple[str, ...]:
    """Those of `methods` that can explain a model, depending on what it sees.

    Raises:
        ValueError: when there is none.
    """
    found = tuple(method for method in methods if sees_images or method not in SPATIAL)
    if not found:
        raise ValueError(
            f"attribute.methods = {list(methods)} cannot explain a model of raw IQ, in which no layer is a map of the constellation; "
            "add integrated_gradients, occlusion or rise"
        )
    return found


class Judged(NamedTuple):
    """What every method's maps of the same n frames are worth, as numbers a frame."""

    found: dict[tuple[str, str], dict[str, np.ndarray]]
    """(task, method) -> measure -> (n,), and `deletion` and `insertion` -> (n, levels + 1)."""
    levels_percent: tuple[float, ...]
    """Of the curves, 0 first."""

    def measures(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, measure): mean `value` over `n` frames and `difference` to chance, each with its 95 % interval."""
        rows = []
        for task, measure in {
            (task, name): None
            for (task, _), values in self.found.items()
            for name, v in values.items()
            if v.ndim == 1
        }:
            values = {
                method: self.found[task, method][measure]
                for one, method in self.found
                if one == task
            }
            summary = faithfulness.summarise(
                values, resamples, generator(seed, "attribute resamples", task, measure)
            )
            rows += [
                {"task": task, "method": method, "measure": measure} | row
                for method, row in summary.items()
            ]
        return pd.DataFrame(rows).rename(columns={"mean": "value", "frames": "n"})

    def curves(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, curve, level_percent): mean `probability` of the answer, and its 95 % interval."""
        rows = []
        for (task, method), values in self.found.items():
            for curve in CURVES:
                rng = generator(seed, "curve resamples", task, method, curve)
                for level, column in zip(self.levels_percent, values[curve].T, strict=True):
                    point = faithfulness.mean(column, resamples, rng)
                    row = {
                        "task": task,
                        "method": method,
                        "curve": curve,
                        "level_percent": level,
                        "probability": point["mean"],
                    }
                    rows.append(row | {name: point[name] for name in ("ci_low", "ci_high")})
        return pd.DataFrame(rows)


def judge(explainer: Explainer, index: np.ndarray, checked: np.ndarray) -> Judged:
    """Judges all methods by the frames of `index` (n, 3), and their sensitivity, for which maps are made anew, by those of `checked`."""
    parts: dict[tuple[str, str], list[dict[str, np.ndarray]]] = defaultdict(list)
    for start in progress(range(0, len(index), BATCH), f"attribute, {BATCH} frames each"):
        scene = explainer.look(index[start : start + BATCH])
        for task in TASKS:
            for method in explainer.methods:
                parts[task, method].append(explainer.judge(method, scene, task))
    found = {
        key: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for key, parts in parts.items()
    }
    scene = explainer.look(checked)
    for task, method in progress(list(found), "attribute, sensitivity"):
        found[task, method]["sensitivity"] = explainer.sensitivity(method, scene, task)
    return Judged(found, (0, *explainer.settings.levels_percent))


class Stranger(NamedTuple):
    """A model that lacks what the explained one has learnt, as far as the share of its modules says."""

    check: str  # weights: made random; labels: trained on shuffled ones
    share: float
    model: nn.Module
    fit: dict[str, float]  # task -> accuracy on the shuffled labels that it was trained on


def strangers(explainer: Explainer, train: np.ndarray) -> Iterator[Stranger]:
    """The model with ever more weights made random, and a fresh one trained on shuffled labels of frames of `train` (n, 3)."""
    trained, data, settings = explainer.trained, explainer.data, explainer.settings
    rng = generator(explainer.seed, "randomised weights")
    for share, model in sanity.randomised(explainer.model, settings.randomised_steps, rng):
        yield Stranger("weights", share, model, {})
    rng = generator(explainer.seed, "shuffled labels")
    some = some_of(train, settings.shuffled_frames, rng)
    fresh = partial(
        models.build, trained.architecture, trained.input.shape, len(data.modulations), data.snrs_db
    )
    stored, targets = explainer.stored(some), torch.from_numpy(some[:, :2].copy())
    model, fit = sanity.fit_shuffled(
        fresh,
        explainer.inputs,
        stored,
        targets,
        settings.shuffled_epochs,
        SHUFFLED_BATCH,
        SHUFFLED_LR,
        rng,
    )
    yield Stranger("labels", 1.0, model, fit)


def check(
    explainer: Explainer, checked: np.ndarray, patterns: "Patterns", strangers: Iterator[Stranger]
) -> pd.DataFrame:
    """What outlives the loss of what the model has learnt: one row a (task, method, check, share).

    `correlation` is the mean absolute rank correlation, over the lit pixels of each frame of `checked` (n, 3), of a stranger's maps with
    the model's own, with its 95 % interval and the number `n` of frames in which both rank anything; `survives` is the verdict of
    `sanity.Survival`, and `null` the same correlation between the model's own maps of different frames: what is alike in all maps of a
    method. `fit` is the accuracy of a model trained on shuffled labels on these. The method `pis` compares `Patterns`, its interval is from
    resampled masks and its `n` counts them. Chance is left out: it asks no model.
    """
    scene, settings = explainer.look(checked), explainer.settings
    methods = (*explainer.attributions, BRIGHTNESS)
    own = {
        (task, method): explainer.scores(method, explainer.model, scene, task)
        for task in TASKS
        for method in methods
    }
    alike = {
        key: _mean_correlation(scores, np.roll(scores, 1, axis=0), scene.lit)
        for key, scores in own.items()
    }
    rows = []
    for stranger in progress(strangers, "attribute, sanity checks", settings.randomised_steps + 1):
        name = (stranger.check, str(stranger.share))
        label = {"check": stranger.check, "share": stranger.share}
        for (task, method), scores in own.items():
            others = explainer.scores(method, stranger.model, scene, task)
            rng = generator(explainer.seed, "survival", task, method, *name)
            survival = sanity.survives(
                faithfulness.rank_correlation(scores, others, scene.lit), rng, settings.resamples
            )
            fit = stranger.fit.get(task, np.nan)
            rows.append(
                {"task": task, "method": method}
                | label
                | _row(survival)
                | {"null": alike[task, method], "fit": fit}
            )
        if stranger.share == 1:
            rows += [
                {"method": "pis"} | label | row
                for row in patterns.compare(explainer, stranger.model, name)
            ]
    return pd.DataFrame(rows)


def _row(survival: Survival) -> dict[str, Any]:
    numbers = {
        "correlation": survival.mean,
        "ci_low": survival.ci_low,
        "ci_high": survival.ci_high,
        "n": survival.frames,
    }
    return numbers | {"survives": survival.verdict}


def _mean_correlation(one: np.ndarray, other: np.ndarray, lit: np.ndarray) -> float:
    found = np.abs(faithfulness.rank_correlation(one, other, lit))
    return float(np.nanmean(found)) if not np.isnan(found).all() else np.nan


class Patterns:
    """What each mask costs a model, as a pattern over masks: mean drop in the probability of its own answer, which has no floor.

    The masks are those of one level of each name, exact where there are exact ones, the rings and the clusters, of each view.
    """

    def __init__(self, explainer: Explainer, perturbations: Perturbations, level_percent: float):
        rule = (
            "exact" if any(mask.rule == "exact" for mask in perturbations.masks) else "percentile"
        )
        chosen = {(rule, level_percent), ("ring", None), ("cluster", None)}
        self.perturbations = perturbations
        self.masks = [
            mask for mask in perturbations.masks if (mask.rule, mask.level_percent) in chosen
        ]
        self.own = self.of(explainer, explainer.model)

    def of(self, explainer: Explainer, model: nn.Module) -> np.ndarray:
        """(masks, tasks)."""
        render, lost = explainer.data.render, np.zeros((len(self.masks), len(TASKS)))
        for start, stop in self.perturbations.chunks(BATCH):
            subject = explainer.subject(self.perturbations.frame[start:stop])
            whole = [logits.float().softmax(1) for logits in subject.predict_whole(model)]
            answers = [probability.argmax(1, keepdim=True) for probability in whole]
            before = self._sums(whole, answers)
            for i, mask in enumerate(self.masks):
                pixels, offsets = self.perturbations.pixels(mask, "mask", start, stop)
                first = render.views.index(mask.view) * render.size**2
                logits = subject.predict(model, pixels + np.int64(first), offsets)
                lost[i] += before - self._sums([one.float().softmax(1) for one in logits], answers)
        return lost / len(self.perturbations.frame)

    @staticmethod
    def _sums(probabilities: list[torch.Tensor], answers: list[torch.Tensor]) -> np.ndarray:
        return np.array(
            [
                float(one.gather(1, answer).sum())
                for one, answer in zip(probabilities, answers, strict=True)
            ]
        )

    def compare(
        self, explainer: Explainer, model: nn.Module, name: tuple[str, str]
    ) -> Iterator[dict[str, Any]]:
        """One row a task: the pattern of another model against the own one; none of fewer than `FEWEST_MASKS`."""
        other = self.of(explainer, model)
        for t, task in enumerate(TASKS):
            rng = generator(explainer.seed, "survival", task, "pis", *name)
            draws = (
                rng.integers(len(other), size=(explainer.settings.resamples, len(other)))
                if len(other) >= FEWEST_MASKS
                else []
            )
            found = [
                _pattern_correlation(self.own[d, t], other[d, t]) for d in (slice(None), *draws)
            ]
            low, high = (
                np.nanquantile(found[1:], [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
            )
            yield {"task": task} | _row(Survival(found[0], low, high, len(other)))


def _pattern_correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(
        np.abs(
            faithfulness.rank_correlation(one[None], other[None], np.ones((1, len(one)), bool))[0]
        )
    )


def some_of(index: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """At most n frames of an index, in random order."""
    return rng.permutation(index)[:n]


def summary(measures: pd.DataFrame, checks: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Task -> method -> measure, for the metrics file.

    `survives_<check>` is 1 where a pattern outlives the loss of all knowledge and 0 where not; it is left out where that is unknown.
    """
    verdicts = checks[(checks["share"] == 1) & (checks["survives"] != "unknown")]
    verdicts = verdicts.assign(
        measure="survives_" + verdicts["check"], value=(verdicts["survives"] == "yes").astype(float)
    )
    result: dict[str, dict[str, dict[str, float]]] = {}
    for row in pd.concat([measures, verdicts])[["task", "method", "measure", "value"]].to_dict(
        "records"
    ):
        if not np.isnan(row["value"]):
            result.setdefault(row["task"], {}).setdefault(row["method"], {})[row["measure"]] = row[
                "value"
            ]
    return result


def with_checks(measures: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """The table of measures with the correlations of maps without any knowledge as two more, `weights` and `labels`, for a picture."""
    last = checks[checks["share"] == 1].rename(columns={"check": "measure", "correlation": "value"})
    return pd.concat([measures, last])[
        ["task", "method", "measure", "value", "ci_low", "ci_high", "n", "null"]
    ]


class Examples(NamedTuple):
    """A frame of each modulation, in one view, for `plots.attributions`."""

    images: np.ndarray  # (rows, size, size)
    taken: dict[str, np.ndarray]  # name of a mask -> its pixels, bool (rows, size, size)
    maps: dict[str, np.ndarray]  # method -> (rows, size, size), NaN where there is nothing to say
    curves: dict[
        str, np.ndarray
    ]  # method -> (rows, levels), mean of the deletion curves of the modulation
    levels_percent: tuple[float, ...]
    titles: list[str]
    frames: int  # behind each curve


def examples(
    explainer: Explainer, index: np.ndarray, judged: Judged, patterns: Patterns, task: str
) -> Examples:
    """The frame of the highest SNR of each modulation among `index` (n, 3), which `judged` is about, in the view that matters most.

    That is the one whose masks of `patterns` cost this head the most.
    """
    order = np.lexsort((-index[:, 1], index[:, 0]))
    rows = order[np.unique(index[order, 0], return_index=True)[1]]
    scene, render = explainer.look(index[rows]), explainer.data.render
    by_view = (len(rows), len(render.views), render.size**2)
    cost = [
        sum(
            patterns.own[i, TASKS.index(task)]
            for i, mask in enumerate(patterns.masks)
            if mask.view == view
        )
        for view in render.views
    ]
    view = int(np.argmax(cost))
    scores = {
        m: explainer.scores(m, explainer.model, scene, task).reshape(by_view)
        for m in explainer.attributions
    }
    counts, ties = (
        array.reshape(by_view)[:, view] for array in (scene.counts.cpu().numpy(), scene.ties)
    )
    brightest = faithfulness.order(counts, counts, ties)
    taken = np.zeros(counts.shape, bool)
    for mask, pixels, lit in zip(taken, brightest, np.count_nonzero(counts, axis=1), strict=True):
        mask[pixels[: exact_size(lit, SHOWN_PERCENT)]] = True
    same = [index[:, 0] == modulation for modulation in index[rows, 0]]
    square = (-1, render.size, render.size)

    def shown(values: np.ndarray) -> np.ndarray:
        """Behind what is dark a model of raw IQ has nothing to look at; one of pictures sees that it is dark."""
        return (
            values if explainer.trained.input.sees_images else np.where(counts > 0, values, np.nan)
        )

    return Examples(
        images=np.log1p(counts).reshape(square),
        taken={f"Top {SHOWN_PERCENT:g} %": taken.reshape(square)},
        maps={method: shown(values[:, view]).reshape(square) for method, values in scores.items()},
        curves={
            m: np.stack([judged.found[task, m]["deletion"][one].mean(0) for one in same])
            for m in explainer.methods
        },
        levels_percent=judged.levels_percent,
        titles=[
            "{}, {} dB\n{}".format(*explainer.data.identity(frame)[:2], render.views[view])
            for frame in index[rows]
        ],
        frames=int(min(map(np.count_nonzero, same))),
    )


class Explanation(NamedTuple):
    """What the stage `attribute` writes."""

    measures: pd.DataFrame
    curves: pd.DataFrame
    checks: pd.DataFrame
    examples: dict[str, Examples]  # of each task


def explain(
    explainer: Explainer,
    index: np.ndarray,
    train: np.ndarray,
    perturbations: Perturbations,
    level_percent: float,
) -> Explanation:
    """Judges every method by the frames of `index` (n, 3), checks what outlives the model's knowledge, and picks examples.

    `train` (n, 3) are frames for a model trained on shuffled labels; `level_percent` is that of the masks in the pattern of PIS.
    """
    settings, seed = explainer.settings, explainer.seed
    checked = some_of(index, settings.checked_frames, generator(seed, "checked frames"))
    patterns = Patterns(explainer, perturbations, level_percent)
    judged = judge(explainer, index, checked)
    checks = check(explainer, checked, patterns, strangers(explainer, train))
    shown = {task: examples(explainer, index, judged, patterns, task) for task in TASKS}
    return Explanation(
        judged.measures(seed, settings.resamples),
        judged.curves(seed, settings.resamples),
        checks,
        shown,
    )
