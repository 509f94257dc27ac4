"""Stage `synthesize`: params -> RadioML-like frames in the layout of RML2018.01A or RML2016.10a."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core.texts import counted
from pisces.run import guard, tracking
from pisces.sources.settings import SynthesisSettings
from pisces.sources.synthesis import synthesize_file

OUT = Path("data/raw")


def main() -> None:
    params = load_params()
    path = OUT / f"synthetic.{params.synthesize.format}"
    with tracking.stage("synthesize", params):
        n_frames = synthesize_file(path, params.synthesize.to(SynthesisSettings), params.base.seed)
    print(f"wrote {counted(n_frames, 'frame')} of {params.synthesize.samples} samples to {path}")


if __name__ == "__main__":
    guard.run("synthesize", main)
