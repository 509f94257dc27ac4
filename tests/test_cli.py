"""The commands beside the pipeline, and the Makefile that calls them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pisces import __main__
from pisces.config.io import load_params
from pisces.config.presets import apply_overlay
from pisces.core import yaml
from pisces.core.files import write_csv, write_json
from pisces.core.modulations import RML2016
from pisces.core.shards import Cell
from pisces.models import modelfile
from pisces.run import sync
from pisces.sources import rml2016
from tests.conftest import save_bins

ROOT = Path(__file__).parents[1]
HDF5 = b"\x89HDF\r\n\x1a\n"
"""How such a file begins."""
PRESETS = ", ".join(sorted(path.stem for path in (ROOT / "presets").glob("*.yaml")))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A directory with the shipped params and presets, to work in."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pisces", *arguments])
    __main__.main()


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    """`python -m pisces` from the root of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "pisces.__main__", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def make(*arguments: str) -> list[str]:
    """The commands that make would run."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATA", "PRESET", "MAKEFLAGS", "MAKELEVEL")
    }
    answer = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    return [line.strip() for line in answer.stdout.splitlines()]


@pytest.mark.usefixtures("here")
def test_a_preset_is_written_and_comments_stay(monkeypatch, capsys):
    comments = re.findall(r"#.*", Path("params.yaml").read_text())
    command(monkeypatch, "preset", "smoke")
    params = load_params()
    assert params.data.modulations == ("BPSK", "QPSK", "16QAM")
    assert (params.render.size, params.train.epochs) == (32, 2)
    assert re.findall(r"#.*", Path("params.yaml").read_text()) == comments
    printed = capsys.readouterr().out
    assert "git diff params.yaml" in printed
    assert "edits" not in printed


@pytest.mark.usefixtures("here")
def test_edits_are_named_before_a_preset_replaces_them(monkeypatch, capsys):
    apply_overlay(Path("params.yaml"), {"train": {"lr": 0.125}})
    command(monkeypatch, "preset", "smoke")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "these edits of params.yaml are replaced:",
        "  train.lr: 0.125 -> 0.0005",
    ]


def test_data_becomes_an_absolute_path_and_all_else_stays(here, monkeypatch):
    (here / "my frames.hdf5").write_bytes(HDF5)
    apply_overlay(Path("params.yaml"), {"train": {"lr": 0.125}})
    before = yaml.read(Path("params.yaml"))
    command(monkeypatch, "preset", "--data", "my frames.hdf5")
    before["data"]["path"] = str(here / "my frames.hdf5")
    assert yaml.read(Path("params.yaml")) == before


def test_a_packed_file_is_refused_before_it_is_written_down(here, monkeypatch):
    (here / "RML2016.10a.tar.bz2").write_bytes(b"BZh91AY&SY")
    before = Path("params.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"RML2016.10a.tar.bz2 is packed \(bzip2\): unpack it"):
        command(monkeypatch, "preset", "rml2016a", "--data", "RML2016.10a.tar.bz2")
    assert Path("params.yaml").read_bytes() == before


def test_preset_and_data_together(here, monkeypatch):
    (here / "x.hdf5").write_bytes(HDF5)
    command(monkeypatch, "preset", "rml2018", "--data", "x.hdf5")
    assert load_params().data.path == str(here / "x.hdf5")
    assert load_params().train.batch_size == 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smokey",), r"preset 'smokey' is unknown \(did you mean smoke\?\); there are "),
        (("nope",), rf"preset 'nope' is unknown; there are {PRESETS}$"),
        (
            ("smoke", "--data", "nowhere.hdf5"),
            r"nowhere.hdf5 is not a file; .* your copy of RML2018",
        ),
        (("smoke", "--data", "presets"), r"presets holds no labels: put recordings there"),
        (("broken",), r"unknown key train.lrr \(did you mean lr"),
        ((), "name a preset, a data file with --data, or both"),
    ],
)
def test_a_wrong_preset_changes_nothing(here, monkeypatch, arguments, message):
    if arguments == ("broken",):
        (here / "presets" / "broken.yaml").write_text("train:\n  lrr: 1e-4\n")
    before = Path("params.yaml").read_bytes()
    with pytest.raises((ValueError, OSError), match=message):
        command(monkeypatch, "preset", *arguments)
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.usefixtures("here")
def test_check_says_that_all_is_well(monkeypatch, capsys):
    before = sorted(Path().rglob("*"))
    command(monkeypatch, "check")
    printed = capsys.readouterr().out
    for part in ("params.yaml is valid: pixel_set", "made by the stage synthesize", PRESETS):
        assert part in printed
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file; set data.path"),
        (b"", "is empty"),
        (b"no frames", "is text, which begins with 'no frames', and data.path takes"),
        (b"\x8ano frames", "cannot be read as"),
    ],
)
@pytest.mark.parametrize("suffix", ["hdf5", "pkl"])
def test_check_looks_at_the_data(here, monkeypatch, capsys, suffix, content, message):
    path = here / f"own.{suffix}"
    apply_overlay(Path("params.yaml"), {"data": {"path": str(path)}})
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, OSError), match=rf"own\.{suffix} {message}"):
        command(monkeypatch, "check")
    assert capsys.readouterr().out == ""  # no line of success above the error


def own_pickle(path: Path, frames: int = 5, samples: int = 128) -> Path:
    """Frames of every class of RML2016.10a, at the SNRs of its preset."""
    cells = [Cell(name, snr_db) for name in RML2016 for snr_db in range(-20, 19, 2)]
    noise = np.ones((frames, 2, samples), np.float32)
    rml2016.write(path, dict.fromkeys(cells, noise))
    return path


def own_hdf5(path: Path, columns: tuple[int, ...]) -> Path:
    """A frame of each of some columns of `Y` at each SNR of RML2018.01A."""
    labels = [(column, snr_db) for column in columns for snr_db in range(-20, 31, 2)]
    with h5py.File(path, "w") as file:
        file["X"] = np.ones((len(labels), 64, 2), np.float32)
        file["Y"] = np.eye(24, dtype=np.int64)[[column for column, _ in labels]]
        file["Z"] = np.array([[snr_db] for _, snr_db in labels])
    return path


@pytest.mark.parametrize("preset", ["default", "rml2018", "rml2018_full", "rml2018_iq"])
def test_check_names_the_preset_for_a_pickle(here, monkeypatch, preset):
    path = own_pickle(here / "RML2016.10a_dict.pkl")
    command(monkeypatch, "preset", preset, "--data", str(path))
    with pytest.raises(ValueError, match=rf"lacks \d+; .*pisces preset rml2016a --data {path}$"):
        command(monkeypatch, "check")


def test_check_names_the_preset_for_an_hdf5_file(here, monkeypatch):
    path = own_hdf5(here / "own.hdf5", (3, 4, 5))
    command(monkeypatch, "preset", "rml2016a", "--data", str(path))
    with pytest.raises(ValueError, match=rf"lacks 8; .*pisces preset rml2018 --data {path}$"):
        command(monkeypatch, "check")


def test_check_names_what_a_file_lacks(here, monkeypatch):
    path = own_hdf5(here / "own.hdf5", (3, 4))
    command(monkeypatch, "preset", "smoke", "--data", str(path))
    with pytest.raises(ValueError, match=r"asks for 16QAM, which .*own.hdf5 does not hold"):
        command(monkeypatch, "check")


def test_check_counts_the_frames_that_the_split_needs(here, monkeypatch, capsys):
    path = own_pickle(here / "few.pkl")
    command(monkeypatch, "preset", "rml2016a", "--data", str(path))
    with pytest.raises(ValueError, match=r"8PSK at -20 dB in .*few.pkl has 5 frames, .*takes 1000"):
        command(monkeypatch, "check")
    shares = {"train": 3, "validation": 1, "test": 1}
    apply_overlay(Path("params.yaml"), {"stratify": shares})
    command(monkeypatch, "check")
    assert "few.pkl holds 1100 frames of 220 (modulation, SNR)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("made", "taken", "keys"),
    [
        (2, None, "synthesize.frames_per_cell"),
        (9, 2, "data.frames_per_cell"),
        (2, 2, "synthesize.frames_per_cell and data.frames_per_cell"),
    ],
)
@pytest.mark.usefixtures("here")
def test_check_refuses_generated_cells_that_cannot_be_split(monkeypatch, made, taken, keys):
    counts = {"synthesize": {"frames_per_cell": made}, "data": {"frames_per_cell": taken}}
    apply_overlay(Path("params.yaml"), counts)
    match = rf"each generated .* has 2 frames, which stratify.* into 2/0/0; .* raise {keys} or the"
    with pytest.raises(ValueError, match=match):
        command(monkeypatch, "check")


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"data": {"snrs_db": [0, 3]}},
            r"data.snrs_db asks for 3, .*synthetic.hdf5 lacks: synthesize.snrs_db makes -8, -6",
        ),
        (
            {"synthesize": {"format": "pkl"}, "data": {"path": "data/raw/synthetic.pkl"}},
            r"data.modulations asks for 4ASK, 8ASK, .*synthesize.format = pkl makes 8PSK, AM-DSB",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_check_compares_with_what_is_generated(monkeypatch, overlay, message):
    apply_overlay(Path("params.yaml"), overlay)
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "check")


@pytest.mark.parametrize("text", ["", "train: [", "just words"])
def test_a_preset_replaces_an_unreadable_params_file_and_keeps_it(here, monkeypatch, capsys, text):
    before = Path("params.yaml").read_bytes()
    Path("params.yaml").write_text(text)
    command(monkeypatch, "preset", "default")
    assert Path("params.yaml").read_bytes() == before
    assert (here / "params.yaml.unreadable").read_text() == text
    assert "it is kept as params.yaml.unreadable" in capsys.readouterr().out


def test_a_preset_is_written_where_params_are_lost(here, monkeypatch):
    before = Path("params.yaml").read_bytes()
    Path("params.yaml").unlink()
    command(monkeypatch, "preset", "default")
    assert (here / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("arguments", [["preset", "default"], ["docs"]])
def test_elsewhere_nothing_is_written(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="run from the root of the repository"):
        command(monkeypatch, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_wrong_preset_leaves_an_unreadable_params_file(here, monkeypatch):
    Path("params.yaml").write_text("train: [")
    with pytest.raises(ValueError, match="preset 'smokey' is unknown"):
        command(monkeypatch, "preset", "smokey")
    assert Path("params.yaml").read_text() == "train: ["
    assert not (here / "params.yaml.unreadable").exists()


def test_check_reads_a_pickle_of_any_name(here, monkeypatch):
    path = own_pickle(here / "RML2016.10a_dict.dat")
    apply_overlay(Path("params.yaml"), {"data": {"path": str(path)}})
    with pytest.raises(ValueError, match=r"such files: python -m pisces preset rml2016a --data"):
        command(monkeypatch, "check")


def test_check_looks_at_params_and_presets(here, monkeypatch):
    (here / "presets/own.yaml").write_text("train: {model: resnet19}\n")
    with pytest.raises(
        ValueError, match=r"preset own: train.model = \"resnet19\": .*mean resnet18"
    ):
        command(monkeypatch, "check")
    (here / "presets/own.yaml").unlink()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("model: pixel_set", "model: resnet19"))
    with pytest.raises(ValueError, match=r"params.yaml: train.model = \"resnet19\""):
        command(monkeypatch, "check")


def test_docs_are_made_from_the_schema(here, monkeypatch):
    command(monkeypatch, "docs")
    page = Path("docs/reference/parameters.md")
    assert page.read_bytes() == (ROOT / page).read_bytes()
    assert (here / page).is_file()


def test_a_mistake_is_one_line_on_stderr():
    answer = run_python("preset", "smokey")
    assert (answer.returncode, answer.stdout) == (1, "")
    unknown = "error: preset 'smokey' is unknown (did you mean smoke?)"
    assert answer.stderr == f"{unknown}; there are {PRESETS}\n"


def test_ctrl_c_while_a_command_is_still_importing_is_one_line():
    """The signal comes as the first module after the handler is looked for."""
    script = (
        "import os, runpy, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pisces.config.presets':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['pisces', 'check']\n"
        "runpy.run_module('pisces', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr.startswith("stopped by Ctrl-C")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_mistake():
    """As with `| head`: the pipe is closed before anything is printed."""
    code = (
        "import sys, time; from pisces.run import console;"
        "console.run(lambda: (time.sleep(0.5), print('x' * 100000), print('y')))"
    )
    program = [sys.executable, "-c", code]
    process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_help_names_every_command_and_what_it_does():
    answer = run_python("--help")
    assert answer.returncode == 0
    commands = ("preset", "check", "summary", "experiments", "restore", "docs", "published")
    for name in (*commands, "export-png", "sync", "ui", "explore"):
        assert name in answer.stdout
    assert "Writes params.yaml from a preset" in " ".join(answer.stdout.split())


def pis_rows(**columns) -> pd.DataFrame:
    """A table of scores: top of two views by both rules at 1, 5 and (exact) 40 %, and a region."""
    levels = {"exact": (1.0, 5.0, 40.0), "percentile": (1.0, 5.0), "ring": (None,)}
    names = [
        (view, rule, "1" if rule == "ring" else "top", level, task)
        for view in ("raw", "noise")
        for rule in levels
        for level in levels[rule]
        for task in ("modulation", "snr", "joint")
    ]
    rows = pd.DataFrame(names, columns=["view", "rule", "mask", "level_percent", "task"])
    numbers = (
        "pis",
        "pis_ci_low",
        "pis_ci_high",
        "pis_nominal",
        "fraction_lit",
        "control_count_pis",
        "p_count_holm",
    )
    for i, name in enumerate((*numbers, "excess", "excess_ci_low", "excess_ci_high")):
        rows[name] = i + 0.5 + np.arange(len(rows)) / 8
    return rows.assign(**columns)


def at(rows: pd.DataFrame, *names) -> pd.Series:
    """The row of view, rule, level and task."""
    columns = ("view", "rule", "level_percent", "task")
    (row,) = (
        row for _, row in rows.iterrows() if tuple(row[column] for column in columns) == names
    )
    return row


def test_summary_prints_the_scores_at_the_largest_headline_level(here, monkeypatch, capsys):
    row = {"accuracy": 0.625, "ci_low": 0.5, "ci_high": 0.75}
    tasks = ("modulation", "snr", "joint")
    write_json(here / "metrics/evaluate.json", dict.fromkeys(tasks, row))
    write_csv(here / "plots/pis.csv", pis_rows())
    cells = pis_rows()
    write_csv(here / "plots/pis_by_cell.csv", cells[cells["level_percent"] == 5.0])
    (here / "plots" / "pis.png").write_bytes(b"")
    command(monkeypatch, "summary")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for task in tasks:
        assert f"{task} 62.5 % (50.0 to 75.0)" in lines
    for view in ("raw", "noise"):
        row = at(pis_rows(), view, "exact", 5.0, "joint")
        score = f"{row['pis']:.2f} ({row['pis_ci_low']:.2f} to {row['pis_ci_high']:.2f})"
        beyond = f"(+{row['excess_ci_low']:.2f} to +{row['excess_ci_high']:.2f})"
        assert f"{view} top 5 % {score} excess +{row['excess']:.2f} {beyond}" in lines
    assert sum(line.startswith(("raw", "noise")) for line in lines) == 2
    assert "plots/pis.png" in lines
    assert any("below 0 it does better without them" in line for line in lines)


def test_summary_before_any_run(here, monkeypatch):
    assert not (here / "metrics").exists()
    with pytest.raises(FileNotFoundError, match=r"metrics/evaluate\.json"):
        command(monkeypatch, "summary")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plots/pis.csv", ""),
        ("plots/pis.csv", "<<<<<<< HEAD\nview,rule\n"),
        ("plots/pis_by_cell.csv", "a,b\n"),
        ("metrics/evaluate.json", "{"),
        ("metrics/evaluate.json", "{}"),
        ("metrics/evaluate.json", "[]"),
    ],
)
def test_summary_names_a_damaged_file_and_the_remedy(here, monkeypatch, name, text):
    row = {"accuracy": 0.625, "ci_low": 0.5, "ci_high": 0.75}
    tasks = dict.fromkeys(("modulation", "snr", "joint"), row)
    write_json(here / "metrics/evaluate.json", tasks)
    write_csv(here / "plots/pis.csv", pis_rows())
    write_csv(here / "plots/pis_by_cell.csv", pis_rows())
    command(monkeypatch, "summary")

    (here / name).write_text(text)
    with pytest.raises(ValueError, match=f"^{name} is not as .*; make it again with dvc repro"):
        command(monkeypatch, "summary")


@pytest.mark.parametrize("task", ["joint", "snr"])
def test_published_protocol_is_written_and_printed(here, monkeypatch, capsys, task):
    write_csv(here / "plots/pis.csv", pis_rows())
    command(monkeypatch, "published", *(() if task == "joint" else ("--task", task)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines if line.startswith(("raw", "noise"))]
    assert len(rows) == 2 * 2
    percentile, exact = (at(pis_rows(), "raw", rule, 5.0, task) for rule in ("percentile", "exact"))
    expected = (
        f"raw top 5 % {percentile['pis_nominal']:.2f} {100 * percentile['fraction_lit']:.3g} % "
        f"{percentile['pis']:.2f} {exact['pis']:.2f} "
        f"({exact['pis_ci_low']:.2f} to {exact['pis_ci_high']:.2f}) "
        f"{exact['control_count_pis']:.2f} {exact['p_count_holm']:.2g}"
    )
    assert rows[1] == expected.split()
    assert list(pd.read_csv(here / "plots/published.csv")["task"]) == 4 * [
        "modulation",
        "snr",
        "joint",
    ]


def test_published_protocol_without_what_it_needs(here, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"plots/pis\.csv does not exist; make it with dvc repro pis"
    ):
        command(monkeypatch, "published")
    rows = pis_rows()
    write_csv(here / "plots/pis.csv", rows[rows["rule"] != "percentile"])
    with pytest.raises(
        ValueError,
        match=r"no mask of the rule percentile; set perturb\.rules to \[exact, percentile\]",
    ):
        command(monkeypatch, "published")
    assert not (here / "plots/published.csv").exists()


@pytest.fixture
def rendered(here) -> list[Cell]:
    """Two cells of three frames under data/constellations.

    In `raw`, 7 samples are in one pixel, 2 in another, 1 outside; in `noise`, 5 in one.
    """
    cells = [Cell("BPSK", 0), Cell("QPSK", 0)]
    for number, cell in enumerate(cells):
        first = 16 * np.arange(3)[:, None] + 3 + number  # row 0, 1, 2 of the frames, column 3 or 4
        raw = np.hstack([np.repeat(first, 7, 1), np.full((3, 2), 255), np.full((3, 1), 65535)])
        save_bins(
            here / "data/constellations",
            cell,
            {"raw": raw, "noise": np.repeat(first + 128, 5, 1)},
            16,
        )
    apply_overlay(Path("params.yaml"), {"draw": {"method": "histogram"}})
    return cells


@pytest.mark.usefixtures("rendered")
def test_export_png_draws_what_was_binned(monkeypatch, capsys):
    command(monkeypatch, "export-png", "pictures")
    assert "wrote 6 images to pictures" in capsys.readouterr().out
    assert len(list(Path("pictures").rglob("*.png"))) == 6
    for number, modulation in enumerate(("BPSK", "QPSK")):
        for frame in range(3):
            expected = np.zeros((16, 16), np.uint8)
            expected[frame, 3 + number], expected[15, 15] = 7, 2
            assert np.array_equal(
                np.asarray(Image.open(f"pictures/{modulation}/SNR_0/{frame:05d}.png")), expected
            )


@pytest.mark.usefixtures("rendered")
def test_export_png_of_another_view(monkeypatch):
    command(monkeypatch, "export-png", "pictures", "--view", "noise")
    for number, modulation in enumerate(("BPSK", "QPSK")):
        expected = np.zeros((16, 16), np.uint8)
        expected[8 + 2, 3 + number] = 5
        assert np.array_equal(
            np.asarray(Image.open(f"pictures/{modulation}/SNR_0/00002.png")), expected
        )
    assert len(list(Path("pictures").rglob("*.png"))) == 6


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize("view", ["symbol", "eye"])
def test_export_png_of_a_view_that_was_not_rendered(monkeypatch, view):
    message = rf"--view {view} is not among the views rendered: raw, noise; add it to render.views"
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "export-png", "pictures", "--view", view)
    assert not Path("pictures").exists()


def test_export_png_of_some_frames_drawn_otherwise(rendered, monkeypatch):
    apply_overlay(Path("params.yaml"), {"draw": {"method": "enhanced"}})
    command(monkeypatch, "export-png", "pictures", "--frames-per-cell", "2")
    pictures = sorted(Path("pictures").rglob("*.png"))
    assert [str(path.relative_to("pictures")) for path in pictures] == [
        f"{c.modulation}/SNR_0/0000{n}.png" for c in rendered for n in (0, 1)
    ]
    assert Image.open(pictures[0]).mode == "RGB"


def test_export_png_before_any_run(here, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match=r"data/constellations holds no shards .* make them with dvc repro"
    ):
        command(monkeypatch, "export-png", "pictures")
    assert not (here / "pictures").exists()


@pytest.mark.usefixtures("here")
def test_sync_says_what_was_new_and_what_is_nowhere(monkeypatch, capsys):
    files = tuple(f"plots/{number}.png" for number in range(7))
    found = [
        sync.Synced("workspace", "synced today", 17, 3, ()),
        sync.Synced("faster", "faster", 0, 0, files),
    ]
    asked = []
    monkeypatch.setattr(sync, "sync", lambda names: asked.append(names) or found)
    command(monkeypatch, "sync", "faster")
    assert asked == [["faster"]]
    first, second, *missing = capsys.readouterr().out.splitlines()
    assert first == "workspace -> synced today: logged 17 numbers and 3 files"
    assert second == "faster -> faster: all there already"
    assert all(file in missing[0] for file in files[:5])
    assert "2 more" in missing[0]


REPRO = [
    ["python", "-m", "pisces", "forecast"],
    ["dvc", "repro", "report_data", "report", "page"],
    ["dvc", "checkout", "--quiet", "--relink", "--with-deps", "report_data", "report", "page"],
    ["python", "-m", "pisces", "model-card"],
    ["python", "-m", "pisces", "summary"],
]
"""What `make repro` runs: what is to come, the pipeline, one file for output and cache, what is
known of the model, and results, the last of which is the page."""


def test_make_repro_runs_the_pipeline_and_prints_the_headline():
    commands = make("repro")
    assert commands[-len(REPRO) :] == [" ".join(words) for words in REPRO]
    assert not any("pisces preset" in line for line in commands)


@pytest.mark.parametrize("preset", ["", "rml2018"])
@pytest.mark.parametrize("name", ["", "my file.hdf5", "a$b.hdf5", '$(b) c\'s "d".h5', "a`b`$$#.h5"])
def test_make_repro_writes_preset_and_data_first(tmp_path, preset, name):
    path = tmp_path / name
    if name:
        path.touch()
    given = [f"PRESET={preset}"] * bool(preset) + [f"DATA={path}"] * bool(name)
    commands = [
        shlex.split(line, comments=True) for line in make("repro", *given)[-1 - len(REPRO) :]
    ]
    words = ["python", "-m", "pisces", "preset"] + [preset] * bool(preset)
    words += ["--data", str(path)] * bool(name)
    expected = [words] if given else []
    expected += REPRO
    assert commands[-len(expected) :] == expected


@pytest.mark.parametrize("name", ["nowhere.hdf5", "a$b.hdf5"])
def test_make_looks_at_the_data_before_it_installs_anything(tmp_path, name):
    with pytest.raises(subprocess.CalledProcessError) as raised:
        make("repro", f"DATA={tmp_path / name}")
    assert raised.value.stdout == ""
    assert f"DATA={tmp_path / name} is not there" in raised.value.stderr


def test_make_test_runs_pytest():
    assert make("test")[-1].startswith("python -m pytest --numprocesses logical --dist loadfile ")


def test_export_png_never_touches_what_is_there(here, monkeypatch):
    kept = here / "precious" / "thesis.tex"
    kept.parent.mkdir()
    kept.write_text("x")
    with pytest.raises(ValueError, match="precious exists already"):
        command(monkeypatch, "export-png", "precious")
    assert kept.read_text() == "x"


# A folder for DVC that nobody else can enter


@pytest.fixture
def with_makefile(tmp_path) -> Path:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make_in(root: Path, **variables: str) -> subprocess.CompletedProcess:
    foreign = ("DVC_", "MAKE", "MFLAGS")  # those of the make that runs these tests
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(
        ["make", "--eval=show: ; @echo $$DVC_SITE_CACHE_DIR", "show"],
        cwd=root,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_dvc_is_given_a_site_cache_inside_a_private_folder(with_makefile):
    done = make_in(with_makefile)
    assert done.returncode == 0, done.stderr
    assert (with_makefile / ".private").stat().st_mode & 0o777 == 0o700
    assert done.stdout.strip() == f"{with_makefile}/.private/dvc"


def test_a_site_cache_of_the_users_own_is_kept(with_makefile):
    assert make_in(with_makefile, DVC_SITE_CACHE_DIR="/mine").stdout.strip() == "/mine"


@pytest.mark.parametrize("kind", ["open", "link"])
def test_a_folder_that_others_can_enter_ends_every_target(with_makefile, kind):
    folder = with_makefile / ".private"
    if kind == "link":
        (with_makefile / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to("elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o755)
    done = make_in(with_makefile)
    assert done.returncode != 0
    assert ".private is not a folder of yours" in done.stderr


def test_a_second_unreadable_params_file_is_kept_too(here, monkeypatch):
    for text in ("train: [", "train: {", "- 1"):
        Path("params.yaml").write_text(text)
        command(monkeypatch, "preset", "default")
    kept = {path.name: path.read_text() for path in here.glob("params.yaml.unreadable*")}
    assert kept == {
        "params.yaml.unreadable": "train: [",
        "params.yaml.unreadable.2": "train: {",
        "params.yaml.unreadable.3": "- 1",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synthesize": {"samples": 64}}, r"synthesize.samples has 64 samples .*the 83 taps"),
        ({"render": {"delay": 1024, "views": ["differential"]}}, r"render.delay = 1024"),
    ],
)
@pytest.mark.usefixtures("here")
def test_check_refuses_frames_that_are_too_short_for_a_view(monkeypatch, changes, message):
    apply_overlay(Path("params.yaml"), changes)
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "check")


def test_check_measures_the_frames_of_a_file(here, monkeypatch):
    path = own_hdf5(here / "own.hdf5", (3, 4, 5))
    command(monkeypatch, "preset", "smoke", "--data", str(path))
    apply_overlay(Path("params.yaml"), {"data": {"modulations": ["BPSK", "QPSK", "8PSK"]}})
    with pytest.raises(ValueError, match=r"own.hdf5 has 64 samples a frame: frames of 64 samples"):
        command(monkeypatch, "check")


def test_a_stage_draws_whatever_backend_a_notebook_exports():
    """The one that Jupyter, Colab and Kaggle export is in their environment alone."""
    code = "import stages.report, matplotlib; print(matplotlib.get_backend())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().lower() == "agg", done.stderr


@pytest.mark.parametrize("samples", ["0", "63", "65537", "1000000000"])
@pytest.mark.usefixtures("here")
def test_a_graph_of_frames_of_such_a_length_is_refused(monkeypatch, samples):
    with pytest.raises(ValueError, match=rf"--samples {samples} must be 64 to 65536"):
        command(monkeypatch, "export-model", "--samples", samples)


@pytest.mark.parametrize("name", ["export-model", "model-card"])
def test_a_target_that_cannot_be_written_is_refused_before_the_work(here, monkeypatch, name):
    """Before the model is loaded, which the folder does not hold."""
    (here / "file").touch()
    (here / "gone").symlink_to("nowhere")
    targets = {
        "presets": (ValueError, "presets is a folder, where a file is to be written: name a file"),
        "file/card": (OSError, "file is a file, where outputs need a folder: move it away"),
        "gone/card": (ValueError, "gone is a link to nowhere, which does not exist: make that"),
        "n" * 256: (ValueError, r"nnn\.\.\. is longer than the 255 bytes .*choose a shorter one"),
    }
    for target, (kind, message) in targets.items():
        with pytest.raises(kind, match=message):
            command(monkeypatch, name, "--model", "no model", "--out", target)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("gone", "gone is a link to nowhere, which does not exist: make that folder, or remove"),
        ("gone/deeper", "gone is a link to nowhere, which does not exist"),
        ("n" * 256, r"nnn\.\.\. is longer than the 255 bytes .*choose a shorter one"),
        ("deeper/" * 700, "is longer than the 4095 bytes"),
    ],
)
def test_a_folder_of_predictions_that_cannot_be_made_is_refused(here, monkeypatch, out, message):
    (here / "gone").symlink_to("nowhere")
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "predict", "signal.npy", "--model", "no model", "--out", out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"pretrained": "nowhere"}}, r"train\.pretrained = nowhere is no folder"),
        ({"train": {"pretrained": "presets"}}, r"pretrained = presets holds no model\.safetensors"),
        (
            {"train": {"pretrained": "params.yaml"}},
            r"train\.pretrained = params\.yaml is no folder",
        ),
        (
            {"train": {"model": "resnet18", "pretrained": "nowhere"}},
            r"train\.pretrained = nowhere does not exist; allowed are none, imagenet",
        ),
        ({"noise_aware": {"reference": "nowhere"}}, r"reference = nowhere is no folder"),
        ({"noise_aware": {"teacher": "presets"}}, r"teacher = presets holds no model"),
    ],
)
@pytest.mark.usefixtures("here")
def test_check_looks_for_the_weights_that_train_starts_from(monkeypatch, changes, message):
    apply_overlay(Path("params.yaml"), changes)
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "check")


@pytest.fixture
def trained(here):
    """A trained model in the folder `trained`."""
    modelfile.save(here / "trained", shipped_model())
    return here / "trained"


def shipped_model():
    return modelfile.load(ROOT / "pisces" / "shipped")


def write_resnet(path: Path, **changes) -> None:
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict() | changes, path)


@pytest.mark.usefixtures("trained")
def test_check_takes_weights_that_are_there(monkeypatch, capsys):
    write_resnet(Path("weights.pth"))
    for train in (
        {"pretrained": "trained"},
        {"model": "resnet18", "pretrained": "weights.pth"},
        {"model": "resnet18", "pretrained": "imagenet"},
    ):
        apply_overlay(Path("params.yaml"), {"train": train})
        command(monkeypatch, "check")
        assert "params.yaml is valid" in capsys.readouterr().out


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (cut_off, "model.json", r"model\.json is not a model card: .* is not JSON"),
        (cut_off, "model.safetensors", r"is not the file that .*model\.json describes"),
        (flip, "model.safetensors", r"is not the file that .*model\.json describes"),
    ],
)
@pytest.mark.parametrize(
    "key", ["train.pretrained", "noise_aware.reference", "noise_aware.teacher"]
)
def test_check_opens_the_models_that_train_starts_or_learns_from(
    trained, monkeypatch, key, damage, file, message
):
    damage(trained / file)
    section, name = key.split(".")
    apply_overlay(Path("params.yaml"), {section: {name: "trained"}})
    with pytest.raises(ValueError, match=rf"^params\.yaml: {key} = trained: .*{message}"):
        command(monkeypatch, "check")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_aware": {"teacher": "trained"}}, "with train.model = pixel_set, and cldnn is"),
        ({"train": {"model": "small_cnn", "pretrained": "trained"}}, "and small_cnn is needed"),
    ],
)
def test_check_says_whose_weights_lie_in_a_folder(monkeypatch, changes, message):
    apply_overlay(Path("params.yaml"), changes)
    with pytest.raises(ValueError, match=message):
        command(monkeypatch, "check")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, "holds NaN or infinity in 1 "),
        ({"conv1.weight": torch.zeros(32, 3, 7, 7)}, "does not fit torchvision's resnet18"),
        (None, "cannot be read: it is damaged"),
    ],
)
def test_check_opens_files_of_weights(monkeypatch, changes, message):
    write_resnet(Path("weights.pth"), **(changes or {}))
    if changes is None:
        cut_off(Path("weights.pth"))
    apply_overlay(
        Path("params.yaml"), {"train": {"model": "resnet18", "pretrained": "weights.pth"}}
    )
    with pytest.raises(ValueError, match=f"^train.pretrained = weights.pth {message}"):
        command(monkeypatch, "check")


ADDRESS = "postgresql://u:SeKr3t99@127.0.0.1:5999/db"


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "run", "sweeps/smoke.yaml", "--storge", ADDRESS),
        ("sweep", "run", ADDRESS),
        ("seeds", "2", ADDRESS),
        ("seeds", ADDRESS),
        ("sweep", ADDRESS),
        (ADDRESS,),
    ],
)
def test_a_wrong_argument_is_named_without_its_password(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, *arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "SeKr3t99" not in printed.out + printed.err
    assert "postgresql://u:***@127.0.0.1:5999/db" in printed.err


def test_a_study_that_is_an_address_is_named_without_its_password(tmp_path):
    done = run_python("sweep", "report", ADDRESS, "--out", str(tmp_path / "out"))
    assert done.returncode != 0
    assert "SeKr3t99" not in done.stdout + done.stderr
    assert done.stderr.startswith("error: ")


def test_a_traceback_shows_no_password(monkeypatch):
    monkeypatch.setenv("PISCES_DEBUG", "1")
    done = run_python("compare", ADDRESS)
    assert "Traceback" in done.stderr
    assert "postgresql://u:***@127.0.0.1:5999/db" in done.stderr
    assert "SeKr3t99" not in done.stdout + done.stderr
