"""Stage `split_hdf5`: a file in the layout of RML2018.01A or RML2016.10a -> one shard a (modulation, SNR), and an audit of its labels."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.core import files
from pisces.report import style
from pisces.run import console, tracking
from pisces.sources import rml2018

OUT = Path("data/split_hdf5")
METRICS, TABLE, PLOT = Path("metrics/audit.json"), Path("plots/audit.csv"), Path("plots/audit.png")


def main() -> None:
    params = load_params()
    with tracking.stage("split_hdf5", params) as run:
        audit = rml2018.split(params.data.to(rml2018.Selection), OUT)
        files.write_json(METRICS, audit.summary)
        files.write_csv(TABLE, audit.table)
        style.save(style.audit(audit.table), PLOT)
        run.dataset(
            "source", rml2018.fingerprint(Path(params.data.path)), Path(params.data.path).name
        )
        run.metrics(audit.summary)
        run.artifact(PLOT)
    for warning in audit.warnings:
        print(f"warning: {warning}")
    print(
        f"wrote {audit.summary['kept']['frames']} frames in {audit.summary['kept']['cells']} shards to {OUT}"
    )


if __name__ == "__main__":
    console.run(main)
