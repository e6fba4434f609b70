"""Recovery times are those that a consumer has: from the fault to the first change that was committed after it."""

from soak.history import Change, Event, History, Matching, Transaction
from soak.recovery import recoveries, repetitions
from soak.report import percentiles

TOPICS = {"t.orders": "public.orders"}


def flowing(arrivals, faults):
    """A change each 0.1 s from 0.0 on, the n-th committed at n / 10; arrivals: n -> when, if not 0.01 s later."""
    history = History(dict(TOPICS), faults=faults)
    for number in range(100):
        committed = number / 10
        arrived = arrivals.get(number, committed + 0.01)
        history.transactions.append(Transaction(number, 10 * number + 10, [Change("public.orders", "INSERT", f"id[integer]:{number}")], committed))
        history.events.append(Event("t.orders", 0, number, int(arrived * 1000), b"%016X-%012X-0000" % (10 * number + 5, 0), b"1",
                                    b'{"op":"INSERT","data":{"id":%d},"meta":{"resource":"public.orders"}}' % number, arrived))
    return history


def fault(name, begun, healed=None):
    return {"name": name, "at": begun, "begun": begun, "healed": healed or begun, "found": None, "graceful": False}


def measured(history):
    return [(each.kind, round(each.took, 3), each.alone) for each in recoveries(history, Matching(history))]


def test_record_that_was_on_its_way_is_no_recovery():
    """It is appended and arrives after the kill, and was committed before it."""
    late = {50: 5.06, **{number: 7.0 for number in range(51, 70)}}
    assert measured(flowing(late, [fault("program: SIGKILL", 5.05)])) == [("killed and restarted", 1.95, True)]


def test_server_counts_from_when_it_is_back():
    late = {number: 8.0 for number in range(50, 80)}
    assert measured(flowing(late, [fault("server: killed", 4.95, 6.5)])) == [("PostgreSQL back", 1.5, True)]


def test_fault_into_an_outage_is_not_alone():
    late = {number: 8.0 for number in range(50, 80)}
    found = measured(flowing(late, [fault("program: SIGKILL", 5.05), fault("program: SIGKILL", 6.55)]))
    assert found == [("killed and restarted", 2.95, False), ("killed and restarted", 1.45, False)]


def test_fault_that_lasts_from_before_is_not_alone():
    found = measured(flowing({}, [fault("kafka net: delay", 4.0, 6.0), fault("program: SIGKILL", 5.05)]))
    assert found == [("killed and restarted", 0.06, False)]


def test_fault_after_which_nothing_came_has_no_recovery():
    assert measured(flowing({}, [fault("program: SIGKILL", 9.95)])) == []


def test_repetitions_are_counted_for_the_kill_that_caused_them():
    history = flowing({number: 6.0 for number in range(51, 60)}, [fault("program: SIGKILL", 5.05), fault("program: SIGKILL", 8.05)])
    for number in (49, 50):
        first = history.events[number]
        history.events.append(Event("t.orders", 0, 100 + number, 5900, first.id, first.key, first.value, 5.91))
    matching = Matching(history)
    assert [(number, round(age, 2)) for number, age in repetitions(recoveries(history, matching), matching)] == [(0, 0.0), (2, 0.14)]


def test_percentiles_of_few_numbers():
    assert percentiles([]) == {"n": 0}
    assert percentiles([3, 1, 2]) == {"n": 3, "p50": 2, "p99": 3, "max": 3}
