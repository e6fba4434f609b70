"""The rows that are there when the slot is made: each told once, and never out of order with the changes that follow."""

import os
import re
import signal
import time

import pytest
from support import consume, ndjson, sanitized, stream, wait_until
from support.snapshot import (THROTTLE, Changes, Rebuilt, check_equal, create_partitioned, create_table, request, rows_of, rows_read,
                              wait_state)

ALL = ("read", "insert", "update", "delete")
SLOT = "outboxx_slot"
COMMITTED = {"isolation.level": "read_committed"}


def reading(table, topic, **more):
    return stream(f"public.{table}", topic, operations=ALL, routing_key="ident", **more)


def wait_delivered(postgres, deadline=60):
    """Everything that is committed now is confirmed."""
    target = postgres.current_lsn()
    wait_until(lambda: postgres.slot(SLOT)["confirmed_flush_lsn"] >= target, deadline, "the slot has confirmed everything")


def reads(kafka, topic, config=None):
    return [message for message in consume(kafka.bootstrap(), topic, config=config) if message.json["op"] == "READ"]


def test_rows_of_every_kind_of_table_are_read_once(postgres, kafka, topic, make_outboxx):
    create_table(postgres, "orders", 5000)
    postgres.execute("create table one (ident int primary key)", "insert into one values (7)",
                     "create table none (ident int primary key)",
                     "create table keyless (ident int, v text)", "alter table keyless replica identity full",
                     "insert into keyless select n, 'v' from generate_series(1, 1000) n, generate_series(1, 2)")
    tables = ["orders", "one", "none", "keyless"]
    for table in tables:
        kafka.create_topic(f"{topic}.{table}", 3)
    before = postgres.current_lsn()
    streams = [reading(table, f"{topic}.{table}") for table in tables]
    streams[3]["source"]["operations"] = ["read", "insert"]
    outboxx = make_outboxx(postgres, kafka, streams).start()
    outboxx.wait_log("snapshot complete")

    messages = consume(kafka.bootstrap(), f"{topic}.orders", count=5000)
    assert len(messages) == 5000
    check_equal(Rebuilt(messages), rows_of(postgres, "orders"))
    assert len(reads(kafka, f"{topic}.one")) == 1
    assert len(reads(kafka, f"{topic}.none")) == 0
    assert len(consume(kafka.bootstrap(), f"{topic}.keyless", count=2000)) == 2000
    # Every row tells the position at which the slot begins, and when it was made.
    metas = {(message.json["meta"]["lsn"], message.json["meta"]["timestamp"]) for message in messages}
    assert len(metas) == 1
    (position, timestamp), = metas
    assert before < int(position.split("/")[1], 16) <= postgres.slot(SLOT)["confirmed_flush_lsn"]
    assert abs(timestamp - time.time()) < 60
    ids = [message.headers["outboxx-id"] for message in messages]
    assert len(set(ids)) == 5000
    for partition in range(3):
        own = [message.headers["outboxx-id"] for message in messages if message.partition == partition]
        assert own == sorted(own), "ids rise in each partition"
    assert rows_read(outboxx, "orders") == 5000
    assert outboxx.stop() == 0

    # A complete one is not begun again.
    outboxx.start()
    postgres.execute("insert into one values (8)")
    assert [message.json["op"] for message in consume(kafka.bootstrap(), f"{topic}.one", count=2)] == ["READ", "INSERT"]
    assert outboxx.log.count("snapshot started") == 1


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_f53_no_row_overtakes_a_change(delivery, postgres, kafka, topic, make_outboxx):
    """Writers go on through the whole snapshot, and the table that a consumer builds is the source's."""
    seed = int(time.time())
    print(f"seed {seed}")
    create_table(postgres, "orders", 8000)
    create_partitioned(postgres, "parts", 8000)
    postgres.execute("create publication outboxx_publication for table orders, parts with (publish_via_partition_root = true)")
    for table in ("orders", "parts"):
        kafka.create_topic(f"{topic}.{table}", 3)
    outboxx = make_outboxx(postgres, kafka, [reading(table, f"{topic}.{table}") for table in ("orders", "parts")],
                           config={"source.postgres.snapshot.chunk_bytes": 65536, "sink.kafka.delivery": delivery, **THROTTLE})
    with Changes(postgres, ["orders", "parts"], seed) as changes:
        outboxx.start()
        outboxx.wait_log("snapshot started")
        during = changes.count
        outboxx.wait_log("snapshot complete", 60)
        assert changes.count > during + 100, "changes came during the snapshot"
        after = changes.count
        wait_until(lambda: changes.count > after + 100, 20, "changes after the snapshot")
    wait_delivered(postgres)
    for table in ("orders", "parts"):
        rebuilt = Rebuilt(consume(kafka.bootstrap(), f"{topic}.{table}", config=COMMITTED))
        assert rebuilt.stale == [] and rebuilt.unknown == []
        check_equal(rebuilt, rows_of(postgres, table))
        assert max(rebuilt.reads.values()) == 1
    assert outboxx.stop() == 0
    assert "reconnecting" not in outboxx.log


def test_publication_decides_which_rows_and_columns_are_read(postgres, kafka, topic, make_outboxx):
    if postgres.version < 15:
        pytest.skip("row filters and column lists are new in PostgreSQL 15")
    create_table(postgres, "orders", 100)
    postgres.execute("create publication outboxx_publication for table orders (ident, id, version) where (ident <= 10)")
    kafka.create_topic(topic)
    streams = [reading("orders", topic)]
    streams[0]["source"]["operations"] = ["read", "insert"]
    outboxx = make_outboxx(postgres, kafka, streams).start()
    outboxx.wait_log("snapshot complete")
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, count=10))
    check_equal(rebuilt, {ident: row for ident, row in rows_of(postgres, "orders", "ident, id, version").items() if ident <= 10})


def test_leaves_are_told_under_their_own_names_if_the_publication_does(postgres, kafka, topic, make_outboxx):
    create_partitioned(postgres, "parts", 30)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("parts_1", topic)]).start()
    outboxx.wait_log("snapshot complete")
    messages = consume(kafka.bootstrap(), topic, count=10)
    assert {message.json["meta"]["resource"] for message in messages} == {"public.parts_1"}
    assert {message.json["data"]["ident"] % 3 for message in messages} == {1}


def test_full_sink_pauses_the_reading_and_the_server_is_answered(start_postgres, start_kafka, make_outboxx):
    """Ten seconds without a broker: five times the server's patience with a client that says nothing."""
    postgres = start_postgres(settings={"wal_sender_timeout": "2s"})
    kafka = start_kafka()
    create_table(postgres, "orders", 10_000)
    kafka.create_topic("orders", 3)
    outboxx = make_outboxx(postgres, kafka, [reading("orders", "orders")],
                           config={"source.postgres.snapshot.connections": 4, **THROTTLE}).start()
    wait_until(lambda: rows_read(outboxx, "orders") > 100, 20, "some rows")
    kafka.pause()
    resumed = time.monotonic() + 10
    wait_until(lambda: time.monotonic() >= resumed, 15, "ten seconds without a broker")
    peak = outboxx.rss_bytes()[1]
    kafka.resume()
    outboxx.wait_log("snapshot complete", 60)
    messages = consume(kafka.bootstrap(), "orders", count=10_000)
    assert len(messages) == 10_000
    check_equal(Rebuilt(messages), rows_of(postgres, "orders"))
    assert "reconnecting" not in outboxx.log
    assert peak < 64 * 1024 * 1024


def test_f54_nothing_is_held_back_once_the_tables_are_read(postgres, kafka, topic, make_outboxx):
    """No transaction stays open, and the tables are free for whoever alters them."""
    create_table(postgres, "orders", 20_000)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("orders", topic)], config=THROTTLE).start()
    readers = "select count(*) from pg_stat_activity where application_name = 'outboxx' and xact_start is not null and backend_type = 'client backend'"
    wait_until(lambda: rows_read(outboxx, "orders") > 100, 20, "some rows")
    assert postgres.value(readers) == 2
    with postgres.connect() as owner:
        owner.execute("set lock_timeout = '60s'")
        owner.execute("alter table orders add column later int")
    outboxx.wait_log("snapshot complete")
    wait_until(lambda: postgres.value(readers) == 0, 10, "the readers have gone")
    assert len(consume(kafka.bootstrap(), topic, count=20_000)) == 20_000


def test_f54_alter_of_a_table_that_only_one_reader_has_locked_goes_through(postgres, kafka, topic, make_outboxx):
    """It waits for that reader, another one waits behind it, and the first waits for the other's rows: no server sees that."""
    tables = {"orders": 10_000, "invoices": 10_000, "others": 30_000}
    for table, rows in tables.items():
        create_table(postgres, table, rows)
        kafka.create_topic(f"{topic}.{table}")
    outboxx = make_outboxx(postgres, kafka, [reading(table, f"{topic}.{table}") for table in tables], config=THROTTLE).start()
    wait_until(lambda: rows_read(outboxx, "invoices") > 100, 20, "some rows")
    with postgres.connect() as owner:  # "others" is not begun
        owner.execute("set lock_timeout = '60s'")
        owner.execute("alter table others add column later int")
    outboxx.wait_log("snapshot complete", 90)
    for table, rows in tables.items():
        assert {message.json["data"]["ident"] for message in consume(kafka.bootstrap(), f"{topic}.{table}")} == set(range(1, rows + 1))


def test_mode_only_reads_and_ends(postgres, kafka, topic, make_outboxx):
    create_table(postgres, "orders", 1000)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("orders", topic)], config={"source.postgres.snapshot.mode": "only"})
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == 0, outboxx.log
    assert len(reads(kafka, topic)) == 1000
    wait_until(lambda: postgres.query("select slot_name from pg_replication_slots") == [], 10, "no slot is left")
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == 0
    assert len(reads(kafka, topic)) == 2000


@pytest.fixture
def all_rows_in_flight(postgres, kafka, topic, make_outboxx):
    """A copy whose 1000 rows are read, and the broker is paused before the first has arrived."""
    create_table(postgres, "orders", 1000)
    kafka.create_topic(topic)
    config = {"source.postgres.snapshot.mode": "only", "pipeline.drain_timeout_ms": 0}
    outboxx = make_outboxx(postgres, kafka, [reading("orders", topic)], config=config)
    with postgres.connect() as owner, owner.transaction():
        owner.execute("lock table orders in access exclusive mode")
        outboxx.start(ready=False)
        waiting = "select count(*) from pg_locks where not granted and relation = 'orders'::regclass"
        wait_until(lambda: postgres.value(waiting) > 0, 30, "it wants to read the table")
        kafka.pause()
    try:
        wait_until(lambda: outboxx.metrics()["outboxx_in_flight_records"] == 1000, 30, "all rows are read, and none has arrived")
        yield outboxx
    finally:
        kafka.resume()


def test_mode_only_ends_when_kafka_has_all_rows_however_long_that_takes(all_rows_in_flight, postgres, kafka, topic):
    """A stop gives up what is not delivered in time, as it comes again. Here nothing would come again."""
    postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'")
    all_rows_in_flight.wait_log("reconnecting")
    kafka.resume()
    assert all_rows_in_flight.wait_exit() == 0, all_rows_in_flight.log
    assert {message.json["data"]["ident"] for message in reads(kafka, topic)} == set(range(1, 1001))


def test_mode_only_that_is_stopped_before_its_end_is_no_success(all_rows_in_flight):
    all_rows_in_flight.signal(signal.SIGTERM)
    assert all_rows_in_flight.wait_exit() == 128 + signal.SIGTERM
    assert "stopped before all rows had arrived" in all_rows_in_flight.log


def test_mode_never_and_an_adopted_slot_read_nothing(postgres, kafka, topic, make_outboxx):
    create_table(postgres, "orders", 100)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("orders", topic)], config={"source.postgres.snapshot.mode": "never"}).start()
    postgres.execute("insert into orders values (1000, 1000, 0, 0, '', null)")
    assert [message.json["op"] for message in consume(kafka.bootstrap(), topic, count=1)] == ["INSERT"]
    assert outboxx.stop() == 0
    # Another state topic knows nothing of the slot.
    adopting = make_outboxx(postgres, kafka, [reading("orders", topic)], config={"state.topic": f"state-{topic}"},
                            args=["--adopt-slot"]).start()
    postgres.execute("insert into orders values (1001, 1001, 0, 0, '', null)")
    assert [message.json["op"] for message in consume(kafka.bootstrap(), topic, count=2)] == ["INSERT", "INSERT"]
    assert not re.search("snapshot started", adopting.log)


def test_stdout_has_the_rows_too(postgres, make_outboxx):
    create_table(postgres, "orders", 100)
    outboxx = make_outboxx(postgres, None, [reading("orders", "orders")]).start()
    outboxx.wait_log("snapshot complete")
    wait_until(lambda: outboxx.stdout.count('"READ"') == 100, 20, "all rows")
    assert outboxx.stop() == 0


def test_rows_of_all_sizes_arrive_over_tls(start_postgres, make_outboxx):
    """poll(2) does not announce what OpenSSL holds: rows that end within a TLS record would wait for ever."""
    postgres = start_postgres(ssl=True)
    create_table(postgres, "orders", 3000, big_every=3)
    postgres.execute("update orders set note = repeat('n', ident * 13)")
    connection = postgres.conninfo(sslmode="verify-full", host="localhost", sslrootcert=postgres.certificates.ca)
    outboxx = make_outboxx(connection, None, [reading("orders", "orders")]).start()
    outboxx.wait_log("snapshot complete")
    wait_state(outboxx, request(outboxx, "public.orders"), "complete")
    assert outboxx.stop() == 0
    told = ndjson(outboxx.stdout)
    assert len(told) == 6000
    expected = rows_of(postgres, "orders")
    assert {event["data"]["ident"]: event["data"] for event in told[:3000]} == expected
    assert {event["data"]["ident"]: event["data"] for event in told[3000:]} == expected


def test_row_of_a_hundred_megabytes(postgres, make_outboxx):
    """Is in memory four times, in libpq's buffer, in its copy of the row, as the record and in the sink, and no more."""
    size = 100_000_000
    postgres.execute("create table orders (ident int primary key, big text)", "alter table orders alter big set storage external",
                     f"insert into orders values (1, 'small'), (2, repeat('x', {size})), (3, 'small')")
    outboxx = make_outboxx(postgres, None, [reading("orders", "orders")]).start()
    outboxx.wait_log("snapshot complete", 60)
    wait_until(lambda: os.path.getsize(outboxx.stdout_path) > size, 60, "the row on standard output")
    peak = outboxx.rss_bytes()[1]
    assert outboxx.stop() == 0
    assert [(event["data"]["ident"], len(event["data"]["big"])) for event in ndjson(outboxx.stdout)] == [(1, 5), (2, size), (3, 5)]
    assert sanitized() or peak < 64 * 1024 * 1024 + 4 * size, f"{peak / 1024 / 1024:.1f} MiB"
