"""The page holds the numbers of the tables, names what does not belong, and needs nothing else."""

import base64
import gzip
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pisces.config.io import load_params
from pisces.core import files
from pisces.report.page import build, plots_template, sentences, table_rows, words
from pisces.report.pis_regions import Images
from pisces.run import origins, provenance
from stages import page as stage
from tests.page_files import read, run_of
from tests.pipeline import ROOT


class Page(HTMLParser):
    """Scripts of a page by their id or number, and all attributes that lead elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[key] for key in ("src", "href") if attributes.get(key)]
        if tag == "script":
            self._script = attributes.get("id") or f"script {len(self.scripts)}"
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.words.append(data)
        else:
            self.scripts[self._script] += data

    @property
    def data(self) -> dict:
        return json.loads(self.scripts["page-data"])


@pytest.fixture(scope="module")
def page(workspace, data) -> Page:
    made, problems = build.page(read(workspace), run_of(data))
    assert problems == []
    return Page(made)


@pytest.fixture
def copy(workspace, tmp_path) -> Path:
    """A workspace that may be changed."""
    return shutil.copytree(workspace, tmp_path / "copy")


def rows_of(table: dict) -> list[dict]:
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in table["rows"]]


# Numbers


@pytest.mark.parametrize("name", ["pis", "pis_by_snr", "pis_by_modulation", "per_class"])
def test_numbers_on_the_page_are_those_of_the_table(page, workspace, name):
    shown = pd.DataFrame(rows_of(page.data["tables"][name]))
    table = pd.read_csv(workspace / f"plots/{name}.csv")
    numbers = [column for column in shown if shown[column].dtype.kind in "fiu"]
    assert len(shown) == len(table) > 0
    assert len(numbers) >= 4
    for column in numbers:
        expected = table[column].to_numpy(float)
        np.testing.assert_array_equal(shown[column].to_numpy(float), expected)


def test_the_answer_is_made_from_the_numbers(page, workspace):
    text = " ".join(page.words)
    evaluated = files.read_json(workspace / "metrics/evaluate.json")
    for task in ("modulation", "snr", "joint"):
        assert f"{100 * evaluated[task]['accuracy']:.1f}\u00a0%" in text
    assert "12.5 percentage points below" in text
    assert "87.5\u00a0% of the modulations" in text


def test_the_costliest_mask_is_one_that_differs_from_its_control():
    rows = pd.DataFrame(
        {
            "task": ["joint", "joint", "joint", "snr"],
            "mask": ["tiny", "ring", "sector", "ring"],
            "excess": [20.0, 2.0, 1.0, 30.0],
            "p_count_holm": [0.5, 0.01, 0.001, 0.001],
        }
    )
    assert sentences.costliest(rows)["mask"] == "ring"
    assert sentences.costliest(rows.assign(p_count_holm=1.0)) is None


def test_confusion_counts_every_test_frame_once(page, workspace):
    confusion = page.data["confusion"]
    with np.load(workspace / "data/predictions.npz") as predicted:
        counts = np.array(confusion["counts"])
        assert counts.sum() == len(predicted["frame"])
        right = predicted["modulation_true"] == predicted["modulation_pred"]
        assert np.trace(counts.sum(0)) == right.sum()
        at_last = predicted["snr_true_db"] == predicted["snrs_db"][-1]
        assert np.trace(counts[-1]) == (right & at_last).sum()


def test_the_explorer_says_what_the_model_said(page, workspace):
    explorer = page.data["explorer"]
    content = gzip.decompress(base64.b64decode(page.scripts["explorer-data"]))
    with np.load(workspace / "data/explorer.npz") as arrays:
        start, length = explorer["sections"]["modulation"]
        shown = np.frombuffer(content, "<u2", length, start) / 1000
        stored = arrays["modulation_prob"]
        np.testing.assert_allclose(shown.reshape(stored.shape), stored, atol=0.0005 + 1e-7)

        start, length = explorer["sections"]["taken"]
        assert content[start : start + length] == arrays["taken"].tobytes()
        assert len(explorer["choices"]) == stored.shape[1] - 1
        last = explorer["frames"][-1]
        assert last["offset"] + last["lit"] == len(arrays["lit"])
        assert last["index"] == arrays["frame"][-1].tolist()


def test_params_stand_as_in_their_file(page):
    shown = {row["param"]: row["value"] for row in rows_of(page.data["tables"]["params"])}
    assert shown == {
        "base.seed": "1",
        "data.path": "mine.hdf5",
        "draw.decay_px": "0.5, 1.0",
        "data.own": "null",
    }


def test_masks_have_names_that_people_know():
    images = Images(64, {"symbol": 2.0, "noise": 80.0}, 0.25)
    rings = ["1", "2", "3", "4"]
    assert words.mask("ring", "1", "symbol", rings, images) == "1 (innermost)"
    assert words.mask("ring", "4", "symbol", rings, images) == "4 (outermost)"
    assert words.mask("sector", "2", "symbol", rings, images) == "2 (at 90°)"
    # Row 0 holds the largest Q, column 0 the smallest I.
    corner = words.mask("window", "0-48", "symbol", ["0-48"], images)
    assert corner == "I +1 to +2, Q +1 to +2 RMS"


# One file of the same bytes, that needs no other


def test_the_same_tables_make_the_same_bytes(workspace, data):
    once, again = (build.page(read(workspace), run_of(data))[0] for _ in range(2))
    assert once == again


def test_nothing_on_the_page_leads_out_of_it(page):
    assert {address for address in page.addresses if not address.startswith("#")} == {"data:,"}
    css = (Path(build.__file__).parent / "page.css").read_text()
    assert "url(" not in css
    assert "@import" not in css


def test_texts_from_files_end_no_script_and_are_no_html(copy, data):
    hostile = "</script><script>alert(1)</script><!-- {{data}}"
    findings = pd.read_csv(copy / "plots/audit_findings.csv").assign(name=hostile)
    files.write_csv(copy / "plots/audit_findings.csv", findings)
    made, _ = build.page(read(copy), run_of(data, source=f"{hostile}.hdf5"))
    page = Page(made)
    assert len(page.scripts) == 3 + len(build.SCRIPTS)
    assert rows_of(page.data["tables"]["audit_findings"])[0]["name"] == hostile
    assert f"Radio modulation, recognised and explained: {hostile}.hdf5" in page.words


def test_a_page_that_would_be_too_large_is_refused(workspace, data, monkeypatch):
    monkeypatch.setattr(build, "LARGEST", 1_000_000)
    with pytest.raises(ValueError, match=r"may have 1\.0 MB: lower explore\.frames"):
        build.page(read(workspace), run_of(data))


def test_more_frames_than_a_page_may_hold_are_refused(tmp_path, monkeypatch):
    text = (ROOT / "presets/default.yaml").read_text()
    assert "frames: 200 " in text
    (tmp_path / "params.yaml").write_text(text.replace("frames: 200 ", "frames: 201 "))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"explore\.frames = 201: is more than 200"):
        load_params()


# What does not belong


def shifted(column: str):
    return lambda rows: rows.assign(**{column: rows[column] + 0.25})


def dropped_last_class(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["modulation"] != rows["modulation"].iloc[-1]]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("accuracy_by_snr", shifted("joint")),
        ("ceiling", shifted("accuracy")),
        ("per_class", shifted("recall")),
        ("pis", shifted("accuracy")),
        ("audit", dropped_last_class),
        ("pis_by_cell", dropped_last_class),
    ],
)
def test_a_table_of_another_model_is_named_on_the_page(copy, data, name, change):
    path = copy / f"plots/{name}.csv"
    files.write_csv(path, change(pd.read_csv(path)))
    made, problems = build.page(read(copy), run_of(data))
    (problem,) = problems
    assert problem.startswith(f"plots/{name}.csv is of another model")
    assert problem in " ".join(Page(made).words)


def test_scores_of_another_model_are_named(copy, data):
    path = copy / "data/pis.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    flipped = {f"{task}_baseline": ~arrays[f"{task}_baseline"] for task in ("modulation", "snr")}
    files.write_npz(path, arrays | flipped)
    _, problems = build.page(read(copy), run_of(data))
    assert any(one.startswith("data/pis.npz is of another model") for one in problems)


def test_frames_of_another_model_are_named(copy, data):
    card = files.read_json(copy / "models/model.json") | {"weights_sha256": "f" * 64}
    files.write_json(copy / "models/model.json", card)
    _, problems = build.page(read(copy), run_of(data))
    (problem,) = problems
    assert problem.startswith("data/explorer.npz is of another model than models/model.json")


def test_missing_and_damaged_files_leave_the_rest_of_the_page(copy, data):
    (copy / "plots/ceiling.csv").unlink()
    (copy / "data/explorer.npz").write_bytes(b"no archive")
    text = (copy / "plots/pis.csv").read_text()
    (copy / "plots/pis.csv").write_text(text[:-5])
    made, problems = build.page(read(copy), run_of(data))
    page = Page(made)
    assert [
        name
        for name in ("plots/ceiling.csv", "data/explorer.npz", "plots/pis.csv")
        if not any(name in problem for problem in problems)
    ] == []
    assert "make it with dvc repro limits" in " ".join(page.words)
    assert page.data["explorer"] is None
    assert "ceiling" not in page.data["charts"]
    assert page.data["charts"]["accuracy_by_snr"]["rows"]


@pytest.mark.parametrize(
    ("name", "column"),
    [("pis", "rule"), ("pis_by_cell", "view"), ("reliability", "probabilities"), ("pis", "mask")],
)
def test_a_row_of_nothing_is_named(copy, data, name, column):
    path = copy / f"plots/{name}.csv"
    rows = pd.read_csv(path)
    rows[column] = rows[column].astype(object)
    rows.loc[0, column] = np.nan
    files.write_csv(path, rows)
    _, problems = build.page(read(copy), run_of(data))
    assert any(f"{name}.csv" in one and f"{column} has an empty cell" in one for one in problems)


@pytest.mark.parametrize("name", ["accuracy_by_snr", "pis", "per_class"])
def test_a_table_of_a_header_alone_is_named(copy, data, name):
    path = copy / f"plots/{name}.csv"
    files.write_csv(path, pd.read_csv(path)[:0])
    _, problems = build.page(read(copy), run_of(data))
    assert any(f"{name}.csv" in one and "a header alone" in one for one in problems)


def test_a_page_of_nothing_says_what_to_make(tmp_path, data):
    made, problems = build.page(read(tmp_path), run_of(data))
    assert any(
        "models/model.json does not exist; make it with dvc repro train" in one for one in problems
    )
    assert "metrics/evaluate.json is missing" in made


def test_a_workspace_without_a_trained_model_is_one_line(tmp_path, monkeypatch):
    shutil.copy(ROOT / "presets/default.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist.*repro train"):
        stage.main()


# By DVC's records


LOCK = """\
stages:
  train:
    deps: [{{path: pisces/models, md5: code}}]
    outs: [{{path: models/model.safetensors, md5: {model}}}]
  pis:
    deps:
    - {{path: models/model.safetensors, md5: {read}}}
    - {{path: pisces/models, md5: {code}}}
    outs: [{{path: plots/pis.csv, md5: {table}}}]
"""


def contradictions(root: Path, **recorded: str) -> list[str]:
    (root / "plots").mkdir()
    (root / "models").mkdir()
    (root / "plots/pis.csv").write_text("pis\n1\n")
    (root / "models/model.safetensors").write_text("weights\n")
    usual = {
        "model": provenance.md5(root / "models/model.safetensors"),
        "read": provenance.md5(root / "models/model.safetensors"),
        "code": "code",
        "table": provenance.md5(root / "plots/pis.csv"),
    }
    (root / "dvc.lock").write_text(LOCK.format(**(usual | recorded)))
    return origins.contradictions(("train", "pis", "attribute"), root)


def test_files_as_recorded_contradict_nothing(tmp_path):
    assert contradictions(tmp_path) == []


def test_a_workspace_without_a_lock_contradicts_nothing(tmp_path):
    assert origins.contradictions(("train", "pis"), tmp_path) == []


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({"table": "other"}, "plots/pis.csv is not what the last run of pis wrote"),
        (
            {"read": "other"},
            "what pis wrote (plots/pis.csv) is of another models/model.safetensors",
        ),
        (
            {"code": "other"},
            "what pis wrote (plots/pis.csv) is of another revision of pisces/models",
        ),
    ],
)
def test_a_file_of_another_run_model_or_revision_is_named(tmp_path, recorded, said):
    (line,) = contradictions(tmp_path, **recorded)
    assert line.startswith(said)
    assert "dvc repro pis" in line


# Parts


def test_an_interval_that_is_not_known_is_left_out():
    rows = pd.DataFrame({"pis_ci_low": [0.5, np.nan], "pis_ci_high": [1.0, np.nan]})
    assert table_rows.with_intervals(rows)["pis_interval"].tolist() == ["0.5 to 1", None]


def test_the_page_of_dvc_plots_has_its_library_and_the_places_that_dvc_fills():
    template = plots_template.template()
    for place, times in (("{plot_divs}", 1), ("{refresh_tag}", 1), ("{scripts}", 0)):
        assert template.count(place) == times, place
    assert "window.vegaEmbed" in template
    assert "<script src" not in template


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node on this machine")
@pytest.mark.parametrize("name", build.SCRIPTS)
def test_scripts_are_javascript(name):
    path = Path(build.__file__).parent / name
    subprocess.run(["node", "--check", path], check=True, timeout=60)
