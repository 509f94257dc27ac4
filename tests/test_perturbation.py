"""The file of pixel lists holds what each mask takes of each frame, whatever the order and chunks of the frames."""

from dataclasses import replace
from itertools import pairwise, product

import h5py
import numpy as np
import pytest

from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.inputs import binning
from pisces.inputs.binning import OUTSIDE
from pisces.inputs.drawing import BinStore
from pisces.pis import masks, store
from pisces.pis.masks import KINDS, Mask
from pisces.pis.store import Perturbations, perturb
from tests.conftest import PERTURB, RENDER, SIZE, raw_only, save_bins

VIEWS = ("differential", "raw")  # of four, in another order than in the data
BOTH = masks.build(VIEWS, PERTURB, SIZE)
MASKS = 9 + 3 + 4 + 2 + 4  # of a view


@pytest.fixture(scope="module")
def chosen_index(index):
    return generator(1, "test index").permutation(index)[:30]


@pytest.fixture(scope="module")
def written(data, chosen_index, tmp_path_factory):
    path = tmp_path_factory.mktemp("perturb") / "perturbations.h5"
    summary = perturb(data, chosen_index, BOTH, PERTURB, 1, path)
    assert summary == {"frames": 30, "dark_frames": 0, "masks": 2 * MASKS}
    return path


def counts_of(data: BinStore, index: np.ndarray, view: str) -> np.ndarray:
    """Points (n, pixels) in each pixel of a view, from what its shards hold."""
    bins = data.gather(index)[data.render.views.index(view)]
    return np.stack(
        [np.bincount(row[row != OUTSIDE], minlength=data.render.size**2) for row in bins]
    )


def frames_in(path) -> list[dict[tuple[Mask, str], list[int]]]:
    """What each frame of a file gives up to each mask and control."""
    file = Perturbations(path)
    frames: list[dict[tuple[Mask, str], list[int]]] = [{} for _ in file.frame]
    for mask, kind in product(file.masks, KINDS):
        pixels, offsets = file.pixels(mask, kind, 0, len(frames))
        for frame, (a, b) in zip(frames, pairwise(offsets), strict=True):
            frame[mask, kind] = pixels[a:b].tolist()
    return frames


def test_round_trip(data, chosen_index, written):
    file = Perturbations(written)
    assert file.masks == BOTH
    assert np.array_equal(file.frame, chosen_index)
    read = frames_in(written)
    for view in VIEWS:
        counts = counts_of(data, chosen_index, view)
        of_view = [mask for mask in BOTH if mask.view == view]
        for one, frame, lists in zip(counts, chosen_index, read, strict=True):
            expected = masks.take(one, of_view, PERTURB, 1, data.identity(frame))
            for mask, three in expected.items():
                assert [lists[mask, kind] for kind in KINDS] == [
                    pixels.tolist() for pixels in three
                ]


def test_counts_of_a_view_are_those_of_its_shards(data, chosen_index):
    for view in RENDER.views:
        counts = store.count_view(data, chosen_index, view)
        assert counts.dtype == np.float32
        assert np.array_equal(counts, counts_of(data, chosen_index, view))


def test_pixels_of_several_frames_come_with_offsets_from_zero(written):
    file, each = Perturbations(written), frames_in(written)
    mask = Mask("raw", "percentile", "top", 20)
    pixels, offsets = file.pixels(mask, "mask", 11, 19)
    assert pixels.dtype == np.uint16
    assert [pixels[a:b].tolist() for a, b in pairwise(offsets)] == [
        frame[mask, "mask"] for frame in each[11:19]
    ]


def test_chunks_of_any_size_give_the_same_file(data, chosen_index, written, tmp_path, monkeypatch):
    """Both where frames are made and where they are read; 30 frames are no multiple of 7."""
    monkeypatch.setattr(store, "CHUNK", 7)
    perturb(data, chosen_index, BOTH, PERTURB, 1, tmp_path / "chunked.h5")
    assert frames_in(tmp_path / "chunked.h5") == frames_in(written)
    with h5py.File(written) as one, h5py.File(tmp_path / "chunked.h5") as other:
        names: list[str] = []
        one.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        assert len(names) == 1 + 2 * len(KINDS) * len(BOTH)
        assert all(np.array_equal(one[name], other[name]) for name in names)
    assert list(Perturbations(written).chunks(7)) == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


def test_order_and_company_of_frames_do_not_matter(data, chosen_index, written, tmp_path):
    some = np.array([22, 3, 17, 8])
    perturb(data, chosen_index[some], BOTH, PERTURB, 1, tmp_path / "some.h5")
    everything = frames_in(written)
    assert frames_in(tmp_path / "some.h5") == [everything[i] for i in some]


def test_masks_of_a_view_do_not_depend_on_others_rendered_or_masked(
    data, iq_shards, chosen_index, written, tmp_path
):
    binning.render(iq_shards, tmp_path / "one", replace(RENDER, **({"views": ("differential",)})))
    alone = BinStore(tmp_path / "one")
    one = [mask for mask in BOTH if mask.view == "differential"]
    for where, file in ((alone, "rendered.h5"), (data, "masked.h5")):
        perturb(where, chosen_index, one, PERTURB, 1, tmp_path / file)
        for frame, together in zip(frames_in(tmp_path / file), frames_in(written), strict=True):
            assert frame == {key: together[key] for key in frame}
            assert frame[Mask("differential", "exact", "top", 20), "mask"]


def test_masks_of_a_view_that_the_data_lack_are_refused(chosen_index, tmp_path, iq_shards):
    binning.render(iq_shards, tmp_path / "one", raw_only())
    message = (
        r"perturb.views names 'noise', but the data have raw; change perturb.views or render.views"
    )
    with pytest.raises(ValueError, match=message):
        perturb(
            BinStore(tmp_path / "one"),
            chosen_index,
            masks.build(("raw", "noise"), PERTURB, SIZE),
            PERTURB,
            1,
            tmp_path / "p.h5",
        )
    assert not (tmp_path / "p.h5").exists()


def test_same_bytes_twice_and_others_for_another_seed(data, chosen_index, written, tmp_path):
    perturb(data, chosen_index, BOTH, PERTURB, 1, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == written.read_bytes()
    perturb(data, chosen_index, BOTH, PERTURB, 2, tmp_path / "other.h5")
    assert frames_in(tmp_path / "other.h5") != frames_in(written)


def test_a_dark_frame_gives_up_nothing_and_is_counted_once(tmp_path, monkeypatch):
    """The second frame is dark in `raw`, the third in `noise`, the fourth in both; each is a chunk of its own."""
    monkeypatch.setattr(store, "CHUNK", 1)
    raw, noise = generator(1, "test dark").integers(0, 256, (2, 4, 64))
    raw[[1, 3]], noise[[2, 3]] = OUTSIDE, OUTSIDE
    save_bins(
        tmp_path / "constellations", Cell("QPSK", 0), {"raw": raw, "noise": noise[:, :50]}, 16
    )
    data, index = (
        BinStore(tmp_path / "constellations"),
        np.array([[0, 0, row] for row in range(4)]),
    )
    for views, dark_frames in ((("raw",), 2), (("raw", "noise"), 3)):
        wanted = masks.build(views, PERTURB, 16)
        summary = perturb(data, index, wanted, PERTURB, 1, tmp_path / f"{len(views)}.h5")
        assert summary == {"frames": 4, "dark_frames": dark_frames, "masks": len(views) * MASKS}
    giving = [
        {mask.view for (mask, _), pixels in frame.items() if pixels}
        for frame in frames_in(tmp_path / "2.h5")
    ]
    assert giving == [{"raw", "noise"}, {"noise"}, {"raw"}, set()]
    assert frames_in(tmp_path / "1.h5")[2][Mask("raw", "exact", "top", 20), "mask"]


def test_no_file(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"perturbations.h5 does not exist; make it with dvc repro perturb"
    ):
        Perturbations(tmp_path / "perturbations.h5")


def test_preview_shows_what_masks_take(data, written):
    """Two frames in two views: four rows. The largest level of both rules is 20 %, and `random` of all pixels is left out."""
    preview, each, file = store.preview(data, written), frames_in(written), Perturbations(written)
    columns = [
        ("exact", "top", 20),
        ("exact", "bottom", 20),
        ("exact", "random", 20),
        ("percentile", "top", 20),
        ("percentile", "bottom", 20),
    ]
    columns += [
        ("ring", "1", None),
        ("sector", "1", None),
        ("cluster", "core", None),
        ("cluster", "transition", None),
    ]
    names = [f"{rule} {name}" + (" 20 %" if level else "") for rule, name, level in columns]
    assert list(preview.taken) == names
    assert preview.images.shape == (4, SIZE, SIZE)
    shown, brightness, drawn = [], {view: [] for view in VIEWS}, {view: [] for view in VIEWS}
    for row, (image, title) in enumerate(zip(preview.images, preview.titles, strict=True)):
        view, cell = title.split("\n")
        taken = [np.flatnonzero(preview.taken[name][row]).tolist() for name in names]
        (number,) = (
            i
            for i, frame in enumerate(each)
            if [frame[Mask(view, *column), "mask"] for column in columns] == taken
        )
        brightness[view].append(np.log1p(counts_of(data, file.frame[number : number + 1], view)[0]))
        drawn[view].append(image.ravel())
        assert cell == "{}, {} dB".format(*data.identity(file.frame[number])[:2])
        shown.append((number, view))
    assert shown[0][0] == shown[1][0] != shown[2][0] == shown[3][0]
    assert [view for _, view in shown] == [*VIEWS, *VIEWS]
    for view in VIEWS:  # on one scale, or the SNR would not show
        assert np.stack(drawn[view]) == pytest.approx(
            np.stack(brightness[view]) / np.max(brightness[view])
        )


@pytest.mark.parametrize(
    ("views", "rows"), [(("noise",), 4), (RENDER.views, 4), (("raw", "symbol", "noise"), 3)]
)
def test_preview_has_as_many_frames_as_there_is_room_for(data, chosen_index, tmp_path, views, rows):
    """With one rule alone, the largest level that leaves something to see; the smallest where none does."""
    for levels, shown in (((5, 10), 10), ((50, 60), 50)):
        settings = replace(
            PERTURB,
            **(
                {
                    "rules": ("exact",),
                    "masks": ("top", "random"),
                    "levels_percent": levels,
                    "regions": (),
                }
            ),
        )
        perturb(
            data, chosen_index, masks.build(views, settings, SIZE), settings, 1, tmp_path / "p.h5"
        )
        preview = store.preview(data, tmp_path / "p.h5")
        assert len(preview.titles) == len(preview.images) == rows
        assert list(preview.taken) == [f"exact top {shown} %", f"exact random {shown} %"]
        for image, taken in zip(preview.images, preview.taken[f"exact top {shown} %"], strict=True):
            assert np.count_nonzero(taken) == masks.exact_size(np.count_nonzero(image), shown) > 0
            assert image[taken].all()


def test_preview_of_frames_that_are_dark_in_a_view(tmp_path):
    raw = generator(1, "test dark preview").integers(0, 256, (3, 64))
    save_bins(
        tmp_path / "constellations",
        Cell("QPSK", 0),
        {"raw": raw, "noise": np.full((3, 50), OUTSIDE)},
        16,
    )
    data, wanted = (
        BinStore(tmp_path / "constellations"),
        masks.build(("raw", "noise"), PERTURB, 16),
    )
    perturb(
        data, np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]]), wanted, PERTURB, 1, tmp_path / "p.h5"
    )
    preview = store.preview(data, tmp_path / "p.h5")
    for image, title, taken in zip(
        preview.images, preview.titles, preview.taken["exact top 20 %"], strict=True
    ):
        lit = title.startswith("raw")
        assert (image.max(), taken.any()) == (lit, lit)
