"""What a change looks like in Kafka: keys, partitions, old rows, unchanged TOAST, DDL, event ids."""

import collections
import json
import re

import pytest

from support import consume, ndjson, stream, wait_until

pytestmark = pytest.mark.postgres

UNCHANGED = "__outboxx_unknown_value__"
EVENT_ID = re.compile(rb"[0-9A-F]{16}-[0-9A-F]{12}-[0-9A-F]{4}")


def lines(outboxx, count):
    """The events on standard output once there are count of them."""
    wait_until(lambda: len(ndjson(outboxx.stdout)) >= count, 30, f"{count} lines on standard output")
    events = ndjson(outboxx.stdout)
    assert len(events) == count
    return events


def told(event):
    return event["op"], event["data"]


@pytest.mark.parametrize("identity", ["default", "full"])
def test_f36_update_of_the_key_is_one_update_in_the_new_keys_partition(identity, postgres, kafka, topic, make_outboxx):
    """A consumer would miss the move, see it twice, or find the row where records of its key never are."""
    kafka.create_topic(topic, 6)
    postgres.execute("create table routed (id int primary key, v text)", f"alter table routed replica identity {identity}")
    outboxx = make_outboxx(postgres, kafka, [stream("routed", topic)]).start()
    postgres.execute("insert into routed select g, 'v' || g from generate_series(1, 12) g",
                     "update routed set id = id + 100", "update routed set v = 'again' where id > 100", "delete from routed where id = 101")

    messages = consume(kafka.bootstrap(), topic, count=37)

    assert len(messages) == 37
    by_key = collections.defaultdict(list)
    for message in messages:
        by_key[message.key].append(message)
    assert all(len({message.partition for message in records}) == 1 for records in by_key.values())
    for number in range(1, 13):
        assert [told(message.json) for message in by_key[b"%d" % number]] == [("INSERT", {"id": number, "v": f"v{number}"})]
        moved = [told(message.json) for message in by_key[b"%d" % (number + 100)]]
        assert moved[:2] == [("UPDATE", {"id": number + 100, "v": f"v{number}"}), ("UPDATE", {"id": number + 100, "v": "again"})]
    [removed] = [told(message.json) for message in by_key[b"101"]][2:]
    assert removed == ("DELETE", {"id": 101} if identity == "default" else {"id": 101, "v": "again"})
    assert len({message.partition for message in messages}) > 1
    assert outboxx.stop() == 0


@pytest.mark.parametrize("identity", ["default", "full"])
def test_f67_unchanged_toast_is_a_marker_and_not_null(identity, postgres, make_outboxx):
    """A value that PostgreSQL did not send would overwrite the consumer's copy with null."""
    postgres.execute("create table big (id int primary key, body text, note text, n int)",
                     "alter table big alter body set storage external", f"alter table big replica identity {identity}")
    outboxx = make_outboxx(postgres, None, [stream("big")]).start()
    body, other = "x" * 3000, "y" * 3000
    postgres.execute(f"insert into big values (1, '{body}', null, 1)", "update big set n = 2", "update big set id = 2, n = 3",
                     f"update big set body = '{other}'", "update big set body = null", "update big set n = 4", "delete from big")

    events = lines(outboxx, 7)

    rows = [(1, body, 1), (1, UNCHANGED, 2), (2, UNCHANGED, 3), (2, other, 3), (2, None, 3), (2, None, 4)]
    assert [event["data"] for event in events[:6]] == [dict(zip(["id", "body", "note", "n"], (i, b, None, n))) for i, b, n in rows]
    gone = {"id": 2} if identity == "default" else {"id": 2, "body": None, "note": None, "n": 4}
    assert told(events[6]) == ("DELETE", gone)
    assert outboxx.stop() == 0


def test_f67_full_old_row_of_a_delete_has_its_toasted_value(postgres, make_outboxx):
    """The last value of a long column would be lost with the row."""
    postgres.execute("create table big (id int primary key, body text)", "alter table big alter body set storage external",
                     "alter table big replica identity full", "insert into big values (1, repeat('x', 3000))")
    outboxx = make_outboxx(postgres, None, [stream("big")]).start()
    postgres.execute("delete from big")
    assert told(lines(outboxx, 1)[0]) == ("DELETE", {"id": 1, "body": "x" * 3000})


def test_f67_routing_key_that_was_not_sent_comes_from_the_old_row(postgres, kafka, topic, make_outboxx):
    """The record would get a made-up key and land in another partition."""
    kafka.create_topic(topic, 6)
    postgres.execute("create table big (id int primary key, tenant text, n int)", "alter table big alter tenant set storage external",
                     "alter table big replica identity full")
    outboxx = make_outboxx(postgres, kafka, [stream("big", topic, routing_key="tenant")]).start()
    postgres.execute("insert into big values (1, repeat('x', 3000), 1)", "update big set n = 2")

    messages = consume(kafka.bootstrap(), topic, count=2)

    assert [(message.key, message.json["data"]["tenant"]) for message in messages] == [
        (b"x" * 3000, "x" * 3000), (b"x" * 3000, UNCHANGED)]
    assert len({message.partition for message in messages}) == 1
    assert outboxx.stop() == 0


def test_f67_routing_key_that_nobody_sent_ends_the_program(postgres, kafka, topic, make_outboxx):
    """A change without a key would be dropped, or get an invented one; the hint's SQL helps from then on."""
    postgres.execute("create table big (id int primary key, tenant text, n int)", "alter table big alter tenant set storage external")
    outboxx = make_outboxx(postgres, kafka, [stream("big", topic, routing_key="tenant", operations=["insert", "update"])]).start()
    postgres.execute("insert into big values (1, repeat('x', 3000), 1)")
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
    confirmed = postgres.current_lsn()

    postgres.execute("update big set n = 2")

    assert outboxx.wait_exit() == 66
    hint = outboxx.wait_log('routing column "tenant" was not sent').replace("\\", "")
    assert 'ALTER TABLE "public"."big" REPLICA IDENTITY FULL' in hint
    assert len(consume(kafka.bootstrap(), topic)) == 1
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= confirmed


def test_f41_ddl_in_the_middle_of_a_transaction(postgres, make_outboxx):
    """Values would stand under the names that the table had before or after."""
    postgres.execute("create table t (id int primary key, a int, b text)")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    postgres.execute("""begin;
        insert into t values (1, 10, 'b');
        alter table t add c bool default true; insert into t values (2, 20, 'b', false); update t set a = 11 where id = 1;
        alter table t rename a to z; insert into t values (3, 30, 'b', null);
        alter table t drop b; insert into t values (4, 40, true);
        alter table t alter z type text using 'n' || z; insert into t values (5, '50', true);
        commit""", "insert into t values (6, '60', true)")

    assert [list(event["data"].items()) for event in lines(outboxx, 7)] == [
        [("id", 1), ("a", 10), ("b", "b")],
        [("id", 2), ("a", 20), ("b", "b"), ("c", False)],
        [("id", 1), ("a", 11), ("b", "b"), ("c", True)],
        [("id", 3), ("z", 30), ("b", "b"), ("c", None)],
        [("id", 4), ("z", 40), ("c", True)],
        [("id", 5), ("z", "50"), ("c", True)],
        [("id", 6), ("z", "60"), ("c", True)]]
    assert outboxx.stop() == 0


def test_f64_table_of_1600_columns(postgres, make_outboxx):
    """A fixed array or a limit inside would fail, or cut the row."""
    names = [f"column_with_a_rather_long_name_{number}" for number in range(1599)]
    postgres.execute(f"create table wide (id int primary key, {', '.join(f'{name} int' for name in names)})",
                     "alter table wide replica identity full")
    outboxx = make_outboxx(postgres, None, [stream("wide")]).start()
    postgres.execute(f"insert into wide values (1, {', '.join(map(str, range(1599)))})",
                     f"update wide set {names[-1]} = null, {names[0]} = -1", "delete from wide")

    inserted, updated, deleted = lines(outboxx, 3)

    row = {"id": 1, **dict(zip(names, range(1599)))}
    assert list(inserted["data"].items()) == list(row.items())
    assert updated["data"] == {**row, names[0]: -1, names[-1]: None}
    assert told(deleted) == ("DELETE", updated["data"])
    assert outboxx.stop() == 0


def test_delete_with_default_identity_has_the_key_columns_only(postgres, make_outboxx):
    """Columns that PostgreSQL did not send would look like nulls."""
    postgres.execute("create table pairs (v text, id int, region text, note text, primary key (region, id))")
    outboxx = make_outboxx(postgres, None, [stream("pairs")]).start()
    postgres.execute("insert into pairs values ('v', 1, 'eu', 'n')", "delete from pairs")
    assert [told(event) for event in lines(outboxx, 2)] == [
        ("INSERT", {"v": "v", "id": 1, "region": "eu", "note": "n"}), ("DELETE", {"id": 1, "region": "eu"})]


def test_partitioned_table_is_streamed_under_its_own_name(postgres, make_outboxx):
    """Changes would come under the partitions' names, which no stream knows, or not at all."""
    postgres.execute("create table metrics (id int, day date, n int, primary key (id, day)) partition by range (day)",
                     "create table metrics_1 partition of metrics for values from ('2024-01-01') to ('2024-02-01')",
                     "create table metrics_2 partition of metrics for values from ('2024-02-01') to ('2024-03-01')")
    outboxx = make_outboxx(postgres, None, [stream("metrics")]).start()
    postgres.execute("insert into metrics values (1, '2024-01-05', 1)", "update metrics set n = 2",
                     "update metrics set day = '2024-02-05'",  # moves the row to the other partition
                     "create table metrics_3 partition of metrics for values from ('2024-03-01') to ('2024-04-01')",
                     "insert into metrics values (2, '2024-03-05', 3)", "delete from metrics where id = 2")

    events = lines(outboxx, 6)

    assert {event["meta"]["resource"] for event in events} == {"public.metrics"}
    assert [told(event) for event in events] == [
        ("INSERT", {"id": 1, "day": "2024-01-05", "n": 1}), ("UPDATE", {"id": 1, "day": "2024-01-05", "n": 2}),
        ("DELETE", {"id": 1, "day": "2024-01-05"}), ("INSERT", {"id": 1, "day": "2024-02-05", "n": 2}),
        ("INSERT", {"id": 2, "day": "2024-03-05", "n": 3}), ("DELETE", {"id": 2, "day": "2024-03-05"})]
    assert outboxx.stop() == 0


def test_each_stream_of_a_table_gets_its_own_record(postgres, kafka, topic, make_outboxx):
    """A stream would get what it did not ask for, or two records of one change would have one id."""
    postgres.execute("create table t (id int primary key, customer text)", "alter table t replica identity full")
    streams = [stream("t", f"{topic}-all", name="all"), stream("t", f"{topic}-all", name="again", operations=["insert"]),
               stream("t", f"{topic}-by-customer", name="by_customer", routing_key="customer", operations=["insert", "delete"])]
    outboxx = make_outboxx(postgres, kafka, streams).start()
    postgres.execute("insert into t values (1, 'Ann')", "update t set customer = 'Bob'", "delete from t")

    every = consume(kafka.bootstrap(), f"{topic}-all", count=4)
    by_customer = consume(kafka.bootstrap(), f"{topic}-by-customer", count=2)

    assert [(message.key, message.json["op"]) for message in every] == [
        (b"1", "INSERT"), (b"1", "INSERT"), (b"1", "UPDATE"), (b"1", "DELETE")]
    assert [(message.key, message.json["op"]) for message in by_customer] == [(b"Ann", "INSERT"), (b"Bob", "DELETE")]
    ids = [message.headers["outboxx-id"] for message in every]
    assert ids == sorted(set(ids))
    parts = {}
    for message in every + by_customer:
        event_id = message.headers["outboxx-id"]
        assert list(message.headers) == ["outboxx-id"] and EVENT_ID.fullmatch(event_id)
        parts.setdefault(event_id[:29], []).append(event_id[30:])
    assert [sorted(found) for _, found in sorted(parts.items())] == [[b"0000", b"0001", b"0002"], [b"0000"], [b"0000", b"0001"]]
    assert outboxx.stop() == 0


def test_event_ids_rise_and_stay_the_same_when_sent_again(postgres, kafka, topic, make_outboxx, make_proxy):
    """A consumer that keeps the highest id of each partition would drop a change, or take one twice."""
    kafka.create_topic(topic, 6)
    postgres.execute("create table t (id int primary key, n int)", "create table other (id int)")
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    outboxx = make_outboxx(postgres.conninfo(port=proxy.port), kafka, [stream("t", topic)]).start()
    proxy.pause("up")  # PostgreSQL hears of no delivery
    for round_ in range(20):
        first = round_ * 10
        postgres.execute(f"insert into t select g, 0 from generate_series({first}, {first + 9}) g",
                         f"begin; insert into other values (1); update t set n = n + 1 where id >= {first}; commit")
    sent = consume(kafka.bootstrap(), topic, count=400)
    assert len(sent) == 400
    outboxx.kill()
    proxy.cut()
    proxy.resume()
    outboxx.start()

    again = consume(kafka.bootstrap(), topic, count=800)

    assert len(again) == 800
    firsts, repetitions = {}, {}
    highest = collections.defaultdict(bytes)
    for message in again:
        event_id = message.headers["outboxx-id"]
        assert EVENT_ID.fullmatch(event_id)
        place = repetitions if event_id in firsts else firsts
        place[event_id] = (message.partition, message.key, message.value)
        if place is firsts:
            assert event_id > highest[message.partition]
            highest[message.partition] = event_id
    assert firsts == repetitions and len(firsts) == 400
    assert len({event_id[:16] for event_id in firsts}) == 40  # transactions
    updates = [int(event_id[17:29], 16) for event_id, (_, _, value) in firsts.items() if json.loads(value)["op"] == "UPDATE"]
    assert min(updates) == 0 and max(updates) == 9  # an unpublished table's change is not counted
    assert outboxx.stop() == 0
