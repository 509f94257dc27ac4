"""What is refused of data/explorer.npz before the page reads it."""

import shutil

import numpy as np
import pytest

from pisces.core import files
from pisces.report.page import build, explorer_file, sources
from tests.page_files import read, run_of


@pytest.fixture
def arrays(workspace) -> dict[str, np.ndarray]:
    with np.load(workspace / "data/explorer.npz") as content:
        return dict(content)


def test_what_the_stage_writes_is_taken(arrays):
    explorer_file.check(arrays)
    assert set(explorer_file.SHAPES) == set(sources.EXPLORER)


@pytest.mark.parametrize("name", [name for name, (_, axes) in explorer_file.SHAPES.items() if axes])
def test_an_array_that_is_cut_is_named(arrays, name):
    with pytest.raises(ValueError, match=r"has \d+ \w+ where|length|cut|told|not of the choices"):
        explorer_file.check(arrays | {name: arrays[name][:-1]})


@pytest.mark.parametrize("name", explorer_file.SHAPES)
def test_an_array_of_another_kind_or_shape_is_named(arrays, name):
    kinds, _ = explorer_file.SHAPES[name]
    other = np.array(0.5) if kinds == "U" else np.array("text")
    with pytest.raises(ValueError, match=f"{name} (holds|has)"):
        explorer_file.check(arrays | {name: np.broadcast_to(other, arrays[name].shape)})
    with pytest.raises(ValueError, match=rf"{name} has \d+ axes and not"):
        explorer_file.check(arrays | {name: arrays[name][None]})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("arrived_per_move", -5, "arrived is cut"),
        ("arrived_per_move", 2**62, "arrived is cut"),
        ("arrived", -1, "arrived has a pixel"),
        ("lit", 10**9, "lit has a pixel"),
        ("frame", 99, "frame has a number"),
        ("modulation_prob", np.nan, "modulation_prob has a number that is no probability"),
        ("snr_prob", 70, "snr_prob has a number that is no probability"),
        ("maps", np.inf, "maps has a number that is not finite"),
        ("extents", 0, "extents has a number"),
        ("choice_level_percent", np.inf, "a level is infinite"),
        ("choice_view", "nowhere", "choice_view has a view"),
        ("choice_name", "x", "choice_name has x"),
        ("map_method", "magic", "map_method has an unknown method"),
        ("map_head", "phase", "map_head has an unknown head"),
        ("moves", -1, "moves has a negative number"),
    ],
)
def test_a_value_that_cannot_be_is_named(arrays, name, value, says):
    changed = arrays[name].copy()
    if name == "choice_name":
        changed[arrays["choice_rule"] == "ring"] = value
    else:
        changed = changed.astype("U20" if isinstance(value, str) else changed.dtype)
        changed.flat[0] = value
    with pytest.raises(ValueError, match=says):
        explorer_file.check(arrays | {name: changed})


@pytest.mark.parametrize("size", [0, -64, 8])
def test_a_size_that_holds_no_such_pixels_is_refused(arrays, size):
    with pytest.raises(ValueError, match="has a pixel that is none of"):
        explorer_file.check(arrays | {"size": np.array(size)})


def test_the_page_says_so_and_shows_the_rest(workspace, data, arrays, tmp_path):
    copy = shutil.copytree(workspace, tmp_path / "copy")
    path = copy / "data/explorer.npz"
    files.write_npz(path, arrays | {"moves": arrays["moves"][:-1]})
    made, problems = build.page(read(copy), run_of(data))
    (problem,) = [one for one in problems if "explorer.npz" in one]
    assert "is not as the stage explore writes it" in problem
    assert "dvc repro --force explore" in problem
    assert "accuracy_by_snr" in made
