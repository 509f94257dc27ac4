"""The exact classifier: the likelihood of what a picture shows, as a model like any other.

It is conditioned on the true SNR and knows timing, carrier offset and level as the receiver found
them. The phase is unknown. Of what a picture holds nothing better can be made, and how much each
pixel says is known: methods of explanation are judged on it.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from pisces.core.modulations import Ask
from pisces.inputs.drawing import Drawing
from pisces.inputs.settings import DrawSettings, RenderSettings
from pisces.models import Architecture
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel
from pisces.truth.counts import CountTable, count_table, level_table

EXACT = "exact"
"""In the place of `train.model`."""
COUNTS = DrawSettings("histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))
"""Images are the counts themselves: the log likelihood is linear in them, phase by phase."""
NEAREST_DB = 0.5
"""Between the SNR of a frame and one that a classifier has a law for."""


class CountLaw(nn.Module):
    """Counts of the view `symbol` (n, pixels) at one SNR -> log likelihoods (n, classes)."""

    values: torch.Tensor  # float64 (pixels, columns)

    def __init__(self, table: CountTable) -> None:
        super().__init__()
        self.phases = table.phases
        self.register_buffer("values", table.values, persistent=False)

    def forward(self, counts: torch.Tensor) -> torch.Tensor:
        return self.of_sums(counts @ self.values)

    def of_sums(self, sums: torch.Tensor) -> torch.Tensor:
        """Log likelihoods (n, classes) of sums (n, columns) of count times value."""
        return CountTable(self.values, self.phases).log_likelihoods(sums)


class ExactClassifier(Classifier):
    """Images of counts and the true SNR -> log p(counts | class), and scores of SNRs.

    The softmax of the former is the posterior of classes that are equally likely. A score of an SNR
    is its log likelihood by the view `noise`, whose points are taken as independent: chi-squared,
    see `counts.level_table`. Without that view scores are those of the SNR that was told, which no
    pixel changes.

    Args:
        laws: of the counts of the view `symbol`, one for each SNR.
        snrs_db: true SNRs in dB over the whole band, in the order of the laws.
        symbol: channel of the view `symbol`.
        noise: channel of the view `noise`, and its `counts.level_table`, or None.
    """

    snrs: torch.Tensor  # float32 (SNRs,)
    levels: torch.Tensor  # float64 (pixels, SNRs)

    def __init__(
        self,
        laws: list[CountLaw],
        snrs_db: tuple[float, ...],
        symbol: int,
        noise: tuple[int, torch.Tensor] | None,
    ) -> None:
        super().__init__()
        self.laws = nn.ModuleList(laws)
        self.symbol, self.noise = symbol, None if noise is None else noise[0]
        self.register_buffer("snrs", torch.tensor(snrs_db), persistent=False)
        levels = torch.empty(0) if noise is None else noise[1]
        self.register_buffer("levels", levels, persistent=False)

    @property
    def is_conditioned(self) -> bool:
        return True

    def forward(
        self, images: torch.Tensor, snr_db: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log likelihoods float64 (n, modulations) and scores float64 (n, SNRs).

        Args:
            images: counts (n, views, size, size).
            snr_db: true SNRs in dB over the whole band, (n,).

        Raises:
            ValueError: for an SNR without a law.
        """
        counts = images.double().flatten(2)  # (n, views, pixels)
        of_symbol = counts[:, self.symbol]
        numbers = self._numbers(snr_db)

        parts, rows = [], []
        for number in numbers.unique().tolist():
            at = (numbers == number).nonzero()[:, 0]
            parts.append(self.laws[number](of_symbol[at]))
            rows.append(at)
        back = torch.cat(rows).argsort()
        return torch.cat(parts)[back], self._snr_scores(counts, snr_db)

    def shares(
        self, task: str, image: torch.Tensor, pixels: torch.Tensor, snr_db: torch.Tensor
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """What pixels of one frame add to the sums that the logits of a head are made of.

        Args:
            task: which head, one of `core.tasks.HEADS`.
            image: counts of all views, (views * pixels).
            pixels: their numbers, counted on through the views, int64 (lit,).
            snr_db: true SNR in dB, of no dimension.

        Returns:
            Shares float64 (lit, width), 0 of pixels of the other view; and what makes logits
            (n, classes) of sums (n, width).
        """
        law = self.laws[int(self._numbers(snr_db[None]))]
        assert isinstance(law, CountLaw)
        if task == "modulation":
            view, table, of_sums = self.symbol, law.values, law.of_sums
        elif self.noise is not None:
            view, table, of_sums = self.noise, self.levels, _as_they_are
        else:
            scores = self._snr_scores(image, snr_db[None])
            nothing = image.new_zeros(len(pixels), 1).double()
            return nothing, lambda sums: scores.expand(len(sums), -1)

        places = len(table)
        counts = image[pixels].double() * (pixels // places == view)
        return counts[:, None] * table[pixels % places], of_sums

    def _numbers(self, snr_db: torch.Tensor) -> torch.Tensor:
        """Of the SNRs (n,) of frames, the numbers of their laws, int64 (n,)."""
        distance = (snr_db[:, None] - self.snrs).abs().min(1)
        if (distance.values > NEAREST_DB).any():
            missing = float(snr_db[distance.values.argmax()])
            known = ", ".join(f"{one:g}" for one in self.snrs.tolist())
            raise ValueError(
                f"the exact classifier has no law for a true SNR of {missing:g} dB, only for "
                f"{known}; build it with the SNRs of the frames"
            )
        return distance.indices

    def _snr_scores(self, counts: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
        if self.noise is None:
            return -(snr_db[:, None] - self.snrs).double().square() / 2
        return counts[:, self.noise] @ self.levels


def _as_they_are(sums: torch.Tensor) -> torch.Tensor:
    return sums


class Sending(NamedTuple):
    """What frames are made of, as far as the exact classifier must know."""

    modulations: tuple[str, ...]
    """All of them `references.recognisable`."""
    snrs: Mapping[float, float]
    """True SNR in dB over the whole band -> linear SNR of a symbol after the equaliser."""
    symbols: int
    """Of the view `symbol`."""
    ask: Ask = "bipolar"


def exact_model(sending: Sending, render: RenderSettings) -> TrainedModel:
    """The exact classifier in the form of a model that was trained, for every method to explain.

    Args:
        sending: what frames are made of.
        render: how they are binned; `symbol` is one of the views.

    Returns:
        A model of counts: `Drawing` by `histogram`.

    Raises:
        ValueError: where the view `symbol` is missing.
    """
    if "symbol" not in render.views:
        raise ValueError(
            f"the exact classifier reads the view symbol, which is none of {list(render.views)}; "
            "add it to render.views"
        )
    laws = []
    for snr in sending.snrs.values():
        table = count_table(
            sending.modulations, snr, render, symbols=sending.symbols, ask=sending.ask
        )
        laws.append(CountLaw(table))

    snrs_db = tuple(sending.snrs)
    noise = None
    if "noise" in render.views:
        levels = level_table(snrs_db, render.size, render.extent.noise)
        noise = render.views.index("noise"), levels
    model = ExactClassifier(laws, snrs_db, render.views.index("symbol"), noise).eval()
    labels = tuple(round(snr_db) for snr_db in snrs_db)
    architecture = Architecture(EXACT, "plain", "standard")
    return TrainedModel(model, architecture, Drawing(render, COUNTS), sending.modulations, labels)
