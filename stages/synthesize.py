"""Stage `synthesize`: params -> RadioML-like frames in the layout of RML2018.01A."""

from pathlib import Path

from pisces import console, tracking
from pisces.params import load_params
from pisces.synthesis import synthesize_file

OUT = Path("data/raw/synthetic.hdf5")


def main() -> None:
    params = load_params()
    with tracking.stage("synthesize", params):
        n_frames = synthesize_file(OUT, params.synthesize, params.base.seed)
    print(f"wrote {n_frames} frames of {params.synthesize.samples} samples to {OUT}")


if __name__ == "__main__":
    console.run(main)
