"""What is asked for, in memory: bounded, in the order in which it was asked for, and counted as a whole."""

from datetime import UTC, datetime

from modelship_lab.server.labeling.leases import MAX_LEASES, Leases
from modelship_lab.server.labeling.waiting import Request, Waiting


def request(number, purpose="review", not_by=(), only_by=None):
    return Request(number, 1000 + number, purpose, "", tuple(not_by), only_by, "", datetime.now(UTC))


def test_what_does_not_fit_is_counted_until_it_is_time_to_read_it():
    waiting = Waiting(limit=10)
    requests = [request(number, not_by=["ann"]) for number in range(12)]
    for one in requests:
        waiting.add(one)
    assert (len(waiting), waiting.counts("ben"), waiting.counts("ann")) == (10, {"review": 12}, {})
    # One that is in the database alone may concern any sample.
    assert waiting.may_concern([7])
    waiting.remove(requests[11])
    for one in requests[:5]:
        waiting.remove(one)
    assert (waiting.counts("ben"), waiting.is_short) == ({"review": 6}, False)
    waiting.remove(requests[5])
    assert waiting.is_short


def test_each_sample_comes_once_by_purpose_and_age():
    waiting = Waiting(limit=10)
    for one in (
        request(3, not_by=["ann"]),
        request(1, "repeat", only_by="ben"),
        request(2, not_by=["eve"]),
        request(4, "adjudication"),
    ):
        waiting.add(one)
    asked = waiting.asked("ben", ("adjudication", "review", "repeat"), 10, ())
    assert [one.id for one in asked] == [4, 2, 3, 1]
    assert [one.id for one in waiting.asked("ann", ("adjudication", "review", "repeat"), 10, {1004})] == [2]
    assert waiting.asked("ben", ("review",), 1, ())[0].id == 2


def test_a_lease_ends_by_time_by_its_holder_or_by_a_decision():
    moment = [0.0]
    leases = Leases(lambda: moment[0])
    leases.take(1, [1, 2, 3], "ann", 60)
    assert (leases.taken(1, "ben"), leases.taken(1, "ann"), leases.taken(2, "ben")) == (
        {1, 2, 3},
        set(),
        set(),
    )
    leases.decided(1, [3])
    moment[0] = 50
    leases.renew(1, [2, 3, 4], "ann", 60)
    moment[0] = 70
    assert leases.taken(1, "ben") == {2}
    assert leases.release(1, "ann") == 2
    assert leases.taken(1, "ben") == set()


def test_leases_are_bounded():
    leases = Leases()
    leases.take(1, range(MAX_LEASES + 10), "ann", 60)
    taken = leases.taken(1, "ben")
    assert len(taken) == MAX_LEASES
    assert 0 not in taken and MAX_LEASES + 9 in taken
