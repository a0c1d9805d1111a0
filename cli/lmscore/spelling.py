"""What a vocabulary's entries spell, and where in a text each token's bytes stand. Knows decoders, no tokenizer."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, takewhile
from typing import Any

from .errors import RecordError


def speller(decoder: Any) -> Callable[[str], bytes]:
    """How a vocabulary writes bytes, read off its decoder: byte-level, or sentencepiece with byte fallback; or parts of
    words, marked where a word ends (GPT-1) or goes on (WordPiece): a blank then stands behind it, or before the others.

    Only tried, never trusted: `placed` looks whether the bytes stand in the text.
    """
    steps = list(_steps(json.loads(decoder.__getstate__()))) if decoder is not None else []
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return lambda token: bytes(_BYTE_OF[c] for c in token) if _BYTE_OF.keys() >= set(token) else token.encode()
    replaced = [(step["replacement"], " ") for step in steps if step["type"] == "Metaspace"]
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            replaced.append((step["pattern"]["String"], step["content"]))

    suffixes = [step["suffix"] for step in steps if step["type"] == "BPEDecoder"]
    prefixes = [step["prefix"] for step in steps if step["type"] == "WordPiece"]

    def spell(token: str) -> bytes:
        if "ByteFallback" in kinds and (byte := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)):
            return bytes.fromhex(byte[1])
        for old, new in replaced:
            token = token.replace(old, new)
        for suffix in suffixes:
            token = f"{token.removesuffix(suffix)} " if token.endswith(suffix) else token
        for prefix in prefixes:
            token = token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"
        return token.encode()

    return spell


def _steps(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    else:
        yield decoder


def _byte_level_alphabet() -> dict[str, int]:
    """The characters in which GPT-2's vocabulary writes bytes: printable ones as themselves, others from U+0100 on.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and the code released with it.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_level_alphabet()


def placed(text: str, spelled: Sequence[bytes], offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where each token stands: the bytes it spells where they come next in the text, else those of its characters.

    A tokenizer that normalizes spells other bytes than the text's. Its tokens get whole characters there, along with
    those before them that no token holds, and their exact bytes again from the next character on.

    Args:
        spelled: the bytes that each token spells.
        offsets: the characters that the tokenizer says each holds.
    """
    data = text.encode()
    plain = text.replace("▁", " ")  # which sentencepiece cannot tell apart
    if spelled and (not plain.startswith(" ") or b"".join(spelled) == b" " + plain.encode()):
        # Without the space that sentencepiece puts before every text.
        spelled = [spelled[0].removeprefix(b" "), *spelled[1:]]
    before = list(accumulate((len(char.encode()) for char in text), initial=0))  # bytes before each character
    following = [*(first for first, _ in offsets[1:]), len(text)]
    at = 0
    for own, (first, last), after in zip(spelled, offsets, following, strict=False):
        start, end = at, at + len(own)
        if own.isspace() and first == after and at <= before[first] and not data.startswith(own, at):
            end = start  # a blank that was put before the next one
        elif end > before[last] or not data.startswith(own, at):
            merged = sum(1 for _ in takewhile(unicodedata.combining, text[last:after]))  # marks it was composed with
            start, end = min(at, before[first]), max(at, before[last + merged])
        yield start, end
        at = end


def check_unicode(text: str, origin: str) -> None:
    """See that a text is one.

    Raises:
        RecordError: it holds what no UTF-8 does.
    """
    try:
        text.encode()
    except UnicodeEncodeError as err:  # what the shell or a "\ud800" in JSON could not decode
        at = len(text[: err.start].encode("utf-8", "surrogatepass"))
        raise RecordError(
            f"{origin} is not valid UTF-8 at byte {at}; convert it first, with iconv for instance"
        ) from err
