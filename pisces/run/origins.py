"""Whether files are what the last run of their stages wrote, and all of one revision and model.

Nothing is said of files that no lock knows, as after stages that were run without DVC.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pisces.run.provenance import Lock, md5

HERE = Path()
CODE = "pisces/"


def contradictions(stages: Iterable[str], root: Path = HERE) -> list[str]:
    """What `dvc.lock` says against the outputs of some stages, in lines that name them.

    Args:
        stages: whose outputs are looked at.
        root: of the repository.

    Returns:
        A line for each file that is not as its stage wrote it, for each stage that read another
        output than there is, such as another model, and for each whose code differs from others'.
    """
    lock = Lock(root)
    looked_at = [stage for stage in stages if stage in lock.stages]
    return [
        *_edited(lock, looked_at),
        *_of_other_outputs(lock, looked_at),
        *_of_other_code(lock, looked_at),
    ]


def _edited(lock: Lock, stages: Iterable[str]) -> Iterator[str]:
    for stage in stages:
        for path in _outputs(lock, stage):
            file = lock.root / path
            if file.is_file() and lock.wrote(stage, path) != md5(file):
                yield (
                    f"{path} is not what the last run of {stage} wrote, by its MD5 in dvc.lock; "
                    f"make it again with dvc repro {stage}"
                )


def _of_other_outputs(lock: Lock, stages: Iterable[str]) -> Iterator[str]:
    written = {path: maker for maker in lock.stages for path in _outputs(lock, maker)}
    for stage in stages:
        for path, read in lock.dependencies(stage).items():
            if path in written and read != lock.wrote(written[path], path):
                yield (
                    f"what {stage} wrote ({_some(lock, stage)}) is of another {path} than there "
                    f"is now; make it again with dvc repro {stage}"
                )


def _of_other_code(lock: Lock, stages: Iterable[str]) -> Iterator[str]:
    """Two stages of one run have read the same code."""
    first: dict[str, tuple[str, str]] = {}
    for stage in stages:
        for path, read in lock.dependencies(stage).items():
            if not path.startswith(CODE):
                continue
            other, digest = first.setdefault(path, (stage, read))
            if digest != read:
                yield (
                    f"what {stage} wrote ({_some(lock, stage)}) is of another revision of {path} "
                    f"than that of {other}; make both again with dvc repro {stage} {other}"
                )
                break


def _outputs(lock: Lock, stage: str) -> list[str]:
    return [one["path"] for one in lock.stages.get(stage, {}).get("outs", [])]


def _some(lock: Lock, stage: str) -> str:
    """The first outputs of a stage, for a message."""
    paths = _outputs(lock, stage)
    return ", ".join(paths[:2]) + (", ..." if len(paths) > 2 else "")
