"""Which run of the pipeline a stage belongs to, and what it changes of the committed params."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil

from pisces.config.io import PARAMS
from pisces.core import yaml
from pisces.run import dvc_process


class Execution(NamedTuple):
    """What the stages of one `dvc repro` or `dvc exp run` have in common."""

    key: str
    name: str
    revision: str | None = None
    """The commit that it started from."""
    experiment: str | None = None
    """Its name, when it is one of DVC's."""
    study: str | None = None
    """Of which it is a part: a study of trials, or a sweep of experiments."""
    trial: str | None = None
    """Its number in that study."""


def current(stage: str) -> Execution:
    """The DVC experiment if there is one, else the `dvc` above this process, else this process.

    A trial of a study names itself in PISCES_TRIAL=<study>/<number>, and whoever runs experiments
    that belong together names them in PISCES_SWEEP.
    """
    study, _, trial = os.environ.get("PISCES_TRIAL", "").rpartition("/")
    study = study or os.environ.get("PISCES_SWEEP", "")
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV")
    if name and baseline:
        one = of_experiment(name, baseline)
        return one._replace(study=study or None, trial=trial or None)

    dvc = dvc_process.running()
    what = "repro" if dvc else f"{stage} by hand"
    process = dvc or psutil.Process()
    key = f"{platform.node()}/{process.pid}/{process.create_time():.2f}"
    return Execution(key, f"{what} {now()}", revision(), None, study or None, trial or None)


def of_experiment(name: str, baseline: str) -> Execution:
    """An experiment of DVC, by its name and the commit that it belongs to."""
    return Execution(f"{baseline}/{name}", name, baseline, name)


def revision() -> str | None:
    """The commit that this run started from, None outside a repository with a commit."""
    return os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")


def committed_params(commit: str | None) -> dict[str, Any] | None:
    """The content of params.yaml in a commit, None when it has none."""
    text = _git("show", f"{commit}:./{PARAMS}") if commit else None
    return yaml.parse(text, f"{PARAMS} of {commit}") if text else None


def describe(
    values: Mapping[str, Mapping[str, Any]], committed: Mapping[str, Mapping[str, Any]] | None
) -> str:
    """What differs from the committed params, in words such as "train.lr 0.001 -> 0.0003".

    Args:
        values: section -> key -> value, as they are.
        committed: the same, as they are committed; None when nothing is.

    Returns:
        The differences with commas between them.
    """
    if committed is None:
        return f"no committed {PARAMS} to compare with"
    old, new = _keys(committed), _keys(values)
    differences = []
    for name in old | new:
        is_same = name in old and name in new and old[name] == new[name]
        if not is_same:
            differences.append(f"{name} {_word(old, name)} -> {_word(new, name)}")
    return ", ".join(differences) or "committed params"


def now() -> str:
    """The time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M")


def _keys(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`section.key` -> value."""
    found: dict[str, Any] = {}
    for section, keys in content.items():
        found |= {f"{section}.{key}": value for key, value in keys.items()}
    return found


def _word(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "absent"
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value)


def _git(*arguments: str) -> str | None:
    """What git prints, or None when it fails: no repository, no commit, no such file."""
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip() if done.returncode == 0 else None
