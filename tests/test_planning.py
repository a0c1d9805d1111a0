"""Planning: every token is scored exactly once, nothing is read twice, and a tree says who stands before whom."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmscore.planning import WORTH_GROWING, Tree, Window, batches, trees, windows

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=40).map(tuple)
PLANNED = st.lists(
    st.lists(st.integers(0, 2), min_size=2, max_size=12).flatmap(
        lambda ids: st.integers(1, len(ids) - 1).map(lambda first: Window(tuple(ids), first))
    ),
    max_size=20,
)


@given(IDS, st.booleans(), st.integers(0, 39), st.none() | st.integers(1, 12), st.none() | st.integers(1, 20))
def test_windows_score_each_token_once_and_see_enough_before_it(
    ids: tuple[int, ...], started: bool, first: int, limit: int | None, stride: int | None
) -> None:
    start = (9,) if started else ()
    first = min(first, len(ids) - 1)
    scored: list[int] = []
    for window in windows(start, ids, first, limit, stride):
        assert window.ids[: len(start)] == start
        assert limit is None or len(window.ids) - 1 <= limit
        begin = len(scored) + max(first, 1 - len(start))
        if limit is not None:
            step = min(stride or max(limit // 2, 1), limit)
            assert window.first >= min(limit - step, begin + len(start))
        assert window.ids[len(start) : window.first] == ids[begin - window.first + len(start) : begin]
        scored.extend(window.scored)
    assert tuple(scored) == ids[max(first, 1 - len(start)) :]


def laid(planned: Sequence[Window], budget: int, apart: int) -> list[Tree]:
    """Trees, where a window so many times as long as what it shares has that to itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmscore.planning.WORTH_APART", apart)
        return list(trees(planned, budget))


APART = st.sampled_from([2, 3, 64])


@given(PLANNED, st.integers(1, 30), APART)
def test_trees_hold_each_window_once_and_each_path_leads_where_it_should(
    planned: Sequence[Window], budget: int, apart: int
) -> None:
    held: list[int] = []
    for tree in laid(planned, budget, apart):
        asked = iter(tree.asked)
        for index in tree.indices:
            for t, node in zip(range(planned[index].first, len(planned[index].ids)), asked, strict=False):
                path = [*tree.path(node), node]
                assert tuple(tree.ids[i] for i in path) == planned[index].ids[:t]
                assert tree.depths[node] == t - 1
        assert next(asked, None) is None
        longest = max(len(planned[index].ids) - 1 for index in tree.indices)
        assert len(tree.ids) <= max(budget, WORTH_GROWING * longest)
        held.extend(tree.indices)
    assert sorted(held) == list(range(len(planned)))


@given(PLANNED, APART)
def test_a_node_is_before_another_exactly_where_its_interval_says_so(planned: Sequence[Window], apart: int) -> None:
    for tree in laid(planned, 10_000, apart):
        for node in range(len(tree.ids)):
            before = {*tree.path(node), node}
            assert {i for i in range(len(tree.ids)) if i <= node < tree.ends[i]} == before


@given(PLANNED, APART)
def test_one_tree_reads_no_beginning_twice_that_is_worth_sharing(planned: Sequence[Window], apart: int) -> None:
    beginnings = {window.ids[:length] for window in planned for length in range(1, len(window.ids))}
    read = sum(len(tree.ids) for tree in laid(planned, 10_000, apart))
    assert len(beginnings) <= read <= len(beginnings) + sum(len(window.ids) // apart for window in planned)
    if apart > 12:  # longer than any of them
        assert read == len(beginnings)


def test_a_long_window_does_not_share_a_start_symbol_and_many_short_ones_do() -> None:
    long = [Window((0, *range(first, first + 100)), 1) for first in (100, 300)]
    (tree,) = trees(long, 10_000)
    assert [tree.depths.count(0), len(tree.ids)] == [2, 200]
    (tree,) = trees([Window((0, id, id), 1) for id in range(1, 50)], 10_000)
    assert [tree.depths.count(0), len(tree.ids)] == [1, 50]


def test_a_beginning_longer_than_the_budget_is_read_once_for_many() -> None:
    context = tuple(range(1000))
    found = list(trees([Window((*context, 1000 + id, 0), 1000) for id in range(1500)], 100))
    assert len(found) == 2
    assert sum(len(tree.ids) for tree in found) == 2 * 1000 + 1500


@given(PLANNED, st.integers(1, 30), st.booleans())
def test_batches_hold_each_window_once_behind_their_stem(planned: Sequence[Window], budget: int, share: bool) -> None:
    held: list[int] = []
    for batch in batches(planned, budget, share):
        assert batch.windows == tuple(planned[index] for index in batch.indices)
        for window in batch.windows:
            assert window.ids[: len(batch.stem)] == batch.stem
            assert len(batch.stem) < window.first
        assert len(batch.asked) == sum(len(window.scored) for window in batch.windows)
        held.extend(batch.indices)
    assert sorted(held) == list(range(len(planned)))


@pytest.mark.parametrize("share", [True, False])
def test_a_stem_is_shared_only_where_that_is_possible(share: bool) -> None:
    stem = tuple(range(20))
    planned = [Window((*stem, id, id), 20) for id in range(5)]
    (batch,) = batches(planned, 1000, share)
    assert batch.stem == (stem[:19] if share else ())
