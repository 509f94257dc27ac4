"""What a study asks of params, stages and metrics; every mistake becomes a line with its remedy."""

import json
import random
from collections.abc import Iterator, Mapping
from graphlib import CycleError
from typing import Any

from pisces.config import nearest, presets
from pisces.config.fields import suggestion
from pisces.config.io import parse_params
from pisces.config.keys import inner_section, type_of
from pisces.config.schema import Params
from pisces.experiments import pipeline, space
from pisces.experiments.study_schema import (
    TRAINING,
    Study,
    base_of,
    changed,
    grid_size,
    min_epochs,
    most_epochs,
)

LARGEST_GRID = 100_000
"""Points of a grid, which is written out."""
TOGETHER = 200
"""Points of a space that are tried as a whole."""
LONGEST_VALUE = 80
"""Characters of a value in a message."""
FALLS = ("loss", "mae_db", "ece", "gap_points", "blind_gap", "false_alarms")
"""Endings of metrics that are the better the lower they are."""
DATA_SEED = "base.seed"
REFERENCE = "docs/reference/parameters.md has all"


def require_form(content: Mapping[str, Any], source: str) -> None:
    """Raises ValueError with a line for each value of the space that lacks its key or its brackets.

    Args:
        content: of a file, as it was read.
        source: the file.
    """
    space_read = content.get("space")
    entries = space_read if isinstance(space_read, Mapping) else {}
    lines = [line for key, entry in entries.items() for line in _form(f"space.{key}", entry)]
    if lines:
        raise ValueError("\n".join(f"{source}: {line}" for line in lines))


def _form(where: str, entry: Any) -> Iterator[str]:
    """Lines about what stands for one key of a space."""
    written = _in_yaml(entry)
    if isinstance(entry, list):
        yield f"{where} = {written} is a list; write {{choices: {written}}}"
    elif not isinstance(entry, Mapping):
        yield (
            f"{where} = {written} says not what it may be; write {{choices: [{written}, ...]}}, "
            "or put it under fixed"
        )
    else:
        conditions = entry.get("when")
        lists = {f"{where}.choices": entry.get("choices")}
        if isinstance(conditions, Mapping):
            lists |= {f"{where}.when.{key}": values for key, values in conditions.items()}
        elif conditions is not None:
            yield f"{where}.when = {_in_yaml(conditions)} has no values; write {{KEY: [VALUE]}}"
        for place, values in lists.items():
            if values is not None and not isinstance(values, list):
                yield f"{place} = {_in_yaml(values)} is no list; write [{_in_yaml(values)}]"


def _in_yaml(value: Any) -> str:
    """A value as a file may have it."""
    return json.dumps(value, default=str)[:LONGEST_VALUE]


def check(study: Study, source: str) -> None:
    """Raises ValueError with a line for each mistake of a study.

    Args:
        study: whose keys and types are right.
        source: its file, which each line begins with.
    """
    # What a later check stands on is checked first.
    for checks in ((_preset, _stage, _keys), (_conditions,), (_metrics, _values), (_search,)):
        lines = [f"{source}: {line}" for one in checks for line in one(study)]
        if lines:
            raise ValueError("\n".join(lines))


def _preset(study: Study) -> Iterator[str]:
    known = presets.names()
    if study.preset not in known:
        close = suggestion(study.preset, known)
        yield f"preset = {study.preset} is unknown{close}; there are {', '.join(known)}"


def _stage(study: Study) -> Iterator[str]:
    stages = pipeline.read()
    if study.until not in stages:
        close = suggestion(study.until, stages)
        yield f"until = {study.until} is no stage{close}; there are {', '.join(stages)}"


def _keys(study: Study) -> Iterator[str]:
    """Keys must be params, each set once, and those of the space must change something."""
    if not study.space:
        yield "space is empty; name one param or more, such as train.lr, and its values"

    for place, keys in (("fixed", study.fixed), ("space", study.space)):
        for key in keys:
            yield from _unknown(place, key)

    if DATA_SEED in study.space:
        yield (
            f"space.{DATA_SEED}: {DATA_SEED} draws the data and their parts, so trials would be "
            "measured on other test frames; leave it out, or vary train.seed"
        )

    every = [*study.fixed, *study.space]
    for count, key in enumerate(every):
        for other in every[:count]:
            if key == other:
                yield f"{key} is in both fixed and space; leave it out of one"
            elif key.startswith(f"{other}.") or other.startswith(f"{key}."):
                outer, inner = sorted((key, other), key=len)
                yield f"{inner} lies in {outer}, which is set as a whole; name only one of them"


def _unknown(place: str, key: str) -> Iterator[str]:
    """A line for a key that leads to no param, with those that it may have meant."""
    section: Any = Params
    names = key.split(".")
    for depth, name in enumerate(names):
        outer = ".".join(names[:depth])
        if section is None:
            reason = f"since {outer} holds a value"
            yield f"{place}.{key}: there is no param {key}, {reason}; {REFERENCE}"
            return
        known = nearest.described_keys(section)
        if name not in known:
            close = _like(key, outer, name, known)
            listed = f"; {outer} has {', '.join(known)}" if outer else ""
            yield f"{place}.{key}: there is no param {key}{close or listed}; {REFERENCE}"
            return
        section = inner_section(section, name)
    if len(names) == 1:
        yield f"{place}.{key}: {key} is a section of params; name a key in it, as {key}.<key>"


def _like(key: str, outer: str, name: str, known: Mapping[str, str]) -> str:
    """The params that an unknown key may have meant, in words.

    Args:
        key: as it was written.
        outer: the section that was found, empty at the top.
        name: the first part that is unknown in them.
        known: what there is in its place, with its description.

    Returns:
        Such as " (did you mean train.lr?)", or nothing.
    """
    every = nearest.every_param()
    # A key without its section is meant for the section that has one of its name.
    same = [one for one in every if one.endswith(f".{key}")]
    if same:
        return nearest.question(same[:1])
    here = nearest.likely(name, known)
    if here:
        return nearest.question([f"{outer}.{one}" if outer else one for one in here])
    return nearest.question(nearest.likely(key.rpartition(".")[2], every))


def _conditions(study: Study) -> Iterator[str]:
    """A condition names keys of the space and values that they can take."""
    for key, dimension in study.space.items():
        for other, values in (dimension.when or {}).items():
            where = f"space.{key}.when.{other}"
            known = [one for one in study.space if one != key]
            if not known:
                yield f"{where}: {key} is the only key of the space; leave when out"
            elif other not in study.space:
                close = suggestion(other, known)
                yield f"{where}: {other} is no key of the space{close}; it has {', '.join(known)}"
            elif not study.space[other].is_listed:
                yield (
                    f"{where}: {other} is any number of a range, which hardly hits one; "
                    "give it choices or a larger step, or leave the condition out"
                )
            else:
                for value in values:
                    if not study.space[other].takes(value):
                        yield (
                            f"{where} = {json.dumps(value)} is never drawn; "
                            f"{other} takes {_listed(study.space[other].values())}"
                        )
    try:
        space.in_order(study.space)
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        yield f"space: conditions go round in a circle, {circle}; leave one of them out"


def _listed(values: list[Any]) -> str:
    shown = [json.dumps(value) for value in values[:12]]
    return ", ".join([*shown, "..."] if len(values) > len(shown) else shown)


def _metrics(study: Study) -> Iterator[str]:
    """Metrics must be there, be made by what a trial runs, and get better in the direction."""
    stages = pipeline.read()
    run = pipeline.up_to(stages, study.until)
    yield from _metric(study, stages, run)

    columns = pipeline.TRAINING_COLUMNS
    if study.epoch_metric not in columns:
        close = suggestion(study.epoch_metric, columns)
        yield (
            f"epoch_metric = {study.epoch_metric} is no column{close}; "
            f"there are {', '.join(columns)}"
        )
    elif study.pruner.kind != "none":
        yield from _wrong_way("epoch_metric", study.epoch_metric, study.direction)
        if pipeline.TRAIN not in run:
            yield (
                f"pruner.kind = {study.pruner.kind} needs the epochs of {pipeline.TRAIN}, which "
                f"until = {study.until} does not reach; set it to none"
            )

    for key in study.space:
        if not any(pipeline.reads(stages[name], key) for name in run):
            yield (
                f"space.{key} changes nothing, since no stage up to until = {study.until} reads "
                f"{key}; leave it out, or set until to a later stage"
            )


def _metric(study: Study, stages: Mapping[str, pipeline.Stage], run: list[str]) -> Iterator[str]:
    """Lines about `metric`.

    Args:
        study: that names it.
        stages: all by name.
        run: names of those that a trial runs.

    Yields:
        What is wrong with it.
    """
    file, _, key = study.metric.partition(".")
    makers = {path.stem: name for name, stage in stages.items() for path in stage.metrics}
    if file == TRAINING:
        maker, known = pipeline.TRAIN, [f"{TRAINING}.{one}" for one in pipeline.TRAINING_COLUMNS]
    elif file in makers:
        maker, known = makers[file], pipeline.metrics_of(stages[makers[file]])
    else:
        files = [TRAINING, *makers]
        yield (
            f"metric = {study.metric} is of no metrics file{suggestion(file, files)}; "
            f"it begins with one of {', '.join(files)}, such as evaluate.joint.accuracy"
        )
        return

    # Without numbers of a last run, nobody can say which there will be.
    if (known and study.metric not in known) or not key:
        close = suggestion(study.metric, known)
        yield f"metric = {study.metric} is unknown{close}; there are {', '.join(known)}"
    elif maker not in run:
        yield (
            f"metric = {study.metric} is measured by {maker}, which until = {study.until} does not "
            f"reach; set until to {maker}"
        )
    yield from _wrong_way("metric", study.metric, study.direction)


def _wrong_way(key: str, metric: str, direction: str) -> Iterator[str]:
    """A line where a direction would look for the worst."""
    falls = metric.endswith(FALLS)
    rises = metric.endswith(("accuracy", "macro_f1"))
    if (falls and direction == "maximize") or (rises and direction == "minimize"):
        better = "lower" if falls else "higher"
        yield (
            f"{key} = {metric} is better the {better} it is, against direction = {direction}; "
            "change one of the two"
        )


def _search(study: Study) -> Iterator[str]:
    """What sampler and pruner ask for."""
    pruner, epochs = study.pruner, most_epochs(study)
    least = min_epochs(study)
    if pruner.kind == "hyperband" and epochs < least * pruner.reduction:
        yield (
            f"pruner.kind = hyperband has no second rung: train.epochs = {epochs} is less than "
            f"min_epochs x reduction = {least} x {pruner.reduction}; "
            "raise the epochs, or lower one of the two"
        )
    if pruner.kind == "median" and epochs <= least:
        remedy = "raise the epochs" if least == 1 else "lower it"
        yield (
            f"pruner.min_epochs = {least} leaves none of train.epochs = {epochs} to "
            f"prune; {remedy}, or set pruner.kind to none"
        )
    if study.sampler.kind == "grid":
        yield from _grid(study)


def _grid(study: Study) -> Iterator[str]:
    endless = [key for key, one in study.space.items() if not one.is_listed]
    for key in endless:
        yield f"space.{key}: sampler.kind = grid needs choices or a larger step"
    if endless:
        return
    size = grid_size(study, LARGEST_GRID + 1)
    if size > LARGEST_GRID:
        yield f"the grid has more than {LARGEST_GRID} points; set sampler.kind to random or tpe"
    elif study.trials > size:
        yield f"trials = {study.trials} is more than the {size} points of the grid; lower it"


def _values(study: Study) -> Iterator[str]:
    """Every value is tried on the preset, with every other key at its first one."""
    broken = [
        key
        for key, one in study.space.items()
        if one.choices is None and not one.whole and _is_whole(key)
    ]
    for key in broken:
        yield f"space.{key}: {key} takes whole numbers only; write int: true beside from and to"
    if broken:
        return

    base = changed(base_of(study), study.fixed)
    at_first = _refused(base, space.first_point(study.space, {}))
    yield from (_of_first(study, one) for one in at_first)

    found = set(at_first)
    for key, dimension in study.space.items():
        lines = []
        for value in dimension.tried():
            mistakes = _refused(base, space.first_point(study.space, {key: value}))
            lines += [_of_value(key, value, one) for one in mistakes if one not in found]
            found.update(mistakes)
        if dimension.choices is None and len(lines) > 1:
            lines = [f"{lines[0]} (and {len(lines) - 1} more such values)"]
        yield from lines
    if not found:
        yield from _together(study, base)


def _is_whole(key: str) -> bool:
    """Whether a param takes whole numbers, and no others."""
    *sections, name = key.split(".")
    section: Any = Params
    for one in sections:
        section = inner_section(section, one)
    kinds = type_of(section.model_fields[name].annotation).split(" or ")
    return "whole number" in kinds and "number" not in kinds


def _refused(base: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """What params refuses of a point of the space, on the content that it changes; a line each."""
    try:
        parse_params(changed(base, point), "")
    except ValueError as error:
        return [line.removeprefix(": ") for line in str(error).splitlines()]
    return []


def _of_first(study: Study, mistake: str) -> str:
    """A mistake of the first point with the place of the file that the key stands in."""
    key = mistake.partition(" = ")[0]
    for place, keys in (("space", study.space), ("fixed", study.fixed)):
        if key in keys:
            return f"{place}.{mistake}"
    return f"with the preset, fixed and the first of each choice, {mistake}"


def _of_value(key: str, value: Any, mistake: str) -> str:
    """A mistake with the value of the space that brings it about, which it may name itself."""
    if mistake.startswith(f"{key} = "):
        return f"space.{mistake}"
    return f"space.{key} = {json.dumps(value)}: {mistake}"


def _together(study: Study, base: Mapping[str, Any]) -> Iterator[str]:
    """A line for the first of many points whose values are refused only together."""
    rng = random.Random(0)
    for _ in range(TOGETHER):
        for mistake in _refused(base, space.some_point(study.space, rng)):
            yield (
                f"some values of the space are refused together: {mistake}; "
                "or let when say which go together"
            )
            return
