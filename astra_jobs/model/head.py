"""Log-probabilities of chosen tokens without ever holding all logits.

The fp32 logits of one 75k-token sequence at Qwen3's vocabulary are 45 GB. Here they exist for one chunk of positions at a
time, in the backward pass too (they are computed again there).
"""

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 4096


def log_probs(
    hidden: torch.Tensor, weight: torch.Tensor, chosen: torch.Tensor, temperature: float = 1.0, chunk: int = CHUNK
) -> torch.Tensor:
    """Return log p(chosen) in nats at a temperature.

    hidden [N, H] last hidden states (after the final norm), weight [V, H] of the head, chosen [N] token ids; gives [N] in
    fp32. Position i of ``hidden`` predicts ``chosen[i]``: shifting is the caller's.
    """
    if hidden.shape[0] <= chunk:
        return _some(hidden, weight, chosen, temperature)
    parts = []
    for start in range(0, hidden.shape[0], chunk):
        part = slice(start, start + chunk)
        parts.append(checkpoint(_some, hidden[part], weight, chosen[part], temperature, use_reentrant=False))
    return torch.cat(parts)


def _some(hidden: torch.Tensor, weight: torch.Tensor, chosen: torch.Tensor, temperature: float) -> torch.Tensor:
    logits = (hidden @ weight.T).float()
    if temperature != 1.0:
        logits = logits / temperature
    return -torch.nn.functional.cross_entropy(logits, chosen, reduction="none")
