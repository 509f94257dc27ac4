"""The plan gives what each mask takes of each frame, whatever the order and chunks of frames."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pisces.core import shards
from pisces.core.files import write_npz
from pisces.core.seeding import generator
from pisces.core.settings import to_json
from pisces.core.shards import Cell
from pisces.inputs.binning import OUTSIDE
from pisces.inputs.drawing import BinStore
from pisces.pis import masks, sheet, store
from pisces.pis.brightness import exact_size
from pisces.pis.masks import KINDS, Mask
from pisces.pis.store import PerturbationPlan, read_plan
from tests.conftest import PERTURB, RENDER, SIZE, raw_only, save_bins

VIEWS = ("differential", "raw")  # of four, in another order than in the data
BOTH = tuple(masks.build(VIEWS, PERTURB, SIZE))
SETTINGS = replace(PERTURB, views=VIEWS)
MASKS = 9 + 3 + 4 + 2 + 4  # of a view

Lists = dict[tuple[Mask, str], list[int]]


@pytest.fixture(scope="module")
def chosen_index(index):
    some = generator(1, "test index").permutation(len(index))[:30]
    return index[np.sort(some)]


@pytest.fixture(scope="module")
def plan(data, chosen_index) -> PerturbationPlan:
    return PerturbationPlan(chosen_index, BOTH, SETTINGS, 1, data.render)


@pytest.fixture(scope="module")
def planned(data, plan) -> list[Lists]:
    return frames_of(plan, data)


def counts_of(data: BinStore, index: np.ndarray, view: str) -> np.ndarray:
    """Points (n, pixels) in each pixel of a view, from what its shards hold."""
    bins = data.gather(index)[data.render.views.index(view)]
    pixels = data.render.size**2
    return np.stack([np.bincount(row[row != OUTSIDE], minlength=pixels) for row in bins])


def frames_of(plan: PerturbationPlan, data: BinStore, chunk: int = 100) -> list[Lists]:
    """What each mask and control takes of each frame."""
    frames: list[Lists] = [{} for _ in plan.frame]
    for start, stop in plan.chunks(chunk):
        for view in plan.views:
            of_view = [mask for mask in plan.masks if mask.view == view]
            of_frames = plan.taken(data, start, stop, of_view)
            for lists, taken in zip(frames[start:stop], of_frames, strict=True):
                for kind in KINDS:
                    for mask in of_view:
                        lists[mask, kind] = taken.pixels(mask, kind).tolist()
    return frames


def test_the_plan_is_what_masks_take_of_the_counts(data, chosen_index, planned):
    for view in VIEWS:
        counts = counts_of(data, chosen_index, view)
        of_view = [mask for mask in BOTH if mask.view == view]
        for points, frame, lists in zip(counts, chosen_index, planned, strict=True):
            expected = masks.take(points, of_view, PERTURB, 1, data.identity(frame))
            for mask in of_view:
                for kind in KINDS:
                    assert lists[mask, kind] == expected.pixels(mask, kind).tolist()


def test_round_trip(data, plan, planned, tmp_path):
    plan.write(tmp_path / "p.h5")
    read = read_plan(tmp_path / "p.h5", data)
    assert (read.masks, read.settings, read.seed, read.render) == ((BOTH, SETTINGS, 1, data.render))
    assert np.array_equal(read.frame, plan.frame)
    assert frames_of(read, data) == planned


def test_same_bytes_twice(plan, tmp_path):
    for name in ("a.h5", "b.h5"):
        plan.write(tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_file_does_not_grow_with_the_lists(plan, tmp_path):
    """An index of three numbers a frame and all settings, however many masks of many pixels."""
    many = replace(plan, frame=np.tile(plan.frame, (100, 1)))
    many.write(tmp_path / "p.h5")
    names = len(str(many.masks))
    assert (tmp_path / "p.h5").stat().st_size < many.frame.nbytes + names + 16_000


def test_more_masks_than_an_attribute_holds(data, plan, tmp_path):
    settings = replace(PERTURB, regions=("window",), window=0.1, stride=0.02)
    many = tuple(masks.build(RENDER.views, settings, SIZE))
    assert len(json.dumps(many)) > 65536
    replace(plan, masks=many, settings=settings).write(tmp_path / "p.h5")
    assert read_plan(tmp_path / "p.h5", data).masks == many


def test_another_seed_takes_others(data, plan, planned):
    assert frames_of(replace(plan, seed=2), data) != planned


def test_counts_of_a_view_are_those_of_its_shards(data, chosen_index):
    for view in RENDER.views:
        counts = store.count_view(data, chosen_index, view)
        assert counts.dtype == np.float32
        assert np.array_equal(counts, counts_of(data, chosen_index, view))


def test_lists_are_counted_on_through_the_views(data, plan, planned):
    """Of frames 11 to 19, as a probe takes them: offsets from 0, pixels of `raw` come first."""
    for mask in (Mask("raw", "percentile", "top", 20), Mask("differential", "ring", "1", None)):
        lists = plan.pixels(data, 11, 19, [*BOTH[:2], mask])
        assert set(lists) == {*BOTH[:2], mask}
        pixels, offsets = lists[mask]
        first = RENDER.views.index(mask.view) * SIZE**2
        assert [(pixels[a:b] - first).tolist() for a, b in pairwise(offsets)] == [
            frame[mask, "mask"] for frame in planned[11:19]
        ]


def test_chunks_do_not_matter(data, plan, planned):
    """30 frames are no multiple of 7."""
    assert frames_of(plan, data, chunk=7) == planned
    assert list(plan.chunks(7)) == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


def test_order_and_company_of_frames_do_not_matter(data, plan, planned):
    some = np.array([22, 3, 17, 8])
    found = frames_of(replace(plan, frame=plan.frame[some]), data)
    assert found == [planned[i] for i in some]


def test_masks_of_a_view_do_not_depend_on_others_rendered_or_masked(
    data, index, plan, planned, tmp_path
):
    one = tuple(mask for mask in BOTH if mask.view == "differential")
    for cell in {(m, s) for m, s, _ in plan.frame.tolist()}:
        of_cell = index[(index[:, 0] == cell[0]) & (index[:, 1] == cell[1])]
        name = Cell(data.modulations[cell[0]], data.snrs_db[cell[1]])
        bins = data.gather(of_cell)[RENDER.views.index("differential")]
        rows = np.array([data.identity(frame)[2] for frame in of_cell])
        render = replace(RENDER, views=("differential",))
        arrays = {"differential/bins": bins, "row": rows}
        shards.save(name.path(tmp_path), arrays, {"render": to_json(render)})
    alone = BinStore(tmp_path)

    for where in (alone, data):
        found = frames_of(replace(plan, masks=one, render=where.render), where)
        for frame, together in zip(found, planned, strict=True):
            assert frame == {key: together[key] for key in frame}
            assert frame[Mask("differential", "exact", "top", 20), "mask"]


def test_masks_of_a_view_that_the_data_lack_are_refused(chosen_index):
    message = r"perturb\.views .*'noise'.* raw;.* render\.views"
    chosen = tuple(masks.build(("raw", "noise"), PERTURB, SIZE))
    with pytest.raises(ValueError, match=message):
        PerturbationPlan(chosen_index, chosen, PERTURB, 1, raw_only())


def test_data_that_were_rendered_otherwise_are_refused(data, plan):
    other = replace(plan, render=replace(RENDER, delay=5))
    with pytest.raises(ValueError, match=r"delay=4.*delay=5.*dvc repro perturb"):
        other.pixels(data, 0, 1, BOTH[:1])


def test_a_dark_frame_gives_up_nothing_and_is_counted_once(tmp_path, monkeypatch):
    """The second frame is dark in `raw`, the third in `noise`, the fourth in both."""
    monkeypatch.setattr(store, "CHUNK", 1)
    raw, noise = generator(1, "test dark").integers(0, 256, (2, 4, 64))
    raw[[1, 3]], noise[[2, 3]] = OUTSIDE, OUTSIDE
    save_bins(tmp_path, Cell("QPSK", 0), {"raw": raw, "noise": noise[:, :50]}, 16)
    data = BinStore(tmp_path)
    index = np.array([[0, 0, row] for row in range(4)])

    plans = []
    for views, dark in ((("raw",), 2), (("raw", "noise"), 3)):
        chosen = tuple(masks.build(views, PERTURB, 16))
        plans.append(PerturbationPlan(index, chosen, PERTURB, 1, data.render))
        assert store.dark_frames(data, plans[-1]) == dark

    giving = []
    for frame in frames_of(plans[1], data):
        giving.append({mask.view for (mask, _), pixels in frame.items() if pixels})
    assert giving == [{"raw", "noise"}, {"noise"}, {"raw"}, set()]


def test_no_plan(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.h5 .*dvc repro perturb"):
        read_plan(tmp_path / "p.h5", data)
    (tmp_path / "p.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"p\.h5 .*dvc repro --force perturb"):
        read_plan(tmp_path / "p.h5", data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda plan: {"frame": plan.frame[::-1]}, "do not stand in their order"),
        (lambda plan: {"frame": plan.frame[[0, 0, 1]]}, "each once"),
        (lambda plan: {"masks": plan.masks[::-1]}, "another order of them"),
        (lambda plan: {"masks": plan.masks[:-1]}, f"make {2 * MASKS} masks, and it holds"),
        (lambda _: {"masks": ()}, "it holds 0"),
    ],
)
def test_a_plan_of_other_frames_or_masks_than_its_stage_makes(
    data, plan, tmp_path, changes, message
):
    replace(plan, **changes(plan)).write(tmp_path / "p.h5")
    with pytest.raises(ValueError, match=rf"p\.h5 .*{message}.*dvc repro --force perturb"):
        read_plan(tmp_path / "p.h5", data)


# The sheet of examples


def columns_of(preview: sheet.Sheet) -> dict[str, np.ndarray]:
    return dict(zip(preview.names.tolist(), preview.taken, strict=True))


def test_the_sheet_shows_what_masks_take(data, plan, planned):
    """Two frames in two views: four rows. Both rules have 20 %; `random` of all is left out."""
    preview = sheet.sheet(data, plan)
    by_rule = {"exact": ("top", "bottom", "random"), "percentile": ("top", "bottom")}
    columns = [(rule, name, 20) for rule, names in by_rule.items() for name in names]
    columns += [("ring", "1", None), ("sector", "1", None)]
    columns += [("cluster", "core", None), ("cluster", "transition", None)]
    names = [f"{rule} {name}" + (" 20 %" if level else "") for rule, name, level in columns]
    assert preview.names.tolist() == names
    assert preview.images.shape == (4, SIZE, SIZE)

    shown, points, drawn = [], {view: [] for view in VIEWS}, {view: [] for view in VIEWS}
    for row, (image, title) in enumerate(zip(preview.images, preview.titles, strict=True)):
        view, cell = title.split("\n")
        taken = [np.flatnonzero(of_mask[row]).tolist() for of_mask in preview.taken]
        (number,) = (
            i
            for i, frame in enumerate(planned)
            if [frame[Mask(view, *column), "mask"] for column in columns] == taken
        )
        points[view].append(np.log1p(counts_of(data, plan.frame[number : number + 1], view)[0]))
        drawn[view].append(image.ravel())
        assert cell == "{}, {} dB".format(*data.identity(plan.frame[number])[:2])
        shown.append((number, view))

    assert shown[0][0] == shown[1][0] != shown[2][0] == shown[3][0]
    assert [view for _, view in shown] == [*VIEWS, *VIEWS]
    for view in VIEWS:  # on one scale, or the SNR would not show
        scaled = np.stack(points[view]) / np.max(points[view])
        assert np.stack(drawn[view]) == pytest.approx(scaled)


@pytest.mark.parametrize(
    ("views", "rows"), [(("noise",), 4), (RENDER.views, 4), (("raw", "symbol", "noise"), 3)]
)
def test_the_sheet_has_as_many_frames_as_there_is_room_for(data, plan, views, rows):
    """With one rule alone, the largest level that leaves something to see, or the smallest."""
    for levels, shown in (((5, 10), 10), ((50, 60), 50)):
        settings = replace(
            PERTURB,
            rules=("exact",),
            masks=("top", "random"),
            levels_percent=levels,
            curve_percent=(),
            regions=(),
        )
        chosen = tuple(masks.build(views, settings, SIZE))
        preview = sheet.sheet(data, replace(plan, masks=chosen, settings=settings))
        assert len(preview.titles) == len(preview.images) == rows
        columns = columns_of(preview)
        assert list(columns) == [f"exact top {shown} %", f"exact random {shown} %"]
        for image, taken in zip(preview.images, columns[f"exact top {shown} %"], strict=True):
            lit = np.count_nonzero(image)
            assert np.count_nonzero(taken) == exact_size(lit, shown) > 0
            assert image[taken].all()


def test_the_sheet_of_frames_that_are_dark_in_a_view(tmp_path):
    raw = generator(1, "test dark preview").integers(0, 256, (3, 64))
    dark = np.full((3, 50), OUTSIDE)
    save_bins(tmp_path, Cell("QPSK", 0), {"raw": raw, "noise": dark}, 16)
    data = BinStore(tmp_path)
    chosen = tuple(masks.build(("raw", "noise"), PERTURB, 16))
    plan = PerturbationPlan(data.every_frame(), chosen, PERTURB, 1, data.render)

    preview = sheet.sheet(data, plan)
    taken = columns_of(preview)["exact top 20 %"]
    for image, title, of_row in zip(preview.images, preview.titles, taken, strict=True):
        lit = title.startswith("raw")
        assert (image.max(), of_row.any()) == (lit, lit)


def test_the_sheet_is_an_npz_without_pickles(data, plan, tmp_path):
    write_npz(tmp_path / "sheet.npz", sheet.sheet(data, plan)._asdict())
    with np.load(tmp_path / "sheet.npz") as file:
        assert (file["images"].dtype, file["taken"].dtype) == (np.float32, bool)
        assert file["taken"].shape == (len(file["names"]), *file["images"].shape)
        assert len(file["titles"]) == len(file["images"])
