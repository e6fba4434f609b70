"""The server is answered whatever the sink does, and what nobody asked for does not hold up its WAL or its shutdown."""

import re
import time

import pytest

from support import consume, sanitized, stream, wait_until
from support.witness import Commits, SlotWatch, Writer, check_history, confirmed_too_early, longest_pause

TABLES = ("create table orders (id int primary key, filler text)", "create table unpublished (id int)")
UNPUBLISHED = "insert into unpublished values (%s)"
WAL_SENDER_TIMEOUT = {"wal_sender_timeout": "2s"}


def started(make_outboxx, postgres, kafka, topic, config=None):
    postgres.execute(*TABLES)
    kafka.create_topic(topic)
    return make_outboxx(postgres, kafka, [stream("public.orders", topic)], config=config).start()


def confirmed(postgres):
    return postgres.slot("outboxx_slot")["confirmed_flush_lsn"]


def rows(postgres):
    return [number for (number,) in postgres.query("select id from orders order by id")]


def seconds_to_stop(postgres):
    began = time.monotonic()
    postgres.stop("fast")
    return time.monotonic() - began


@pytest.mark.parametrize("version", [15, 17])
def test_f4_confirmation_follows_when_only_unpublished_tables_are_written(version, start_postgres, kafka, topic, make_outboxx):
    """Keepalives that are never confirmed keep all WAL of a database whose published tables are quiet."""
    postgres = start_postgres(version)
    outboxx = started(make_outboxx, postgres, kafka, topic)

    with Writer(postgres, UNPUBLISHED):
        for _ in range(2):
            position = postgres.current_lsn()
            wait_until(lambda at=position: confirmed(postgres) >= at, 10, "the slot follows within ten seconds")
    postgres.execute("insert into unpublished select generate_series(1, 50000)")
    position = postgres.current_lsn()

    wait_until(lambda: confirmed(postgres) >= position, 10, "the slot follows a large transaction within ten seconds")

    assert outboxx.stop() == 0
    assert consume(kafka.bootstrap(), topic) == []


@pytest.mark.parametrize("load", ["quiet", "unpublished", "published"])
def test_f4_fast_shutdown_of_the_server_does_not_wait_for_us(load, postgres, kafka, topic, make_outboxx):
    """A server that shuts down waits until all that it sent is confirmed, keepalives included: for ever, if they are not."""
    outboxx = started(make_outboxx, postgres, kafka, topic)
    postgres.execute("insert into orders values (0)")
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
    postgres.execute("insert into unpublished select generate_series(1, 1000)")

    if load == "quiet":
        seconds = seconds_to_stop(postgres)
    else:
        with Writer(postgres, UNPUBLISHED if load == "unpublished" else "insert into orders values (%s)") as writer:
            wait_until(lambda: writer.written > 200, 20, "two hundred transactions")
            seconds = seconds_to_stop(postgres)

    assert seconds < 6  # it would be the grace of 10 s at least; the bar of 2 s is for a quiet machine: see the slow test
    outboxx.wait_log(re.compile("reconnecting: .*(shutting down|terminating connection)"))
    postgres.start()
    expected = rows(postgres)
    outboxx.wait_ready()
    check_history(consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1), expected)


@pytest.mark.slow
@pytest.mark.parametrize("load", ["quiet", "published"])
def test_f4_fast_shutdown_takes_less_than_two_seconds(load, postgres, kafka, topic, make_outboxx):
    """The same with the time that is promised."""
    outboxx = started(make_outboxx, postgres, kafka, topic)
    postgres.execute("insert into orders values (0)")
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
    with Writer(postgres, per_second=1000 if load == "published" else 0.001) as writer:
        wait_until(lambda: writer.written > 1000 or load == "quiet", 20, "a thousand transactions")
        assert seconds_to_stop(postgres) < 2
    assert outboxx.running


def stuck_for(seconds, postgres, kafka, outboxx, watch):
    """The broker stands still while rows and other tables are written; then it goes on."""
    kafka.pause()
    with watch, Writer(postgres, "insert into orders values (%s, repeat('x', 1000))", per_second=100), Writer(postgres, UNPUBLISHED):
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end, seconds + 10, "the time with a stuck broker")
        paused = outboxx.metrics()["outboxx_reading_paused"]
    kafka.resume()
    return paused


def check_answered(watch, expected_interval):
    """All the time, and by the same connection."""
    assert len({sample.walsender for sample in watch.samples} - {None}) == 1
    assert all(sample.walsender for sample in watch.samples)
    assert longest_pause(watch.samples, lambda sample: sample.replied) < expected_interval


def check_stuck_broker(start_postgres, start_kafka, topic, make_outboxx, in_flight, seconds, expected_interval):
    postgres, kafka = start_postgres(settings=WAL_SENDER_TIMEOUT), start_kafka()
    outboxx = started(make_outboxx, postgres, kafka, topic, {"sink.kafka.in_flight_bytes_max": in_flight})
    commits = Commits(postgres)
    watch = SlotWatch(postgres)

    paused = stuck_for(seconds, postgres, kafka, outboxx, watch)

    assert paused == (1 if in_flight == 65536 else 0)
    check_answered(watch, expected_interval)
    assert confirmed_too_early(watch.samples, commits.read()) == []
    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1)
    assert [message.json["data"]["id"] for message in messages] == expected
    assert outboxx.stop() == 0


@pytest.mark.parametrize("in_flight", [8 * 1024 * 1024, 65536], ids=["reading", "reading-paused"])
def test_f6_f7_stuck_broker_does_not_end_the_connection(start_postgres, start_kafka, topic, make_outboxx, in_flight):
    """Without status updates the server ends the connection after wal_sender_timeout, and sends all again, for ever."""
    check_stuck_broker(start_postgres, start_kafka, topic, make_outboxx, in_flight, 8, 1.8)


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [8 * 1024 * 1024, 65536], ids=["reading", "reading-paused"])
def test_f6_f7_stuck_broker_for_twenty_seconds_is_answered_every_quarter_of_the_timeout(
        start_postgres, start_kafka, topic, make_outboxx, in_flight):
    """The same with the times that are promised: 20 s, and a status update every wal_sender_timeout / 4."""
    check_stuck_broker(start_postgres, start_kafka, topic, make_outboxx, in_flight, 20, 0.5 + 0.25)


def test_f7_idle_stream_outlives_a_short_wal_sender_timeout(start_postgres, kafka, topic, make_outboxx):
    """The timeout is read on the walsender's own connection: a role may have a shorter one than the server."""
    postgres = start_postgres()
    postgres.execute("alter role postgres set wal_sender_timeout = '1s'")
    outboxx = started(make_outboxx, postgres, kafka, topic)

    with SlotWatch(postgres) as watch:
        wait_until(lambda: len({sample.replied for sample in watch.samples}) > 8, 20, "eight status updates")

    check_answered(watch, 2 if sanitized() else 0.95)
    assert outboxx.running
