"""What would stop a stage at its end stops it before its work: folders that cannot be written."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.core import write_errors
from pisces.run import guard, output_folders
from tests.pipeline import ROOT, STAGES, outputs

AS_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Before a command: lets modes of folders hold for root as well."""

STAGE = """
from pathlib import Path
from pisces.run import guard

def main():
    print("working", flush=True)

guard.run("evaluate", main)
"""


def run(
    folder: Path, *command: str, limit: int = resource.RLIM_INFINITY, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command that obeys the modes of folders, with files of at most `limit` bytes."""
    prefix = AS_A_USER if os.geteuid() == 0 else ()

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [*prefix, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=False,
    )


needs_modes = pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="modes do not hold for root"
)


def test_the_folders_are_those_of_the_pipeline():
    """Where two stages run one script, those of both."""
    expected: dict[str, set[str]] = {}
    for stage in STAGES:
        script = "report" if stage.startswith("report") else stage
        for output in map(Path, outputs(stage)):
            is_folder = not output.suffix
            folders = {str(output.parent)} | ({str(output)} if is_folder else set())
            expected.setdefault(script, set()).update(folders)
    assert {stage: set(folders) for stage, folders in output_folders.FOLDERS.items()} == expected


def test_a_file_in_the_place_of_a_folder_is_named_before_the_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "plots").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        guard.run("evaluate", lambda: print("working"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: plots is a file")
    assert (tmp_path / "plots").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]


@needs_modes
@pytest.mark.parametrize("name", ["plots", "metrics", "data", "."])
def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path, name):
    for folder in ("data", "metrics", "plots"):
        (tmp_path / folder).mkdir()
    (tmp_path / name).chmod(0o555)
    done = run(tmp_path, sys.executable, "-c", STAGE)
    (tmp_path / name).chmod(0o755)
    assert done.returncode == 1
    assert "working" not in done.stdout
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert str((tmp_path / name).resolve()) in done.stderr
    assert "chmod" in done.stderr


def test_folders_that_are_not_there_are_no_obstacle_and_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    guard.run("evaluate", lambda: print("working"))
    assert capsys.readouterr() == ("working\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [".work"]


@needs_modes
def test_a_preset_in_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "presets/default.yaml", tmp_path / "params.yaml")
    tmp_path.chmod(0o555)
    done = run(tmp_path, sys.executable, "-m", "pisces", "preset", "smoke")
    tmp_path.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"could not write params.yaml: in {tmp_path} there is no permission" in done.stderr


@pytest.mark.parametrize("stage", ["evaluate", "train", "synthesize"])
def test_a_limit_on_files_of_0_is_named_before_anything_is_imported(tmp_path, stage):
    """torch asks for a folder for temporary files while it is imported."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    done = run(tmp_path, sys.executable, "-B", "-m", f"stages.{stage}", limit=0)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ulimit -f allows files of at most 0 bytes" in done.stderr
    assert "ulimit -f unlimited" in done.stderr


def test_no_folder_for_temporary_files_is_named(capsys):
    def main() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/a', '/b']")

    with pytest.raises(SystemExit):
        guard.console.run(main)
    said = capsys.readouterr().err
    assert "no folder for temporary files can be written (['/a', '/b'])" in said
    assert "TMPDIR" in said


@pytest.mark.parametrize(("number", "words"), write_errors.READ_ONLY.items())
def test_why_a_folder_cannot_be_written(tmp_path, number, words):
    error = OSError(number, "no", str(tmp_path / "deep" / "file"))
    assert write_errors.read_only(error, tmp_path / "deep") == f"in {tmp_path} {words}"
    assert write_errors.read_only(error, tmp_path / "other") == ""
    assert write_errors.read_only(OSError(number, "no"), tmp_path) == ""
