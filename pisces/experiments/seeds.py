"""The same experiment with several seeds of the training: a study with a grid over them."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.config.io import PARAMS, parse
from pisces.config.presets import leaves
from pisces.core import yaml
from pisces.core.texts import printable
from pisces.experiments import pipeline, study, study_checks, workplace
from pisces.experiments.predictions_of import SEED
from pisces.experiments.study_schema import Study
from pisces.run.provenance import nearest_preset

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

COMMAND = "python -m pisces seeds"
METRIC = "evaluate.joint.accuracy"
EVALUATE = "evaluate"
CODE = ("pisces", "stages", "dvc.yaml")
LONGEST_SHOWN = 100
"""Characters of a change in a message."""
MOST_SEEDS = 1000
"""More than any comparison needs."""
OPENING, CLOSING, QUOTES = "[{(", "]})", "'\""


def study_of(count: int, changes: Sequence[str], until: str, threads: int | None) -> Study:
    """Runs of the params as they are, with the seeds 1 to `count` and some changes.

    Args:
        count: of seeds, two or more.
        changes: such as `train.weighting=kendall`; of several values, `train.weighting=fixed,dwa`,
            each is run with every seed.
        until: the last stage of a run.
        threads: of a run; None for those that its machine gives it.

    Returns:
        The study, checked.

    Raises:
        ValueError: naming each wrong key or value.
    """
    if count < 2:
        raise ValueError(f"{count} is no number of seeds to compare over; give 2 or more")
    if count > MOST_SEEDS:
        raise ValueError(f"{count} seeds are more than anybody runs; give {MOST_SEEDS} at most")
    values = _values(changes)
    _require_predictions(until)

    preset = nearest_preset(dict(leaves(yaml.read(PARAMS))))
    if preset is None:
        raise ValueError("there are no presets here; run from the root of the repository")
    fixed = {key: value for key, value in preset.changes.items() if key not in (*values, SEED)}
    fixed |= {key: choices[0] for key, choices in values.items() if len(choices) == 1}
    space = {key: choices for key, choices in values.items() if len(choices) > 1}
    space[SEED] = list(range(1, count + 1))

    content = {
        "preset": preset.name,
        "metric": METRIC,
        "direction": "maximize",
        "until": until,
        "trials": math.prod(len(choices) for choices in space.values()),
        "threads": threads,
        "sampler": {"kind": "grid"},
        "pruner": {"kind": "none"},
        "fixed": fixed,
        "space": {key: {"choices": choices} for key, choices in space.items()},
    }
    spec = parse(Study, content, COMMAND)
    study_checks.check(spec, COMMAND)
    return spec


def default_name(spec: Study, root: Path) -> str:
    """The same for the same study of the same committed code, which the same command goes on with.

    Args:
        spec: the study.
        root: the repository.
    """
    code = workplace.git(root, "rev-parse", *[f"HEAD:{part}" for part in CODE])
    text = study.canonical(spec) + code
    return f"seeds-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def finished(spec: Study, name: str, url: "URL") -> list[str]:
    """The experiments of a study that have a result, its first kind first, by seed.

    Args:
        spec: the study.
        name: of it.
        url: of its storage.

    Raises:
        ValueError: where there is none, with what its runs failed of.
    """
    from optuna.trial import TrialState

    from pisces.experiments import sweep_report

    trials = sweep_report.load(url, name).get_trials(deepcopy=False)
    done = [one for one in trials if one.state == TrialState.COMPLETE]
    if not done:
        errors = sorted({one.user_attrs["error"] for one in trials if "error" in one.user_attrs})
        raise ValueError(f"no run of the study {name} has a result: {'; '.join(errors)}")
    done.sort(key=lambda one: _place(spec, one.user_attrs["settings"]))
    return [one.user_attrs["experiment"] for one in done]


def _place(spec: Study, settings: Mapping[str, Any]) -> list[int]:
    """Where settings stand among all of a study, its choices in the order given, seeds last."""
    keys = sorted(spec.space, key=lambda key: key == SEED)  # stable
    return [list(spec.space[key].values()).index(settings[key]) for key in keys]


def _values(changes: Sequence[str]) -> dict[str, list[Any]]:
    """Full key -> the values that it is to have."""
    values: dict[str, list[Any]] = {}
    for change in changes:
        key, is_there, text = change.partition("=")
        if not (key and is_there):
            raise ValueError(f"-S {change} is no key=value; write such as -S train.lr=1e-3")
        if key == SEED:
            raise ValueError(f"-S {change}: {COMMAND} sets {SEED} itself; leave it out")
        if key in values:
            raise ValueError(f"-S {key} stands twice; write all of its values with commas between")
        values[key] = [_parsed(part, change) for part in _parts(text)]
    return values


def _parsed(text: str, change: str) -> Any:
    """A value as params.yaml would hold it."""
    from yaml import YAMLError

    try:
        return yaml.parse(text)
    except (YAMLError, RecursionError, ValueError):
        shown = printable(change)[:LONGEST_SHOWN]
        raise ValueError(f"-S {shown} has no value of YAML; correct or quote it") from None


def _parts(text: str) -> list[str]:
    """What stands between the commas that lie in no brackets and no quotes.

    >>> _parts("kendall,[symbol,noise],'a,b'")
    ['kendall', '[symbol,noise]', "'a,b'"]
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES:
            quote = letter
        else:
            depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _require_predictions(until: str) -> None:
    """Raises ValueError for a last stage that leaves no predictions to compare."""
    stages = pipeline.read()
    if until in stages and EVALUATE not in pipeline.up_to(stages, until):
        those = [name for name in stages if EVALUATE in pipeline.up_to(stages, name)]
        raise ValueError(
            f"--until {until} does not reach {EVALUATE}, without which nothing can be compared; "
            f"give one of {', '.join(those)}"
        )
