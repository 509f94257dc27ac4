"""What files say of signals, checked before work: whether the recording can hold such a signal."""

from pisces.acquisition.segment import Annotated, Readable


def require_possible(recording: Readable, annotation: Annotated, where: str) -> None:
    """Raises ValueError, in one line, where a recording cannot hold what an annotation tells of.

    Args:
        recording: which the annotation belongs to.
        annotation: edges and symbol rate in hertz, or in sample rates where the sample rate is
            unknown; at least one sample.
        where: the file and the line, for messages.
    """
    _require_band(recording, annotation, where)
    if annotation.symbol_rate_hz is None:
        return

    rate_hz = recording.sample_rate_hz or 1.0
    samples_per_symbol = rate_hz / annotation.symbol_rate_hz if annotation.symbol_rate_hz else 0.0
    if not 1 <= samples_per_symbol <= annotation.count:
        unit = _unit(recording)
        raise ValueError(
            f"{where}: symbol rate {annotation.symbol_rate_hz:.12g}{unit} of {_samples(annotation)}"
            f" of {recording.name}; it must be {rate_hz / max(annotation.count, 1):g} (one symbol "
            f"in these samples) to {rate_hz:.12g}{unit} (the sample rate): correct it, or leave it "
            "out"
        )


def _require_band(recording: Readable, annotation: Annotated, where: str) -> None:
    """Raises ValueError where edges leave nothing of the recording's band."""
    rate_hz = recording.sample_rate_hz or 1.0
    half_hz = rate_hz / 2
    low_hz = -half_hz if annotation.low_hz is None else annotation.low_hz
    high_hz = half_hz if annotation.high_hz is None else annotation.high_hz
    unit = _unit(recording)
    band = f"{where}: band {low_hz:.12g} to {high_hz:.12g}{unit} of {_samples(annotation)}"

    if high_hz <= -half_hz or low_hz >= half_hz:
        raise ValueError(
            f"{band} lies outside that of {recording.name}, {-half_hz:.12g} to {half_hz:.12g}{unit}"
            " about its centre: correct the edges, the sample rate or the centre frequency"
        )
    least_hz = rate_hz / max(annotation.count, 1)
    if min(high_hz, half_hz) - max(low_hz, -half_hz) < least_hz:
        raise ValueError(
            f"{band} of {recording.name} is too narrow to hold a signal: so few samples tell "
            f"{least_hz:g}{unit} apart; move the edges to those of the signal, or leave them out"
        )


def require_possible_clock(recording: Readable) -> None:
    """Raises ValueError where the symbols that a file tells of do not fit into its samples."""
    told = recording.samples_per_symbol
    most = recording.frame_length or recording.count
    if told is not None and recording.count and not 1 <= told <= most:
        of = "a frame" if recording.frame_length else "the recording"
        raise ValueError(
            f"{recording.name}: samples_per_symbol is {told:g}; it must be 1 to {most}, the "
            f"samples of {of}: correct it in the file that says so, or leave it out"
        )


def _samples(annotation: Annotated) -> str:
    return f"samples {annotation.start} to {annotation.start + annotation.count}"


def _unit(recording: Readable) -> str:
    return " Hz" if recording.sample_rate_hz else " sample rates (its sample rate is unknown)"
