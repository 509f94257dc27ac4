"""Stage `split_hdf5`: a file of labelled frames -> one shard a (modulation, SNR), and an audit."""

from pathlib import Path

from pisces.acquisition import labelled
from pisces.config.agreement import path_remark, pulse_remark
from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.run import guard, tracking
from pisces.sources import sharding
from pisces.sources.finding import Expected
from pisces.sources.settings import Selection

OUT, DETAILS = Path("data/split_hdf5"), Path("data/audit.json")
METRICS, TABLE = Path("metrics/audit.json"), Path("plots/audit.csv")
FINDINGS, SPECTRUM = Path("plots/audit_findings.csv"), Path("plots/audit_spectrum.csv")


def main() -> None:
    params = load_params()
    source = Path(params.data.path)
    sps, offset_std = params.render.sps, params.render.carrier_offset_std
    with tracking.stage("split_hdf5", params) as run:
        expected = Expected(sps, offset_std, params.render.pulse)
        data = params.data.to(Selection)
        reader = labelled.reader_of(data, sps, offset_std)
        with files.together():
            audit = sharding.split(data, OUT, expected, reader)
            files.write_json(METRICS, audit.headline)
            files.write_json(DETAILS, audit.details)
            files.write_csv(TABLE, audit.table)
            files.write_csv(FINDINGS, audit.findings)
            files.write_csv(SPECTRUM, audit.spectrum)

        run.dataset("source", sharding.fingerprint(source), source.name)
        run.metrics(audit.headline)
        run.artifact(DETAILS)

    remarks = path_remark(params.data.path), pulse_remark(params)
    for warning in filter(None, [*remarks, *audit.warnings]):
        print(f"warning: {warning}")
    kept = audit.details["kept"]
    labels = f"SNR labels: {audit.details['snr_label']}, {audit.details['snr_label_known_from']}"
    written = f"{counted(kept['frames'], 'frame')} in {counted(kept['cells'], 'shard')}"
    print(f"wrote {written} to {OUT}; {labels}")


if __name__ == "__main__":
    guard.run("split_hdf5", main)
