"""Which lane a prompt continues, on a GPU."""

import pytest

from autocoder.daemon.cuda_lanes import Lanes, common_beginning
from autocoder.daemon.errors import ModelError

PROMPT = list(range(100, 300))


def write(lanes: Lanes, ids: list[int], document: str = "a") -> tuple[int, int]:
    """A prompt taken in and done with: its lane, and how much of it was there."""
    lane = lanes.claim(ids, document)
    assert lane is not None
    cached = len(lane.ids)
    lane.ids += ids[cached:]
    lanes.release(lane)
    return lane.number, cached


def test_a_document_goes_on_in_its_lane() -> None:
    lanes = Lanes(4, 512)
    assert write(lanes, PROMPT) == (0, 0)
    assert write(lanes, [*PROMPT, 7, 8]) == (0, len(PROMPT))
    assert write(lanes, [*PROMPT, 7, 8]) == (0, len(PROMPT) + 1)  # the last token is run again


def test_documents_take_the_lowest_lanes() -> None:
    lanes = Lanes(4, 512)
    assert [write(lanes, [n, *PROMPT], str(n))[0] for n in range(4)] == [0, 1, 2, 3]


def test_a_busy_lane_is_nobody_elses() -> None:
    lanes = Lanes(2, 512)
    first, second = lanes.claim(PROMPT, "a"), lanes.claim(PROMPT, "a")
    assert first is not None and second is not None and first is not second
    assert lanes.claim(PROMPT, "a") is None
    lanes.release(first)
    assert lanes.claim(PROMPT, "a") is first


def test_what_is_shared_is_copied_where_rolling_back_would_lose_much() -> None:
    copied: list[tuple[int, int]] = []

    def copy(source: int, target: int) -> bool:
        copied.append((source, target))
        return True

    lanes = Lanes(3, 512, copy)
    write(lanes, PROMPT)
    assert write(lanes, [*PROMPT[:120], 1, 2]) == (1, 120)
    assert copied == [(0, 1)]
    assert write(lanes, [*PROMPT, 9]) == (0, len(PROMPT))  # the longer one is still there


def test_where_nothing_can_be_copied_the_prompt_begins_anew() -> None:
    lanes = Lanes(3, 512)
    write(lanes, PROMPT)
    assert write(lanes, [*PROMPT[:120], 1, 2]) == (1, 0)


def test_lanes_that_a_later_one_of_the_document_replaced_go_first() -> None:
    lanes = Lanes(3, 512, lambda source, target: True)
    write(lanes, [1, *PROMPT], "old")
    write(lanes, [2, *PROMPT], "jumps")
    write(lanes, [2, *PROMPT[:100], 5], "jumps")
    assert write(lanes, [3, *PROMPT], "new")[0] == 1
    assert write(lanes, [1, *PROMPT, 4], "old") == (0, len(PROMPT) + 1)


def test_replaced_lanes_are_taken_before_empty_ones_that_would_widen_the_step() -> None:
    lanes = Lanes(40, 512, lambda source, target: True)
    for number in range(8):
        write(lanes, [number, *PROMPT], f"document {number}")
    write(lanes, [7, *PROMPT[:100], 5], "document 7")  # its sequence before is not missed
    assert write(lanes, [90, *PROMPT], "new")[0] == 7
    assert write(lanes, [91, *PROMPT], "newer")[0] == 9


def test_the_only_lane_is_rolled_back() -> None:
    lanes = Lanes(1, 512, lambda source, target: True)
    write(lanes, PROMPT)
    assert write(lanes, [*PROMPT[:50], 1]) == (0, 50)


def test_lanes_rest_on_their_first_token() -> None:
    lanes = Lanes(3, 512)
    write(lanes, [41, *PROMPT])
    assert lanes.resting() == [41, 0, 0]


@pytest.mark.parametrize("length", [0, 513])
def test_a_prompt_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(ModelError, match=f"{length} tokens"):
        Lanes(1, 512).claim([1] * length, "a")


@pytest.mark.parametrize("at", [*range(12), 63, 64, 100])
def test_the_common_beginning_is_found_wherever_two_differ(at: int) -> None:
    one = list(range(100))
    other = [*one[:at], -1, *one[at + 1 :]] if at < 100 else one[:]
    assert common_beginning(one, other) == common_beginning(other, one) == at
    assert common_beginning(one[:at], one) == at


def test_of_two_documents_alike_each_keeps_its_own_lane() -> None:
    lanes = Lanes(4, 512)
    longer = [*PROMPT, 1, 2, 3, 4]
    first, second = lanes.claim(PROMPT, "a"), lanes.claim(longer, "b")
    assert first is not None and second is not None
    for lane, ids in ((first, PROMPT), (second, longer)):
        lane.ids[:] = ids
        lanes.release(lane)
    mine = lanes.claim([*longer, 5], "a")
    assert mine is first and len(first.ids) == len(PROMPT)
