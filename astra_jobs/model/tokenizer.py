"""The tokenizer that a run with random weights trains on its own conversations (SPEC 5; reference recipe).

Byte-pair encoding over bytes, so every text can be written, that merges across punctuation and spaces: the fixed text of
the chat form and of the tool schemas becomes a few tokens, which is the biggest lever on the cost of a tiny model. What a
model must copy or combine stays in pieces of its own: words that vary between the tools (found in the data), the letter
of an identifier, pairs of digits. Deterministic: equal conversations give equal bytes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from astra_jobs.model import chatform
from astra_jobs.records.conversation import Conversation
from astra_jobs.schemas import listed

_WORD = re.compile(r"[A-Za-z]{2,}")


def varying_words(conversations: Sequence[Conversation], limit: int) -> list[str]:
    """Return the words of tool and argument names and of plain text values that differ between conversations.

    A word that at least half of the conversations have is part of the grammar, not of the content, and may merge with what
    surrounds it. The most frequent ``limit`` words are kept, ties by spelling.
    """
    seen: Counter[str] = Counter()
    for conversation in conversations:
        seen.update(set(_words(conversation)))
    half = max(1, len(conversations) / 2)
    found = sorted((word for word, count in seen.items() if 2 <= count < half), key=lambda word: (-seen[word], word))
    return sorted(found[:limit])


def _words(conversation: Conversation) -> Iterable[str]:
    for tool in conversation.tools:
        yield from _WORD.findall(tool.name)
        for argument in listed(tool.parameters).properties:
            yield from _WORD.findall(argument)
    for message in conversation.messages:
        for call in message.tool_calls:
            for value in call.arguments.values():
                yield from _WORD.findall(value) if isinstance(value, str) else ()


def texts(conversation: Conversation) -> list[str]:
    """Return the texts between the control tokens of a conversation, as the renderer will encode them."""
    messages = conversation.messages
    system = messages[0].content if messages and messages[0].role == "system" else ""
    pieces = chatform.opening(conversation.tools, system)
    found = [piece for piece in chatform.joined(pieces) if not isinstance(piece, chatform.Control)]
    found += [piece for piece in chatform.header() if not isinstance(piece, chatform.Control)]
    for message in messages:
        part = chatform.turn(message) if message.role == "assistant" else chatform.others([message])
        found += [piece for piece in chatform.joined(part) if not isinstance(piece, chatform.Control)]
    return found


def train(conversations: Sequence[Conversation], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of at most ``vocabulary`` tokens, control tokens included."""
    words = varying_words(conversations, limit=vocabulary // 4)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_isolated(words)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(chatform.CONTROLS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    corpus = (text for conversation in conversations for text in texts(conversation))
    backend.train_from_iterator(corpus, trainer=trainer)
    return wrap(backend)


def _isolated(words: Sequence[str]) -> str:
    """Return the pattern of what stays a piece of its own; the header is one so that rendering and template agree."""
    pieces = [r"\Aassistant\n", r"[A-Za-z](?=\d)", r"\d{1,2}"]
    if words:
        pieces.insert(1, r"(?<![A-Za-z])(?:" + "|".join(sorted(words, key=lambda word: (-len(word), word))) + r")(?![A-Za-z])")
    return "|".join(pieces)


def wrap(backend: Tokenizer) -> PreTrainedTokenizerFast:
    """Return the Hugging Face form of a tokenizer, with the control tokens and the chat form."""
    backend.add_special_tokens([str(token) for token in chatform.CONTROLS])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=str(chatform.END),
        pad_token=str(chatform.PAD),
        additional_special_tokens=[str(token) for token in chatform.CONTROLS if token not in (chatform.END, chatform.PAD)],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chatform.TEMPLATE
    return tokenizer


def without_controls(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return an encoder that never gives a control token, whatever the text says."""
    backend = tokenizer.backend_tokenizer
    plain = Tokenizer(backend.model)
    if backend.normalizer is not None:
        plain.normalizer = backend.normalizer
    plain.pre_tokenizer = backend.pre_tokenizer
    return plain
