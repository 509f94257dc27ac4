"""The page itself: all of it in one text, which opens from disk without a network."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pisces.core.snr_label import SnrLabel, convention_in
from pisces.core.texts import counted, readable_size
from pisces.report import captions, style
from pisces.report.families import by_family
from pisces.report.page import agreement, charts, explored, sentences, table_rows, words
from pisces.report.page.colours import hex_of, shades
from pisces.report.page.sources import Sources
from pisces.report.pis_regions import Images

HERE = Path(__file__).parent
SCRIPTS = ("charts.js", "tables.js", "confusion.js", "explorer.js", "live.js", "main.js")
"""In the order in which they need each other."""
LARGEST = 15_000_000
"""Bytes of the page."""

PLACE = re.compile(r"\{\{(\w+)\}\}")


class Run(NamedTuple):
    """What the tables do not say of the run."""

    source: str
    """Name of the data file or folder."""
    images: Images
    """Those that were masked."""
    params: Mapping[str, Any]
    """Full name -> value, of all params."""
    model_md5: str = ""
    """Of the weights, by which git finds the commit that recorded them; empty without a model."""
    contradictions: Sequence[str] = ()
    """What DVC's records say against the files, in lines."""


def page(sources: Sources, run: Run) -> tuple[str, list[str]]:
    """The page, and what is wrong with its files, which stands on it as well.

    Args:
        sources: tables and arrays.
        run: what these do not say.

    Returns:
        HTML, and lines.

    Raises:
        ValueError: where it would be larger than `LARGEST`.
    """
    problems = [*sources.missing.values(), *run.contradictions, *agreement.contradictions(sources)]
    convention = _convention(sources)
    data, explorer_data = _data(sources, run, convention)
    title = f"Radio modulation, recognised and explained: {run.source}"
    has_explorer = data["explorer"] is not None
    explorer_html = _text("explorer.html") if has_explorer else _no_explorer(sources)
    content = {
        "title": html.escape(title),
        "about": html.escape(_about(sources, run, convention)),
        "colours": _colours(),
        "css": _text("page.css"),
        "problems": _problems(problems),
        "question": html.escape(sentences.QUESTION),
        "answer": _items(sentences.answer(sources, run.images)),
        "explorer": explorer_html,
        "run": _run(sources, run.model_md5),
        "footer": "Made by <code>dvc repro page</code> of the tables in plots/. "
        "<code>python -m pisces explore</code> serves it with the model behind it.",
        "data": as_json(data),
        "explorer_data": explorer_data,
        "bundle": library(),
        "scripts": "\n".join(f"<script>\n{_text(name)}</script>" for name in SCRIPTS),
    }
    made = PLACE.sub(lambda match: content[match[1]], _text("page.html"))
    size = len(made.encode())
    if size > LARGEST:
        raise ValueError(
            f"the page would have {readable_size(size)}, and it may have "
            f"{readable_size(LARGEST)}: lower explore.frames in params.yaml, or ask for fewer "
            "masks in perturb.levels_percent and perturb.curve_percent"
        )
    return made, problems


@cache
def library() -> str:
    """Vega-Lite and what it needs, as one script."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return as_script(bundle)


def as_script(code: str) -> str:
    """Code without what would end its element in a page; in texts of JavaScript it means the same.

    >>> as_script("a = '</script>'")
    "a = '<\\\\/script>'"
    """
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def as_json(content: Any) -> str:
    """JSON that no text in it can end: every < is escaped.

    >>> as_json({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), default=_plain)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is not JSON")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _convention(sources: Sources) -> SnrLabel:
    predicted = sources.arrays.get("predictions")
    return "power" if predicted is None else convention_in(predicted)


def _data(sources: Sources, run: Run, convention: SnrLabel) -> tuple[dict[str, Any], str]:
    """What the scripts read, and the packed numbers of the explorer."""
    explorer, packed = None, ""
    if "explorer" in sources.arrays:
        scores = sources.tables.get("pis")
        explorer, packed = explored.describe(sources.arrays["explorer"], scores, run.images.window)
    missing = {Path(path).stem: reason for path, reason in sources.missing.items()}
    return {
        "charts": charts.all_of(sources, convention),
        "tables": table_rows.all_of(sources, run.images, run.params),
        "missing": missing,
        "confusion": _confusion(sources, convention),
        "explorer": explorer,
    }, packed


def _confusion(sources: Sources, convention: SnrLabel) -> dict[str, Any] | None:
    """Frames by SNR, true and predicted modulation, in the order of the families."""
    predicted = sources.arrays.get("predictions")
    if predicted is None:
        return None
    classes = by_family(predicted["modulations"].tolist())
    place = {name: i for i, name in enumerate(classes)}
    labels = predicted["snrs_db"].tolist()
    counts = np.zeros((len(labels), len(classes), len(classes)), int)
    of_snr = np.searchsorted(predicted["snrs_db"], predicted["snr_true_db"])
    rows = zip(of_snr, predicted["modulation_true"], predicted["modulation_pred"], strict=True)
    for snr, actual, said in rows:
        counts[snr, place[actual], place[said]] += 1
    names = [words.snr(label, convention) for label in labels]
    return {"classes": classes, "snrs": names, "counts": counts.tolist()}


# Parts of the page


def _about(sources: Sources, run: Run, convention: SnrLabel) -> str:
    predicted = sources.arrays.get("predictions")
    classes = None
    if predicted is not None:
        classes = len(predicted["modulations"]), len(predicted["snrs_db"])
    texts = [captions.of_data(run.source, convention, classes)]
    if sources.card:
        texts.append(captions.of_model(sources.card))
    notes = {str(arrays.get("note", "")) for arrays in sources.arrays.values()}
    texts += sorted(note[0].upper() + note[1:] for note in notes if note)
    return " ".join(f"{text}." for text in texts)


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    head = f"{counted(len(problems), 'file or figure', 'files or figures')} to be mended first"
    return f'<section class="problems"><h2>{head}</h2><ul>{_items(problems)}</ul></section>'


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{html.escape(text)}</li>" for text in texts)


def _no_explorer(sources: Sources) -> str:
    reasons = [why for path, why in sources.missing.items() if Path(path).stem == "explorer"]
    return f'<p class="missing">{html.escape(" ".join(reasons))}</p>'


def _run(sources: Sources, model_md5: str) -> str:
    """Which model it is, by its weights, and how to find the commit that recorded it.

    The commit itself cannot stand here: with every other one the same results would be another
    page.
    """
    digest = str(sources.card.get("weights_sha256", "unknown"))
    versions = sources.card.get("versions", {})
    facts = {
        "SHA-256 of the weights": digest,
        "Trained with": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Trained on": ", ".join(
            str(sources.run[key]) for key in ("device", "precision") if key in sources.run
        ),
        "Epochs": str(sources.run.get("epochs", "unknown")),
    }
    if model_md5:
        facts["Its commits"] = f"git log --oneline -S {model_md5} -- dvc.lock"
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td class=long>{html.escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _colours() -> str:
    """The colours of the pictures as variables of CSS."""
    cycle = [f"--c{i}: {hex_of(f'C{i}')};" for i in range(10)]
    masked = f"--masked: {shades(style.MASKED, 1)[0]};"
    return f":root {{ {' '.join([*cycle, masked])} }}"
