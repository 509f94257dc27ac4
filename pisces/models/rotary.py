"""A Transformer with rotary positions (RoPE): attention sees how far apart two tokens are."""

import torch
from torch import nn

HEADS = 4
DROPOUT = 0.1
"""Where the rate of a paper is not known to us: that of Vaswani et al., NeurIPS 2017."""
BASE = 10_000
"""Of the wavelengths, as in Su et al., Neurocomputing 2024, section 3.2.2."""


class Rotary(nn.Module):
    """Queries or keys, turned by angles that grow with the position of their token.

    (n, heads, tokens, width) -> the same. Numbers k and k + width / 2 are a pair, which turns by
    `BASE` ** (-2 k / width) radians a token. Scores of attention then depend on the distance of two
    tokens alone (Su et al., RoFormer, Neurocomputing 2024, equation 16).
    """

    cos: torch.Tensor  # (tokens, width / 2)
    sin: torch.Tensor

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        turns_rad = BASE ** (-torch.arange(0, width, 2) / width)  # (width / 2,)
        angles_rad = torch.arange(tokens)[:, None] * turns_rad
        self.register_buffer("cos", angles_rad.cos(), persistent=False)
        self.register_buffer("sin", angles_rad.sin(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = x.chunk(2, dim=-1)
        turned = [one * self.cos - other * self.sin, other * self.cos + one * self.sin]
        return torch.cat(turned, dim=-1)


class RotaryAttention(nn.Module):
    """Self-attention with `HEADS` heads and rotary positions.

    (n, tokens, channels) -> the same.
    """

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.rotary = Rotary(tokens, channels // HEADS)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # (n, tokens, 3 channels) -> three of (n, heads, tokens, channels / heads)
        split = self.queries_keys_values(x).unflatten(2, (3, HEADS, -1))
        queries, keys, values = split.movedim(1, 3).unbind(1)

        # Written out, since the fused attention of a GPU sums its gradients in any order.
        scores = self.rotary(queries) @ self.rotary(keys).mT  # (n, heads, tokens, tokens)
        weights = self.dropout(torch.softmax(scores / queries.shape[-1] ** 0.5, dim=-1))
        mixed = weights @ values
        return self.out(mixed.movedim(2, 1).flatten(2))


class RotaryLayer(nn.Module):
    """Attention and two dense layers, each on normalised tokens and added to them."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        attention = RotaryAttention(tokens, channels)
        dense = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(2 * channels, channels),
        )
        self.attention = nn.Sequential(nn.LayerNorm(channels), attention, nn.Dropout(DROPOUT))
        self.dense = nn.Sequential(nn.LayerNorm(channels), dense, nn.Dropout(DROPOUT))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attention(tokens)
        return tokens + self.dense(tokens)


class RotaryTransformer(nn.Module):
    """Tokens of 16 samples, a new one every 8, that attend to each other and are averaged.

    (n, 2, samples) -> (n, channels).

    Args:
        samples: of the frames, a multiple of 8.
        channels: of the tokens, a multiple of 2 `HEADS`.
        layers: of attention.
    """

    def __init__(self, samples: int, channels: int, layers: int) -> None:
        super().__init__()
        tokens = samples // 8
        self.tokens = nn.Conv1d(2, channels, 16, stride=8, padding=4)
        self.layers = nn.Sequential(*[RotaryLayer(tokens, channels) for _ in range(layers)])
        self.norm = nn.LayerNorm(channels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(frames).movedim(2, 1)  # (n, samples / 8, channels)
        return self.norm(self.layers(tokens)).mean(1)
