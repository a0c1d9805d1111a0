"""Text to tokens, byte for byte: the laws that hold for every text, and where tokenizers are known to trip."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel

from lmscore import LmscoreError, Reading, Text, open_scorer
from lmscore.cutting import Cutter
from lmscore.errors import RecordError
from lmscore.records import Token
from lmscore.tokenization import Tokenized, Tokenizer
from lmscore.words import stretches

from . import models


def tokenized_alone(tokenizer: Tokenizer, text: Text, reading: Reading) -> Tokenized:
    """One text as it is cut by itself."""
    ((_, found),) = tokenizer.tokenize([text], reading, 1, 1)
    return found


class NoUnknown:
    """A tokenizer of three words, and none for what is unknown."""

    def __init__(self) -> None:
        backend = tokenizers.Tokenizer(WordLevel({"a": 0, "b": 1, "<s>": 2}, unk_token=None))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = Tokenizer(backend, 2, None)


def test_without_a_token_for_the_unknown_what_is_unknown_is_refused_in_its_turn() -> None:
    tokenizer, cut = NoUnknown().tokenizer, list[Tokenized]()
    texts = [Text("a b", origin="one"), Text("b", "a " * 600, "two"), Text("b", "zz " * 600, "three")]
    for boundary in ("joint", "separate"):
        cut.clear()
        with pytest.raises(RecordError, match=r"^three: its tokenizer cannot cut it into tokens \(.*UNK"):
            cut.extend(found for _, found in tokenizer.tokenize(texts, Reading(boundary=boundary), 9999, 9999))
        assert [found.pieces.ids for found in cut] == [(0, 1), (1,)]
    with pytest.raises(LmscoreError, match="start symbol 'zz' is not a token"):
        tokenizer.vocabulary.named("zz")


def test_a_symbol_that_a_vocabulary_cannot_tell_from_a_word_is_said_to_be_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tokenizer = NoUnknown().tokenizer
    tokenizer._cutter._backend.add_special_tokens([AddedToken("<s>", special=True)])
    assert list(tokenized_alone(tokenizer, Text("a <s>", origin="it"), Reading()).ids) == [0, 2]
    assert caplog.messages == ["it contains <s>, which is read as the symbol: this tokenizer cannot tell them apart"]


def test_tokens_are_the_same_each_time() -> None:
    backend = models.byte_level(models.START, models.END)
    expected = tokenized_alone(Tokenizer(backend, 0, 1), Text(models.corpus()[0]), Reading()).ids
    backend.model.dropout = 0.5
    tokenizer = Tokenizer(backend, 0, 1)
    assert tokenized_alone(tokenizer, Text(models.corpus()[0]), Reading()).ids == expected


SPECIAL = ("<unk>", "<s>", "</s>")


def llama2() -> tokenizers.Tokenizer:
    """As Llama 2 was converted at first: a normalizer puts a space before every text, even before a space."""
    backend = models.byte_fallback(*SPECIAL)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex("(?!)"), "isolated")  # never: nothing is cut
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


def normalizing(normalizer: normalizers.Normalizer, trim: bool = False) -> tokenizers.Tokenizer:
    backend = models.byte_level(models.START, models.END)
    backend.normalizer = normalizer
    backend.post_processor = processors.ByteLevel(trim_offsets=trim)
    return backend


REVERSIBLE = {
    "byte level": Tokenizer(models.byte_level(models.START, models.END), 0, 1),
    "byte fallback": Tokenizer(models.byte_fallback(*SPECIAL), 1, 2),
    "prefix space": Tokenizer(models.byte_fallback(*SPECIAL, prefix="always"), 1, 2),
    "prefix space by a normalizer": Tokenizer(llama2(), 1, 2),
}
NORMALIZING = {
    "NFC": Tokenizer(normalizing(normalizers.NFC()), 0, 1),
    "NFC, spaces trimmed from offsets": Tokenizer(normalizing(normalizers.NFC(), trim=True), 0, 1),
    "NFKD": Tokenizer(normalizing(normalizers.NFKD()), 0, 1),
    "lower case": Tokenizer(normalizing(normalizers.Lowercase()), 0, 1),
    "without accents": Tokenizer(
        normalizing(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])), 0, 1
    ),
    "ends of words": Tokenizer(models.ends_of_words(*SPECIAL), 1, 2),
    "word pieces": Tokenizer(models.word_pieces(*SPECIAL), 1, 2),
}
EVERY = REVERSIBLE | NORMALIZING
QUICK = ("byte level", "prefix space", "NFC, spaces trimmed from offsets", "ends of words")
EACH = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in EVERY]

WORDS = st.sampled_from(
    ["The cat", " sat", "  ", "\n", "<s>", "<|endoftext|>", "é", "e\u0301", "😀", "▁", "<0x41>", "İ"]
)
CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
STRINGS = st.lists(WORDS | CHARACTERS, min_size=1, max_size=8).map("".join).filter(bool)


def ids(tokenized: Tokenized) -> list[int]:
    return [piece.id for piece in tokenized.pieces]


def spans(tokenized: Tokenized) -> list[tuple[int, int]]:
    return [(piece.start, piece.end) for piece in tokenized.pieces]


@pytest.mark.parametrize("name", REVERSIBLE)
@settings(max_examples=60, deadline=None)
@given(text=STRINGS)
@example(text="▁")
@example(text="▁e\u0301")
def test_the_bytes_of_the_tokens_join_to_the_text(name: str, text: str) -> None:
    pieces = tokenized_alone(REVERSIBLE[name], Text(text), Reading()).pieces
    assert b"".join(piece.bytes for piece in pieces) == text.encode()
    at = 0
    for piece in pieces:
        assert (piece.start, piece.end, piece.bytes) == (at, piece.end, text.encode()[at : piece.end])
        assert piece.token == (piece.bytes.decode("utf-8", "backslashreplace") or piece.spelling)
        at = piece.end


@pytest.mark.parametrize("name", REVERSIBLE)
@settings(max_examples=60, deadline=None)
@given(context=STRINGS, text=STRINGS)
def test_the_tokens_after_a_context_hold_all_of_the_text_and_no_whole_token_of_the_context(
    name: str, context: str, text: str
) -> None:
    tokenizer, data = REVERSIBLE[name], (context + text).encode()
    whole = tokenized_alone(tokenizer, Text(context + text), Reading())
    joint = tokenized_alone(tokenizer, Text(text, context), Reading())
    assert [*joint.context, *ids(joint)] == ids(whole)
    shift = len(context.encode())
    assert spans(joint) == [(start - shift, end - shift) for start, end in spans(whole)[len(joint.context) :]]
    assert [piece.straddles for piece in joint.pieces[1:]] == [False] * (len(joint.pieces) - 1)
    first, last = joint.pieces[0], joint.pieces[-1]
    assert first.start <= 0 < first.end
    assert first.straddles == (first.start < 0)
    assert first.bytes == data[shift + first.start : shift + first.end]
    assert last.end == len(text.encode())


def makes_tokens(tokenizer: Tokenizer, text: str) -> bool:
    """Whether there are any: of accents alone, where those are stripped, there are none."""
    return bool(tokenizer._cutter._backend.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("name", EACH)
@settings(max_examples=60, deadline=None)
@given(context=STRINGS, text=STRINGS)
def test_apart_the_text_has_the_tokens_it_has_alone(name: str, context: str, text: str) -> None:
    assume(makes_tokens(EVERY[name], text))
    alone = tokenized_alone(EVERY[name], Text(text), Reading())
    apart = tokenized_alone(EVERY[name], Text(text, context), Reading(boundary="separate"))
    assert list(apart.pieces) == list(alone.pieces)
    assert not any(piece.straddles for piece in apart.pieces)


@pytest.mark.parametrize("name", NORMALIZING)
@settings(max_examples=60, deadline=None)
@given(text=STRINGS)
def test_a_normalizing_tokenizer_keeps_offsets_in_order_without_holes(name: str, text: str) -> None:
    assume(makes_tokens(NORMALIZING[name], text))
    pieces = tokenized_alone(NORMALIZING[name], Text(text), Reading()).pieces
    data, at = text.encode(), 0
    for piece in pieces:
        assert 0 <= piece.start <= at <= piece.end <= len(data)
        assert piece.bytes == data[piece.start : piece.end]
        at = piece.end


def test_a_space_that_is_put_behind_a_symbol_belongs_to_the_text_after_it() -> None:
    backend = models.byte_fallback(*SPECIAL, prefix="always")
    backend.add_tokens([AddedToken("<tool>", normalized=False)])
    tokenizer = Tokenizer(backend, 1, 2)
    alone = tokenized_alone(tokenizer, Text("Call<tool>"), Reading())
    after = tokenized_alone(tokenizer, Text("日本", "Call<tool>"), Reading())
    assert list(after.context) == ids(alone)
    first, *others = after.pieces
    assert (first.spelling, first.start, first.end, first.straddles) == (" ", 0, 0, False)
    assert b"".join(piece.bytes for piece in others) == "日本".encode()


def test_what_a_normalizer_changes_costs_no_other_token_its_bytes() -> None:
    tokenizer = NORMALIZING["NFC, spaces trimmed from offsets"]
    for text in ("cafe\u0301 😀 the cat", "😀 cafe\u0301 the cat"):
        pieces = tokenized_alone(tokenizer, Text(text), Reading()).pieces
        begin = text.encode().index("e\u0301".encode())
        changed = [piece for piece in pieces if begin <= piece.start < begin + 3]
        others = b"".join(piece.bytes for piece in pieces if piece not in changed)
        assert changed[-1].bytes == "e\u0301".encode()
        assert others == text.replace("e\u0301", "").encode()


def test_a_token_takes_no_byte_of_a_character_it_is_not_of() -> None:
    # Decomposed, the first is six tokens, and the fourth spells what the second character begins with.
    pieces = tokenized_alone(NORMALIZING["NFKD"], Text("\u0e33\u0800"), Reading()).pieces
    assert [piece.end for piece in pieces[1:]] == [3, 3, 3, 3, 3, 4, 5, 6]


def test_lower_case_tokens_hold_the_texts_own_letters() -> None:
    pieces = tokenized_alone(NORMALIZING["lower case"], Text("The CAT sat"), Reading()).pieces
    assert b"".join(piece.bytes for piece in pieces) == b"The CAT sat"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ends of words", [("The", "the "), (" c", "c"), ("at", "at"), ("s", "s ")]),
        ("word pieces", [("The", " the"), (" c", " c"), ("at", "at"), ("s", "s")]),
    ],
)
def test_parts_of_words_spell_the_blanks_that_their_marks_stand_for(name: str, expected: list[tuple[str, str]]) -> None:
    pieces = tokenized_alone(NORMALIZING[name], Text("The cats"), Reading()).pieces
    assert [(piece.token, piece.spelling) for piece in pieces] == expected


def test_a_combining_mark_at_the_boundary_straddles() -> None:
    first, second, *_ = tokenized_alone(NORMALIZING["NFC"], Text("\u0301 the", "cafe"), Reading()).pieces
    assert (first.start, first.bytes, first.straddles) == (-1, "e\u0301".encode(), True)
    assert second.bytes == b" the"


@pytest.mark.parametrize(("name", "first"), [("byte level", 0), ("prefix space", 0), ("byte fallback", 0)])
def test_the_boundary_straddled_joint_and_separate(name: str, first: int) -> None:
    tokenizer = REVERSIBLE[name]
    joint = tokenized_alone(tokenizer, Text("tement", "The sta"), Reading())
    assert joint.pieces[first].straddles
    assert joint.pieces[first].start < 0 < joint.pieces[first].end
    separate = tokenized_alone(tokenizer, Text("tement", "The sta"), Reading(boundary="separate"))
    assert b"".join(piece.bytes for piece in separate.pieces) == b"tement"


def test_a_character_cut_at_the_boundary_of_two_texts_is_never_lost() -> None:
    tokenized = tokenized_alone(REVERSIBLE["byte level"], Text("😀", "🎉"), Reading())
    assert b"".join(piece.bytes for piece in tokenized.pieces).endswith("😀".encode())


def test_a_token_may_hold_part_of_a_character_and_shows_its_bytes() -> None:
    pieces = tokenized_alone(REVERSIBLE["byte level"], Text("a😀"), Reading()).pieces
    assert len(pieces) > 2
    assert b"".join(piece.bytes for piece in pieces) == "a😀".encode()
    assert pieces[1].token.startswith("\\xf0")
    assert "\ufffd" not in "".join(piece.token for piece in pieces)


def test_offsets_count_bytes_not_characters() -> None:
    pieces = tokenized_alone(REVERSIBLE["byte level"], Text("日 cat"), Reading()).pieces
    assert pieces[-1].end == len("日 cat".encode()) == 7


@pytest.mark.parametrize("symbol", [models.START, models.END])
def test_the_name_of_a_symbol_in_a_text_is_data_and_is_warned_of(
    symbol: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("lmscore"), "propagate", True)
    tokenizer = REVERSIBLE["byte level"]
    text = Text(f"The {symbol} cat", origin="words.txt, line 3")
    assert not {0, 1} & set(ids(tokenized_alone(tokenizer, text, Reading())))
    assert f"words.txt, line 3 contains {symbol}" in caplog.text
    caplog.clear()
    parsed = tokenized_alone(tokenizer, text, Reading(parse_special=True))
    assert {0, 1} & set(ids(parsed)) == {0 if symbol == models.START else 1}
    assert b"".join(piece.bytes for piece in parsed.pieces) == text.text.encode()
    assert caplog.text == ""
    assert not {0, 1} & set(ids(tokenized_alone(tokenizer, text, Reading())))  # and it does not stick


def test_a_symbol_in_the_context_is_data_too(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("lmscore"), "propagate", True)
    tokenized = tokenized_alone(REVERSIBLE["byte level"], Text(" cat", "<s>The"), Reading())
    assert 0 not in tokenized.context
    assert "<s>" in caplog.text


@pytest.mark.parametrize("name", ["prefix space", "prefix space by a normalizer"])
def test_the_space_that_sentencepiece_adds_is_in_no_token(name: str) -> None:
    pieces = tokenized_alone(REVERSIBLE[name], Text("The cat"), Reading()).pieces
    assert (pieces[0].start, pieces[0].bytes[:1]) == (0, b"T")
    assert REVERSIBLE[name].vocabulary.bytes_of(pieces[0].id).startswith(b" ")


def test_a_token_of_nothing_but_the_added_space_is_scored_with_the_text() -> None:
    tokenizer = REVERSIBLE["prefix space"]
    first, second = tokenized_alone(tokenizer, Text("\n"), Reading()).pieces
    assert (first.bytes, second.bytes) == (b"", b"\n")
    assert (first.token, first.spelling, first.special) == (" ", " ", False)
    assert tokenized_alone(tokenizer, Text("a", "\n"), Reading()).context == (first.id, second.id)


def test_the_space_that_is_added_behind_a_symbol_takes_no_bytes_from_the_next_token() -> None:
    text = "</s>한국 cat"
    pieces = tokenized_alone(REVERSIBLE["prefix space"], Text(text), Reading(parse_special=True)).pieces
    assert (pieces[1].bytes, pieces[1].spelling) == (b"", " ")
    assert b"".join(piece.bytes for piece in pieces) == text.encode()


def test_a_character_that_is_made_several_words_is_one_all_the_same() -> None:
    backend = models.byte_fallback(*SPECIAL, prefix="always")
    backend.normalizer = normalizers.Replace("–", " - ")
    tokens = tokenized_alone(Tokenizer(backend, 1, 2), Text("a–b c"), Reading()).pieces
    assert [piece.spelling for piece in tokens][:4] == [" a", " ", "-", " b"]
    assert b"".join(piece.bytes for piece in tokens[:3]) == "a–".encode()
    scored = [Token(i, p.id, p.token, p.bytes, p.start, p.end, -1.0, spelling=p.spelling) for i, p in enumerate(tokens)]
    assert [word.text for word in stretches("a–b c", scored)] == ["a", "–b", " c"]


def test_a_template_that_adds_symbols_never_makes_two(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    plain = open_scorer(str(folder_of("llama"))).score("The cat sat", "On the mat ")
    shutil.copytree(folder_of("llama"), tmp_path / "model")
    file = str(tmp_path / "model" / "tokenizer.json")
    backend = tokenizers.Tokenizer.from_file(file)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A <|endoftext|>", special_tokens=[("<s>", 0), ("<|endoftext|>", 1)]
    )
    backend.save(file)
    assert backend.encode("The").ids[0] == 0
    assert open_scorer(str(tmp_path / "model")).score("The cat sat", "On the mat ").tokens == plain.tokens


def test_a_tokenizer_that_truncates_and_pads_does_neither_here() -> None:
    backend = models.byte_level(models.START, models.END)
    backend.enable_truncation(4)
    backend.enable_padding(length=64)
    pieces = tokenized_alone(Tokenizer(backend, 0, 1), Text("The cat sat on the mat"), Reading()).pieces
    assert b"".join(piece.bytes for piece in pieces) == b"The cat sat on the mat"


def test_the_end_symbol_holds_no_bytes_and_stands_at_the_end() -> None:
    *_, end = tokenized_alone(REVERSIBLE["byte level"], Text("日"), Reading(eos=True)).pieces
    assert (end.id, end.token, end.bytes, end.start, end.end) == (1, models.END, b"", 3, 3)
    assert end.special
    with pytest.raises(LmscoreError, match="--eos"):
        tokenized_alone(Tokenizer(models.byte_level(models.START), 0, None), Text("a"), Reading(eos=True))


def test_a_text_without_tokens_is_an_error_that_names_it() -> None:
    with pytest.raises(LmscoreError, match=r"words\.txt, line 7: it is empty"):
        tokenized_alone(REVERSIBLE["byte level"], Text("", "context", "words.txt, line 7"), Reading())


def test_an_unpaired_surrogate_is_an_error_that_names_the_byte() -> None:
    with pytest.raises(LmscoreError, match="not valid UTF-8 at byte 3"):
        tokenized_alone(REVERSIBLE["byte level"], Text("日\ud800"), Reading())


@pytest.mark.parametrize("name", EACH)
def test_a_long_text_is_cut_as_if_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch by stretch, wherever stretches end: in words, between combining marks, in runs of one character."""
    tokenizer = EVERY[name]
    strange = "naïve cafe\u0301 日本語 😀😀 \n\n\t  x" + "a" * 90 + " " * 90 + "The CAT sat. "
    [passage] = models.passages(3, [6000])
    for text in (passage, strange * 20, "a" * 3000, " " * 3000 + "x", "ab" * 1500, passage[:1500] + strange * 9):
        whole = list(tokenized_alone(tokenizer, Text(text), Reading()).pieces)
        with monkeypatch.context() as patch:
            patch.setattr("lmscore.cutting.STRETCH", 700)
            patch.setattr("lmscore.cutting.OVERLAP", 150)
            assert list(tokenized_alone(tokenizer, Text(text), Reading()).pieces) == whole


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long the strings are that go through the tokenizer, as they do."""
    lengths: list[int] = []
    real = Cutter._encoded

    def counted(self: Cutter, texts: list[str], parse_special: bool) -> Any:
        lengths.extend(map(len, texts))
        return real(self, texts, parse_special)

    monkeypatch.setattr(Cutter, "_encoded", counted)
    return lengths


def test_a_long_text_is_not_tokenized_at_once(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmscore.cutting.STRETCH", 700)
    monkeypatch.setattr("lmscore.cutting.OVERLAP", 150)
    [passage] = models.passages(3, [6000])
    for tokenizer in REVERSIBLE.values():
        lengths.clear()
        tokenized_alone(tokenizer, Text(passage), Reading())
        assert 700 < max(lengths) < 2000


@pytest.mark.parametrize("name", EACH)
def test_texts_after_one_context_are_cut_as_each_by_itself(name: str) -> None:
    [passage] = models.passages(3, [1800])
    strange = "naïve cafe\u0301 日本語 😀😀 \n\n\t  x" + "a" * 90 + " " * 90 + "The CAT sat. "
    runs = ("a" * 999, "12" * 500, passage + " " * 400, "\U0001f9d1\u200d\U0001f680" * 300)
    followers = ("s", "\u0301", "\u1161", "\n\n", "aa", "345", "\u200d\U0001f680", models.END)
    contexts = (passage, passage + "\u1100", strange * 8, *runs)
    for context in contexts:
        texts = [Text(follower, context) for follower in followers]
        for reading in (Reading(eos=True, parse_special=True), Reading(eos=True, boundary="separate")):
            for text, tokenized in EVERY[name].tokenize(texts, reading, 1 << 12, 1 << 12):
                alone = tokenized_alone(EVERY[name], text, reading)
                assert tokenized.context == alone.context
                assert list(tokenized.pieces) == list(alone.pieces)


def test_a_context_that_several_texts_follow_is_cut_once(lengths: list[int]) -> None:
    [context] = models.passages(3, [6000])
    for tokenizer in REVERSIBLE.values():
        lengths.clear()
        texts = [Text(f" and {number}", context) for number in range(20)]
        assert len([*tokenizer.tokenize(texts, Reading(), 1 << 9, 1 << 9)]) == 20
        assert sum(lengths) < 3 * 6000


def test_a_context_is_cut_for_several_candidates_at_a_time(
    folder_of: Callable[[str], Path], lengths: list[int]
) -> None:
    [context] = models.passages(3, [6000])
    scorer = open_scorer(str(folder_of("llama")))
    lengths.clear()
    scorer.rank([f" and {number}" for number in range(40)], context)
    assert sum(lengths) < 10 * 6000


def test_a_text_that_changes_all_of_its_context_is_cut_with_all_of_it() -> None:
    """As no real tokenizer does: an exclamation mark makes one word of any number of pairs before it."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "!": 2, "ab": 3}, [("a", "b")]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("(ab)+!|."), "isolated")
    tokenizer = Tokenizer(backend, None, None)
    texts = [Text("a", "ab" * 500), Text("!", "ab" * 500)]
    (_, calm), (_, loud) = tokenizer.tokenize(texts, Reading(), 1 << 12, 1 << 12)
    assert (calm.context, calm.pieces.ids) == ((0, 1) * 500, (0,))
    assert (loud.context, loud.pieces.ids) == ((3,) * 500, (2,))
