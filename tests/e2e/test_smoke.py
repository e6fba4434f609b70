"""The shortest way through everything: SQL, the binary, a real consumer."""

from support import consume, ndjson, stream, wait_until

TABLE = """
    create table orders (id integer primary key, customer text, paid boolean, total numeric(10,2), weight float8, note text);
    alter table orders replica identity full;
"""
CHANGES = (
    "insert into orders values (1, 'Ann', false, 12.50, 0.25, null), (2, 'Bob \"B\"', true, 3, 1.5, 'x')",
    "update orders set paid = true where id = 1",
    "delete from orders where id = 2",
)
ANN = {"id": 1, "customer": "Ann", "paid": False, "total": "12.50", "weight": 0.25, "note": None}
BOB = {"id": 2, "customer": 'Bob "B"', "paid": True, "total": "3.00", "weight": 1.5, "note": "x"}
EXPECTED = [("INSERT", ANN), ("INSERT", BOB), ("UPDATE", {**ANN, "paid": True}), ("DELETE", BOB)]


def check(events, postgres):
    assert [(event["op"], event["data"]) for event in events] == EXPECTED
    # == takes 1, 1.0 and True for the same: the types count too.
    assert [type(event["data"]["id"]) for event in events] == [int] * 4
    assert [type(event["data"]["paid"]) for event in events] == [bool] * 4
    assert {(event["meta"]["source"], event["meta"]["resource"]) for event in events} == {("postgres", "public.orders")}
    now = postgres.value("select extract(epoch from now())::bigint")
    assert all(now - 60 <= event["meta"]["timestamp"] <= now for event in events)
    assert all(event["meta"]["lsn"] for event in events)


def test_insert_update_delete_reach_a_consumer(postgres, kafka, topic, make_outboxx):
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start()
    postgres.execute(*CHANGES)

    messages = consume(kafka.bootstrap(), topic, count=4)

    check([message.json for message in messages], postgres)
    assert [message.key for message in messages] == [b"1", b"2", b"1", b"2"]
    ids = [message.headers["outboxx-id"] for message in messages]
    assert ids == sorted(set(ids))
    assert outboxx.stop() == 0
    assert len(consume(kafka.bootstrap(), topic)) == 4


def test_restart_sends_what_was_missed_and_nothing_twice(postgres, kafka, topic, make_outboxx):
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start()
    postgres.execute(CHANGES[0])
    assert len(consume(kafka.bootstrap(), topic, count=2)) == 2
    assert outboxx.stop() == 0
    postgres.execute(*CHANGES[1:])

    outboxx.start()

    check([message.json for message in consume(kafka.bootstrap(), topic, count=4)], postgres)
    assert outboxx.stop() == 0


def test_stdout_sink_writes_one_line_per_change(postgres, make_outboxx):
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("public.orders")]).start()
    postgres.execute(*CHANGES)

    wait_until(lambda: len(ndjson(outboxx.stdout)) >= 4, 20, "four lines on standard output")

    assert outboxx.stop() == 0
    check(ndjson(outboxx.stdout), postgres)
