"""What a linear equaliser leaves of the SNR where a pulse is not Nyquist."""

import torch


def equalized_snr(response: torch.Tensor, es_n0: torch.Tensor) -> torch.Tensor:
    """SNR of the symbols after the matched filter and the MMSE equaliser, in closed form.

    With F the folded |P|^2, in units of its mean, the equaliser passes G = F / (F + N0 / Es) of
    each frequency. The mean square error is 1 - mean G, and the SNR without bias mean G over that
    (Proakis and Salehi, Digital Communications, 5th ed., 9.4-2). Interference between symbols
    counts as noise. A flat fold leaves Es/N0 itself; any other leaves less.

    Args:
        response: of the pulse at `receiver.spectrum.band_rates`, float (1 or n, 2 * symbols).
        es_n0: energy of a symbol over the noise density, linear and above 0, float (n,).

    Returns:
        Linear SNRs a symbol, float64 (n,).
    """
    lower, upper = response.double().square().chunk(2, 1)
    fold = lower + upper  # (1 or n, symbols)
    fold = fold / fold.mean(1, keepdim=True)

    loading = 1 / es_n0.double()[:, None]
    passed = (fold / (fold + loading)).mean(1)
    missed = (loading / (fold + loading)).mean(1)
    return passed / missed
