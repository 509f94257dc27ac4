"""data/explorer.npz as the page holds it: what explorer.js reads, and its bytes."""

import base64
import gzip
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pisces.core.snr_label import convention_in
from pisces.report import style
from pisces.report.attribution import METHODS
from pisces.report.page import words
from pisces.report.page.colours import hex_of, shades
from pisces.report.pis_regions import Images

Arrays = Mapping[str, np.ndarray]

WHOLE = 1000
"""Of a probability; a page needs no more digits than it shows."""
STRONGEST = 127
"""Of the scores of a map."""
SQUEEZED = 6
"""Of 9: a little larger than the smallest, in half the time."""
ALIGNED = 4
"""Bytes, at a multiple of which each section begins."""


def describe(
    arrays: Arrays, scores: pd.DataFrame | None, window: float
) -> tuple[dict[str, Any], str]:
    """What is shown of the frames.

    Args:
        arrays: of data/explorer.npz.
        scores: plots/pis.csv, of which each mask says what it costs over all frames; None
            without one.
        window: side of a window, as a share of that of the image.

    Returns:
        A description as JSON, and the bytes of all numbers, gzipped and in base64.
    """
    extents = dict(zip(arrays["views"].tolist(), arrays["extents"].tolist(), strict=True))
    images = Images(int(arrays["size"]), extents, window)
    sections, content = _packed(arrays)
    convention = convention_in(arrays)
    described = {
        "frames": _frames(arrays),
        "choices": _choices(arrays, images),
        "families": [
            {"rule": rule, "label": words.family(rule)}
            for rule in dict.fromkeys(arrays["choice_rule"].tolist())
        ],
        "maps": [
            f"{METHODS[method].label}, {words.NAMES[head]}"
            for method, head in zip(arrays["map_method"], arrays["map_head"], strict=True)
        ],
        "views": [_view(view, extents) for view in arrays["views"].tolist()],
        "size": int(arrays["size"]),
        "modulations": arrays["modulations"].tolist(),
        "snrs": [words.snr(label, convention) for label in arrays["snrs_db"].tolist()],
        "sections": sections,
        "palettes": {
            "bright": shades(style.BRIGHTNESS, 256),
            "signed": shades(style.SIGNED, 2 * STRONGEST + 1),
            "gone": hex_of(style.GONE),
            "masked": shades(style.MASKED, 1)[0],
            "arrived": hex_of(style.ARRIVED),
            "dark": shades(style.BRIGHTNESS, 1)[0],
        },
        "told": _told(arrays),
        "overall": _overall(arrays, scores),
    }
    return described, content


def _frames(arrays: Arrays) -> list[dict[str, Any]]:
    """Where the numbers of each frame begin, and which frame it is."""
    lit = arrays["lit_per_frame"]
    offsets = np.cumsum([0, *lit])
    taken = np.cumsum([0, *(len(arrays["choice_rule"]) * -(-lit // 8))])
    return [
        {
            "modulation": int(frame[0]),
            "snr": int(frame[1]),
            "row": int(row),
            "index": frame.tolist(),
            "lit": int(count),
            "offset": int(offset),
            "takenOffset": int(taken_offset),
        }
        for frame, row, count, offset, taken_offset in zip(
            arrays["frame"], arrays["row"], lit, offsets[:-1], taken[:-1], strict=True
        )
    ]


def _choices(arrays: Arrays, images: Images) -> list[dict[str, Any]]:
    columns = ("choice_view", "choice_rule", "choice_name", "choice_level_percent")
    rows = list(zip(*(arrays[name].tolist() for name in columns), strict=True))
    masks: dict[tuple[str, str], list[str]] = {}
    for view, rule, name, _ in rows:
        of_family = masks.setdefault((view, rule), [])
        if name not in of_family:
            of_family.append(name)
    return [
        {
            "view": view,
            "rule": rule,
            "name": name,
            "label": words.mask(rule, name, view, masks[view, rule], images),
            "level": None if np.isnan(level) else level,
        }
        for view, rule, name, level in rows
    ]


def _told(arrays: Arrays) -> list[list[str]]:
    """Of each frame and order, what moves, or why nothing does."""
    is_move = arrays["choice_rule"] == "counterfactual"
    orders = arrays["choice_name"][is_move].tolist()
    columns = ("moves", "symbols", "rival", "why_not")
    told = []
    for moves, symbols, rival, why in zip(*(arrays[one].tolist() for one in columns), strict=True):
        in_words = [
            words.not_moved(why) if why else words.moved(count, symbols, rival, order)
            for count, order in zip(moves, orders, strict=True)
        ]
        told.append(in_words)
    return told


def _view(view: str, extents: Mapping[str, float]) -> dict[str, str]:
    unit = "dB over the floor" if view == "noise" else "RMS"
    reach = f"{extents[view]:g} {unit}"
    return {"name": view, "caption": f"View {view}: I to the right and Q upwards, up to {reach}"}


def _overall(arrays: Arrays, scores: pd.DataFrame | None) -> list[str | None]:
    """What each choice costs over all frames, in words; None where PIS did not measure it."""
    known: dict[tuple[Any, ...], str] = {}
    if scores is not None:
        joint = scores[scores["task"] == "joint"]
        for row in joint.to_dict("records"):
            key = row["view"], row["rule"], row["mask"], _level(row["level_percent"])
            known[key] = (
                f"Over {row['n']:.0f} frames: joint accuracy {100 * row['accuracy']:.1f} %, "
                f"PIS {row['pis']:.2f}, of its control {row['control_count_pis']:.2f}, "
                f"excess {row['excess']:+.2f} (p = {row['p_count_holm']:.2g}, Holm)."
            )
    columns = ("choice_view", "choice_rule", "choice_name", "choice_level_percent")
    rows = zip(*(arrays[name].tolist() for name in columns), strict=True)
    return [known.get((view, rule, name, _level(level))) for view, rule, name, level in rows]


def _level(percent: float) -> float | None:
    return None if np.isnan(percent) else round(percent, 6)


# Bytes


def _packed(arrays: Arrays) -> tuple[dict[str, tuple[int, int]], str]:
    """Where each section begins in the bytes and how many values it has, and the bytes."""
    parts = {
        "lit": arrays["lit"].astype("<u4"),
        "counts": arrays["counts"].astype("<u2"),
        "modulation": np.rint(arrays["modulation_prob"] * WHOLE).astype("<u2").ravel(),
        "snr": np.rint(arrays["snr_prob"] * WHOLE).astype("<u2").ravel(),
        "maps": _scaled_maps(arrays),
        "taken": arrays["taken"].astype("u1"),
        "arrived": arrays["arrived"].astype("<u4"),
        "arrivedFrom": np.cumsum([0, *arrays["arrived_per_move"]]).astype("<u4"),
    }
    sections, content = {}, b""
    for name, values in parts.items():
        sections[name] = (len(content), len(values))
        content += values.tobytes()
        content += bytes(-len(content) % ALIGNED)
    # Without a time, so that the same frames are the same bytes.
    return sections, base64.b64encode(gzip.compress(content, SQUEEZED, mtime=0)).decode()


def _scaled_maps(arrays: Arrays) -> np.ndarray:
    """Roots of the scores of each map of each frame over its largest, to `STRONGEST`: int8.

    Without a root all but a few pixels would be white.
    """
    maps = len(arrays["map_method"])
    scaled = []
    start = 0
    for lit in arrays["lit_per_frame"].tolist():
        of_frame = arrays["maps"][start : start + maps * lit].reshape(maps, lit)
        largest = np.abs(of_frame).max(axis=1, keepdims=True, initial=0)
        shares = np.divide(of_frame, largest, out=np.zeros_like(of_frame), where=largest > 0)
        roots = np.sign(shares) * np.sqrt(np.abs(shares))
        scaled.append(np.rint(roots * STRONGEST).astype("i1").ravel())
        start += maps * lit
    return np.concatenate(scaled) if scaled else np.empty(0, "i1")
