"""A lean decoding path over the weights of a Qwen3: the same numbers as ``Qwen3ForCausalLM``, a third of the time a step.

At small sizes most of a decoding step is the library's bookkeeping, so it is left out here. Each row of the cache has a
length of its own: rows start at slot 0, padding never enters attention, and a row that waits writes to a slot that its next
real token overwrites. Weights are read, never copied, so an optimizer's update is seen at once. A test holds it equal to the
library's model to 1e-4. Rotary scaling, sliding windows and biases are refused.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import Qwen3ForCausalLM

from astra_jobs.api.errors import BadInput

# The cache grows by so many slots at a time.
_SLOTS = 64


class Cache:
    """Keys and values [layers][B, kv heads, slots, head width]; ``lengths`` [B] counts the real slots of each row."""

    def __init__(self, keys: list[torch.Tensor], values: list[torch.Tensor], lengths: torch.Tensor) -> None:
        self.keys, self.values, self.lengths = keys, values, lengths

    def room(self, slots: int) -> None:
        """Make sure that every row has at least so many slots."""
        have = self.keys[0].shape[2]
        if slots > have:
            more = -(-slots // _SLOTS) * _SLOTS - have
            self.keys = [functional.pad(part, (0, 0, 0, more)) for part in self.keys]
            self.values = [functional.pad(part, (0, 0, 0, more)) for part in self.values]

    def pick(self, rows: Sequence[int]) -> "Cache":
        """Return a new cache of these rows, in this order; a row may be taken several times."""
        index = torch.tensor(list(rows), dtype=torch.int64)
        return Cache([part[index] for part in self.keys], [part[index] for part in self.values], self.lengths[index])

    def joined(self, other: "Cache") -> "Cache":
        """Return a cache with the rows of both."""
        slots = -(-max(self.keys[0].shape[2], other.keys[0].shape[2]) // _SLOTS) * _SLOTS
        self.room(slots)
        other.room(slots)
        keys = [torch.cat(pair) for pair in zip(self.keys, other.keys, strict=True)]
        values = [torch.cat(pair) for pair in zip(self.values, other.values, strict=True)]
        return Cache(keys, values, torch.cat([self.lengths, other.lengths]))


class LeanDecoder:
    """Steps a batch of rows token by token."""

    def __init__(self, model: Qwen3ForCausalLM) -> None:
        config: Any = model.config
        _check(config)
        self._layers: list[Any] = list(model.model.layers)
        self._embedding = model.model.embed_tokens.weight
        self._head = model.lm_head.weight
        self._norm = model.model.norm.weight
        self._epsilon = float(config.rms_norm_eps)
        self._heads, self._kv_heads, self._width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.most_positions = int(config.max_position_embeddings)
        self._cos, self._sin = _rotations(config)

    @torch.no_grad()
    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Cache, torch.Tensor]:
        """Read prompts; return their cache and the logits [B, V] after each prompt's last token."""
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        ids = torch.tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        x = self._embedding[ids]
        cos, sin = self._cos[:longest], self._sin[:longest]
        for layer in self._layers:
            query, key, value = self._projected(layer, x, cos, sin)
            kept.append((key.contiguous(), value.contiguous()))
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
            x = self._after(layer, x, mixed.transpose(1, 2).flatten(2))
        cache = Cache([key for key, _ in kept], [value for _, value in kept], lengths)
        last = x[torch.arange(len(prompts)), lengths - 1]
        return cache, self._logits(last)

    @torch.no_grad()
    def step(self, tokens: torch.Tensor, cache: Cache, advance: torch.Tensor) -> torch.Tensor:
        """Feed one token [B] to each row and return logits [B, V].

        ``advance`` [B] is 1 for rows whose token counts and 0 for rows that only keep their place.
        """
        places = cache.lengths
        used = int(places.max()) + 1
        cache.room(used)
        rows = torch.arange(len(tokens))
        hidden = torch.arange(used) > places[:, None]
        bias = torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None, None]
        cos, sin = self._cos[places][:, None, None], self._sin[places][:, None, None]
        x = self._embedding[tokens][:, None]
        for number, layer in enumerate(self._layers):
            query, key, value = self._projected(layer, x, cos, sin)
            keys, values = cache.keys[number], cache.values[number]
            keys[rows, :, places] = key[:, :, 0]
            values[rows, :, places] = value[:, :, 0]
            grouped = query.view(len(tokens), self._kv_heads, -1, self._width)
            scores = torch.matmul(grouped, keys[:, :, :used].mT) * self._width**-0.5 + bias
            mixed = torch.matmul(torch.softmax(scores, dim=-1), values[:, :, :used])
            x = self._after(layer, x, mixed.reshape(len(tokens), 1, -1))
        cache.lengths = places + advance
        return self._logits(x[:, 0])

    def _projected(
        self, layer: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return query, key and value [B, heads, T, width] of a layer, rotated."""
        attention = layer.self_attn
        normed = self._rms(x, layer.input_layernorm.weight)
        shape = (x.shape[0], x.shape[1], -1, self._width)
        query = self._rms(functional.linear(normed, attention.q_proj.weight).view(shape), attention.q_norm.weight)
        key = self._rms(functional.linear(normed, attention.k_proj.weight).view(shape), attention.k_norm.weight)
        value = functional.linear(normed, attention.v_proj.weight).view(shape)
        return _rotated(query.transpose(1, 2), cos, sin), _rotated(key.transpose(1, 2), cos, sin), value.transpose(1, 2)

    def _after(self, layer: Any, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """Return the residual stream after attention's output and the gated MLP."""
        x = x + functional.linear(mixed, layer.self_attn.o_proj.weight)
        normed = self._rms(x, layer.post_attention_layernorm.weight)
        gated = functional.silu(functional.linear(normed, layer.mlp.gate_proj.weight)) * functional.linear(normed, layer.mlp.up_proj.weight)
        return x + functional.linear(gated, layer.mlp.down_proj.weight)

    def _rms(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), weight, self._epsilon)

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(self._rms(x, self._norm), self._head).float()


def _rotations(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines [positions, width] of the rotary encoding, halves repeated."""
    width = config.head_dim
    frequency = 1.0 / float(config.rope_parameters["rope_theta"]) ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angle = torch.arange(config.max_position_embeddings, dtype=torch.float32)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _check(config: Any) -> None:
    rope = config.rope_parameters or {}
    if rope.get("rope_type", "default") != "default" or config.use_sliding_window or config.attention_bias or config.hidden_act != "silu":
        raise BadInput(
            "rollout.engine", "EngineCannot", "Transformers decodes a plain Qwen3 only: no rotary scaling, sliding window, bias, and SiLU"
        )
