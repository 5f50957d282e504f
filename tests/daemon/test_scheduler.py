"""Whose turn it is."""

import pytest

from autocoder.daemon.errors import ProtocolError
from autocoder.daemon.protocol import Complete
from autocoder.daemon.scheduler import LAST_SLICE_S, MOST_WAITING, PATIENCE_S, Job, Scheduler


def job(client: str, id: str, document: str = "", at: float = 0.0) -> Job:
    return Job(client.encode(), id, Complete("x", document=document or id), at)


def served(scheduler: Scheduler, now: float = 0.0) -> list[str]:
    """The ids in the order in which they are run."""
    ids = []
    while found := scheduler.next(now):
        ids.append(found.id)
        scheduler.finish()
    return ids


def test_one_client_is_served_in_order() -> None:
    scheduler = Scheduler()
    for id in "123":
        assert scheduler.submit(job("vim", id)) == []
    assert served(scheduler) == ["1", "2", "3"]


def test_one_job_runs_at_a_time() -> None:
    scheduler = Scheduler()
    scheduler.submit(job("vim", "1"))
    scheduler.submit(job("vim", "2"))
    assert scheduler.next(0.0) is not None
    assert scheduler.next(0.0) is None


def test_a_newer_request_takes_the_place_of_a_waiting_one_for_the_same_document() -> None:
    scheduler = Scheduler()
    old, other, newer = job("vim", "1", "a"), job("vim", "2", "b"), job("vim", "3", "a")
    scheduler.submit(old)
    scheduler.submit(other)
    assert scheduler.submit(newer) == [old]
    assert served(scheduler) == ["2", "3"]


def test_a_newer_request_flags_the_running_one() -> None:
    scheduler = Scheduler()
    old = job("vim", "1", "a")
    scheduler.submit(old)
    scheduler.next(0.0)
    scheduler.submit(job("vim", "2", "b"))
    assert not old.cancelled
    scheduler.submit(job("vim", "3", "a"))
    assert old.cancelled


def test_the_same_document_of_another_client_is_another_document() -> None:
    scheduler = Scheduler()
    scheduler.submit(job("vim", "1", "a"))
    assert scheduler.submit(job("sublime", "1", "a")) == []
    assert len(served(scheduler)) == 2


def test_the_client_that_asked_last_is_served_first() -> None:
    scheduler = Scheduler()
    for client, id in (("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("b", "b2")):
        scheduler.submit(job(client, id))
    assert served(scheduler) == ["b1", "b2", "c1", "a1", "a2"]


def test_nobody_starves_behind_a_busy_client() -> None:
    scheduler = Scheduler()
    scheduler.submit(job("quiet", "q", at=0.0))
    order = []
    for tick in range(20):
        now = tick * PATIENCE_S / 5
        scheduler.submit(job("busy", f"b{tick}", at=now))
        found = scheduler.next(now)
        assert found is not None
        order.append(found.id)
        scheduler.finish()
    assert order.index("q") <= 6


def test_a_waiting_job_is_cancelled_by_its_id_and_its_client_only() -> None:
    scheduler = Scheduler()
    waiting = job("vim", "1")
    scheduler.submit(waiting)
    assert scheduler.cancel(b"sublime", "1") == (False, None)
    assert scheduler.cancel(b"vim", "1") == (True, waiting)
    assert scheduler.cancel(b"vim", "1") == (False, None)
    assert served(scheduler) == []


def test_a_running_job_is_flagged_by_cancel() -> None:
    scheduler = Scheduler()
    running = job("vim", "1")
    scheduler.submit(running)
    scheduler.next(0.0)
    assert scheduler.cancel(b"vim", "1") == (True, None)
    assert running.cancelled


def test_a_client_may_have_so_many_waiting_and_no_more() -> None:
    scheduler = Scheduler()
    for number in range(MOST_WAITING):
        scheduler.submit(job("vim", str(number)))
    with pytest.raises(ProtocolError) as caught:
        scheduler.submit(job("vim", "one more"))
    assert caught.value.code == "overloaded"
    scheduler.submit(job("sublime", "1"))
    assert [old.id for old in scheduler.submit(job("vim", "newer", document="5"))] == ["5"]


def test_a_request_that_is_refused_changes_nothing() -> None:
    scheduler = Scheduler()
    running, other = job("vim", "r", "a"), job("sublime", "s")
    scheduler.submit(running)
    scheduler.next(0.0)
    for number in range(MOST_WAITING):
        scheduler.submit(job("vim", str(number)))
    scheduler.submit(other)
    with pytest.raises(ProtocolError):
        scheduler.submit(job("vim", "newer", "a"))
    assert not running.cancelled
    scheduler.finish()
    assert scheduler.next(0.0) is other


def test_what_is_under_way_is_known() -> None:
    scheduler = Scheduler()
    scheduler.submit(job("vim", "1"))
    scheduler.submit(job("vim", "2"))
    scheduler.next(0.0)
    assert scheduler.knows(b"vim", "1") and scheduler.knows(b"vim", "2")
    assert not scheduler.knows(b"vim", "3") and not scheduler.knows(b"sublime", "1")


def test_a_client_that_is_gone_is_forgotten() -> None:
    scheduler = Scheduler()
    running = job("vim", "1")
    scheduler.submit(running)
    scheduler.next(0.0)
    scheduler.submit(job("vim", "2"))
    scheduler.submit(job("sublime", "3"))
    scheduler.forget(b"vim")
    scheduler.finish()
    assert running.cancelled
    assert served(scheduler) == ["3"]


def test_draining_takes_all_and_flags_the_running_one() -> None:
    scheduler = Scheduler()
    running = job("vim", "1")
    scheduler.submit(running)
    scheduler.next(0.0)
    waiting = [job("vim", "2"), job("sublime", "3")]
    for each in waiting:
        scheduler.submit(each)
    assert scheduler.drain() == waiting
    assert running.cancelled


# Giving way


def test_a_running_job_gives_way_to_another_clients_after_a_step_and_goes_on_later() -> None:
    scheduler = Scheduler()
    long, short = job("vim", "long"), job("sublime", "short", at=0.7)
    scheduler.submit(long)
    assert scheduler.next(0.0) is long
    assert not long.is_interrupted()
    scheduler.submit(short)
    assert long.is_interrupted() and not long.cancelled
    scheduler.put_back(long, 0.7)
    assert served(scheduler, 0.7) == ["short", "long"]
    assert not long.is_interrupted()


def test_a_job_that_gives_way_takes_a_step_and_a_longer_turn_each_time() -> None:
    scheduler = Scheduler()
    long = job("vim", "long")
    scheduler.submit(long)
    slices = []
    for turn in range(8):
        assert scheduler.next(0.1 * turn) is long
        scheduler.submit(job("sublime", f"{turn}", at=0.1 * turn))
        slices.append(long.slice)
        assert not long.is_interrupted()
        assert long.is_interrupted() == (turn == 0)
        scheduler.put_back(long, 0.1 * turn)
        found = scheduler.next(0.1 * turn)
        assert found is not None and found.id == f"{turn}"
        scheduler.finish()
    assert slices == sorted(slices) and (slices[0], slices[-1]) == (0.0, LAST_SLICE_S)


def test_a_job_that_was_put_back_can_be_superseded_and_cancelled() -> None:
    scheduler = Scheduler()
    long = job("vim", "1", "a")
    scheduler.submit(long)
    scheduler.next(0.0)
    scheduler.put_back(long, 0.0)
    assert scheduler.knows(b"vim", "1")
    assert scheduler.submit(job("vim", "2", "a")) == [long]
    assert served(scheduler) == ["2"]


def test_one_does_not_give_way_to_oneself() -> None:
    scheduler = Scheduler()
    running = job("vim", "1", "a")
    scheduler.submit(running)
    scheduler.next(0.0)
    scheduler.submit(job("vim", "2", "b"))
    assert [running.is_interrupted() for _ in range(3)] == [False] * 3


def test_of_two_that_waited_for_the_model_the_older_gives_way_after_a_step() -> None:
    scheduler = Scheduler()
    scheduler.submit(job("idle", "long", at=0.0))
    scheduler.submit(job("active", "short", at=0.1))
    long = scheduler.next(1.0)
    assert long is not None and long.id == "long"
    assert not long.is_interrupted() and long.is_interrupted()
    scheduler.put_back(long, 1.1)
    assert served(scheduler, 1.1) == ["short", "long"]


def test_one_that_gave_way_before_lets_in_who_came_between_two_turns() -> None:
    """The short one before it took so long that the long one's patience was over."""
    scheduler = Scheduler()
    long = job("vim", "long")
    scheduler.submit(long)
    scheduler.next(0.0)
    scheduler.submit(job("sublime", "first", at=0.1))
    scheduler.put_back(long, 0.1)
    first = scheduler.next(0.1)
    assert first is not None and first.id == "first"
    scheduler.finish()
    now = 0.1 + 2 * PATIENCE_S
    scheduler.submit(job("sublime", "second", at=now))
    assert scheduler.next(now) is long
    assert long.yielding and 0.0 < long.slice < PATIENCE_S
    scheduler.put_back(long, now)
    assert served(scheduler, now) == ["second", "long"]


def test_two_long_ones_do_not_take_turns_for_ever() -> None:
    scheduler = Scheduler()
    one, other = job("vim", "one"), job("sublime", "other")
    scheduler.submit(one)
    scheduler.next(0.0)
    scheduler.submit(other)
    scheduler.put_back(one, 0.0)
    assert scheduler.next(0.0) is other
    assert not other.yielding
