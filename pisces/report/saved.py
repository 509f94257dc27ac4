"""Pictures as files: each as PNG and as PDF, and the captions of all as one file of LaTeX."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from pisces.core.files import together, write_bytes
from pisces.report import captions, style

CAPTIONS = "captions.tex"


def save(figures: Mapping[str, Figure], folder: Path, sidecar: str = CAPTIONS) -> list[str]:
    """Writes pictures and captions, all of them or none.

    Args:
        figures: name of a picture -> figure.
        folder: where they go.
        sidecar: name of the file of captions.

    Returns:
        The names of the files, the captions last.
    """
    names = [f"{name}.{ending}" for name in figures for ending in ("png", "pdf")]
    with together():
        for name in names:
            style.save(figures[name.rpartition(".")[0]], folder / name)
        write_bytes(folder / sidecar, captions.latex(figures).encode())
    return [*names, sidecar]
