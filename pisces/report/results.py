"""What a stage shows: tables to read on with, and pictures."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.core import files
from pisces.report import style

BYPASSED = "tested with the denoiser bypassed"
"""Note on pictures of a model whose denoiser is out of the way."""


def write(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Figure | Axes],
    note: str = "",
) -> list[Path]:
    """Writes each table to `<name>.csv` and each picture, with a note above it, to `<name>.png`; returns the paths, tables first."""
    tables_at = {folder / f"{name}.csv": table for name, table in tables.items()}
    pictures_at = {folder / f"{name}.png": picture for name, picture in pictures.items()}
    for path, table in tables_at.items():
        files.write_csv(path, table)
    for path, picture in pictures_at.items():
        style.save(style.noted(picture, note), path)
    return [*tables_at, *pictures_at]
