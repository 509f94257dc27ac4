"""Where one worker runs experiments of DVC: a clone of the repository at one commit.

Several `dvc exp run` in one repository take each other's experiments, and each changes its files
for a moment: one that is killed leaves them changed. A clone has one worker, can be put back to
its commit at any time, and shows no edits that are made elsewhere. Cache, checkpoints and MLflow
are those of the repository.
"""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from pisces.core import work
from pisces.core.texts import in_one_line
from pisces.experiments import leash
from pisces.run import dvc_process, signals
from pisces.run.hiding import hide

PLACE = Path(".dvc/tmp/sweeps")
"""Of the clones: a folder a worker, and removed with it."""
LOGS = Path(".dvc/tmp/sweep_logs")
"""Of experiments that failed."""
CHECKPOINTS = "PISCES_CHECKPOINTS"

FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX", "DVC_EXP", "DVC_STAGE", "DVC_ROOT")
"""Variables of a git or dvc above this process, which mean another repository."""
SECONDS_TO_END = 30.0
SECONDS_BETWEEN_LOOKS = 0.1
TRIES_TO_PUBLISH = 5


def git(where: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        GitFailed: when it fails, with its complaint.
    """
    # One that is cut short would write on while its clone is removed.
    with signals.deferred():
        done = subprocess.run(
            ["git", *arguments],
            cwd=where,
            env=own_variables(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        raise GitFailed(f"git {arguments[0]} failed in {where}: {in_one_line(hide(done.stderr))}")
    return done.stdout.strip()


def own_variables() -> dict[str, str]:
    """The environment without what names another repository."""
    return {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}


def edited(root: Path) -> list[str]:
    """The tracked files of a repository that differ from its last commit."""
    lines = git(root, "status", "--porcelain", "--untracked-files=no").splitlines()
    return [line.split(maxsplit=1)[1] for line in lines]


def reference(revision: str, name: str) -> str:
    """Where git has an experiment of a commit."""
    return f"refs/exps/{revision[:2]}/{revision[2:]}/{name}"


class GitFailed(ValueError):
    """A git command failed, with its complaint."""


class Unfit(BaseException):
    """This machine, or the worker's folder, lets no trial run now.

    No `Exception`: it is no fault of the trial, as `Away`.
    """


class Workplace:
    """A clone in which one experiment at a time runs.

    Args:
        root: the repository, absolute.
        folder: where the clone is made.
        revision: the commit of all experiments.
    """

    def __init__(self, root: Path, folder: Path, revision: str):
        self.root = root
        self.revision = revision
        self.repository = folder / "repository"
        self.log = folder / "log.txt"
        self.progress = folder / "progress.jsonl"
        self.made: set[str] = set()
        """Names of the data that a training has read here, so that the cache has them."""
        self.checkpoints = Path(os.environ.get(CHECKPOINTS) or root / ".ckpt").absolute()
        self._site_cache = folder / "site_cache"

    def make(self) -> None:
        """Clones the repository, with its cache and its settings of this machine."""
        from dvc.repo import Repo

        git(self.root, "clone", "--quiet", "--shared", "--no-checkout", ".", str(self.repository))
        for key in ("user.name", "user.email"):
            value = git(self.root, "config", "--default", "", "--get", key)
            if value:
                git(self.repository, "config", key, value)
        git(self.repository, "checkout", "--quiet", "--detach", self.revision)

        with Repo(str(self.root)) as repo:
            cache = repo.cache.local_cache_dir
        own_settings = self.root / ".dvc/config.local"
        if own_settings.is_file():
            shutil.copy(own_settings, self.repository / ".dvc/config.local")
        self._dvc("config", "--local", "cache.dir", cache)

    def reset(self) -> None:
        """Puts the clone back to its commit, whatever ran in it last; data stay where they are.

        Clones of workers that were killed are removed.
        """
        work.tidy(self.root / PLACE)
        for left in ("index.lock", "HEAD.lock"):
            (self.repository / ".git" / left).unlink(missing_ok=True)
        for left in ("exps", "rwlock", "rwlock.lock", "lock", "repro.dat"):
            path = self.repository / ".dvc/tmp" / left
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

        git(self.repository, "checkout", "--quiet", "--force", "--detach", self.revision)
        git(self.repository, "clean", "--quiet", "-fd")
        for name in git(
            self.repository, "for-each-ref", "--format=%(refname)", "refs/exps"
        ).splitlines():
            git(self.repository, "update-ref", "-d", name)
        for path in (self.log, self.progress):
            path.unlink(missing_ok=True)

    def start(
        self, name: str, until: str, environment: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Starts an experiment of DVC with params.yaml as it lies in the clone.

        Args:
            name: of the experiment.
            until: its last stage.
            environment: further variables for DVC and its stages.

        Returns:
            Its process, in a group of its own, which ends when this thread does.
        """
        command = [sys.executable, "-m", "dvc", "exp", "run", "--name", name, until]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, leash.__file__, str(os.getpid()), *command],
                cwd=self.repository,
                env={**self._environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def publish(self, name: str) -> None:
        """Brings an experiment into the repository, in place of one of that name."""
        one = reference(self.revision, name)
        for tries_left in reversed(range(TRIES_TO_PUBLISH)):
            try:
                git(
                    self.root,
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--no-auto-maintenance",
                    str(self.repository),
                    f"+{one}:{one}",
                )
                return
            except GitFailed:
                if not tries_left:
                    raise
                time.sleep(1)

    def require(self) -> None:
        """Raises Unfit when there is no clone any more."""
        if not (self.repository / ".git").is_dir():
            raise Unfit(
                f"{self.log.parent}, the folder of this worker, was removed while it worked; run "
                "the same command again"
            )

    def keep_log(self, name: str) -> Path:
        """Keeps what was printed last, if anything was; returns where.

        Raises:
            Unfit: when there is no clone any more.
        """
        self.require()
        kept = self.root / LOGS / f"{name}.txt"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(self.log.read_bytes() if self.log.is_file() else b"")
        return kept.relative_to(self.root)

    def _environment(self) -> dict[str, str]:
        """Of DVC and its stages: what is the repository's and not the clone's."""
        kept = own_variables()
        kept.pop("PISCES_STORAGE", None)
        if not kept.get("MLFLOW_TRACKING_URI", "").startswith("postgres"):
            kept.pop("PGPASSWORD", None)
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(self._site_cache),
            "PISCES_PROGRESS": str(self.progress),
            "PISCES_ROOT": str(self.root),
            CHECKPOINTS: str(self.checkpoints),
        }

    def _dvc(self, *arguments: str) -> None:
        with signals.deferred():
            done = subprocess.run(
                [sys.executable, "-m", "dvc", *arguments],
                cwd=self.repository,
                env=self._environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise ValueError(f"dvc {' '.join(arguments)} failed: {in_one_line(hide(done.stderr))}")


@contextmanager
def opened(root: Path, revision: str) -> Iterator[Workplace]:
    """A workplace, which is gone afterwards, as are those of workers that were killed."""
    with work.folder(root / PLACE, platform.node()) as folder:
        workplace = Workplace(root, folder, revision)
        workplace.make()
        yield workplace


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """When the body is left, nothing of the process runs any more."""
    try:
        yield
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and all that it started, which may clear up first."""
    if process.poll() is not None:
        return
    everyone = [psutil.Process(process.pid)]
    everyone += everyone[0].children(recursive=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in everyone:
            if not dvc_process.is_gone(one):
                one.send_signal(number)
        limit = time.monotonic() + SECONDS_TO_END
        while not all(map(dvc_process.is_gone, everyone)) and time.monotonic() < limit:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    process.wait()
