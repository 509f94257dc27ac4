"""One attempt at a trial: what it draws, what runs for it, and what the storage is told of it."""

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import TrialPruned

from pisces.config.io import parse_params
from pisces.experiments import attempts, study, study_schema, trial
from pisces.experiments.attempts import ERROR, ROOT, SURPLUS
from pisces.experiments.study import Study
from pisces.experiments.workplace import GitFailed, Unfit, Workplace
from pisces.run.hiding import hide

LONGEST_VALUE = 60


class Failure(Exception):
    """The attempt has no value; the storage knows why."""


class Attempt:
    """An attempt that has just begun.

    Args:
        one: the trial of Optuna.
        trials: its study.
        spec: what is searched for.
        place: where it runs.
        base: the params that it changes.
    """

    def __init__(
        self,
        one: optuna.Trial,
        trials: optuna.Study,
        spec: Study,
        place: Workplace,
        base: Mapping[str, Any],
    ):
        self.one, self.trials, self.spec, self.place = one, trials, spec, place
        self.base = base
        self.root = one.user_attrs.get(ROOT)
        self.name = f"{trials.study_name}-{self.root}"
        self.settings: dict[str, Any] = {}
        self._begun = time.monotonic()
        self._reported: set[int] = set()
        self._is_new = True

    def draw(self) -> None:
        """Draws the settings and tells the storage what is going to run.

        Raises:
            Failure: when another attempt does the same, as after an outage of the storage.
        """
        every = attempts.by_root(self.trials.get_trials(deepcopy=False), 0)
        of_root = every.get(self.root, []) if self.root is not None else []
        this = next((one for one in of_root if one.number == self.one.number), None)
        if this is None or attempts.is_needless(this, of_root):
            self.one.set_user_attr(SURPLUS, True)
            raise Failure

        self._reported = set(this.intermediate_values)
        self.settings = study.settings(self.spec, self.one)
        told = {
            "experiment": self.name,
            "settings": self.settings,
            "host": platform.node(),
            "pid": os.getpid(),
        }
        for key, value in told.items():
            self.one.set_user_attr(key, value)
        again = f", attempt {len(of_root)}" if len(of_root) > 1 else ""
        print(f"{self.name} begins{again}: {self._drawn()}", flush=True)

    def run(self) -> float:
        """Runs it; returns the metric.

        Raises:
            TrialPruned: when others are better.
            Failure: when a stage fails, or was ended from outside.
            Unfit: when this machine lets no trial run, such as with a full disk.
        """
        try:
            value, outcome = self._value()
        except trial.Pruned:
            self._end(f"pruned after epoch {max(self._reported)}")
            raise TrialPruned from None
        except trial.Lost as error:
            self._end(f"lost, since {error}")
            raise Failure from None
        except (OSError, MemoryError, GitFailed, trial.OfMachine) as error:
            raise self._unfit(error) from None
        except (trial.Failed, ValueError) as error:
            log = self.place.keep_log(self.name)
            self.one.set_user_attr(ERROR, hide(str(error)))
            self._end(f"failed: {error}; see {log}")
            raise Failure from None

        for row in outcome.rows:
            self._report(row)
        self.one.set_user_attr("from_run_cache", not outcome.trained)
        cached = "" if outcome.trained else ", trained before and taken from DVC's run cache"
        self._end(f"{self.spec.metric} = {value:.6g}{cached}")
        return value

    def _value(self) -> tuple[float, trial.Outcome]:
        content = study_schema.changed(self.base, self.settings)
        parse_params(content, f"{self.name} on the preset {self.spec.preset}")
        experiment = trial.Experiment(self.name, content, self.spec.until, self._environment())
        outcome = trial.run(self.place, experiment, self._goes_on)
        return trial.value_of(self.spec.metric, self.place.repository), outcome

    def _unfit(self, error: Exception) -> Unfit:
        """What ends this worker, so that its trial waits for one that can run it."""
        self.place.require()
        what = str(error) or "there is no memory left"
        if isinstance(error, trial.OfMachine):
            with suppress(OSError):
                what += f"; see {self.place.keep_log(self.name)}"
        return Unfit(
            f"this machine cannot run {self.name}, which waits again: {what}; mend that, and run "
            "the same command again"
        )

    def _environment(self) -> dict[str, str]:
        own = {
            "PISCES_SWEEP": self.trials.study_name,
            "PISCES_TRIAL": f"{self.trials.study_name}/{self.root}",
        }
        threads = {"OMP_NUM_THREADS": str(self.spec.threads)} if self.spec.threads else {}
        return own | threads

    def _goes_on(self, row: trial.Row) -> bool:
        """Reports an epoch; returns whether the training shall have another one."""
        if self._is_new and row[trial.EPOCH] > 1:
            print(f"{self.name} resumes after epoch {row[trial.EPOCH] - 1:g}", flush=True)
            self.one.set_user_attr("resumed", int(row[trial.EPOCH]) - 1)
        self._is_new = False
        return not (self._report(row) and self.one.should_prune())

    def _report(self, row: trial.Row) -> bool:
        """Tells the storage of an epoch, unless it knows; returns whether it was told."""
        step = int(row[trial.EPOCH])
        if step in self._reported or self.spec.epoch_metric not in row:
            return False
        self.one.report(float(row[self.spec.epoch_metric]), step)
        self._reported.add(step)
        return True

    def _end(self, what: str) -> None:
        seconds = time.monotonic() - self._begun
        self.one.set_user_attr("seconds", round(seconds, 1))
        print(f"{self.name}: {what} ({seconds:.0f} s)", flush=True)

    def _drawn(self) -> str:
        """The settings that other trials may have otherwise."""
        drawn = {key: self.settings[key] for key in self.settings if key in self.spec.space}
        texts = [f"{key}={json.dumps(value)[:LONGEST_VALUE]}" for key, value in drawn.items()]
        return " ".join(texts)
