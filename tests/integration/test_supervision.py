"""Servers go away and come back: what passes by itself is waited for, what does not ends the process with its code."""

import contextlib
import os
import re
import signal
import time

import pytest

from support import consume, free_port, sanitized, stream, wait_until
from support.witness import Writer, check_history, first_times

TABLE = "create table orders (id int primary key, filler text)"
INSERT = "insert into orders select generate_series({}, {})"
SLACK = 4 if sanitized() else 1
UNREACHABLE = 'outboxx_reconnects_total{side="postgres",reason="unreachable"}'


def prepared(make_outboxx, postgres, kafka, topic, conninfo=None, **options):
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    return make_outboxx(conninfo or postgres, kafka, [stream("public.orders", topic)], **options)


def started(*arguments, **options):
    return prepared(*arguments, **options).start()


def ids(messages):
    return [message.json["data"]["id"] for message in messages]


def rows(postgres):
    return [number for (number,) in postgres.query("select id from orders order by id")]


def arrives(kafka, topic, number, deadline):
    """Until the row has arrived; returns the seconds that took."""
    began = time.monotonic()
    wait_until(lambda: number in ids(consume(kafka.bootstrap(), topic)), deadline, f"row {number}", interval=0.1)
    return time.monotonic() - began


def reconnects(outboxx, side, cause):
    return outboxx.metrics()[f'outboxx_reconnects_total{{side="{side}",reason="{cause}"}}']


def check_alive_and_not_ready(outboxx):
    assert outboxx.get("/healthz") == (200, "ok\n")
    assert outboxx.get("/readyz")[0] == 503
    assert outboxx.metrics()["outboxx_streaming"] == 0


# PostgreSQL goes away.

@pytest.mark.parametrize("end", ["fast", "immediate", "kill"])
def test_restart_of_postgres_is_survived(end, start_postgres, kafka, topic, make_outboxx):
    """Each restart of the server would be an alarm, and a service manager that gives up after some."""
    postgres = start_postgres(fsync=True)
    outboxx = started(make_outboxx, postgres, kafka, topic)
    for number in range(3):
        with Writer(postgres, first=number * 100_000 + 1) as writer:
            wait_until(lambda at=writer: at.written >= 100, 30, "a hundred rows")
            postgres.kill9() if end == "kill" else postgres.stop(end)
        wait_until(lambda: outboxx.metrics()["outboxx_streaming"] == 0, 10, "the loss is noticed")
        check_alive_and_not_ready(outboxx)
        postgres.start()
        marker = number * 100_000 + 99_999
        postgres.execute(INSERT.format(marker, marker))
        assert arrives(kafka, topic, marker, 30) < 5 * SLACK

    assert reconnects(outboxx, "postgres", "lost") + reconnects(outboxx, "postgres", "restart") >= 3
    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1)
    assert [number for number in ids(first_times(messages)) if number in set(expected)] == expected
    assert outboxx.stop() == 0


def test_postmaster_that_is_killed_alone_is_survived(start_postgres, kafka, topic, make_outboxx):
    """Its children end by themselves, each at its own time."""
    postgres = start_postgres(fsync=True)
    outboxx = started(make_outboxx, postgres, kafka, topic)
    postgres.process.kill()
    postgres.process.wait(10)
    wait_until(lambda: outboxx.metrics()["outboxx_streaming"] == 0, 20, "the loss is noticed")
    wait_until(lambda: postgres.start(), 30, "the server starts")  # not while the memory of the old one is in use
    postgres.execute(INSERT.format(1, 3))
    arrives(kafka, topic, 3, 30)
    assert ids(consume(kafka.bootstrap(), topic, count=3)) == [1, 2, 3]
    assert outboxx.stop() == 0


def test_long_outage_is_waited_for_without_a_flood_of_lines_and_a_stop_ends_it(postgres, kafka, topic, make_outboxx):
    """The log of an outage must not fill the disk, and a stop must not wait for the end of a pause."""
    outboxx = started(make_outboxx, postgres, kafka, topic)
    postgres.stop()
    lines = len(outboxx.log.splitlines())
    wait_until(lambda: outboxx.metrics()[UNREACHABLE] >= 8, 30 * SLACK, "eight attempts")
    check_alive_and_not_ready(outboxx)
    line = outboxx.wait_log("reconnecting: ")
    assert re.search(r"side=postgres.* wait_ms=\d+", line)
    assert "connection to server at" in outboxx.log
    assert len(outboxx.log.splitlines()) - lines < 10

    began = time.monotonic()
    assert outboxx.stop() == 0
    assert time.monotonic() - began < SLACK


def test_f19_terminated_walsender_is_replaced_at_once(postgres, kafka, topic, make_outboxx):
    """An administrator ends sessions now and then."""
    outboxx = started(make_outboxx, postgres, kafka, topic)
    for number in range(1, 6):
        walsender = wait_until(postgres.walsender_pid, 10, "a walsender")
        assert postgres.terminate_backend() == 1
        wait_until(lambda old=walsender: postgres.walsender_pid() not in (None, old), 5 * SLACK, "another walsender")
        postgres.execute(INSERT.format(number, number))
    check_history(consume(kafka.bootstrap(), topic, count=5, until_idle=1), [1, 2, 3, 4, 5])
    assert reconnects(outboxx, "postgres", "restart") == 5
    assert "57P01" in outboxx.wait_log("reconnecting: ")
    assert outboxx.stop() == 0


def seconds_until_found(outboxx, deadline):
    began = time.monotonic()
    outboxx.wait_log("PostgreSQL has not answered", deadline)
    return time.monotonic() - began


def test_f17_black_hole_is_found_and_the_left_session_is_ended(postgres, kafka, topic, make_outboxx, make_proxy):
    """No FIN ever comes: the stream looks idle for ever, and the slot stays busy until wal_sender_timeout."""
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    conninfo = postgres.conninfo(host="127.0.0.1,127.0.0.1", port=f"{proxy.port},{postgres.port}")  # another way, as after a failover
    outboxx = started(make_outboxx, postgres, kafka, topic, conninfo, config={"source.postgres.connect_timeout_ms": 2000})
    walsender = postgres.walsender_pid()
    proxy.pause()

    assert seconds_until_found(outboxx, 35 * SLACK) < 30 * SLACK

    assert postgres.walsender_pid() == walsender  # the server knows nothing of it
    outboxx.wait_log("ended our former session", 10 * SLACK)
    outboxx.wait_ready(10 * SLACK)
    assert postgres.walsender_pid() != walsender
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    assert outboxx.stop() == 0


def test_f18_frozen_walsender_is_found(start_postgres, kafka, topic, make_outboxx):
    """The kernel of the server acknowledges all we send, so TCP sees nothing wrong."""
    postgres = start_postgres(settings={"wal_sender_timeout": "60s"})
    outboxx = started(make_outboxx, postgres, kafka, topic)
    walsender = postgres.walsender_pid()
    os.kill(walsender, signal.SIGSTOP)
    try:
        assert seconds_until_found(outboxx, 35 * SLACK) < 30 * SLACK
        check_alive_and_not_ready(outboxx)
        outboxx.wait_log("ended our former session")
    finally:
        os.kill(walsender, signal.SIGCONT)
    outboxx.wait_ready(10 * SLACK)
    assert postgres.walsender_pid() != walsender
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    assert outboxx.stop() == 0


# What does not pass by itself.

def test_f56_wrong_password_ends_it_at_once_and_is_tried_once(postgres, kafka, topic, make_outboxx):
    """A storm of logins locks accounts and fills the server's log."""
    postgres.execute("create role cdc login replication superuser password 'right'")
    postgres.set_hba(["host all cdc 127.0.0.1/32 scram-sha-256"])
    postgres.reload()
    outboxx = prepared(make_outboxx, postgres, kafka, topic, postgres.conninfo(user="cdc", password="right")).start()
    failures = postgres.log.count("password authentication failed")
    assert failures == 0

    postgres.execute("alter role cdc password 'changed'")
    postgres.terminate_backend("usename = 'cdc'")

    assert outboxx.wait_exit() == 66
    assert "password authentication failed" in outboxx.log
    assert postgres.log.count("password authentication failed for user") == 1


def test_f25_slot_that_vanished_is_not_made_anew(postgres, kafka, topic, make_outboxx):
    """A new slot begins at the present: all between would be missing, and nobody would know."""
    outboxx = started(make_outboxx, postgres, kafka, topic)
    with postgres.connect() as connection:
        connection.execute("select pg_terminate_backend(pid), pg_sleep(0) from pg_stat_replication")
        wait_until(lambda: dropped(connection), 10, "the slot is dropped", interval=0.001)

    assert outboxx.wait_exit() == 72
    assert "does not exist, but changes before" in outboxx.log
    assert postgres.slot("outboxx_slot") is None


def dropped(connection):
    connection.execute("select pg_terminate_backend(pid) from pg_stat_replication")
    connection.execute("select pg_drop_replication_slot('outboxx_slot')")
    return True


def test_unreachable_server_at_the_start_ends_it_within_seconds(postgres, kafka, topic, make_outboxx):
    """A typing mistake in the host must not look like an outage."""
    conninfo = postgres.conninfo(port=free_port())
    began = time.monotonic()
    outboxx = prepared(make_outboxx, postgres, kafka, topic, conninfo).start(ready=False)
    assert outboxx.wait_exit() == 69
    assert time.monotonic() - began < 5 * SLACK


def test_wait_waits_for_both_servers_at_the_start(postgres, start_kafka, topic, make_outboxx):
    """Where all is started at once, nothing guarantees the order."""
    kafka = start_kafka()
    outboxx = prepared(make_outboxx, postgres, kafka, topic, args=["--wait"])
    kafka.stop()
    postgres.stop()
    outboxx.start(ready=False)
    wait_until(lambda: outboxx.metrics()[UNREACHABLE] >= 2, 20, "attempts")
    check_alive_and_not_ready(outboxx)
    postgres.start()
    wait_until(lambda: reconnects(outboxx, "kafka", "unreachable") >= 1, 30, "PostgreSQL is there, Kafka not")
    kafka.start()
    outboxx.wait_ready(15 * SLACK)
    assert outboxx.stop() == 0


def test_wait_does_not_wait_for_what_only_the_operator_can_mend(postgres, kafka, topic, make_outboxx):
    """An endless wait with a wrong database name helps nobody."""
    outboxx = prepared(make_outboxx, postgres, kafka, topic, postgres.conninfo("nowhere"), args=["--wait"]).start(ready=False)
    assert outboxx.wait_exit() == 66


# Kafka goes away.

def test_f72_f75_broker_that_is_killed_and_comes_back(postgres, start_kafka, topic, make_outboxx):
    """The stream stays, and nothing is repeated that was acknowledged."""
    kafka = start_kafka()
    outboxx = started(make_outboxx, postgres, kafka, topic)
    for number in (1, 2):
        with Writer(postgres, first=number * 100_000, per_second=100) as writer:
            wait_until(lambda at=writer: at.written >= 100, 30, "a hundred rows")
            kafka.kill()
            wait_until(lambda: outboxx.get("/readyz")[0] == 503, 30, "not ready")
            assert outboxx.get("/healthz") == (200, "ok\n")
            kafka.start()
        marker = number * 100_000 + 99_999
        postgres.execute(INSERT.format(marker, marker))
        assert arrives(kafka, topic, marker, 40) < 15 * SLACK
    expected = rows(postgres)
    check_history(consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1), expected)
    assert outboxx.stop() == 0


def test_both_servers_away_at_once(start_postgres, start_kafka, topic, make_outboxx):
    """A power cut takes all; the order in which they come back is anybody's guess."""
    postgres, kafka = start_postgres(fsync=True), start_kafka()
    outboxx = started(make_outboxx, postgres, kafka, topic)
    postgres.execute(INSERT.format(1, 100))
    arrives(kafka, topic, 100, 20)
    kafka.kill()
    postgres.execute(INSERT.format(101, 200))
    postgres.kill9()
    wait_until(lambda: outboxx.metrics()[UNREACHABLE] >= 2, 30, "attempts")
    postgres.start()
    wait_until(lambda: reconnects(outboxx, "kafka", "unreachable") >= 1, 30, "PostgreSQL is there, Kafka not")
    check_alive_and_not_ready(outboxx)
    kafka.start()
    outboxx.wait_ready(15 * SLACK)
    check_history(consume(kafka.bootstrap(), topic, count=200, until_idle=1), list(range(1, 201)))
    assert outboxx.stop() == 0


# Two instances, and time that stands still.

@pytest.mark.parametrize("load", [1, 200])
def test_f85_f112_frozen_process_is_taken_over_and_steps_back_when_it_wakes(load, start_postgres, kafka, topic, make_outboxx):
    """A machine that is paused for minutes believes that it still has the stream; its records are older than its successor's."""
    postgres = start_postgres(settings={"wal_sender_timeout": "3s"})
    first = started(make_outboxx, postgres, kafka, topic)
    second = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start(ready=False)
    second.wait_log("waiting for replication slot")
    with Writer(postgres, per_second=load) as writer:
        wait_until(lambda: writer.written >= 3, 20, "some rows")
        first.signal(signal.SIGSTOP)
        began = time.monotonic()
        second.wait_ready(20 * SLACK)
        assert time.monotonic() - began < 3 + 5 * SLACK
        wait_until(lambda: second.metrics()["outboxx_records_delivered_total"] >= 3, 20, "rows of the second")
        first.signal(signal.SIGCONT)
        first.wait_log("the process did not run for")
        first.wait_log("waiting for replication slot")
        check_alive_and_not_ready(first)
    expected = rows(postgres)
    messages = consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1)
    check_history(messages, expected)
    assert second.stop() == 0
    first.wait_ready(10 * SLACK)
    postgres.execute(INSERT.format(500_000, 500_000))
    arrives(kafka, topic, 500_000, 20)
    assert first.stop() == 0


def test_frozen_for_less_than_the_timeout_keeps_its_session(start_postgres, kafka, topic, make_outboxx):
    """A short pause is no reason to repeat anything."""
    postgres = start_postgres(settings={"wal_sender_timeout": "60s"})
    outboxx = started(make_outboxx, postgres, kafka, topic)
    walsender = postgres.walsender_pid()
    outboxx.signal(signal.SIGSTOP)
    resumed_at = time.monotonic() + 2
    wait_until(lambda: time.monotonic() >= resumed_at, 10, "two seconds")
    outboxx.signal(signal.SIGCONT)
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    assert postgres.walsender_pid() == walsender
    assert outboxx.stop() == 0


def test_several_hosts_lead_to_the_one_that_takes_writes(postgres, start_postgres, kafka, topic, make_outboxx):
    """During a failover the list names servers that are down and servers that are read-only."""
    read_only = start_postgres(settings={"default_transaction_read_only": "on"})
    ports = f"{free_port()},{read_only.port},{postgres.port}"
    conninfo = postgres.conninfo(host="127.0.0.1,127.0.0.1,localhost", port=ports, target_session_attrs="read-write")
    outboxx = prepared(make_outboxx, postgres, kafka, topic, conninfo).start()
    postgres.terminate_backend()
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    postgres.stop()
    wait_until(lambda: outboxx.metrics()["outboxx_streaming"] == 0, 10, "the loss is noticed")
    wait_until(lambda: "read-only" in outboxx.log, 10, "the other server is no way out")
    postgres.start()
    outboxx.wait_ready(15 * SLACK)
    assert outboxx.stop() == 0


def test_connection_lost_while_reading_is_paused_purges_at_once(postgres, start_kafka, topic, make_outboxx):
    """Undelivered records of a lost session must not reach a broker that comes back after a successor has gone on."""
    kafka = start_kafka()
    outboxx = started(make_outboxx, postgres, kafka, topic, config={"sink.kafka.in_flight_bytes_max": 65536})
    kafka.pause()
    with contextlib.ExitStack() as stack:
        stack.callback(kafka.resume)
        postgres.execute("insert into orders select g, repeat('x', 1000) from generate_series(1, 90) g")
        wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 20, "reading is paused")
        assert postgres.terminate_backend() == 1
        wait_until(lambda: outboxx.metrics()["outboxx_streaming"] == 0, 5 * SLACK, "the session is over")
        wait_until(lambda: outboxx.metrics()["outboxx_in_flight_records"] == 0, 5 * SLACK, "its records are gone")
    outboxx.wait_ready(30)
    check_history(consume(kafka.bootstrap(), topic, count=90, until_idle=1), list(range(1, 91)))
    assert outboxx.stop() == 0


# Secrets that change.

def secret_file(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def test_f115_password_of_postgres_is_changed_while_it_runs(postgres, kafka, topic, make_outboxx, directory):
    """Passwords are rotated; a process that remembers the old one has to be restarted at just the right moment."""
    postgres.execute("create role cdc login replication superuser password 'first'")
    postgres.set_hba(["host all cdc 127.0.0.1/32 scram-sha-256"])
    postgres.reload()
    path = secret_file(directory, "conninfo", postgres.conninfo(user="cdc", password="first"))
    outboxx = started(make_outboxx, postgres, kafka, topic,
                      config={"source.postgres.connection_env": None, "source.postgres.connection_file": path})
    for password in ("second", "third"):
        secret_file(directory, "conninfo", postgres.conninfo(user="cdc", password=password))
        postgres.execute(f"alter role cdc password '{password}'")
        walsender = postgres.walsender_pid()
        postgres.terminate_backend("usename = 'cdc'")
        wait_until(lambda old=walsender: postgres.walsender_pid() not in (None, old), 10 * SLACK, "another walsender")
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    assert "password authentication failed" not in postgres.log
    assert outboxx.stop() == 0


def test_f115_password_of_kafka_is_read_from_a_file(postgres, start_kafka, topic, make_outboxx, directory):
    """The same for the other side."""
    kafka = start_kafka(listeners=["sasl_plaintext"], users={"outboxx": "right"})
    path = secret_file(directory, "password", "right")
    sasl = {"mechanism": "PLAIN", "username": "outboxx", "password_file": path}
    outboxx = prepared(make_outboxx, postgres, kafka, topic)
    outboxx.configure(**{"sink.kafka.sasl": sasl, "sink.kafka.brokers": [kafka.bootstrap("sasl_plaintext")]})
    outboxx.start()
    postgres.execute(INSERT.format(1, 2))
    assert ids(consume(kafka.bootstrap(), topic, count=2)) == [1, 2]
    secret_file(directory, "password", "wrong")
    postgres.terminate_backend()
    assert outboxx.wait_exit() == 73
