"""What one section of params.yaml asks of another; each check raises ValueError with the remedy."""

from pathlib import Path
from typing import TYPE_CHECKING

from pisces.config.sections.data import GENERATED_FILES
from pisces.core.modulations import LINEAR
from pisces.counterfactuals.settings import has_points, numbers_of, pairs_of
from pisces.inputs.settings import FEWEST_REDRAWN_SPS
from pisces.training.settings import require_noise_reaches_a_class

if TYPE_CHECKING:
    from pisces.config.schema import Params


def views_are_rendered(params: "Params") -> None:
    """Pixels can be masked only in views that are rendered."""
    rendered = params.render.views
    missing = sorted(set(params.perturb.views or ()) - set(rendered))
    if missing:
        raise ValueError(
            f"perturb.views names {', '.join(missing)}, "
            f"but render.views are {', '.join(rendered)}; "
            "leave it out of perturb.views (null takes all) or add it to render.views"
        )


def noise_has_a_band(params: "Params") -> None:
    """With two samples a symbol the signal fills the whole band."""
    sps = params.render.sps
    if "noise" in params.render.views and sps < 3:
        raise ValueError(
            f"render.sps = {sps} leaves no band without signal, "
            "which noise in render.views shows; "
            "correct render.sps to 3 or more, or leave noise out of render.views"
        )


def symbols_are_as_generated(params: "Params") -> None:
    """The views must be told how long a symbol of the generated frames is."""
    generated, rendered = params.synthesize.sps, params.render.sps
    if params.data.path == params.synthesize.path and generated != rendered:
        raise ValueError(
            f"render.sps = {rendered} is not synthesize.sps = {generated} "
            "of the generated frames; set both alike"
        )


def pulse_can_be_found(params: "Params") -> None:
    """A pulse is estimated from linear modulations."""
    render, modulations = params.render, params.data.modulations
    is_estimated = "symbol" in render.views and render.pulse == "estimated"
    if is_estimated and not any(name in LINEAR for name in modulations):
        raise ValueError(
            "render.pulse = estimated needs a linear modulation, such as QPSK, "
            f"but data.modulations are {', '.join(modulations)}; "
            "set render.pulse to rrc or rml2018, or leave symbol out of render.views"
        )


def denoiser_is_there(params: "Params") -> None:
    """What needs a denoiser is refused without one."""
    is_cldnn = params.train.model == "cldnn"
    has_denoiser = is_cldnn and params.cldnn.paths != "raw"
    if params.evaluate.bypass_denoiser and not has_denoiser:
        raise ValueError(
            "evaluate.bypass_denoiser = true needs a denoiser, which only train.model = cldnn "
            "with cldnn.paths = denoised or dual has; set it to false"
        )
    if is_cldnn and not has_denoiser and params.noise_aware.c.features:
        raise ValueError(
            "noise_aware.c.features needs a denoiser, which cldnn.paths = raw lacks; "
            "set it to 0 or change cldnn.paths"
        )


def condition_is_used(params: "Params") -> None:
    """The true SNR conditions a denoiser, FiLM or a gate."""
    cldnn = params.cldnn
    is_conditioned = cldnn.paths != "raw" or cldnn.film or cldnn.eta_gate
    if params.train.model == "cldnn" and cldnn.condition == "known" and not is_conditioned:
        raise ValueError(
            "cldnn.condition = known conditions nothing with cldnn.paths = raw and neither "
            "cldnn.film nor cldnn.eta_gate; set it to blind"
        )


def teacher_sees_some_frames(params: "Params") -> None:
    """A teacher is distilled on frames that are not mixed."""
    noise_aware, augment = params.noise_aware, params.augment
    phases = noise_aware.phases if params.cldnn.paths != "raw" else (noise_aware.c,)
    distils = noise_aware.teacher != "none" and any(phase.distillation for phase in phases)
    all_are_mixed = augment.mixup_alpha > 0 and augment.mixup_probability == 1
    if params.train.model == "cldnn" and distils and all_are_mixed:
        raise ValueError(
            "noise_aware.teacher is not distilled on mixed batches, which all are with "
            "augment.mixup_probability = 1; lower that, or set augment.mixup_alpha to 0"
        )


def last_phase_has_epochs(params: "Params") -> None:
    """Phase c has what the others leave."""
    if params.train.model != "cldnn" or params.cldnn.paths == "raw":
        return
    taken = sum(phase.epochs or 0 for phase in params.noise_aware.phases)
    if taken >= params.train.epochs:
        raise ValueError(
            f"noise_aware.a, b1 and b2 take {taken} epochs, which leaves none of "
            f"train.epochs = {params.train.epochs} for c; lower theirs or raise train.epochs"
        )


def constellations_have_no_level(params: "Params") -> None:
    """What changes the level or the samples of a frame is for models of raw frames."""
    if params.train.input != "constellation":
        return
    if params.augment.gain_db:
        raise ValueError(
            f"augment.gain_db = {params.augment.gain_db} is for train.input = iq; "
            "constellations have no level: set it to 0"
        )
    if params.pis.fill != "zero":
        raise ValueError(
            f"pis.fill = {params.pis.fill} is for train.input = iq; "
            "pixels of a constellation go dark: set it to zero"
        )


def symbols_can_be_redrawn(params: "Params") -> None:
    """Symbols are drawn anew in their own view, and in samples where these are shown."""
    if params.pis.removal != "redraw":
        return
    views, sps = params.render.views, params.render.sps
    if "symbol" not in views:
        raise ValueError(
            "pis.removal = redraw draws symbols of the view symbol, but render.views are "
            f"{', '.join(views)}; add it there, or set pis.removal to blackout"
        )
    by_samples = params.pis.other_views == "redrawn" or params.train.input == "iq"
    if by_samples and sps < FEWEST_REDRAWN_SPS:
        raise ValueError(
            "pis.removal = redraw draws symbols anew in samples of "
            f"{FEWEST_REDRAWN_SPS} a symbol or more, and render.sps = {sps}; "
            "set pis.removal to blackout"
        )


def curriculum_ends(params: "Params") -> None:
    """Training must not end before it has seen every SNR."""
    train = params.train
    if train.curriculum_epochs > train.epochs:
        raise ValueError(
            f"train.curriculum_epochs = {train.curriculum_epochs} is more than "
            f"train.epochs = {train.epochs}, which would end before every SNR is taken in; "
            "lower the one or raise the other"
        )


def weights_are_no_output(params: "Params") -> None:
    """What `train` starts from must not be what it, or `tune_masks` after it, writes."""
    sources = {
        "train.pretrained": params.train.pretrained,
        "noise_aware.reference": params.noise_aware.reference,
        "noise_aware.teacher": params.noise_aware.teacher,
    }
    for key, source in sources.items():
        folder, models = Path(source).resolve(), Path("models").resolve()
        if folder == models or folder.is_relative_to(models / "mask_tuned"):
            stage = "train" if folder == models else "tune_masks"
            raise ValueError(
                f"{key} = {source} is where {stage} writes its own model; copy what is there, as "
                f"by cp -rL {source} trained, and set {key} to the copy"
            )


def added_noise_reaches_a_class(params: "Params") -> None:
    """What labels mean may stand in the file alone; then they are taken for dB, the least step."""
    data = params.data
    snr_label = "power" if data.snr_label == "auto" else data.snr_label
    require_noise_reaches_a_class(params.augment.noise_db, data.snrs_db, snr_label)


def rivals_are_in_the_data(params: "Params") -> None:
    """Frames are turned from one class of the data to another, at SNRs of the data."""
    asked, data = params.counterfactual, params.data
    pairs_of(asked.pairs, data.modulations)
    numbers_of(asked.snrs_db, data.snrs_db)


def moved_symbols_can_be_shown(params: "Params") -> None:
    """A model is shown moved symbols in the view `symbol`, and new samples in the other views."""
    asked, render, train = params.counterfactual, params.render, params.train
    pairs, modulations = asked.pairs or (), params.data.modulations
    if pairs and train.input != "constellation":
        raise ValueError(
            f"counterfactual.pairs names {len(pairs)}, whose symbols are moved in constellations, "
            f"but train.input = {train.input}; leave counterfactual.pairs empty"
        )
    if pairs and "symbol" not in render.views:
        raise ValueError(
            f"counterfactual.pairs names {len(pairs)}, whose symbols are moved in the view symbol, "
            f"but render.views are {', '.join(render.views)}; add it there, or leave "
            "counterfactual.pairs empty"
        )
    are_shown = train.input == "constellation" and "symbol" in render.views
    are_moved = are_shown and sum(map(has_points, modulations)) > 1
    if are_moved and asked.other_views == "redrawn" and render.sps < FEWEST_REDRAWN_SPS:
        raise ValueError(
            "counterfactual.other_views = redrawn shows samples of "
            f"{FEWEST_REDRAWN_SPS} a symbol or more, and render.sps = {render.sps}; set it to held"
        )


CHECKS = (
    weights_are_no_output,
    views_are_rendered,
    noise_has_a_band,
    symbols_are_as_generated,
    pulse_can_be_found,
    denoiser_is_there,
    condition_is_used,
    teacher_sees_some_frames,
    last_phase_has_epochs,
    constellations_have_no_level,
    symbols_can_be_redrawn,
    curriculum_ends,
    added_noise_reaches_a_class,
    rivals_are_in_the_data,
    moved_symbols_can_be_shown,
)


def path_remark(data_path: str) -> str:
    """What to change of a relative path of the user's own file; empty where nothing is."""
    path = Path(data_path)
    is_tracked = path.with_name(f"{path.name}.dvc").exists()
    if path.is_absolute() or data_path in GENERATED_FILES or is_tracked:
        return ""
    return (
        f"data.path = {data_path} is relative, and experiments that are queued or run with --temp "
        f"run in a folder of their own, where it is not: set it to {path.resolve()}"
    )


def pulse_remark(params: "Params") -> str:
    """What to change where own classes are seen through another pulse once they are predicted."""
    render, modulations = params.render, params.data.modulations
    own = [name for name in modulations if name in params.data.own_classes]
    if not own or "symbol" not in render.views or render.pulse != "estimated":
        return ""
    return (
        "render.pulse = estimated is the pulse of the linear classes, and predict reads each "
        f"signal by its own, which {', '.join(own)} may not share: set render.pulse to rrc, by "
        "which both are read alike"
    )


def selected_frames_are_generated(params: "Params") -> None:
    """The generated file must hold what is taken from it.

    Not among `CHECKS`: the preset for a data set may be applied before the file is named.
    """
    synthesize, data = params.synthesize, params.data
    if data.path != synthesize.path:
        return
    made: dict[str, tuple[str, tuple[str | int, ...]]] = {
        "modulations": (f"format = {synthesize.format}", synthesize.modulations),
        "snrs_db": ("snrs_db", synthesize.snrs_db),
    }
    for key, (source, held) in made.items():
        absent = [str(value) for value in getattr(data, key) if value not in held]
        if absent:
            raise ValueError(
                f"data.{key} asks for {', '.join(absent)}, which the generated {data.path} "
                f"lacks: synthesize.{source} makes {', '.join(map(str, held))}; "
                "change one of them, or name your own file with python -m pisces preset --data"
            )
