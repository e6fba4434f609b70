"""Volume: a backlog of a million rows arrives whole, once and in order, in bounded memory, however it was committed; and memory
does not grow with the number of sessions.
"""

import json

import pytest

from support import stream, wait_until
from support.consumer import Reader, end_offsets

ROWS = 1_000_000
MEMORY_BYTES_MAX = 64 * 1024 * 1024
TABLE = """create table benchmark_records (id bigint primary key, account_id bigint not null, numeric_field numeric(20, 6) not null,
 status text not null, payload jsonb not null, created_at timestamptz not null default clock_timestamp(),
 updated_at timestamptz not null default clock_timestamp());
 alter table benchmark_records replica identity full"""
LOAD = """insert into benchmark_records select i, i * 7919 %% 10000000, i / 1000.0, (array['new', 'active', 'paused', 'closed'])[i %% 4 + 1],
 jsonb_build_object('source', 'cdc-benchmark', 'seq', i, 'padding', repeat('x', 60)) from generate_series(%s::bigint, %s::bigint) i"""

pytestmark = pytest.mark.slow


def arrived_ids(kafka, topic):
    """The ids in the topic's order, as far as it goes now."""
    ids = []
    with Reader(kafka.bootstrap(), topic) as reader:
        while not reader.at_end:
            message = reader.read()
            if message:
                ids.append(json.loads(message.value)["data"]["id"])
    return ids


@pytest.mark.parametrize("rows_per_transaction", [10_000, ROWS], ids=["transactions_of_10000", "f57_one_transaction"])
def test_million_rows_arrive_once_and_in_order_within_64_mib(rows_per_transaction, postgres, kafka, topic, make_outboxx):
    """What buffers a transaction, or counts on the queue to be drained in time, shows in the memory."""
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.benchmark_records", topic)]).start()
    assert outboxx.stop() == 0  # the slot is there: the load becomes a backlog
    for first in range(1, ROWS + 1, rows_per_transaction):
        with postgres.connect() as connection:
            connection.execute(LOAD, [first, first + rows_per_transaction - 1])

    outboxx.start()
    wait_until(lambda: sum(end_offsets(kafka.bootstrap(), topic).values()) >= ROWS, 180, "a million records in the topic")

    peak = outboxx.rss_bytes()[1]
    assert outboxx.stop() == 0
    assert arrived_ids(kafka, topic) == list(range(1, ROWS + 1))
    assert peak <= MEMORY_BYTES_MAX, f"{peak / 1024 / 1024:.1f} MiB"


def test_hundred_reconnects_do_not_grow_the_memory(postgres, kafka, topic, make_outboxx):
    """Each session has a Kafka client with threads of its own; what they leave behind adds up. `make soak-resources` does a
    thousand.
    """
    postgres.execute("create table orders (id int generated always as identity primary key, filler text)")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start()

    def sessions(count):
        for _ in range(count):
            old = postgres.walsender_pid()
            postgres.terminate_backend()
            wait_until(lambda gone=old: postgres.walsender_pid() not in (None, gone), 60, "another session streams")
            postgres.execute("insert into orders (filler) values ('x')")
            end = postgres.current_lsn()
            wait_until(lambda at=end: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= at, 60, "the row is confirmed")
        return outboxx.rss_bytes()[0]

    before = sessions(30)
    growth = sessions(100) - before
    assert growth <= 1024 * 1024, f"{growth / 1024 / 1024:.2f} MiB"
    assert outboxx.stop() == 0
