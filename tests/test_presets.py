"""Presets are overlays on the shipped defaults, and params.yaml is written afresh from them."""

import json
import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from pisces.config import presets
from pisces.config.io import load_params, parse_params
from pisces.core import yaml
from pisces.core.modulations import DIGITAL, MODULATIONS, RML2016, RML2016B

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))
OVERLAYS = sorted(set(NAMES) - {"default"})
PARAMS = Path("params.yaml")
GENERATED = ("default", "smoke", "benchmark", "ablation", "rml2016a", "twin", "physical")
"""Those whose frames are generated."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A directory with the shipped params and presets, to work in."""
    shutil.copy(ROOT / "presets/default.yaml", tmp_path / "params.yaml")
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fresh(name: str) -> str:
    """The text of params.yaml with a preset, written over the committed one."""
    shutil.copy("presets/default.yaml", PARAMS)
    presets.write(presets.chosen(name, None, yaml.read(PARAMS)))
    return PARAMS.read_text()


def content(name: str) -> dict:
    return presets.on_defaults(presets.overlay(name))


def diff(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_the_defaults_are_the_committed_params():
    assert (ROOT / "presets/default.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("name", ["default", *OVERLAYS])
def test_every_preset_keeps_comments_order_and_what_it_does_not_name(name):
    comments = re.findall(r"#.*", PARAMS.read_text())
    text = fresh(name)
    assert re.findall(r"#.*", text) == comments
    written = yaml.read(PARAMS)
    assert json.dumps(written) == json.dumps(content(name))
    assert [*written] == [*yaml.read(Path("presets/default.yaml"))]
    assert text.count("\n\n") == Path("presets/default.yaml").read_text().count("\n\n")
    load_params()


@pytest.mark.parametrize("name", ["default", *OVERLAYS])
def test_set_param_changes_one_line(name):
    """By DVC's own writer, which lays out every list and comment anew."""
    before = fresh(name)
    apply_overrides(PARAMS, ["train.lr=3e-5"])
    ((_, new),) = diff(before, PARAMS.read_text())
    assert new.split("#")[0].strip() == "lr: 3e-05"
    assert load_params().train.lr == 3e-5


OVERRIDES = [
    "train.lr=0.123",
    "data.snrs_db=[0,10]",
    "data.frames_per_cell=null",
    "noise_aware.b1.epochs=2",
    "+synthesize.multipath={k_factor_db: 10, paths: 4, delay_spread: 2.0}",
    "render.extent.raw=3",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_after_set_param_is_as_if_fresh(name):
    expected = fresh(name)
    apply_overrides(PARAMS, OVERRIDES)
    presets.write(presets.chosen(name, None, yaml.read(PARAMS)))
    assert PARAMS.read_text() == expected


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_preset_names_only_what_differs_and_its_own_data(name):
    defaults = dict(presets.leaves(yaml.read(Path("presets/default.yaml"))))
    for key, value in presets.leaves(presets.overlay(name)):
        # `physical` names the whole of its world, so that it stays when the defaults move.
        pinned = name == "physical"
        default = json.dumps(defaults.get(key))  # null has no keys below it
        assert pinned or key == "data.path" or default != json.dumps(value), key


def test_the_two_worlds_differ_in_what_was_measured():
    twin, physical = (parse_params(content(name), name).synthesize for name in ("twin", "physical"))
    assert (twin.pulse, twin.ask, twin.snr_label) == ("rml2018", "unipolar", "amplitude")
    assert (physical.pulse, physical.ask, physical.snr_label) == ("rrc", "bipolar", "power")
    assert twin.snrs_db == tuple(range(0, 31, 2))


def test_presets_are_there():
    assert {
        "smoke",
        "rml2018",
        "rml2018_full",
        "rml2018_iq",
        "rml2016a",
        "twin",
        "physical",
    } <= set(NAMES)


def test_the_published_setting_has_272_joint_classes():
    data = parse_params(content("rml2018"), "rml2018").data
    assert data.modulations == DIGITAL
    assert len(data.modulations) * len(data.snrs_db) == 272
    assert data.frames_per_cell is None


@pytest.mark.parametrize(
    ("name", "modulations", "last_snr_db", "frames"),
    [
        ("rml2016a", RML2016, 18, 1000),
        ("rml2016b", RML2016B, 18, 6000),
        ("rml2018_iq", MODULATIONS, 30, 4096),
    ],
)
def test_settings_of_raw_frames_take_all_classes_and_every_frame(
    name, modulations, last_snr_db, frames
):
    params = parse_params(content(name), name)
    assert params.data.modulations == modulations
    assert params.data.snrs_db == tuple(range(-20, last_snr_db + 1, 2))
    assert params.data.frames_per_cell is None
    assert sum(params.stratify.shares) == frames
    assert params.render.views == ("raw",)


@pytest.mark.parametrize("name", GENERATED)
def test_presets_of_generated_frames_generate_what_they_read(name):
    params = parse_params(content(name), name)
    data, generated = params.data, params.synthesize
    there = RML2016 if generated.format == "pkl" else MODULATIONS
    assert data.path == generated.path
    assert set(data.modulations) <= set(there)
    assert set(data.snrs_db) <= set(generated.snrs_db)
    assert (data.frames_per_cell or generated.frames_per_cell) <= generated.frames_per_cell


@pytest.mark.parametrize(
    ("now", "name", "data", "expected"),
    [
        ("/my/file.hdf5", "rml2018", None, "/my/file.hdf5"),
        ("/my/file.hdf5", "rml2018", "/other.hdf5", "/other.hdf5"),
        ("/my/file.hdf5", "smoke", None, "/my/file.hdf5"),
        ("data/raw/synthetic.pkl", "rml2018", None, "data/raw/synthetic.hdf5"),
        ("/my/file.pkl", "rml2016a", "/my/file.pkl", "/my/file.pkl"),
        ("/my/file.pkl", "rml2016a", None, "/my/file.pkl"),
        ("data/raw/synthetic_mine.hdf5", "rml2018", None, "data/raw/synthetic_mine.hdf5"),
    ],
)
def test_the_users_data_file_is_kept_unless_another_is_named(now, name, data, expected):
    presets.apply_overlay(PARAMS, {"data": {"path": now}})
    assert presets.chosen(name, data, yaml.read(PARAMS))["data"]["path"] == expected


@pytest.mark.parametrize("base", NAMES)
def test_edits_are_what_neither_the_defaults_nor_a_preset_say(base):
    fresh(base)
    becoming = content("rml2018_full")
    assert presets.edits(yaml.read(PARAMS), becoming) == []
    presets.apply_overlay(PARAMS, {"train": {"lr": 0.123}, "perturb": {"rings": 7}})
    edits = presets.edits(yaml.read(PARAMS), becoming)
    assert {edit.key: edit.value for edit in edits} == {"train.lr": 0.123, "perturb.rings": 7}
    assert {edit.key: edit.becomes for edit in edits}["perturb.rings"] == 4
    assert str(edits[0]).startswith("train.lr: 0.123 -> ")


def test_a_data_file_that_is_given_up_is_named_as_an_edit():
    presets.apply_overlay(PARAMS, {"data": {"path": "/my/file.hdf5"}})
    (edit,) = presets.edits(yaml.read(PARAMS), content("smoke"))
    assert (edit.key, edit.value) == ("data.path", "/my/file.hdf5")


def test_a_key_that_is_gone_is_an_edit():
    now = yaml.read(PARAMS)
    now["train"]["old"] = 3
    (edit,) = presets.edits(now, content("default"))
    assert str(edit) == "train.old: 3 -> null"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trian": {"lr": 1e-4}}, r"unknown key trian \(did you mean train\?\)"),
        ({"train": 3}, "train = 3: it takes a mapping of"),
        ({"train": {"lrr": 1e-4}}, r"unknown key train.lrr \(did you mean lr"),
        ({"base": {"seed": 7}, "train": {"lr": -1}}, "train.lr = -1: .* greater than 0"),
    ],
)
def test_an_invalid_overlay_changes_nothing(changes, named):
    before = PARAMS.read_bytes()
    with pytest.raises(ValueError, match=f"params.yaml with the overlay: {named}"):
        presets.apply_overlay(PARAMS, changes)
    assert PARAMS.read_bytes() == before


def test_no_overlay_is_applied_to_a_broken_file():
    PARAMS.write_text("base: [1, 2")
    with pytest.raises(ValueError, match="is not valid YAML"):
        presets.apply_overlay(PARAMS, {"base": {"seed": 2}})


@pytest.mark.parametrize(
    "path", ["/a b/c: d #e.hdf5", "1e5", "null", "yes", "/" + "long name/" * 20 + "x.hdf5", "'q\""]
)
def test_every_path_survives_writing_and_set_param(path):
    presets.apply_overlay(PARAMS, {"data": {"path": path}})
    assert load_params().data.path == path
    apply_overrides(PARAMS, ["train.lr=0.25"])
    assert load_params().data.path == path


def test_a_mapping_with_fewer_keys_replaces_one_with_more():
    several = {"dc_offset_db": [-40, -20], "phase_noise": [1e-6, 1e-5]}
    fewer: list[dict | None] = [{"dc_offset_db": [-40, -20]}, {"phase_noise": [1e-5, 1e-4]}, None]
    now = content("default")
    for impairments in (several, *fewer, several):
        now["synthesize"] = now["synthesize"] | {"impairments": impairments}
        presets.write(now, template=PARAMS)
        assert yaml.read(PARAMS) == now
