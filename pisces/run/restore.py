"""Back to a committed state: params, results, and every output that DVC's cache still has."""

import logging
import subprocess
from typing import NamedTuple

from pisces.core.texts import printable
from pisces.run import output_folders

EXPERIMENTS = "refs/exps"
"""Where git keeps the experiments of DVC: `refs/exps/<first 2>/<other 38 of a commit>/<name>`."""

LONGEST_SHOWN = 100
"""Characters of a name in a message."""
RECORDS = ("params.yaml", "dvc.lock", "metrics", "plots")
"""What git holds of a run."""


class Restored(NamedTuple):
    """What came back, and what did not."""

    records: list[str]
    outputs: list[str]
    missing: list[str]
    """Outputs that the cache lacks. What lies in their place stays as it is."""
    stashed: bool
    """Whether uncommitted edits of tracked files were there, and are kept in git's stash."""


def restore(revision: str = "HEAD") -> Restored:
    """Brings back the committed records of a revision and the cached outputs that go with them.

    Nothing is deleted: an output that the cache lacks is left as it lies, and made again by the
    next `dvc repro`. One that is replaced must be in the cache, or else DVC refuses. So it works
    on a fresh clone as well, where `dvc exp apply` ends at the first output that is not there.

    Args:
        revision: of git, or the name of an experiment of DVC.

    Raises:
        ValueError: outside a git repository with a commit, for a revision that is not there, where
            a folder of outputs is a link, or when an output that would be replaced is not in the
            cache.
    """
    output_folders.require_no_link()
    commit = commit_of(revision)
    records = _git("ls-tree", "-r", "--name-only", commit, "--", *RECORDS)
    if not records:
        raise ValueError(f"{revision} holds none of {', '.join(RECORDS)}")
    stashed = _stash()
    _git("checkout", commit, "--", *records)
    try:
        outputs, missing = _check_out()
    except ValueError as error:
        kept = "; your former edits are in git stash" if stashed else ""
        raise ValueError(f"{error}{kept}") from error
    return Restored(records, outputs, missing, stashed)


def commit_of(revision: str) -> str:
    """The commit of an experiment, or of a revision of git.

    Raises:
        ValueError: where there is none, or experiments on several commits have that name.
    """
    refs = [line.split() for line in _git("for-each-ref", "--format=%(refname) %(objectname)")]
    named = {
        commit
        for name, commit in refs
        if name.startswith(f"{EXPERIMENTS}/") and name.endswith(f"/{revision}")
    }
    if len(named) > 1:
        raise ValueError(
            f"{len(named)} experiments are called {revision}, on different commits; name one of "
            f"{', '.join(sorted(commit[:7] for commit in named))} instead"
        )
    if named:
        return named.pop()
    try:
        commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")[0]
    except ValueError:
        commit = ""
    if not commit.isalnum():  # git writes ^ before what it is asked to leave out
        shown = printable(revision)[:LONGEST_SHOWN]
        raise ValueError(
            f"there is no experiment and no revision {shown}; python -m pisces experiments "
            "names those that are here, and those of another repository come with "
            f"git fetch origin '{EXPERIMENTS}/*:{EXPERIMENTS}/*'"
        )
    return commit


def _stash() -> bool:
    """Keeps all uncommitted edits of tracked files in git's stash; whether there are any."""
    commit = _git("stash", "create", "before pisces restore")
    if commit:
        _git("stash", "store", "--message", "before pisces restore", *commit)
    return bool(commit)


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise ValueError(f"git {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout.splitlines()


def _check_out() -> tuple[list[str], list[str]]:
    """Checks out the outputs that the cache has; names those, and the ones that it lacks."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    with Repo() as repo:
        outs = [out for out in repo.index.outs if out.use_cache and out.hash_info]
        cached = [str(out) for out in outs if not out.changed_cache()]
        missing = sorted({str(out) for out in outs} - set(cached))
        try:
            if cached:
                repo.checkout(targets=cached)
        except DvcException as error:
            raise ValueError(f"DVC cannot check out: {error}; then move that file away") from error
    return cached, missing
