"""Models as Hugging Face folders: make one with random weights, read one, write one.

Only the plain Qwen3 decoder in full precision is made and read here; anything else is refused by name.
"""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from astra_jobs.api.errors import BadInput
from astra_jobs.api.v1alpha1.training import RandomModel
from astra_jobs.model import chatform

# Progress goes through the job's own report; the library's bars would only clutter the logs.
logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def config_of(shape: RandomModel, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Return the model configuration for a shape and a tokenizer."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.mlp_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_length,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        pad_token_id=_id(tokenizer, chatform.PAD),
        eos_token_id=_id(tokenizer, chatform.END),
        bos_token_id=None,
        use_cache=True,
    )


def fresh(shape: RandomModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """Return a Qwen3 with random weights, equal for equal seeds; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config_of(shape, tokenizer))  # type: ignore[no-untyped-call]
    return _ready(model)


def _ready(model: Qwen3ForCausalLM) -> Qwen3ForCausalLM:
    model.to(dtype=torch.float32)  # type: ignore[call-arg]
    model.train(False)
    return model


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    number = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(number, int)
    return number


def load(folder: Path) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """Read a model folder in full precision; raise BadInput when it is not a Qwen3 with its tokenizer."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).exists():
            raise BadInput(f"model/{name}", "InputUnavailable", "the file is missing from the model folder; run what made it again")
    try:
        model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        tokenizer = load_tokenizer(folder)
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        raise BadInput("model", "InputUnavailable", f"not a readable Qwen3 model folder: {str(error).splitlines()[0]}") from error
    return _ready(model), tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Read the tokenizer of a folder."""
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)  # type: ignore[no-any-return]


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write config, weights and tokenizer; equal weights give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
