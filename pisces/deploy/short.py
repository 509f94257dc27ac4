"""Symbols of short frames in real arithmetic, as `inputs.receiver.short`."""

import torch
from torch import nn

from pisces.deploy.pairs import Pair
from pisces.deploy.symbols import CPU, Level
from pisces.inputs.receiver import short


class ShortReceiver(nn.Module):
    """Frames (n, samples) -> the symbols that explain them best, and their disturbance.

    The inner products G of the pulses of a timing are V diag(e) V^T, so that the inverse of
    G + loading, which differs from frame to frame, is V diag(1 / (e + loading)) V^T.
    """

    witnesses: torch.Tensor
    pulses: torch.Tensor
    vectors: torch.Tensor
    values: torch.Tensor
    energy: torch.Tensor

    def __init__(self, responses: torch.Tensor, sps: int) -> None:
        """
        Args:
            responses: that the pulse of a frame may have, float32 (pulses, 2 * symbols).
            sps: samples a symbol.
        """
        super().__init__()
        self.sps = sps
        banks = [short._bank(tuple(one.tolist()), sps, CPU) for one in responses]
        pulses = torch.stack([bank.pulses for bank in banks])  # (p, TIMINGS, samples, k)
        gram = pulses.double().mT @ pulses.double()
        values, vectors = torch.linalg.eigh(gram)
        energy = torch.tensor([bank.energy for bank in banks]).double()

        # |witness^T x|^2 is the energy of x that the pulses of a timing explain.
        loaded = values + short.LOADING * energy[:, None, None]
        witnesses = pulses.double() @ (vectors * loaded.rsqrt()[..., None, :])
        constants = {
            "witnesses": witnesses.permute(0, 2, 1, 3).flatten(2),  # (p, samples, TIMINGS * k)
            "pulses": pulses.double() @ vectors,  # (p, TIMINGS, samples, k)
            "vectors": vectors[..., short.BESIDE : -short.BESIDE, :],  # (p, TIMINGS, symbols, k)
            "values": values,
            "energy": energy,
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant.float().contiguous(), persistent=False)

    def forward(self, iq: Pair, pulse: torch.Tensor, level: Level) -> tuple[Pair, torch.Tensor]:
        """Symbols (n, symbols) and the power of what disturbs them, (n, 1).

        Args:
            iq: frames of unit power, (n, samples).
            pulse: number of the pulse of each frame, int64 (n,).
            level: of the frames.
        """
        at = self.timing(iq, pulse)
        energy = self.energy[pulse][:, None]  # (n, 1)
        symbol_power = self.sps * level.signal / energy
        loading = level.noise / symbol_power + short.LEAST_LOADING * energy

        pulses, vectors = self.pulses[pulse, at], self.vectors[pulse, at]
        gain = 1 / (self.values[pulse, at] + loading)  # (n, k)
        along = iq.each(lambda part: (part[:, None] @ pulses)[:, 0])  # (n, k)
        points = (along * gain).each(lambda part: (vectors @ part[..., None])[..., 0])

        shares = self.values[pulse, at] * gain
        own = (vectors.square() * shares[:, None]).sum(2)  # (n, symbols)
        passed = (vectors.square() * shares.square()[:, None]).sum(2)
        of_others = symbol_power * (passed - own.square())
        of_noise = level.noise * (vectors.square() * (shares * gain)[:, None]).sum(2)
        return points, (of_others + of_noise).mean(1, keepdim=True)

    def timing(self, iq: Pair, pulse: torch.Tensor) -> torch.Tensor:
        """Number of the timing that explains most of the energy, int64 (n,)."""
        explained = []
        for witnesses in self.witnesses:
            along = Pair(iq.re @ witnesses, iq.im @ witnesses)
            explained.append(along.power().unflatten(1, (short.TIMINGS, -1)).sum(2))
        of_pulse = torch.stack(explained, 1)  # (n, pulses, TIMINGS)
        index = pulse[:, None, None].expand(-1, 1, short.TIMINGS)
        return of_pulse.gather(1, index)[:, 0].argmax(1)
