"""dvc.yaml says what the stages do, and the pipeline keeps its promises: in scratch clones, with the preset `smoke`."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import h5py
import pytest
from ruamel.yaml import YAML

from pisces.config.schema import Params, lay_over, read_yaml

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
LEFT_OUT = {"run", "config"}
"""Folders of pisces/ that are a dependency of no stage: see the tests of the schema below."""
MADE_BY_THE_PIPELINE = ("data/", "models/", "metrics/", "plots/", "dvc.lock")
SMOKE = read_yaml(ROOT / "presets" / "smoke.yaml")
EPOCHS = 3


# dvc.yaml against the code


def names(entries: list) -> list[str]:
    """Paths of a list in dvc.yaml, whose entries are paths or a path with settings."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: str) -> list[str]:
    declared = [
        name for kind in ("outs", "plots", "metrics") for name in names(STAGES[stage].get(kind, []))
    ]
    return [
        name.replace("${synthesize.format}", SMOKE["synthesize"]["format"]) for name in declared
    ]


@cache
def imported(path: str) -> frozenset[str]:
    """Modules of pisces/ that a file imports, wherever in it the import stands."""
    modules = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    places = [module.replace(".", "/") for module in modules if module.split(".")[0] == "pisces"]
    candidates = {place + ending for place in places for ending in (".py", "/__init__.py")}
    files = {name for name in candidates if (ROOT / name).is_file()}
    return frozenset(name for name in files if Path(name).parts[1] not in LEFT_OUT)


def needed(path: str) -> set[str]:
    """Files of pisces/ behind a file, itself left out."""
    found, todo = set(), set(imported(path))
    while todo:
        found |= todo
        todo = {name for one in todo for name in imported(one)} - found
    return found


def leaves(section: str, key: str | None) -> set[tuple[str, str]]:
    """(section, key) of one key, or of every key of a section."""
    keys = Params.model_fields[section].annotation.model_fields
    return {(section, key)} if key in keys else {(section, one) for one in keys}


def params_read(stage: str) -> set[tuple[str, str]]:
    """(section, key) of every `params.<section>.<key>` in a stage; `params.<section>` by itself stands for all of its keys."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text())
    inner = {node.value: node for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    read = set()
    for node, section in inner.items():
        if isinstance(node, ast.Name) and node.id == "params":
            key = inner[section].attr if section in inner else None
            read |= leaves(section.attr, key)
    return read


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_folders_that_the_stage_uses(stage):
    listed = [dep for dep in STAGES[stage]["deps"] if dep.startswith("pisces/")]
    folders = {Path(name).parent for name in needed(f"stages/{stage}.py")} - {Path("pisces")}
    assert sorted(listed) == sorted(map(str, folders))
    assert f"stages/{stage}.py" in STAGES[stage]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage):
    listed = set()
    for entry in STAGES[stage]["params"]:
        section, _, key = entry.partition(".")
        listed |= leaves(section, key or None)
    assert listed == params_read(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_no_param_is_hidden_from_the_run_cache(stage):
    """DVC drops every key named `size` or `nfiles` from what it looks a run up by, unless it stands as section.key."""
    for section in (entry for entry in STAGES[stage]["params"] if "." not in entry):
        assert not {"size", "nfiles"} & {key for _, key in leaves(section, None)}


@pytest.mark.parametrize("stage", STAGES)
def test_all_params_go_nowhere_but_to_tracking(stage):
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    whole = [
        ast.unparse(call.func)
        for call in calls
        for value in call.args
        if ast.unparse(value) == "params"
    ]
    assert whole == ["tracking.stage"]


@pytest.mark.parametrize("stage", STAGES)
def test_paths_of_the_stage_are_its_deps_or_outputs(stage):
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text())
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path"
    ]
    paths = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    declared = [
        path for path in STAGES[stage]["deps"] if path.startswith(MADE_BY_THE_PIPELINE)
    ] + outputs(stage)
    assert paths
    assert [
        path for path in paths if not any(Path(one).is_relative_to(path) for one in declared)
    ] == []
    assert [
        one for one in declared if not any(Path(one).is_relative_to(path) for path in paths)
    ] == []


def test_stages_are_thin():
    files = {
        path.stem: len(path.read_text().splitlines())
        for path in (ROOT / "stages").glob("*.py")
        if path.stem != "__init__"
    }
    assert set(files) == set(STAGES)
    assert [name for name, lines in files.items() if lines >= 80] == []
    launchers = {"train": "${train.launcher}"}
    commands = {name: f"{launchers.get(name, 'python')} -m stages.{name}" for name in files}
    assert {name: entry["cmd"] for name, entry in STAGES.items()} == commands


# The pipeline in scratch clones


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """Neither this process's settings nor the user's; one thread each, so that stages and tests do not wait for each other."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DVC_", "MLFLOW_", "PISCES_", "GIT_", "OMP_", "MAKE"))
    }
    who = {
        f"GIT_{role}_{what}": "pisces@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return (
        kept
        | who
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "DVC_SITE_CACHE_DIR": str(tmp_path_factory.mktemp("site_cache")),
            "OMP_NUM_THREADS": "1",
            "PISCES_TRACKING": "off",
        }
    )


@pytest.fixture(scope="session")
def run(environment):
    """Runs a command; returns its exit status and what it printed, stdout and stderr together."""

    def run(where: Path, *command: str, **extra: str) -> tuple[int, str]:
        pipes = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "stdin": subprocess.DEVNULL,
            "text": True,
        }
        answer = subprocess.run(
            command, cwd=where, env=environment | extra, check=False, timeout=300, **pipes
        )
        return answer.returncode, answer.stdout

    return run


def stages_run(printed: str) -> set[str]:
    return {
        line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage '")
    }


@pytest.fixture(scope="session")
def clone(tmp_path_factory, run) -> Path:
    """The working tree as a repository of its own, with the preset `smoke`, after one `dvc repro`; for looking only."""
    root = tmp_path_factory.mktemp("clone") / "pisces"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if (ROOT / name).is_file() and not name.startswith(MADE_BY_THE_PIPELINE):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    own = {
        "data": SMOKE["data"] | {"path": "data/raw/synthetic.hdf5"},
        "train": SMOKE["train"] | {"epochs": EPOCHS, "accelerator": "cpu"},
    }
    lay_over(root / "params.yaml", SMOKE | own)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "code"]):
        assert run(root, "git", *command)[0] == 0
    status, printed = run(root, "dvc", "repro")
    assert status == 0, printed
    assert stages_run(printed) == set(STAGES)
    for command in (["add", "-A"], ["commit", "-qm", "results"]):
        assert run(root, "git", *command)[0] == 0
    return root


@pytest.fixture
def scratch(clone, tmp_path) -> Path:
    """A copy of the clone to work in."""
    return shutil.copytree(clone, tmp_path / "pisces")


@pytest.fixture(scope="session")
def experiment(clone, tmp_path_factory, run) -> tuple[Path, str]:
    """Another copy, after `dvc exp run -S train.lr=3e-4`, and what that printed."""
    root = shutil.copytree(clone, tmp_path_factory.mktemp("experiment") / "pisces")
    status, printed = run(root, "dvc", "exp", "run", "--name", "slower", "-S", "train.lr=3e-4")
    assert status == 0, printed
    return root, printed


def test_every_declared_output_is_made(clone):
    assert [
        path for stage in STAGES for path in outputs(stage) if not (clone / path).exists()
    ] == []


def test_nothing_half_written_is_left(clone):
    hidden = [
        path
        for folder in ("data", "models", "metrics", "plots")
        for path in (clone / folder).rglob(".*")
    ]
    assert {path.name for path in hidden} == {".gitignore"}
    assert [
        path
        for path in (clone / ".ckpt").rglob("*")
        if path.suffix != ".lock" and path.parent.name == "train"
    ] == []


def test_metrics_are_json_without_nan(clone):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in (clone / "metrics").glob("*.json"):
        assert json.loads(path.read_text(), parse_constant=refuse)


def test_a_second_repro_runs_nothing(clone, run):
    status, printed = run(clone, "dvc", "repro")
    assert status == 0
    assert stages_run(printed) == set()
    assert "up to date" in printed


def test_another_learning_rate_trains_and_scores_anew_and_renders_nothing(experiment):
    _, printed = experiment
    assert stages_run(printed) == {"train", "evaluate", "pis", "attribute", "limits"}


def test_metrics_diff_shows_what_the_experiment_changed(experiment, run):
    root, _ = experiment
    status, printed = run(root, "dvc", "metrics", "diff", "--json")
    assert status == 0
    changes = json.loads(printed)
    assert changes["metrics/train.json"]["validation_loss"]["diff"] != 0
    assert not set(changes) & {"metrics/audit.json", "metrics/stratify.json"}


def test_exp_show_lists_the_experiment_with_its_learning_rate(experiment, run):
    root, _ = experiment
    status, printed = run(root, "dvc", "exp", "show", "--csv")
    assert status == 0
    rows = [line for line in printed.splitlines() if "slower" in line]
    assert len(rows) == 1
    assert "0.0003" in rows[0].split(",")


def test_plots_diff_makes_a_page(experiment, run):
    root, _ = experiment
    status, printed = run(root, "dvc", "plots", "diff", "HEAD")
    assert status == 0, printed
    assert "Traceback" not in printed
    page = (root / "dvc_plots" / "index.html").read_text()
    assert "confusion_modulation" in page
    assert "Losses by epoch" in page


def test_another_drawing_renders_nothing(scratch, run):
    lay_over(scratch / "params.yaml", {"draw": {"method": "gaussian"}})
    status, printed = run(scratch, "dvc", "repro", "--dry")
    assert status == 0
    assert stages_run(printed) == {"train"}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("pisces/run/tracking.py", set()),
        ("pisces/models/joint.py", {"train", "evaluate", "pis", "attribute"}),
        (
            "pisces/inputs/binning.py",
            {"render", "train", "evaluate", "perturb", "pis", "attribute", "limits"},
        ),
    ],
)
def test_changed_code_runs_the_stages_that_use_it(scratch, run, file, stages):
    with (scratch / file).open("a") as source:
        source.write("# another line\n")
    status, printed = run(scratch, "dvc", "repro", "--dry")
    assert status == 0
    assert stages_run(printed) == stages


def test_a_model_of_raw_frames_takes_the_whole_way(scratch, run):
    status, printed = run(
        scratch, "dvc", "exp", "run", "-S", "train.input=iq", "-S", "train.model=pet_cgdnn"
    )
    assert status == 0, printed
    assert stages_run(printed) == {"train", "evaluate", "pis", "attribute", "limits"}
    assert json.loads((scratch / "models/model.json").read_text())["input"] == {"samples": 1024}
    assert [
        path for stage in STAGES for path in outputs(stage) if not (scratch / path).exists()
    ] == []


def test_a_sweep_fills_the_queue(scratch, run):
    status, printed = run(scratch, "dvc", "exp", "run", "--queue", "-S", "train.lr=1e-4,1e-2")
    assert status == 0, printed
    _, queue = run(scratch, "dvc", "queue", "status")
    assert queue.count("Queued") == 2
    _, table = run(scratch, "dvc", "exp", "show", "--csv")
    assert {value for line in table.splitlines() for value in line.split(",")} >= {"0.0001", "0.01"}


def test_a_missing_file_is_named_in_one_line(scratch, run):
    lay_over(scratch / "params.yaml", {"data": {"path": "/nowhere/frames.hdf5"}})
    status, printed = run(scratch, "dvc", "repro", "split_hdf5")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if "/nowhere/frames.hdf5" in line]
    assert line.startswith("ERROR: failed to reproduce 'split_hdf5'")


def test_a_file_that_is_cut_off_is_answered_in_one_line_and_leaves_nothing(scratch, run, tmp_path):
    path = tmp_path / "frames.hdf5"
    whole = (scratch / "data/raw/synthetic.hdf5").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    lay_over(scratch / "params.yaml", {"data": {"path": str(path)}})
    assert_split_fails(
        scratch, run, f"error: {path} cannot be read as HDF5: not such a file, or cut off"
    )


def test_a_frame_that_is_no_number_stops_the_stage_half_way_and_leaves_nothing(
    scratch, run, tmp_path
):
    path = Path(shutil.copy(scratch / "data/raw/synthetic.hdf5", tmp_path / "frames.hdf5"))
    with h5py.File(path, "r+") as file:
        file["X"][-1, 0, 0] = float("nan")  # of the last modulation, OQPSK
    lay_over(
        scratch / "params.yaml", {"data": {"path": str(path), "modulations": ["BPSK", "OQPSK"]}}
    )
    assert_split_fails(scratch, run, f"error: X in {path} holds NaN, infinity")


def assert_split_fails(root: Path, run, message: str) -> None:
    """`dvc repro split_hdf5` says `message` and no more, and leaves nothing of its outputs, whole or half."""
    status, printed = run(root, "dvc", "repro", "split_hdf5")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert line.startswith(message)
    assert [path for path in outputs("split_hdf5") if (root / path).exists()] == []
    assert [path.name for folder in ("data", "plots") for path in (root / folder).glob(".*")] == [
        ".gitignore"
    ] * 2


def test_another_size_is_not_taken_from_the_cache_and_a_wrong_one_is_answered_in_one_line(
    scratch, run
):
    status, printed = run(scratch, "dvc", "exp", "run", "-S", "render.size=47")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: params.yaml: render.size = 47: 47 must be even")
    assert not (scratch / "data/constellations").exists()


# Killed while training


RESULTS = (
    "models/model.safetensors",
    "models/model.json",
    "metrics/train.json",
    "plots/training.csv",
)


@pytest.fixture
def untrained(clone, tmp_path) -> Path:
    """A copy of the clone that has never trained: no results, and none in the cache to take them from."""
    root = shutil.copytree(clone, tmp_path / "pisces", ignore=shutil.ignore_patterns("runs"))
    for out in read_yaml(root / "dvc.lock")["stages"]["train"]["outs"]:
        (root / out["path"]).unlink()
        (root / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    return root


HOLD = """
import builtins, os, time

say = builtins.print

def hold(*values, **options):
    say(*values, **options)
    if values and str(values[0]).startswith("epoch 1/"):
        while not os.path.exists(os.environ["HOLD_UNTIL"]):
            time.sleep(0.01)

builtins.print = hold
"""


@pytest.mark.parametrize("killed", ["dvc and its stage", "dvc alone"])
def test_a_killed_training_goes_on_to_the_very_same_bytes(
    untrained, clone, environment, run, killed, tmp_path
):
    # A training this small would be over before it can be killed: its first process waits after the first epoch.
    (tmp_path / "sitecustomize.py").write_text(HOLD)
    held = environment | {"PYTHONPATH": str(tmp_path), "HOLD_UNTIL": str(tmp_path / "go")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    dvc = subprocess.Popen(
        ["dvc", "repro", "train"], cwd=untrained, env=held, start_new_session=True, **pipes
    )
    try:
        for line in dvc.stdout:
            if line.startswith(f"epoch 1/{EPOCHS}:"):
                break
        if killed == "dvc alone":
            os.kill(dvc.pid, signal.SIGKILL)
            dvc.wait()
            (tmp_path / "go").touch()
            # At once, while the stage that dvc has left behind is still at it.
            status, printed = run(untrained, "dvc", "repro", "train")
            assert "the dvc that started this training is gone" in dvc.stdout.read()
        else:
            os.killpg(dvc.pid, signal.SIGKILL)
            dvc.wait()
            dvc.stdout.read()
            assert not any((untrained / name).exists() for name in RESULTS)
            status, printed = run(untrained, "dvc", "repro", "train")
    finally:
        if dvc.poll() is None:
            os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()
        dvc.stdout.close()
    assert status == 0, printed
    assert [line for line in printed.splitlines() if line.startswith("going on after epoch ")] == [
        "going on after epoch 1"
    ]
    assert stages_run(printed) == {"train"}
    for name in RESULTS:
        assert (untrained / name).read_bytes() == (clone / name).read_bytes(), name
    assert not [path for path in (untrained / ".ckpt/train").iterdir() if path.is_dir()]
