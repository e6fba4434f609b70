"""What may be confirmed to PostgreSQL, and what follows from it: nothing is lost, and repeats are few and marked."""

import time

import pytest

from support import consume, lsn, stream, wait_until
from support.witness import (Commits, SlotWatch, TopicCount, Writer, check_history, confirmed_too_early, first_times,
                             longest_pause)

pytestmark = pytest.mark.postgres

TABLE = "create table orders (id int primary key)"
FREQUENT_STATUS = {"pipeline.status_interval_ms": 100}


def rows(postgres):
    return [number for (number,) in postgres.query("select id from orders order by id")]


def started(make_outboxx, postgres, kafka, topic, config=None):
    """Outboxx streams public.orders; the witness sees all that is written from now on."""
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)], config=config).start()
    return outboxx, Commits(postgres)


def for_seconds(seconds):
    """A predicate for wait_until that becomes true after so long."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def test_f1_keepalive_does_not_pass_undelivered_rows(start_postgres, start_kafka, topic, make_outboxx):
    """A keepalive confirmed past rows that Kafka has not acknowledged loses them at the next crash."""
    postgres, kafka = start_postgres(settings={"wal_sender_timeout": "2s"}), start_kafka()
    outboxx, commits = started(make_outboxx, postgres, kafka, topic)
    postgres.execute("create table unpublished (id int)")
    kafka.kill()
    postgres.execute(*(f"insert into orders values ({number})" for number in range(1, 21)))

    with SlotWatch(postgres) as watch, Writer(postgres, "insert into unpublished values (%s)", per_second=50):
        for _ in range(3):
            position = postgres.current_lsn()
            wait_until(lambda at=position: outboxx.metrics()["outboxx_received_lsn"] > at, 20, "a keepalive behind the rows")
        wait_until(for_seconds(3), 10, "status updates and keepalives for three seconds")

    assert len(watch.samples) > 10
    assert confirmed_too_early(watch.samples, commits.read()) == []
    outboxx.kill()
    kafka.start()
    outboxx.start()
    messages = consume(kafka.bootstrap(), topic, count=20)
    check_history(messages, range(1, 21))
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= commits.read()[-1].end, 20, "all is confirmed")


def test_f2_confirmed_position_is_that_of_acknowledged_rows(postgres, kafka, topic, make_outboxx, closing):
    """The newest position received, confirmed once some rows are acknowledged, covers rows that are still in the queue."""
    config = {**FREQUENT_STATUS, "sink.kafka.properties": {"linger.ms": 400}}
    outboxx, commits = started(make_outboxx, postgres, kafka, topic, config)
    count = closing(TopicCount(kafka.bootstrap(), topic))

    with Writer(postgres) as writer:
        with SlotWatch(postgres, count) as watch:
            wait_until(lambda: writer.written >= 300 and len(watch.positions) >= 4, 30, "four positions confirmed")
        for _ in range(3):
            outboxx.kill()
            outboxx.start()
            written = writer.written
            wait_until(lambda at=written: writer.written >= at + 100, 30, "a hundred rows between two crashes")

    assert confirmed_too_early(watch.samples, commits.read()) == []
    expected = rows(postgres)
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= commits.read()[-1].end, 30, "all is confirmed")
    check_history(consume(kafka.bootstrap(), topic, count=len(expected)), expected)


def test_f8_start_of_a_commit_is_never_confirmed(postgres, kafka, topic, make_outboxx, closing):
    """The server sends a transaction again whose commit record starts at the confirmed position: a repeat at each restart."""
    outboxx, commits = started(make_outboxx, postgres, kafka, topic, FREQUENT_STATUS)
    count = closing(TopicCount(kafka.bootstrap(), topic))

    with Writer(postgres) as writer:
        with SlotWatch(postgres, count) as watch:
            wait_until(lambda: len(watch.positions) >= 15, 30, "fifteen positions confirmed")
        assert outboxx.stop() == 0
        outboxx.start()
        wait_until(lambda: writer.written >= 200, 30, "rows after the restart")

    history = commits.read()
    starts = {commit.start for commit in history} - {commit.end for commit in history}
    assert [position for position in watch.positions if position in starts] == []
    assert watch.positions == sorted(watch.positions)
    assert confirmed_too_early(watch.samples, history) == []
    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1)
    assert [message.json["data"]["id"] for message in messages] == expected
    assert [message.headers["outboxx-id"][:16] for message in messages] == [b"%016X" % commit.start for commit in history]


def commit_while_another_is_open(postgres, outboxx, commits, number):
    """Commits one of two open transactions, and the other after a crash of Outboxx that has confirmed the first. Returns
    whether the second commit record starts exactly where the first ends, which is all that the server then knows.
    """
    outboxx.start()
    with postgres.connect(autocommit=False) as first, postgres.connect(autocommit=False) as second:
        first.execute("insert into orders values (%s)", [number])
        second.execute("insert into orders values (%s)", [number + 1])
        first.commit()
        end = commits.read()[-1].end
        wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= end, 20, "the first is confirmed")
        outboxx.kill()
        second.commit()
    confirmed = postgres.slot("outboxx_slot")["confirmed_flush_lsn"]
    return confirmed == end == commits.read()[-1].start


def test_f8b_commit_that_starts_where_the_confirmed_one_ends_is_sent(postgres, kafka, topic, make_outboxx):
    """One byte more than the end of a commit makes the server skip the transaction whose commit record starts there."""
    outboxx, commits = started(make_outboxx, postgres, kafka, topic)
    outboxx.kill()
    number = 1
    while not commit_while_another_is_open(postgres, outboxx, commits, number):
        number += 2
        assert number < 20, "something else was always written between the two commits"
    outboxx.start()

    messages = consume(kafka.bootstrap(), topic, count=number + 1, deadline=30)

    check_history(messages, range(1, number + 2))
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= commits.read()[-1].end, 20, "both are confirmed")


def test_f9_row_positions_that_go_backwards_confirm_nothing(postgres, kafka, topic, make_outboxx, closing):
    """Rows' positions step back between interleaved transactions, and a relation has none: confirmed, they stall or skip."""
    postgres.execute(TABLE, "create table details (id int primary key)")
    kafka.create_topic(topic)
    streams = [stream("public.orders", topic), stream("public.details", topic)]
    outboxx = make_outboxx(postgres, kafka, streams, config=FREQUENT_STATUS).start()
    commits = Commits(postgres)

    with SlotWatch(postgres, closing(TopicCount(kafka.bootstrap(), topic))) as watch:
        for number in range(10, 40, 10):
            with postgres.connect(autocommit=False) as long, postgres.connect() as short:
                long.execute("insert into orders values (%s)", [number])
                short.execute("insert into orders values (%s)", [number + 1])
                short.execute("insert into details select generate_series(%s::int, %s)", [number * 10, number * 10 + 9])
                end = lsn(short.execute("select pg_current_wal_lsn()").fetchone()[0])
                wait_until(lambda at=end: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= at, 20,
                           "the short ones are confirmed while the long one is open")
                long.execute("insert into details values (%s)", [number])
                long.execute(f"alter table orders add column extra{number} int")
                long.execute("insert into orders (id) values (%s)", [number + 2])
                long.commit()
            wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= commits.read()[-1].end, 20,
                       "the long one is confirmed")

    assert watch.positions == sorted(watch.positions)
    assert confirmed_too_early(watch.samples, commits.read()) == []
    assert outboxx.stop() == 0
    outboxx.start()
    messages = consume(kafka.bootstrap(), topic, count=42, until_idle=1)
    expected = []
    for number in range(10, 40, 10):
        expected += [number + 1, *range(number * 10, number * 10 + 10), number, number, number + 2]
    assert [message.json["data"]["id"] for message in messages] == expected
    assert len(first_times(messages)) == len(messages)


def deliver_and_crash(postgres, outboxx, commits, number):
    """Three transactions, delivered and confirmed, and then a crash of the server. Returns whether it forgot some of it."""
    postgres.execute(*(f"insert into orders values ({number + more})" for more in range(3)))
    end = commits.read()[-1].end
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= end, 20, "three transactions are confirmed")
    postgres.stop("immediate")
    assert outboxx.stop() == 0
    postgres.start()
    return postgres.slot("outboxx_slot")["confirmed_flush_lsn"] < end


def test_f13_crash_of_the_server_repeats_the_same_ids_and_loses_nothing(start_postgres, kafka, topic, make_outboxx):
    """The server forgets what was confirmed since it last saved the slot; a repeat under another id cannot be dropped."""
    postgres = start_postgres(fsync=True)
    outboxx, commits = started(make_outboxx, postgres, kafka, topic)
    number = 1
    while not deliver_and_crash(postgres, outboxx, commits, number):
        number += 3
        assert number < 20, "the server never forgot"
        outboxx.start()
    outboxx.start()
    postgres.execute(f"insert into orders values ({number + 3})")

    expected = range(1, number + 4)
    messages = wait_until(lambda: complete(kafka, topic, number + 3), 30, "the last row")

    check_history(messages, expected)
    assert len(messages) > len(expected)


def complete(kafka, topic, last):
    """All messages, once the last one is there."""
    messages = consume(kafka.bootstrap(), topic)
    return messages if any(message.json["data"]["id"] == last for message in messages) else None


def test_f84_confirmation_advances_under_steady_load(postgres, kafka, topic, make_outboxx):
    """A program that confirms when its queue is empty never does under load: the server keeps all WAL."""
    postgres.execute(TABLE)
    kafka.create_topic(topic, 4)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)],
                           config={"sink.kafka.properties": {"linger.ms": 300}}).start()

    with Writer(postgres) as writer:
        wait_until(lambda: writer.written > 100, 20, "a hundred rows")
        with SlotWatch(postgres) as watch:
            wait_until(for_seconds(8), 20, "eight seconds of load")

    assert len(watch.samples) > 40
    assert longest_pause(watch.samples, lambda sample: sample.confirmed) < 3
    end = postgres.current_lsn()  # the stop reads no more: it may leave the last row to the next start
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= end, 20, "all is confirmed")
    assert outboxx.stop() == 0
    messages = consume(kafka.bootstrap(), topic)
    assert sorted(message.json["data"]["id"] for message in messages) == rows(postgres)
