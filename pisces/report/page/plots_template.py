"""The page of `dvc plots show`, with its library of charts in it instead of from a network.

`python -m pisces.report.page.plots_template TARGET` writes it; `make` does, and sets
`plots.html_template` of DVC to it.
"""

import sys
from pathlib import Path

from pisces.core.files import write_bytes
from pisces.report.page.build import library

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
{{refresh_tag}}
<meta charset="utf-8">
<title>Plots of DVC</title>
<link rel="icon" href="data:,">
<script>{library}</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""
"""With the places that DVC fills, but for the one of scripts."""


def template() -> str:
    """HTML in which DVC puts its plots."""
    return PAGE.format(library=library())


if __name__ == "__main__":
    write_bytes(Path(sys.argv[1]), template().encode())
