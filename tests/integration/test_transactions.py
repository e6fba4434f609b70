"""Transactions of every shape: rolled back, nested, prepared, without changes, over very many tables, with messages in them."""

import pytest

from support import consume, lsn, ndjson, sanitized, stream, wait_until

TABLE = "create table orders (id int primary key, filler text)"
MIB = 1024 * 1024
TABLES = 10_000

pytestmark = pytest.mark.postgres


def wait_confirmed(postgres):
    """All that was written so far is confirmed: what should have come has come."""
    position = postgres.current_lsn()
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= position, 60, "all is confirmed")


def ids(outboxx):
    return [event["data"]["id"] for event in ndjson(outboxx.stdout)]


def test_f58_f59_f60_only_what_is_committed_is_seen_however_large(start_postgres, make_outboxx):
    """A server that is asked for it sends transactions before they end, and later which parts to forget: we never ask."""
    postgres = start_postgres(settings={"logical_decoding_work_mem": "64kB"})
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    fill = "insert into orders select g, repeat('x', 200) from generate_series({}, {}) g;"
    with postgres.connect() as lasting, postgres.connect() as given_up:
        lasting.execute("begin;" + fill.format(1, 2000))
        given_up.execute("begin;" + fill.format(10001, 12000))
        lasting.execute("savepoint a;" + fill.format(2001, 4000) + "savepoint b;" + fill.format(4001, 5000) + "rollback to a;" +
                        fill.format(2001, 2500) + "savepoint c;" + fill.format(2501, 3000) + "release c")
        given_up.execute("savepoint a;" + fill.format(12001, 14000) + "release a")
        postgres.execute(fill.format(5001, 5010))
        given_up.execute("rollback")
        assert ids(outboxx) in ([], list(range(5001, 5011)))
        lasting.execute("commit")
    wait_confirmed(postgres)

    assert ids(outboxx) == [*range(5001, 5011), *range(1, 3001)]
    assert postgres.value("select spill_txns + stream_txns > 0 from pg_stat_replication_slots where slot_name = 'outboxx_slot'")
    assert postgres.value("select stream_txns from pg_stat_replication_slots where slot_name = 'outboxx_slot'") == 0
    assert outboxx.stop() == 0


def test_f61_hundred_thousand_subtransactions(postgres, make_outboxx):
    """Work per subtransaction that grows with their number never ends."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    postgres.execute("""do $$ begin for i in 1..100000 loop
        begin insert into orders values (i); if i % 10 = 0 then raise 'no'; end if; exception when raise_exception then null; end;
        end loop; end $$""")
    wait_confirmed(postgres)

    assert ids(outboxx) == [number for number in range(1, 100_001) if number % 10]
    assert outboxx.stop() == 0


def test_f62_prepared_transaction_is_seen_when_it_is_committed_and_only_then(postgres, make_outboxx):
    """A change sent at PREPARE is a phantom if it is rolled back, and comes twice if it is not."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    for number in (1, 2):
        postgres.execute(f"begin; insert into orders values ({number}); prepare transaction 'p{number}'")
    postgres.execute("insert into orders values (3)")
    wait_confirmed(postgres)
    assert outboxx.stop() == 0
    outboxx.start()
    postgres.execute("rollback prepared 'p1'", "insert into orders values (4)", "commit prepared 'p2'", "insert into orders values (5)")
    wait_confirmed(postgres)

    assert ids(outboxx) == [3, 4, 2, 5]
    assert outboxx.stop() == 0


def test_f70_logical_messages_are_not_asked_for_and_hold_up_nothing(postgres, make_outboxx):
    """A message outside a transaction has a position of its own: confirmed too early or never, it loses rows or keeps WAL."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    with postgres.connect() as long:
        long.execute("begin; insert into orders values (1); select pg_logical_emit_message(true, 'ours', 'inside')")
        postgres.execute("select pg_logical_emit_message(false, 'ours', 'between')", "insert into orders values (2)")
        long.execute("select pg_logical_emit_message(false, 'ours', 'outside, while open'); insert into orders values (3); commit")
    position = lsn(postgres.value("select pg_logical_emit_message(false, 'ours', 'the last')::text"))

    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= position, 20, "the slot passes the last message")

    assert ids(outboxx) == [2, 1, 3]
    outboxx.kill()
    outboxx.start()
    postgres.execute("insert into orders values (4)")
    wait_confirmed(postgres)
    assert ids(outboxx) == [2, 1, 3, 4]
    assert outboxx.stop() == 0


def test_f68_one_change_to_a_hundred_streams_within_the_cap(postgres, kafka, topic, make_outboxx):
    """What one row becomes must be counted against the cap too, or a fan-out fills the memory; and no stream may miss it."""
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    streams = [stream("orders", topic, name=f"stream_{number}") for number in range(100)]
    outboxx = make_outboxx(postgres, kafka, streams, config={"sink.kafka.in_flight_bytes_max": 65536}).start()
    before = outboxx.rss_bytes()[0]
    postgres.execute("insert into orders select g, repeat('x', 5000) from generate_series(1, 100) g")

    messages = consume(kafka.bootstrap(), topic, count=10_000)

    assert [message.json["data"]["id"] for message in messages] == [number for number in range(1, 101) for _ in range(100)]
    assert len({message.headers["outboxx-id"] for message in messages}) == 10_000
    wait_confirmed(postgres)
    assert sanitized() or outboxx.rss_bytes()[1] - before < 24 * MIB
    assert outboxx.stop() == 0


def test_f69_backlog_is_caught_up_in_bounded_memory_and_in_order(postgres, make_outboxx):
    """After hours of standing still all that was written comes at once."""
    postgres.execute(TABLE, "create table other (id int)")
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    assert outboxx.stop() == 0
    for first in range(1, 100_000, 10_000):
        postgres.execute(f"insert into orders select g, repeat('x', 300) from generate_series({first}, {first + 9_999}) g",
                         "insert into other select generate_series(1, 5000)")
    backlog = postgres.current_lsn()

    outboxx.start()
    before = outboxx.rss_bytes()[0]
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= backlog, 60, "the backlog is confirmed")

    assert ids(outboxx) == list(range(1, 100_001))
    assert outboxx.metrics()["outboxx_transactions_total"] >= 10
    assert sanitized() or outboxx.rss_bytes()[1] - before < 24 * MIB
    assert outboxx.stop() == 0


@pytest.mark.slow
def test_f63_ten_thousand_tables_in_bounded_memory(start_postgres, make_outboxx):
    """The server describes each table before its first change, and we keep what it says."""
    postgres = start_postgres(settings={"max_locks_per_transaction": 1000})
    for first in range(0, TABLES, 1000):
        postgres.execute(f"""do $$ begin for i in {first}..{first + 999} loop
            execute format('create table t%s (id int primary key, customer_name text, delivery_address text, created_at timestamptz)', i);
            end loop; end $$""")
    postgres.execute(TABLE, "create publication outboxx_publication for all tables")
    outboxx = make_outboxx(postgres, None, [stream("orders")], config={"source.postgres.publication": "existing"}).start()
    postgres.execute("insert into orders values (1)")
    wait_confirmed(postgres)
    before = outboxx.rss_bytes()[0]
    for _ in range(2):
        postgres.execute(f"do $$ begin for i in 0..{TABLES - 1} loop execute format('insert into t%s values (1) on conflict (id)"
                         " do update set customer_name = ''x''', i); end loop; end $$")
    postgres.execute("insert into orders values (2)")
    wait_confirmed(postgres)

    growth = outboxx.rss_bytes()[1] - before
    assert ids(outboxx) == [1, 2]
    assert outboxx.metrics()["outboxx_changes_skipped_total"] == 2 * TABLES
    assert growth < 20 * MIB, f"{growth / MIB:.1f} MiB"
    assert len(outboxx.get("/metrics")[1].splitlines()) < 500  # a line per table would fill the store of metrics
    assert outboxx.stop() == 0
