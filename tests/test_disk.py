"""What results take on disk, by this repository's settings of DVC and the commands of `make`."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTPUT_BYTES, SOURCE_BYTES = 8 * 2**20, 16 * 2**20

STAGE = f"""
import random, shutil
from pathlib import Path

shutil.rmtree("shards", ignore_errors=True)
Path("shards").mkdir()
for number in range(4):
    content = random.Random(number).randbytes({OUTPUT_BYTES} // 8)
    Path(f"shards/{{number}}.bin").write_bytes(content)
Path("model.bin").write_bytes(random.Random(9).randbytes({OUTPUT_BYTES} // 2))
"""
PIPELINE = """
stages:
  report_data:
    cmd: python stage.py
    params: [seed]
    deps: [stage.py, source.bin]
    outs: [shards, model.bin]
  report:
    cmd: python -c "open('end.txt', 'w').write('end')"
    deps: [model.bin]
    outs: [end.txt]
  page:
    cmd: python -c "open('page.txt', 'w').write('page')"
    deps: [end.txt]
    outs: [page.txt]
"""


def commands_of_make() -> list[list[str]]:
    """What `make repro` calls of DVC, one after the other."""
    recipe = (ROOT / "Makefile").read_text().split("\nrepro:")[1].split("\n\n")[0]
    lines = [line.strip().lstrip("@") for line in recipe.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("dvc ")]


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A pipeline of two stages with the DVC settings of this repository."""
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", tmp_path / ".dvc/config")
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "source.bin").write_bytes(os.urandom(SOURCE_BYTES))
    run(tmp_path, "git", "init", "--quiet")
    return tmp_path


def run(folder: Path, *command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    environment.pop("DVC_ROOT", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def bytes_on_disk(folder: Path) -> int:
    """Of all files but the source and git's own; a file with several names counts once."""
    sizes = {}
    for path in folder.rglob("*"):
        own = ".git" not in path.parts and path.name != "source.bin"
        if own and path.is_file() and not path.is_symlink():
            status = path.stat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


@pytest.mark.slow
def test_outputs_lie_on_disk_once_after_a_run_and_after_a_rerun(tiny):
    for seed in (1, 2):  # the rerun makes content that the cache holds already
        (tiny / "params.yaml").write_text(f"seed: {seed}\n")
        for command in commands_of_make():
            run(tiny, *command)
        assert OUTPUT_BYTES <= bytes_on_disk(tiny) <= 1.2 * OUTPUT_BYTES

        for output in (tiny / "model.bin", tiny / "shards/0.bin"):
            assert output.stat().st_mode & 0o222 == 0, "an output and its cached copy are one file"
    assert source_is_in_no_cache(tiny)


def source_is_in_no_cache(folder: Path) -> bool:
    digest = hashlib.md5((folder / "source.bin").read_bytes(), usedforsecurity=False).hexdigest()
    return not list((folder / ".dvc/cache").rglob(digest[2:]))
