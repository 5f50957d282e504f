"""Whose turn it is."""

from types import SimpleNamespace

import pytest

from autocoder.daemon import scheduler as scheduler_module
from autocoder.daemon.errors import ProtocolError
from autocoder.daemon.protocol import Complete
from autocoder.daemon.scheduler import (
    FIRST_SLICE_S,
    LONGEST_SLICE_S,
    MOST_WAITING,
    PATIENCE_S,
    STARVING_S,
    Job,
    Scheduler,
)


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


# Taking turns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How long a job has run is read off this clock."""
    made = SimpleNamespace(now=0.0)
    monkeypatch.setattr(scheduler_module.time, "monotonic", lambda: made.now)
    return made


def play(
    scheduler: Scheduler, clock: SimpleNamespace, needs: dict[str, float], step: float = 0.02
) -> dict[str, float]:
    """Run steps until all is done; when each id was, where it needs so long in one turn."""
    done: dict[str, float] = {}
    while found := scheduler.next(clock.now):
        began = clock.now
        while clock.now - began < needs[found.id] and not found.is_interrupted():
            clock.now += step
        if clock.now - began < needs[found.id]:
            scheduler.put_back(found, clock.now)
        else:
            scheduler.finish()
            done[found.id] = clock.now
    return done


def test_who_is_alone_runs_as_long_as_it_takes(clock: SimpleNamespace) -> None:
    scheduler = Scheduler()
    scheduler.submit(job("vim", "long"))
    long = scheduler.next(0.0)
    assert long is not None and not long.is_interrupted()
    clock.now = 1000.0
    assert not long.is_interrupted()


def test_a_running_job_ends_with_its_slice_when_another_client_comes(
    clock: SimpleNamespace,
) -> None:
    scheduler = Scheduler()
    long = job("vim", "long")
    scheduler.submit(long)
    assert scheduler.next(0.0) is long and not long.is_interrupted()
    clock.now = 0.7
    scheduler.submit(job("sublime", "short", at=0.7))
    assert long.is_interrupted() and not long.cancelled
    scheduler.put_back(long, 0.7)
    assert served(scheduler, 0.7) == ["short", "long"]


def test_each_turn_takes_a_step_and_the_next_is_longer(clock: SimpleNamespace) -> None:
    scheduler = Scheduler()
    long = job("vim", "long")
    scheduler.submit(long)
    slices = []
    for turn in range(8):
        assert scheduler.next(clock.now) is long
        scheduler.submit(job("sublime", f"{turn}", at=clock.now))
        assert not long.is_interrupted()
        slices.append(long.slice_s)
        clock.now += 5.0
        assert long.is_interrupted()
        scheduler.put_back(long, clock.now)
        found = scheduler.next(clock.now)
        assert found is not None and found.id == f"{turn}"
        scheduler.finish()
    assert slices == [FIRST_SLICE_S * 2**n for n in range(4)] + [LONGEST_SLICE_S] * 4


@pytest.mark.parametrize("order", [("long", "short"), ("short", "long")])
def test_a_short_one_never_waits_for_a_long_one(
    clock: SimpleNamespace, order: tuple[str, str]
) -> None:
    for together in (True, False):
        scheduler, clock.now = Scheduler(), 0.0
        for id in order:
            scheduler.submit(job(id, id, at=clock.now))
            if not together and id == order[0]:
                scheduler.next(0.0)
                scheduler.put_back(scheduler.running, 0.0)  # it has run for a step
        done = play(scheduler, clock, {"long": 60.0, "short": 0.15})
        assert done["short"] < 0.8
        assert done["long"] < 300.0


def test_two_long_ones_come_to_their_ends(clock: SimpleNamespace) -> None:
    scheduler = Scheduler()
    for id in ("one", "other"):
        scheduler.submit(job(id, id))
    done = play(scheduler, clock, {"one": 30.0, "other": 30.0})
    assert max(done.values()) < 4 * 60.0


def test_a_long_one_goes_on_while_others_type(clock: SimpleNamespace) -> None:
    """Its slice comes at the latest when it has waited for STARVING_S."""
    scheduler = Scheduler()
    long = job("vim", "long")
    scheduler.submit(long)
    scheduler.next(0.0)
    scheduler.submit(job("sublime", "first"))
    scheduler.put_back(long, 0.0)
    for number in range(100):
        scheduler.submit(job("sublime", f"{number}", "a", at=clock.now))
        clock.now += 0.1
        if scheduler.next(clock.now) is long:
            break
        scheduler.finish()
    assert STARVING_S < clock.now < STARVING_S + 0.3


def test_a_job_that_was_put_back_can_be_superseded_and_cancelled() -> None:
    scheduler = Scheduler()
    long = job("vim", "1", "a")
    scheduler.submit(long)
    scheduler.next(0.0)
    scheduler.put_back(long, 0.0)
    assert scheduler.knows(b"vim", "1")
    assert scheduler.submit(job("vim", "2", "a")) == [long]
    assert served(scheduler) == ["2"]


def test_one_does_not_give_way_to_oneself(clock: SimpleNamespace) -> None:
    scheduler = Scheduler()
    running = job("vim", "1", "a")
    scheduler.submit(running)
    scheduler.next(0.0)
    scheduler.submit(job("vim", "2", "b"))
    assert not running.is_interrupted()
    clock.now = 10.0
    assert not running.is_interrupted()


def test_where_many_run_together_each_client_has_its_turn_at_once_and_none_is_sliced() -> None:
    scheduler = Scheduler(places=3)
    jobs = [job(client, client) for client in "abcd"]
    for each in jobs:
        scheduler.submit(each)
    run = [scheduler.next(0.0) for _ in range(4)]
    assert run[3] is None and len({each.id for each in run[:3] if each}) == 3
    assert all(each.slice_s is None for each in jobs)
    assert run[0] is not None
    scheduler.finish(run[0])
    assert len(scheduler.left()) == 2
    assert scheduler.next(0.0) is not None


def test_where_many_run_together_a_newer_request_flags_its_own_predecessor_only() -> None:
    scheduler = Scheduler(places=4)
    old, other, elsewhere = job("vim", "1", "a"), job("vim", "2", "b"), job("sublime", "3", "a")
    for each in (old, other, elsewhere):
        scheduler.submit(each)
        scheduler.next(0.0)
    scheduler.submit(job("vim", "4", "a"))
    assert [each.cancelled for each in (old, other, elsewhere)] == [True, False, False]
    assert scheduler.cancel(b"sublime", "3") == (True, None) and elsewhere.cancelled
    assert scheduler.knows(b"vim", "2") and not scheduler.knows(b"vim", "3")
    scheduler.forget(b"vim")
    assert other.cancelled
