"""The checker is not blind: each check finds a fault that is planted into a sound history, and is content without it."""

import json

import pytest

from soak.checker import CHECKS, check
from soak.history import UNCHANGED, Change, Event, History, Status, Transaction, tuple_of

TOPICS = {"t.orders": "public.orders", "t.items": "public.items"}


def event(number, topic, offset, commit, ordinal, op, data, appended, partition=0):
    value = {"op": op, "data": data, "meta": {"source": "postgres", "resource": TOPICS[topic], "timestamp": 1, "lsn": "0/1"}}
    assert number >= 0
    return Event(topic, partition, offset, appended, b"%016X-%012X-0000" % (commit, ordinal), str(data["id"]).encode(),
                 json.dumps(value, separators=(",", ":")).encode())


def status(at, flush, session=1, known=True, received=1000):
    return Status(session=session, at=at, write=flush, flush=flush, apply=flush, known=known, received=received)


def sound():
    """Three transactions over two tables, a TRUNCATE in the second, and a replay of the last two after a restart."""
    history = History(dict(TOPICS))
    history.transactions = [
        Transaction(1, 110, [Change("public.orders", "INSERT", "id[integer]:1 name[text]:'it''s'"),
                             Change("public.items", "INSERT", "id[integer]:1 wide[text]:'xxxx' n[integer]:1"),
                             Change("public.side", "INSERT", "id[integer]:7")]),
        Transaction(3, 220, [Change("public.items", "UPDATE", "id[integer]:1 wide[text]:unchanged-toast-datum n[integer]:2"),
                             Change("public.orders", "TRUNCATE", "(no-flags)"),
                             Change("public.orders", "INSERT", "id[integer]:2 name[text]:null")]),
        Transaction(4, 330, [Change("public.orders", "UPDATE", "old-key: id[integer]:2 new-tuple: id[integer]:3 name[text]:'b'"),
                             Change("public.items", "DELETE", "id[integer]:1")]),
    ]
    first = event(0, "t.orders", 0, 100, 0, "INSERT", {"id": 1, "name": "it's"}, 1000)
    later = [("t.items", 200, 0, "UPDATE", {"id": 1, "wide": UNCHANGED, "n": 2}), ("t.orders", 200, 2, "INSERT", {"id": 2, "name": None}),
             ("t.orders", 300, 0, "UPDATE", {"id": 3, "name": "b"}), ("t.items", 300, 1, "DELETE", {"id": 1})]
    history.events = [first, event(0, "t.items", 0, 100, 1, "INSERT", {"id": 1, "wide": "xxxx", "n": 1}, 1000)]
    for appended, offset in ((2000, 1), (5000, 3)):
        for number, (topic, commit, ordinal, op, data) in enumerate(later):
            history.events.append(event(0, topic, offset + (number in (2, 3)), commit, ordinal, op, data, appended))
    history.statuses = [status(0.5, 100), status(1.0, 110), status(4.0, 110, session=2), status(5.0, 330, session=2)]
    history.journal = [(1, "committed"), (2, "aborted"), (3, "committed"), (4, "unknown")]
    history.tables = {"public.orders": [{"id": 3, "name": "b"}], "public.items": []}
    history.faults = [{"name": "kill", "graceful": False, "begun": 3.0, "healed": 3.0}]
    history.samples = [{"rss": 10, "fds": 5}]
    history.facts = {"drained_s": 1.0, "drain_bound_s": 60, "budget": {"rss": 20}, "secrets": ["canary"]}
    return history


def test_sound_history_has_no_violation():
    assert check(sound()) == {name: [] for name in CHECKS}


def lose(history):
    history.events = [event for event in history.events if not (event.topic == "t.orders" and event.id.startswith(b"%016X" % 200))]


def forget_commit(history):
    history.journal.append((99, "committed"))


def invent(history):
    history.events.append(event(0, "t.orders", 9, 300, 7, "INSERT", {"id": 9, "name": "x"}, 6000))


def invent_transaction(history):
    history.events.append(event(0, "t.orders", 9, 900, 0, "INSERT", {"id": 9, "name": "x"}, 6000))


def tell_aborted(history):
    history.journal = [(1, "committed"), (3, "aborted")]


def tell_ghost(history):
    history.events[0].value = history.events[0].value.replace(b'"id":1', b'"id":1,"ghost":true')


def go_to_wrong_topic(history):
    history.events[0].topic = "t.items"
    history.events[0].partition = 1


def be_graceful(history):
    history.faults = [{"name": "term", "graceful": True, "begun": 3.0, "healed": 3.0}]


def be_exactly_once(history):
    history.facts["exactly_once"] = True


def repeat_confirmed(history):
    history.events.append(event(0, "t.orders", 9, 100, 0, "INSERT", {"id": 1, "name": "it's"}, 9000))


def swap(history):
    orders = [number for number, each in enumerate(history.events) if each.topic == "t.orders"][1:3]
    history.events[orders[0]], history.events[orders[1]] = history.events[orders[1]], history.events[orders[0]]


def repeat_with_gap(history):
    history.events.append(event(0, "t.items", 9, 100, 1, "INSERT", {"id": 1, "wide": "xxxx", "n": 1}, 6000))
    history.events.append(event(0, "t.items", 10, 300, 1, "DELETE", {"id": 1}, 6000))


def change_repetition(history):
    history.events[-1].value = history.events[-1].value.replace(b'"id":1', b'"id":1,"x":2')


def move_key(history):
    history.events[-1].partition = 1


def show_toast_as_null(history):
    for each in history.events:
        each.value = each.value.replace(json.dumps(UNCHANGED).encode(), b"null")


def change_row(history):
    history.tables["public.orders"][0]["name"] = "c"


def leave_row(history):
    history.tables["public.items"].append({"id": 4})


def split(history):
    be_exactly_once(history)
    history.transactions = [Transaction(1, 110, [Change("public.orders", "INSERT", f"id[integer]:{number}") for number in (1, 2)])]
    history.events = [event(0, "t.orders", offset, 100, number, "INSERT", {"id": number + 1}, 1000) for number, offset in ((0, 0), (1, 2))]


def tear(history):
    """Two transactions that one topic has in one Kafka transaction, the other in two."""
    be_exactly_once(history)
    rows = [Change(f"public.{table}", "INSERT", f"id[integer]:{number}") for number in (1, 2) for table in ("orders", "items")]
    history.transactions = [Transaction(1, 110, rows[:2]), Transaction(3, 220, rows[2:])]
    history.events = [event(0, "t.orders", 0, 100, 0, "INSERT", {"id": 1}, 1000), event(0, "t.orders", 1, 200, 0, "INSERT", {"id": 2}, 1000),
                      event(0, "t.items", 0, 100, 1, "INSERT", {"id": 1}, 1000), event(0, "t.items", 2, 200, 1, "INSERT", {"id": 2}, 1000)]


def confirm_early(history):
    history.statuses[1].at = 0.999


def confirm_commit_start(history):
    history.statuses[1].known = False


def confirm_unreceived(history):
    history.statuses[1].received = 109


def go_back(history):
    history.statuses.append(status(6.0, 220, session=2))


def lose_the_shape(history):
    history.events[0].value = b'{"op":"INSERT","data":{"id":1}}'


def lose_the_id(history):
    history.events[0].id = b""


def hang(history):
    history.facts["drained_s"] = None


def give_up(history):
    history.starts.append({"code": 70, "why": "kill", "unexpected": True})


def grow(history):
    history.samples.append({"rss": 21, "fds": 5})


@pytest.mark.parametrize("name, plant", [
    ("K1 no loss", lose), ("K1 no loss", forget_commit),
    ("K2 no phantom", invent), ("K2 no phantom", invent_transaction), ("K2 no phantom", tell_aborted), ("K2 no phantom", tell_ghost),
    ("K2 no phantom", go_to_wrong_topic), ("K2 no phantom", lose_the_id),
    ("K3 no duplicate", be_graceful), ("K3 no duplicate", be_exactly_once),
    ("K4 bounded duplicates", repeat_confirmed),
    ("K5 order", swap), ("K5 order", repeat_with_gap), ("K5 order", change_repetition), ("K5 order", move_key), ("K5 order", repeat_confirmed),
    ("K6 content", show_toast_as_null), ("K6 content", change_row), ("K6 content", leave_row),
    ("K7 atomicity", split), ("K7 atomicity", tear),
    ("K8 slot safety", confirm_early), ("K8 slot safety", confirm_commit_start), ("K8 slot safety", confirm_unreceived),
    ("K8 slot safety", go_back), ("K8 slot safety", lose),
    ("K9 schema", lose_the_shape), ("K9 schema", lose_the_id),
    ("K10 liveness", hang), ("K10 liveness", give_up),
    ("K11 resources", grow),
])
def test_planted_fault_is_found(name, plant):
    history = sound()
    plant(history)
    assert check(history)[name]


def test_late_record_of_a_process_that_was_taken_over_is_no_violation_at_least_once():
    """F85: it had been in flight when the process was frozen; a consumer that filters by id drops it."""
    history = sound()
    history.events.append(event(0, "t.orders", 9, 200, 2, "INSERT", {"id": 2, "name": None}, 8000))
    assert check(history)["K5 order"]
    history.faults.append({"name": "program: taken over", "graceful": False, "begun": 2.0, "healed": 8.0})
    assert check(history) == {name: [] for name in CHECKS}
    history.facts["exactly_once"] = True
    assert check(history)["K3 no duplicate"]
    assert check(history)["K5 order"]


def test_secret_in_an_output_is_found(tmp_path):
    history = sound()
    log = tmp_path / "outboxx.log"
    log.write_text("could not connect with canary")
    history.outputs = [str(log)]
    assert check(history)["K12 silence"]


def test_text_of_test_decoding_is_read_whole():
    text = """id[bigint]:9007199254740993 "a ""b"[character varying]:'x = ''y'' [z]:1' ok[boolean]:true many[integer[]]:'{1,2}' """ \
           """bits[bit varying]:B'01' price[numeric]:12.50 f[double precision]:1.5 none[text]:null"""
    assert tuple_of(text) == {"id": 9007199254740993, 'a "b': "x = 'y' [z]:1", "ok": True, "many": "{1,2}", "bits": "B'01'",
                              "price": "12.50", "f": 1.5, "none": None}
    with pytest.raises(ValueError, match="cannot read"):
        tuple_of("id[integer]:1 broken")
