"""Captions: what a reader must know of a picture, kept with the figure and written for LaTeX."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from pisces.core.snr_label import SnrLabel
from pisces.core.texts import counted

SPECIAL = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{sign: f"\\{sign}" for sign in "%_&#${}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$"},
}
"""What LaTeX would read as a command, or print as another sign."""

HEAD = """\
% Captions of the pictures beside this file: \\input it, then write \\caption{\\TrainingCaption}.
"""


# With the figure


def describe(figure: Figure, *sentences: str) -> None:
    """Makes these sentences, without the full stop at their end, the caption of the figure."""
    figure.set_label(" ".join(f"{sentence}." for sentence in sentences if sentence))


def add(figure: Figure, *sentences: str) -> Figure:
    """The figure with more sentences at the end of its caption; an empty one adds nothing."""
    more = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences if sentence]
    figure.set_label(" ".join([caption_of(figure), *more]).strip())
    return figure


def caption_of(figure: Figure) -> str:
    """The caption that `describe` gave; empty without one."""
    return str(figure.get_label())


# What all pictures of a model have in common


def of_model(card: Mapping[str, Any]) -> str:
    """Which model it is, from models/model.json: "Model: pixel_set of constellations"."""
    given = card["input"]
    if given["kind"] == "iq":
        return f"Model: {card['model']} of raw frames"
    render = given["render"]
    views, size = ", ".join(render["views"]), render["size"]
    return f"Model: {card['model']} of constellations ({views}; {size} x {size} pixels)"


def of_data(source: str, snr_label: SnrLabel, classes: tuple[int, int] | None = None) -> str:
    """Which data: the name of the file, its classes, and what its SNR labels mean.

    Args:
        source: name of the file or folder.
        snr_label: what the labels mean.
        classes: numbers of modulations and of SNRs, where the picture does not show them all.
    """
    words = [f"Data: {source}"]
    if classes is not None:
        words.append(f"{counted(classes[0], 'modulation')} at {counted(classes[1], 'SNR')}")
    meaning = "; an SNR label is half of the SNR in dB" if snr_label == "amplitude" else ""
    return ", ".join(words) + meaning


# For LaTeX


def latex(figures: Mapping[str, Figure]) -> str:
    """A file of LaTeX with a command a picture: `pis_heatmap` has `\\PisHeatmapCaption`."""
    commands = [
        f"\\newcommand{{\\{command(name)}}}{{%\n  {escaped(caption_of(figure))}}}\n"
        for name, figure in figures.items()
    ]
    return "\n".join([HEAD, *commands])


def command(name: str) -> str:
    """The command, without its backslash, that stands for the caption of a picture.

    >>> command("accuracy_by_snr")
    'AccuracyBySnrCaption'
    """
    return "".join(part.capitalize() for part in name.split("_")) + "Caption"


def escaped(text: str) -> str:
    r"""Text as LaTeX prints it.

    >>> escaped("95 % of pixel_set")
    '95 \\% of pixel\\_set'
    """
    return "".join(SPECIAL.get(sign, sign) for sign in text)
