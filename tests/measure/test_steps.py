"""The shortest repetition that covers the most: against a search of every beginning and every
period."""

from hypothesis import given, settings
from hypothesis import strategies as st

from depthscale.run.depth import FEWEST, _repeated


def repetitions(words: str, start: int, period: int) -> int:
    count = 1
    while (
        words[start : start + period]
        == words[start + count * period : start + (count + 1) * period]
    ):
        count += 1
    return count if start + count * period <= len(words) else 0


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.text("abc", max_size=4),
    st.text("abc", min_size=1, max_size=5),
    st.integers(1, 6),
    st.text("abc", max_size=4),
)
def test_no_repetition_covers_more_or_as_much_with_a_shorter_period(
    before: str, unit: str, times: int, after: str
) -> None:
    words = before + unit * times + after
    each = [
        (count * period, -period)
        for start in range(len(words))
        for period in range(1, len(words) - start + 1)
        if (count := repetitions(words, start, period)) >= FEWEST
    ]
    found = _repeated(list(words))
    assert (found is None) == (not each)
    if found is not None:
        covered, period, start = found
        assert (covered, -period) == max(each)
        assert repetitions(words, start, period) * period >= covered
