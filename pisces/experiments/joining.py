"""How a worker comes to its study: it makes it, or joins it where it is the same."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from pisces.config.io import PARAMS
from pisces.config.sections.data import GENERATED_FILES
from pisces.core import yaml
from pisces.core.texts import counted
from pisces.experiments import address, study, study_schema, workplace
from pisces.experiments.storage import PatientStorage
from pisces.experiments.study import Study

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a study: its experiments are branches of git."""
STUDY, REVISION, BASE, RETRIES = "study", "revision", "base", "retries"
"""User attributes of a study: what it is; the commit of its experiments; a digest of the params
that it changes; how many lost attempts at a trial are made good."""


def require_name(name: str) -> None:
    """Raises ValueError for a study whose experiments could not have its name."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"a study cannot be named {name!r}: up to 64 letters, digits, - and _ can, a letter or "
            "digit first; give another with --name"
        )


def join(spec: Study, name: str, store: PatientStorage, root: Path) -> optuna.Study:
    """The study of that name in the storage, which is made where there is none.

    Args:
        spec: what is searched for.
        name: of the study.
        store: where it is kept, claimed.
        root: the repository.

    Returns:
        The study, with the commit of its experiments.

    Raises:
        ValueError: when another study has that name, or there are edits that no commit has.
    """
    known = {one.study_name: one for one in store.get_all_studies()}
    if name not in known:
        require_committed(root)
        require_unused(name, root)
        own = {
            STUDY: study.canonical(spec),
            REVISION: workplace.git(root, "rev-parse", "HEAD"),
            BASE: digest(base_of(spec, root)),
            RETRIES: spec.retries,
        }
        made = optuna.create_study(storage=store, study_name=name, direction=spec.direction)
        for key, value in own.items():
            made.set_user_attr(key, value)
        return made

    where = f"the study {name} in {address.shown(store.address)}"
    attributes = known[name].user_attrs
    if not attributes.keys() >= {STUDY, REVISION, BASE}:
        raise ValueError(f"{where} was not made by pisces sweep; give another --name")
    if attributes[STUDY] != study.canonical(spec):
        keys = ", ".join(study.differences(attributes[STUDY], study.canonical(spec)))
        raise ValueError(f"{where} is another: it differs in {keys}; give another --name")
    require_commit(attributes[REVISION], where, root)
    joined = optuna.load_study(study_name=name, storage=store)
    joined.set_user_attr(RETRIES, spec.retries)  # who joins may have other limits
    return joined


def require_committed(root: Path) -> None:
    """Raises ValueError where edits would not be part of any trial."""
    edited = workplace.edited(root)
    if edited:
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        raise ValueError(
            f"there are uncommitted changes of {', '.join(edited[:3])}{more}, and trials run what "
            "is committed; commit them, or put them away with git stash"
        )


def require_unused(name: str, root: Path) -> None:
    """Raises ValueError where experiments of an earlier study would be overwritten."""
    pattern = f"refs/exps/*/*/{name}-*"  # of any commit, since names are how they are found
    found = workplace.git(root, "for-each-ref", "--format=%(refname:lstrip=4)", pattern).split()
    own = [one for one in found if one.removeprefix(f"{name}-").isdigit()]
    if own:
        raise ValueError(
            f"an earlier study {name} has left {counted(len(own), 'experiment')}, such as "
            f"{own[0]}; give another --name, or remove them with dvc exp remove"
        )


def require_commit(revision: str, where: str, root: Path) -> None:
    """Raises ValueError where a repository lacks the commit of a study; tells of another one."""
    try:
        workplace.git(root, "cat-file", "-e", f"{revision}^{{commit}}")
    except ValueError:
        raise ValueError(
            f"{where} runs the commit {revision[:10]}, which this repository lacks; git fetch it"
        ) from None
    head = workplace.git(root, "rev-parse", "HEAD")
    if head != revision:
        print(f"{where} runs the commit {revision[:10]}, and not {head[:10]}, which is here")


def base_of(spec: Study, repository: Path) -> dict[str, Any]:
    """The content of params.yaml that the trials change: of the preset, with the user's data file.

    Args:
        spec: names the preset.
        repository: whose params.yaml may name a data file of the user's.

    Returns:
        Section -> key -> value.
    """
    path = str(yaml.read(repository / PARAMS)["data"]["path"])
    return study_schema.base_of(spec, None if path in GENERATED_FILES else path)


def digest(content: Mapping[str, Any]) -> str:
    """A short name for params."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def require_same_base(trials: optuna.Study, base: Mapping[str, Any], preset: str) -> None:
    """Raises ValueError where the params that the trials change are not those of the first ones."""
    if digest(base) != trials.user_attrs[BASE]:
        raise ValueError(
            f"the preset {preset} or the data file is not what it was when the study "
            f"{trials.study_name} began; bring it back, or give another --name"
        )
