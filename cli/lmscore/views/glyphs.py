"""Text made safe and honest for a terminal: every character that would act, hide or mislead is spelled out."""

import unicodedata

SPACE = "␣"
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
# Controls, formats (bidi, zero-width), line and paragraph separators, every space but the usual, unassigned, private.
_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Zs", "Cn", "Co"}
# Letters, marks and signs by category that show nothing: fillers, joiners, variation selectors, the empty braille cell.
_BLANK = {*map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0))}
_BLANK |= {*map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))}


def spell_bytes(data: bytes) -> str:
    """A token's bytes: spaces as ␣, bytes that are no whole character as ``\\xf0``, hidden characters escaped."""
    return _open("".join(map(_spell, data.decode("utf-8", "surrogateescape"))))


def spell_text(text: str) -> str:
    """A text on one line: hidden characters escaped, spaces at its ends as ␣, those inside as they are."""
    inner = text.strip(" ")
    if not inner:
        return SPACE * len(text)
    before, after = (len(text) - len(side) for side in (text.lstrip(" "), text.rstrip(" ")))
    return SPACE * before + _open("".join(c if c == " " else _spell(c) for c in inner)) + SPACE * after


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
    return _escape(char) if unicodedata.category(char) in _HIDDEN or char in _BLANK else char


def _open(spelled: str) -> str:
    """A beginning that would lean on whatever stands before it (a combining accent) is escaped."""
    leans = spelled and unicodedata.category(spelled[0]) in {"Mn", "Mc", "Me"}
    return _escape(spelled[0]) + spelled[1:] if leans else spelled


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def raised(figure: str) -> str:
    """A whole number, signed or not, in superscripts: ⁻⁷."""
    return figure.translate(str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def shorten(text: str, length: int) -> str:
    """A text's beginning and end, if it is longer than `length` characters."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}…{text[len(text) - length + length // 2 + 1 :]}"
