"""Stage `split_hdf5`: a file in the layout of RML2018.01A or RML2016.10a -> one shard a (modulation, SNR), and an audit of its labels."""

from pathlib import Path

from pisces import console, files, plots, radioml, tracking
from pisces.params import load_params

OUT = Path("data/split_hdf5")
METRICS, TABLE, PLOT = Path("metrics/audit.json"), Path("plots/audit.csv"), Path("plots/audit.png")


def main() -> None:
    params = load_params()
    with tracking.stage("split_hdf5", params) as run:
        audit = radioml.split(params.data, OUT)
        files.write_json(METRICS, audit.summary)
        files.write_csv(TABLE, audit.table)
        plots.save(plots.audit(audit.table), PLOT)
        run.dataset("source", radioml.fingerprint(Path(params.data.path)), Path(params.data.path).name)
        run.metrics(audit.summary)
        run.artifact(PLOT)
    for warning in audit.warnings:
        print(f"warning: {warning}")
    print(f"wrote {audit.summary['kept']['frames']} frames in {audit.summary['kept']['cells']} shards to {OUT}")


if __name__ == "__main__":
    console.run(main)
