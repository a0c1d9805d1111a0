"""Text made safe and honest for a terminal: every character that would act, hide or mislead is spelled out."""

import unicodedata

SPACE = "␣"
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
# Controls, formats (bidi, zero-width), line and paragraph separators, every space but the usual, unassigned, private.
_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Zs", "Cn", "Co"}


def spell_bytes(data: bytes) -> str:
    """A token's bytes: spaces as ␣, bytes that are no whole character as ``\\xf0``, hidden characters escaped."""
    return "".join(map(_spell, data.decode("utf-8", "surrogateescape")))


def spell_text(text: str) -> str:
    """A text on one line: hidden characters escaped, spaces at its ends as ␣, those inside as they are."""
    inner = text.strip(" ")
    if not inner:
        return SPACE * len(text)
    before, after = (len(text) - len(side) for side in (text.lstrip(" "), text.rstrip(" ")))
    return SPACE * before + "".join(c if c == " " else _spell(c) for c in inner) + SPACE * after


def spell_line(message: str) -> str:
    """A message of our own, which may quote a text or a file name: spaces and backslashes stay as they are."""
    return "".join(c if c in " \\" else _spell(c) for c in message)


def _spell(char: str) -> str:
    code = ord(char)
    if char == " ":
        return SPACE
    if char in _NAMED:
        return _NAMED[char]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape could not decode
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(char) in _HIDDEN:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return char


def shorten(text: str, length: int) -> str:
    """A text's beginning and end, if it is longer than `length` characters."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}…{text[len(text) - length + length // 2 + 1 :]}"
