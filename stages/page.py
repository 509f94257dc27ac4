"""Stage `page`: tables, arrays and frames to be explored -> one page, plots/report.html."""

from pathlib import Path

from pisces.config.io import PARAMS, load_params
from pisces.config.presets import leaves
from pisces.core import files, yaml
from pisces.core.reading import require
from pisces.core.texts import readable_size
from pisces.report.page import build, sources
from pisces.report.pis_regions import Images
from pisces.run import guard, origins, provenance, tracking

DATA, PLOTS, METRICS, MODELS = Path("data"), Path("plots"), Path("metrics"), Path("models")
WEIGHTS, OUT = "model.safetensors", Path("plots/report.html")
STAGES = (
    *("split_hdf5", "train", "evaluate", "limits", "pis", "tune_masks", "attribute"),
    *("counterfactual", "explore"),
)


def main() -> None:
    params = load_params()
    source = Path(params.data.path).name
    extents = params.render.extent.model_dump()
    require(MODELS / WEIGHTS, "train")
    of_run = build.Run(
        source,
        Images(params.render.size, extents, params.perturb.window),
        # Where the file lies on this machine says nothing about it.
        params=dict(leaves(yaml.read(PARAMS))) | {"data.path": source},
        model_md5=provenance.md5(MODELS / WEIGHTS),
        contradictions=origins.contradictions(STAGES),
    )

    with tracking.stage("page", params):
        found = sources.read(DATA, PLOTS, METRICS, MODELS)
        made, problems = build.page(found, of_run)
        content = made.encode()
        files.write_bytes(OUT, content)

    for problem in problems:
        print(f"warning: {problem}")
    print(f"wrote {OUT}, {readable_size(len(content))}, which opens in any browser")


if __name__ == "__main__":
    guard.run("page", main)
