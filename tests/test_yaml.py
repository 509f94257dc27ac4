"""YAML is read as DVC reads it, and what is ambiguous is refused."""

import pytest
import yaml as pyyaml
from dvc.utils.serialize import loads_yaml

from pisces.core import yaml

SCALARS = {
    "1": 1,
    "-7": -7,
    "+7": 7,
    "0": 0,
    "010": 10,
    "0o17": 15,
    "0x1F": 31,
    "1.": 1.0,
    ".5": 0.5,
    "-0.5": -0.5,
    "1e-05": 1e-5,
    "3E4": 3e4,
    "1.5e+3": 1500.0,
    ".inf": float("inf"),
    "-.INF": -float("inf"),
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "yes": "yes",
    "no": "no",
    "on": "on",
    "Off": "Off",
    "1:30": "1:30",
    "resnet18": "resnet18",
    "16QAM": "16QAM",
    "1e": "1e",
    "'1'": "1",
    '"true"': "true",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_a_scalar_is_what_yaml_1_2_says(text, value):
    (found,) = yaml.parse(f"key: {text}\n").values()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", SCALARS)
def test_dvc_reads_the_same(text):
    """DVC decides by its own reader, ruamel.yaml, which parameters have changed."""
    document = f"key: {text}\n"
    assert repr(yaml.parse(document)) == repr(dict(loads_yaml(document)))


@pytest.mark.parametrize("text", ["1_000", "2024-01-01", "0b11", "<<", "=", "-0x1F"])
def test_what_only_yaml_1_1_knows_is_a_text(text):
    assert yaml.parse(f"key: {text}\n") == {"key": text}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: &x 1\nb: *x\n", "alias *x"),
        ("a:\n  b: 1\n  b: 2\n", "'b' stands twice"),
        ("a: {b: 1, b: 1}\n", "'b' stands twice"),
        ("? [1, 2]\n: 3\n", "cannot be a key"),
        ("a: !!python/object/apply:os.system [ls]\n", "python/object"),
        ("a: [1, 2\n", "expected"),
        ('a: "\\ud800"\n', "'\\ud800' has half a character"),
        ('"\\udfff": 1\n', "'\\udfff' has half a character"),
        ('a: ["\\ud83d\\ude00"]\n', "'\\ud83d\\ude00' has half a character"),
    ],
)
def test_what_is_ambiguous_or_broken_is_refused_with_its_line(text, named, tmp_path):
    with pytest.raises(pyyaml.YAMLError):
        yaml.parse(text)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"params\.yaml is not valid YAML: .*line \d") as raised:
        yaml.read(path)
    assert named in str(raised.value)
    assert f'in "{path}", line' in str(raised.value)


def test_a_character_that_yaml_forbids_is_refused_with_the_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: \x01\n")
    with pytest.raises(ValueError, match=rf'is not valid YAML: .* in "{path}", position'):
        yaml.read(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_refused_with_a_remedy(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"params\.yaml is empty; .*presets/default\.yaml"):
        yaml.read(path)


@pytest.mark.parametrize(("name", "is_told"), [("params.yaml", True), ("sweeps/own.yaml", False)])
def test_the_defaults_are_an_example_for_params_alone(tmp_path, name, is_told):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("- 1\n")
    with pytest.raises(ValueError, match=r"must hold sections with keys, not list") as raised:
        yaml.read(path)
    assert ("presets/default.yaml" in str(raised.value)) == is_told
