"""Conversations to tokens and sampled tokens to calls: one renderer for fine-tuning, rollouts and evaluation (SPEC 5).

Token in, token out: a conversation is encoded segment by segment (prompt, assistant turn, observation, …), so that the
tokens of a whole conversation are exactly the prompt, the sampled turns and the observations in a row, and nothing is ever
decoded and encoded again. The loss mask falls out of the same segments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from astra_jobs.episodes.written import Malformed, read_call
from astra_jobs.model import chatform
from astra_jobs.model.tokenizer import without_controls
from astra_jobs.records.conversation import Message, ToolCall
from astra_jobs.records.tool import Tool


@dataclass(frozen=True)
class ParsedTurn:
    """What a sampled turn says. ``written`` holds its calls in the order in which they stand, unreadable ones in their places."""

    content: str
    reasoning: str
    written: list[ToolCall | Malformed]

    @property
    def calls(self) -> list[ToolCall]:
        """Return the calls that could be read."""
        return [call for call in self.written if isinstance(call, ToolCall)]

    @property
    def malformed(self) -> list[str]:
        """Return the texts of those that could not."""
        return [call.text for call in self.written if isinstance(call, Malformed)]


class Renderer:
    """The Qwen3 chat form over one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._plain = without_controls(tokenizer)
        self._id = {token: _control_id(tokenizer, token) for token in chatform.CONTROLS}
        self._control = {number: token for token, number in self._id.items()}
        self._cache: dict[str, list[int]] = {}

    @property
    def stop(self) -> tuple[int, ...]:
        """Tokens that end a turn."""
        return (self._id[chatform.END], self._id[chatform.PAD])

    @property
    def pad(self) -> int:
        """Token that fills rows; always masked."""
        return self._id[chatform.PAD]

    def encode(self, pieces: Iterable[str]) -> list[int]:
        """Encode the pieces of one segment."""
        ids: list[int] = []
        for piece in chatform.joined(list(pieces)):
            ids += [self._id[piece]] if isinstance(piece, chatform.Control) else self._text(piece)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, control tokens written out; bytes that are no UTF-8 become the replacement character."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _text(self, text: str) -> list[int]:
        known = self._cache.get(text)
        if known is None:
            known = self._plain.encode(text, add_special_tokens=False).ids
            if len(self._cache) > 50_000:
                self._cache.clear()
            self._cache[text] = known
        return known

    def prompt(self, tools: Sequence[Tool], messages: Sequence[Message]) -> list[int]:
        """Return the tokens up to and including the header of the next assistant turn."""
        return [token for ids, _ in self._segments(tools, messages, open_end=True) for token in ids]

    def conversation(self, tools: Sequence[Tool], messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Return the tokens up to the last assistant turn, and for each if it is trained on.

        What follows the last assistant turn is left out. Raises ValueError when no assistant turn exists, or when an earlier
        user turn holds reasoning, which the form cannot keep (``rows`` splits such a conversation).
        """
        last_user = _last_user(messages)
        if any(message.role == "assistant" and message.reasoning for message in messages[:last_user]):
            raise ValueError("reasoning before the last user message cannot be rendered in one row; use rows")
        return self._row(tools, messages)

    def _row(self, tools: Sequence[Tool], messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        ids: list[int] = []
        mask: list[bool] = []
        for segment, trained in self._segments(tools, messages, open_end=False):
            ids += segment
            mask += [trained] * len(segment)
        return ids, mask

    def rows(self, tools: Sequence[Tool], messages: Sequence[Message]) -> list[tuple[list[int], list[bool]]]:
        """Return one row, or one for each user turn when earlier reasoning must go (it is trained on in its own row)."""
        starts = [index for index, message in enumerate(messages) if message.role == "user"]
        ends = [*starts[1:], len(messages)]
        if not any(message.reasoning for message in messages[: starts[-1] if starts else 0]):
            return [self._row(tools, messages)]
        found = []
        for start, end in zip(starts, ends, strict=True):
            shown = [_bare(message) if index < start else message for index, message in enumerate(messages[:end])]
            if any(message.role == "assistant" for message in shown[start:]):
                found.append(self._row(tools, shown))
        return found

    def _segments(self, tools: Sequence[Tool], messages: Sequence[Message], open_end: bool) -> list[tuple[list[int], bool]]:
        has_system = bool(messages) and messages[0].role == "system"
        before = chatform.opening(tools, messages[0].content if has_system else "")
        waiting: list[Message] = []
        segments: list[tuple[list[int], bool]] = []
        for message in messages[1:] if has_system else messages:
            if message.role != "assistant":
                waiting.append(message)
                continue
            segments.append((self.encode([*before, *chatform.others(waiting), *chatform.header()]), False))
            segments.append((self.encode(chatform.turn(message)), message.train))
            before, waiting = ["\n"], []
        if open_end:
            segments.append((self.encode([*before, *chatform.others(waiting), *chatform.header()]), False))
        elif not segments:
            raise ValueError("the conversation holds no assistant message")
        return segments

    def observations(self, texts: Sequence[str]) -> list[int]:
        """Return what is fed after an assistant turn that ended with ``<|im_end|>``: the answers and the next header."""
        return self.encode(["\n", *chatform.responses(texts), *chatform.header()])

    def parse(self, ids: Sequence[int]) -> ParsedTurn:
        """Read a sampled turn. Calls are found by their control tokens; text that only looks like one is content."""
        content: list[int] = []
        thoughts: list[int] = []
        written: list[ToolCall | Malformed] = []
        for kind, part in self._parts(ids):
            if kind in ("call", "open"):
                written.append(self._written(kind, part))
            else:
                (thoughts if kind == "think" else content).extend(part)
        text = self.text(content).strip("\n")
        return ParsedTurn(content=text, reasoning=self.text(thoughts).strip("\n"), written=written)

    def _written(self, kind: str, part: list[int]) -> ToolCall | Malformed:
        """Read one call; a control token inside it spoils it, even where its text would be part of a JSON text."""
        text = self.text(part)
        stray = next((self._control[number] for number in part if number in self._control), None)
        if stray is not None:
            return Malformed(text, f"the token {stray} has no place there")
        return read_call(text) if kind == "call" else Malformed(text, f"{chatform.END_CALL} is missing")

    def _parts(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Split a turn at its control tokens: content, think, call, and open (a call that is never closed)."""
        kind, part = "content", []  # type: tuple[str, list[int]]
        parts: list[tuple[str, list[int]]] = []
        starts = {chatform.CALL: "open", chatform.THINK: "think"}
        for number in ids:
            control = self._control.get(number)
            if control is None:
                part.append(number)
            elif control in starts or (control == chatform.END_THINK and kind == "think"):
                parts.append((kind, part))
                kind, part = starts.get(control, "content"), []
            elif control == chatform.END_CALL and kind == "open":
                parts.append(("call", part))
                kind, part = "content", []
            elif control in (chatform.END, chatform.PAD):
                break
            elif kind == "open":  # any other control token inside a call spoils it
                part.append(number)
            elif control == chatform.END_CALL:
                parts += [(kind, part), ("open", [number])]
                kind, part = "content", []
        return [*parts, (kind, part)]


def _control_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    number = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(number, int) or number == tokenizer.unk_token_id:
        raise ValueError(f"the tokenizer has no token {token}; it is not one of the Qwen3 chat form")
    return number


def _last_user(messages: Sequence[Message]) -> int:
    return max((index for index, message in enumerate(messages) if message.role == "user"), default=0)


def _bare(message: Message) -> Message:
    return message.model_copy(update={"reasoning": "", "train": False}) if message.role == "assistant" else message
