"""
A small Llama-like decoder (RMSNorm, gated MLP, RMSNorm on queries and keys, tied embeddings) whose attention is either

  softmax   over all earlier tokens
  features  one softmax over an exact window and, for all that has left it, positive features (Choromanski et al. 2021):
              x·y                                          for the keys of the query's block of 32 and of the block before it
              omega_q x − |x|²/2 + L_r,  value KV_r         for feature r, where over the keys of earlier blocks
              L_r  = log Σ_j exp(omega_k y_j − |y_j|²/2 + 2 b_r − decay · blocks since j left)
              KV_r = Σ_j (the same weights, normalised) v_j
            with x = √s q, y = √s k, s = 1/√D.

Half of each head's width is rotated by position (RoPE). omega is zero there: the window knows where a token stands, the
features what it says, and nothing in the model depends on how long the text is. The decay is at least `least_decay` a block, so
that the mass of the far past is bounded by what training has seen.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 32
WINDOW = 64


@dataclass(frozen=True)
class Shape:
    vocabulary: int = 1536
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 352
    features: int = 64
    rotary_base: float = 1000.0
    least_decay: float = 0.03

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def rotated(self) -> int:
        """Leading dimensions of a head that are rotated."""
        return self.head_width // 2


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gain


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Leading dimensions of [B,H,N,D] by cos and sin [B or 1,1,N,rotated / 2]."""
    half = cos.shape[-1]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


def angles(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin [.., rotated / 2] of positions [..]."""
    half = shape.rotated // 2
    rates = shape.rotary_base ** (-torch.arange(half, dtype=torch.float32) / half)
    turns = positions[..., None].float() * rates
    return turns.cos(), turns.sin()


class FeatureMap(nn.Module):
    """omega for queries and for keys [H,M,D], zero where heads are rotated; 2b [H,M]; decay a block [H]."""

    def __init__(self, shape: Shape):
        super().__init__()
        h, m, content = shape.heads, shape.features, shape.head_width - shape.rotated
        self.shape = shape
        drawn = torch.randn(h, m, content)
        self.query = nn.Parameter(drawn.clone())
        self.key = nn.Parameter(drawn.clone())
        # −log M makes the sum over features a mean; the rest is what |x|² and |y|² of rotated dimensions take away.
        rotated_norm = shape.rotated * shape.head_width**-0.5
        self.bias = nn.Parameter(torch.full((h, m), rotated_norm) - torch.log(torch.tensor(float(m))))
        wanted = torch.logspace(-1.2, 0, h) - shape.least_decay
        self.raw_decay = nn.Parameter(torch.log(torch.expm1(wanted)))

    def decay(self) -> Tensor:
        return self.shape.least_decay + F.softplus(self.raw_decay)

    def omega(self) -> tuple[Tensor, Tensor]:
        pad = (self.shape.rotated, 0)
        return F.pad(self.query, pad), F.pad(self.key, pad)


def causal_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def causal_features(q: Tensor, k: Tensor, v: Tensor, maps: FeatureMap) -> Tensor:
    """[B,H,N,D] → [B,H,N,D]; N a multiple of the block."""
    b, h, n_tokens, d = q.shape
    n = n_tokens // BLOCK
    x, y = q * d**-0.25, k * d**-0.25
    blocks = lambda t: t.reshape(b, h, n, BLOCK, t.shape[-1])
    xs, ys, vs = blocks(x), blocks(y), blocks(v)
    before = lambda t: F.pad(t, (0, 0, 0, 0, 1, 0))[:, :, :-1]
    near = xs @ torch.cat([before(ys), ys], 3).transpose(3, 4)
    i, j = torch.arange(BLOCK)[:, None], torch.arange(WINDOW)[None]
    hidden = (j - BLOCK > i).expand(n, BLOCK, WINDOW).clone()
    hidden[0] |= j < BLOCK
    near = near.masked_fill(hidden, float("-inf"))

    omega_q, omega_k = maps.omega()
    keys = y @ omega_k.transpose(1, 2) - y.square().sum(-1, keepdim=True) / 2 + maps.bias[:, None]
    keys = blocks(keys)
    mass = keys.logsumexp(3)  # [B,H,n,M]
    values = (keys - mass[:, :, :, None]).exp().transpose(3, 4) @ vs  # [B,H,n,M,D]
    # What block i has behind its window are blocks 0 … i − 2, the last of them not decayed yet.
    age = torch.arange(n)[:, None] - 2 - torch.arange(n)[None]
    weights = mass[:, :, None] - (maps.decay()[:, None, None] * age)[None, :, :, :, None]  # [B,H,n,n,M]
    weights = weights.masked_fill((age < 0)[:, :, None], -1e30)
    far_mass = weights.logsumexp(3)
    shares = (weights - far_mass[:, :, :, None]).exp()
    far_values = torch.einsum("bhijm,bhjmd->bhimd", shares, values)

    far = x @ omega_q.transpose(1, 2) - x.square().sum(-1, keepdim=True) / 2
    far = blocks(far) + far_mass[:, :, :, None]
    both = torch.cat([near, far], -1).softmax(-1)
    attended = both[..., :WINDOW] @ torch.cat([before(vs), vs], 3) + both[..., WINDOW:] @ far_values
    return attended.reshape(b, h, n_tokens, d)


class Attention(nn.Module):
    def __init__(self, shape: Shape, kind: str):
        super().__init__()
        self.shape, self.kind = shape, kind
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.query_norm, self.key_norm = RMSNorm(shape.head_width), RMSNorm(shape.head_width)
        self.maps = FeatureMap(shape) if kind == "features" else None

    def heads(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B,H,N,D], q and k rotated."""
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.shape.heads, self.shape.head_width).permute(2, 0, 3, 1, 4)
        return rotate(self.query_norm(q), *turns), rotate(self.key_norm(k), *turns), v

    def join(self, attended: Tensor) -> Tensor:
        return self.out(attended.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (t.float() for t in self.heads(x, turns))
        # Exponents stay in float32 where the products around them are trained in bfloat16.
        with torch.autocast("cpu", enabled=False):
            attended = causal_features(q, k, v, self.maps) if self.maps else causal_softmax(q, k, v)
        return self.join(attended)


class Block(nn.Module):
    def __init__(self, shape: Shape, kind: str):
        super().__init__()
        self.attention_norm, self.mlp_norm = RMSNorm(shape.width), RMSNorm(shape.width)
        self.attention = Attention(shape, kind)
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def mlp(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        return self.down(F.silu(gate) * up)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(self.attention_norm(x), turns)
        return x + self.mlp(x)


class Decoder(nn.Module):
    def __init__(self, shape: Shape, kind: str):
        super().__init__()
        self.shape, self.kind = shape, kind
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape, kind) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(weight, std=0.02 * (2 * shape.layers) ** -0.5)
            elif name.endswith(("qkv.weight", "gate_up.weight")):
                nn.init.normal_(weight, std=shape.width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """[B,N] → logits [B,N,vocabulary]."""
        turns = angles(self.shape, torch.arange(ids.shape[1])[None, None])
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, turns)
        return F.linear(self.norm(x), self.embedding.weight)


def build(shape: Shape, kind: str, seed: int) -> Decoder:
    """The twins begin with the same weights: those of the features are drawn last, from a generator of their own."""
    torch.manual_seed(seed)
    twin = Decoder(shape, "softmax")
    if kind == "softmax":
        return twin
    torch.manual_seed(seed + 1)
    model = Decoder(shape, kind)
    model.load_state_dict(twin.state_dict(), strict=False)
    return model
