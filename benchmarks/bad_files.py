"""Files that are damaged, each read by a stage or command; see `benchmarks.bad_inputs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import damage
from benchmarks.damage import BYTES, CARD, DEEP, WEIGHTS, Case, Spoil, of_file

FAR = 10**6
"""Number of a row that no shard has."""


def _weights() -> Iterator[Case]:
    far_too_long = (2**62).to_bytes(8, "little")
    a_NaN = damage.one_weight(float("nan"))
    yield from of_file(WEIGHTS, "evaluate", **BYTES)
    yield from of_file(
        WEIGHTS,
        "evaluate",
        a_NaN=a_NaN,
        an_infinity=damage.one_weight(float("inf")),
        a_tensor_less=damage.weights(lambda state: state.popitem()),
        a_tensor_more=damage.weights(lambda state: state.update(more=torch.zeros(1))),
        header_of_4_exabytes=damage.weights_bytes(lambda content: far_too_long + content[8:]),
        header_that_is_no_JSON=damage.weights_bytes(
            lambda content: content[:8] + b"?" + content[9:]
        ),
        last_bytes_missing=damage.weights_bytes(lambda content: content[:-8]),
        no_bytes_at_all=damage.weights_bytes(lambda _: b""),
        of_another_training=lambda path: path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1"),
    )
    yield from of_file(WEIGHTS, "pis", a_NaN=a_NaN)
    minus_infinity = damage.one_weight(float("-inf"))
    yield from of_file(WEIGHTS, "attribute", minus_infinity=minus_infinity)


def _card() -> Iterator[Case]:
    yield from of_file(CARD, "evaluate", **BYTES)
    for key in ("model", "branches", "snr_head", "modulations", "snrs_db", "input"):
        yield from of_file(CARD, "evaluate", **{f"without {key}": damage.without_key(key)})
    wrong: dict[str, dict[str, Any]] = {
        "a number as model": {"model": 3},
        "a model of nobody": {"model": "resnet19"},
        "a head of nobody": {"snr_head": "tall"},
        "no modulations": {"modulations": []},
        "no SNRs": {"snrs_db": []},
        "an SNR of 10^30": {"snrs_db": [0, 10**30, 30]},
        "input of no kind": {"input": {"kind": "sound"}},
        "input a text": {"input": "constellation"},
        "size of 10^9 pixels": {"input": {"render": {"size": 10**9}}},
        "size below 0": {"input": {"render": {"size": -16}}},
        "views of nobody": {"input": {"render": {"views": ["eye"]}}},
    }
    for what, changes in wrong.items():
        yield from of_file(CARD, "evaluate", **{what: damage.keys(changes)})
    texts = {
        "a list": "[1, 2]",
        "null": "null",
        "100 000 levels": DEEP,
        "100 000 levels in a key": '{"model": ' + DEEP + "}",
        "a number of 5 000 digits": '{"model": ' + 5000 * "9" + "}",
    }
    for what, text in texts.items():
        yield from of_file(CARD, "evaluate", **{what: damage.written(text)})
    twice = damage.replaced("{", '{"snr_head": "regression",')
    yield from of_file(CARD, "evaluate", a_key_twice=twice)
    other = {"modulations": ["QPSK", "BPSK", "16QAM"]}
    yield from of_file(CARD, "evaluate", "the model knows", other_classes=damage.keys(other))


def _splits() -> Iterator[Case]:
    path = "data/splits.npz"
    row_of_no_frame = damage.array_is("test", damage.cell_is(2, FAR))
    without_train = damage.without_array("train")
    yield from of_file(path, "evaluate", **BYTES)
    yield from of_file(
        path,
        "evaluate",
        without_test=damage.without_array("test"),
        test_of_floats=damage.array_is("test", lambda index: index / 2),
        test_of_objects=damage.array_is("test", np.array([None, {}], object)),
        test_of_another_shape=damage.array_is("test", lambda index: index[:, :2]),
        test_without_a_frame=damage.array_is("test", lambda index: index[:0]),
        row_of_no_frame=row_of_no_frame,
        row_below_0=damage.array_is("test", damage.cell_is(2, -1)),
        modulation_of_no_class=damage.array_is("test", damage.cell_is(0, 3)),
        SNR_below_0=damage.array_is("test", damage.cell_is(1, -1)),
        a_frame_twice=damage.arrays(lambda parts: parts.update(test=parts["train"])),
    )
    for stage in ("train", "perturb", "attribute"):
        yield from of_file(
            path,
            stage,
            truncated=damage.truncated,
            row_of_no_frame=row_of_no_frame,
            without_train=without_train,
        )


def _predictions() -> Iterator[Case]:
    path = "data/predictions.npz"
    of_other_frames = {
        "labels_of_other_frames": damage.array_is("modulation_true", lambda names: names[::-1]),
        "predictions_of_other_frames": damage.array_is(
            "modulation_pred", lambda names: names[::-1]
        ),
    }
    yield from of_file(path, "limits", **BYTES)
    yield from of_file(
        path,
        "limits",
        without_frame=damage.without_array("frame"),
        without_snr_pred_db=damage.without_array("snr_pred_db"),
        row_of_no_frame=damage.array_is("frame", damage.cell_is(2, FAR)),
        modulation_of_no_class=damage.array_is("frame", damage.cell_is(0, 9)),
        of_other_modulations=damage.array_is("modulations", ["BPSK", "8PSK", "16QAM"]),
        of_other_SNRs=damage.array_is("snrs_db", [-6, 10, 28]),
        of_fewer_frames=damage.array_is("snr_pred_db", lambda values: values[:-1]),
        **of_other_frames,
        SNRs_of_other_frames=damage.array_is("snr_pred_db", lambda labels: labels[::-1]),
        a_frame_twice=damage.array_is("frame", damage.first_again),
        estimates_that_are_NaN=damage.array_is("snr_estimate_db", lambda values: values * np.nan),
        of_objects=damage.array_is("frame", np.array([None, {}], object)),
    )
    yield from of_file(
        path,
        "report results",
        truncated=damage.truncated,
        without_note=damage.without_array("note"),
        without_modulation_true=damage.without_array("modulation_true"),
        names_reversed=damage.array_is("modulations", lambda names: names[::-1]),
        SNRs_reversed=damage.array_is("snrs_db", lambda labels: labels[::-1]),
        **of_other_frames,
    )


def _plan() -> Iterator[Case]:
    path = "data/perturbations.h5"
    text = np.bytes_
    row_of_no_frame = damage.dataset_is("frame", damage.cell_is(2, FAR))
    yield from of_file(path, "pis", **BYTES)
    yield from of_file(
        path,
        "pis",
        without_masks=damage.without_dataset("masks"),
        masks_that_are_no_JSON=damage.dataset_is("masks", text("[[")),
        masks_of_100_000_levels=damage.dataset_is("masks", text(DEEP)),
        masks_of_two_fields=damage.dataset_is("masks", text('[["symbol", "exact"]]')),
        masks_that_are_a_number=damage.dataset_is("masks", text("3")),
        no_masks=damage.dataset_is("masks", text("[]")),
        a_mask_of_no_family=damage.dataset_is("masks", text('[["symbol", "halo", "top", 5.0]]')),
        a_mask_of_no_name=damage.dataset_is("masks", text('[["symbol", "exact", "best", 5.0]]')),
        a_mask_of_no_view=damage.dataset_is("masks", text('[["eye", "exact", "top", 5.0]]')),
        a_mask_without_level=damage.dataset_is("masks", text('[["symbol", "exact", "top", null]]')),
        a_level_of_500_percent=damage.dataset_is(
            "masks", text('[["symbol", "exact", "top", 500.0]]')
        ),
        without_settings=damage.attribute_is("settings", None),
        settings_that_are_no_JSON=damage.attribute_is("settings", "{"),
        seed_that_is_a_text=damage.attribute_is("seed", "x"),
        seed_below_0=damage.attribute_is("seed", -1),
        without_frame=damage.without_dataset("frame"),
        row_of_no_frame=row_of_no_frame,
        frames_of_another_shape=damage.dataset_is("frame", lambda index: index[:, 0]),
        no_frames=damage.dataset_is("frame", lambda index: index[:0]),
        frames_reversed=damage.dataset_is("frame", lambda index: index[::-1]),
        a_frame_twice=damage.dataset_is("frame", damage.first_again),
        frames_that_are_a_group=damage.hdf5(_group_in_place_of_frames),
    )
    yield from of_file(
        path,
        "attribute",
        truncated=damage.truncated,
        row_of_no_frame=row_of_no_frame,
    )


def _group_in_place_of_frames(file: Any) -> None:
    del file["frame"]
    file.create_group("frame")


def _arrays_of_the_report() -> Iterator[Case]:
    first = {
        "data/perturbations_sheet.npz": "images",
        "data/pis.npz": "joint_baseline",
        "data/attribution_examples.npz": "modulation_maps",
    }
    for path, name in first.items():
        yield from of_file(
            path,
            "report results",
            missing=damage.missing,
            empty=damage.empty,
            truncated=damage.truncated,
            **{f"without {name}": damage.without_array(name)},
        )


def _tables() -> Iterator[Case]:
    columns = {
        "training": "epoch",
        "accuracy_by_snr": "frames",
        "per_class": "recall",
        "snr_estimate": "snr_db",
        "ceiling": "series",
        "pis": "mask",
        "pis_by_cell": "modulation",
        "attribution": "method",
        "attribution_checks": "check",
    }
    for name, column in columns.items():
        yield from of_file(
            f"plots/{name}.csv",
            "report results",
            empty=damage.empty,
            **{f"without the column {column}": damage.replaced(column, "other")},
        )
    path = "plots/pis.csv"
    yield from of_file(
        path,
        "report results",
        missing=damage.missing,
        garbage=damage.garbage,
        truncated=damage.truncated,
        a_text_in_a_number=damage.replaced("\nsymbol,exact,top,1,", "\nsymbol,exact,top,one,"),
        a_value_too_many=damage.replaced("\nsymbol,exact,top,", "\nsymbol,exact,top,1,"),
    )
    yield from of_file("plots/audit.csv", "report data", **BYTES)
    for path in ("plots/pis.csv", "plots/pis_by_cell.csv", "metrics/evaluate.json"):
        yield from of_file(path, "pisces summary", **BYTES)


def _shards() -> Iterator[Case]:
    constellations = "data/constellations/QPSK/SNR_10.h5"
    iq = "data/split_hdf5/QPSK/SNR_10.h5"
    yield from of_file(constellations, "stratify", **BYTES)
    yield from of_file(iq, "render", **BYTES)
    yield from of_file(constellations, "evaluate", without_row=damage.without_dataset("row"))
    first = "data/constellations/16QAM/SNR_-6.h5"
    yield from of_file(
        first,
        "train",
        without_settings=damage.attribute_is("render", None),
        settings_that_are_no_JSON=damage.attribute_is("render", "{"),
    )
    names = {"an SNR of letters": "SNR_x.h5", "an SNR of 10^30": f"SNR_1{30 * '0'}.h5"}
    for what, name in names.items():
        renamed = str(Path(iq).with_name(name))
        yield from of_file(iq, "render", renamed, **{what: _renamed(name)})


def _renamed(name: str) -> Spoil:
    def spoil(path: Path) -> None:
        path.rename(path.with_name(name))

    return spoil


FOREIGN: dict[str, bytes] = {
    "nothing in it": b"",
    "a text": b"I,Q\n0.1,0.2\n",
    "zeros": bytes(9999),
    "a NumPy array": b"\x93NUMPY\x01\x00",
    "a NumPy archive": b"PK\x03\x04" + bytes(22) + b"\x05\x00\x00\x00X.npy",
    "MATLAB of version 5": b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "a WAV recording": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "metadata of SigMF": b'{"global": {"core:datatype": "cf32_le"}}',
    "an archive": b"BZh91AY&SY",
    "a web page": b"<!DOCTYPE html><html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "HDF5 with other line ends": b"\x89HDF\r\r\n\x1a\r\n",
    "HDF5 as UTF-8": b"\xef\xbf\xbdHDF\r\n\x1a\n",
}
"""What is in a file that is given as the data -> its first bytes."""


def _data() -> Iterator[Case]:
    ways = {what: _holding(content) for what, content in FOREIGN.items()}
    yield from of_file("own.hdf5", "pisces preset --data own.hdf5", **ways)


def _holding(content: bytes) -> Spoil:
    def spoil(path: Path) -> None:
        path.write_bytes(content)

    return spoil


CASES = (
    *_data(),
    *_weights(),
    *_card(),
    *_splits(),
    *_predictions(),
    *_plan(),
    *_arrays_of_the_report(),
    *_tables(),
    *_shards(),
)
