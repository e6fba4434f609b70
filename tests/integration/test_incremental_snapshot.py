"""Tables that are read while the stream goes on: exact under concurrent writers, and through kills, pauses and long transactions."""

import json
import random
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import consume, stream, wait_until
from support.snapshot import (THROTTLE, Changes, Rebuilt, check_equal, create_partitioned, create_table, jobs, post, request, rows_of,
                              rows_read, wait_state)

ALL = ("read", "insert", "update", "delete")
SLOT = "outboxx_slot"
COMMITTED = {"isolation.level": "read_committed"}
NEVER = {"source.postgres.snapshot.mode": "never"}  # so that the topic has of the old rows only what jobs read
NUMBERS = "ident, version, a"


def reading(table, topic):
    return stream(f"public.{table}", topic, operations=ALL, routing_key="ident")


def create_numbers(postgres, rows, key="primary key", name="numbers"):
    postgres.execute(f"create table {name} (ident int {key}, version int, a bigint)",
                     f"insert into {name} select n, 0, n from generate_series(1, {rows}) n")


def wait_delivered(postgres, deadline=60):
    target = postgres.current_lsn()
    wait_until(lambda: postgres.slot(SLOT)["confirmed_flush_lsn"] >= target, deadline, "the slot has confirmed everything")


def pause_after_a_chunk(postgres, outboxx, job):
    """A paused job keeps no slot."""
    wait_until(lambda: jobs(outboxx)[job]["rows"] > 0, 20, "a chunk was read")
    assert post(outboxx, f"/snapshots/{job}/pause") == (202, {"id": job})
    wait_until(lambda: postgres.slot(f"{SLOT}_snapshot") is None, 10, "its slot is dropped")


def unrecorded(outboxx, path, body=None):
    """Asks while Kafka takes no record. The newest job."""
    status, answer = post(outboxx, path, body)
    assert status == 503 and "GET /snapshots" in answer["error"], answer
    return max(jobs(outboxx))


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_tables_are_equal_although_others_write(delivery, postgres, kafka, topic, make_outboxx):
    """Inserts, updates, deletes, changes of the key, and moves between partitions."""
    create_table(postgres, "orders", 20_000)
    create_partitioned(postgres, "parted", 6000)
    for table in ("orders", "parted"):
        kafka.create_topic(f"{topic}.{table}", 3)
    outboxx = make_outboxx(postgres, kafka, [reading(table, f"{topic}.{table}") for table in ("orders", "parted")],
                           config={"sink.kafka.delivery": delivery, **NEVER}).start()
    seed = int(time.time())
    print(f"seed {seed}")
    with Changes(postgres, ["orders", "parted"], seed):
        job = request(outboxx, "public.orders", "public.parted")
        wait_state(outboxx, job, "complete")
    wait_delivered(postgres)
    for table in ("orders", "parted"):
        rebuilt = Rebuilt(consume(kafka.bootstrap(), f"{topic}.{table}", config=COMMITTED))
        check_equal(rebuilt, rows_of(postgres, table))
        assert len(rebuilt.reads) > 4000
    assert outboxx.stop() == 0
    assert postgres.slot(f"{SLOT}_snapshot") is None


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_kills_lose_nothing(delivery, postgres, kafka, topic, make_outboxx):
    """A restart goes on after the last chunk that was recorded; exactly once, no row is read twice."""
    seed = int(time.time())
    print(f"seed {seed}")
    choose = random.Random(seed)
    create_numbers(postgres, 30_000)
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={"sink.kafka.delivery": delivery, **NEVER, **THROTTLE})
    outboxx.start()
    request(outboxx, "public.numbers")
    wait_until(lambda: postgres.slot(SLOT), 10, "it streams")
    kills = 0
    while kills < 5 and "snapshot job complete" not in outboxx.log:
        moment = time.monotonic() + choose.uniform(0.1, 0.9)
        wait_until(lambda at=moment: time.monotonic() >= at, 2, "the moment of the kill")
        outboxx.kill()
        kills += 1
        outboxx.start()
    outboxx.configure(**{"sink.kafka.in_flight_bytes_max": 8 * 1024 * 1024, "sink.kafka.properties": {}})
    assert outboxx.stop() == 0
    outboxx.start()
    outboxx.wait_log("snapshot job complete", 60)
    wait_delivered(postgres)
    print(f"kills {kills}")
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, config=COMMITTED))
    check_equal(rebuilt, rows_of(postgres, "numbers", NUMBERS))
    repeated = sum(count - 1 for count in rebuilt.reads.values())
    print(f"repeated {repeated}")
    assert repeated == 0 if delivery == "exactly_once" else repeated < 30_000
    assert not jobs(outboxx) or all(job["state"] == "complete" for job in jobs(outboxx).values())


def test_jobs_are_queued_paused_resumed_and_canceled(postgres, kafka, topic, make_outboxx):
    for name in ("numbers", "others"):
        create_numbers(postgres, 20_000, name=name)
        kafka.create_topic(f"{topic}.{name}", 3)
    outboxx = make_outboxx(postgres, kafka, [reading(name, f"{topic}.{name}") for name in ("numbers", "others")],
                           config={**NEVER, **THROTTLE}).start()
    first = request(outboxx, "public.numbers")
    wait_until(lambda: jobs(outboxx)[first]["rows"] > 0, 20, "a chunk was read")
    assert post(outboxx, f"/snapshots/{first}/pause") == (202, {"id": first})
    second = request(outboxx, "public.others", where="ident <= 1000")
    wait_state(outboxx, second, "complete")  # a paused job lets others go first
    assert jobs(outboxx)[second]["rows"] == 1000
    paused = jobs(outboxx)[first]
    assert paused["state"] == "paused" and 0 < paused["rows"] < 20_000
    wait_until(lambda: postgres.slot(f"{SLOT}_snapshot") is None, 10, "a paused job keeps no slot")

    outboxx.kill()
    outboxx.start()
    assert jobs(outboxx)[first]["state"] == "paused"
    shown = outboxx.command("snapshot", "list")
    assert f"{first}  paused" in shown.stdout, shown
    assert outboxx.command("snapshot", "resume", str(first)).returncode == 0
    third = request(outboxx, "public.others")
    assert outboxx.command("snapshot", "cancel", str(third)).returncode == 0
    assert jobs(outboxx)[third]["state"] == "canceled"
    wait_state(outboxx, first, "complete")
    assert outboxx.stop() == 0
    check_equal(Rebuilt(consume(kafka.bootstrap(), f"{topic}.numbers")), rows_of(postgres, "numbers", NUMBERS))


def test_command_asks_the_running_instance(postgres, kafka, topic, make_outboxx):
    create_numbers(postgres, 100)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER)
    assert "could not reach the instance" in outboxx.command("snapshot", "--table", "public.numbers").stderr
    outboxx.start()
    done = outboxx.command("snapshot", "--table", "public.numbers", "--where", "ident % 2 = 0")
    assert done.returncode == 0 and "queued snapshot job" in done.stdout, done
    outboxx.wait_log("snapshot job complete")
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, count=50))
    assert sorted(rebuilt.rows) == list(range(2, 101, 2))
    refused = outboxx.command("snapshot", "--table", "public.nothing")
    assert refused.returncode == 64 and "no stream of the configuration lists" in refused.stderr, refused


def test_requests_that_are_refused(postgres, kafka, topic, make_outboxx):
    create_numbers(postgres, 100)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    body = {"tables": ["public.numbers"]}
    assert post(outboxx, "/snapshots", {"tables": ["public.other"]})[0] == 404
    assert post(outboxx, "/snapshots", b"no json")[0] == 400
    assert post(outboxx, "/snapshots", {"tables": []})[0] == 400
    assert post(outboxx, "/snapshots", {**body, "more": 1})[0] == 400
    assert post(outboxx, "/snapshots", b"x" * 70_000)[0] == 413
    assert post(outboxx, "/snapshots", body, {"Content-Type": "text/plain"})[0] == 415
    assert post(outboxx, "/snapshots", body, {"Host": "evil.example"})[0] == 403
    assert post(outboxx, "/snapshots/17/pause")[0] == 404
    assert post(outboxx, "/snapshots/1/explode")[0] == 404
    # A condition that is none ends its job, and hides nothing that would be run.
    for where in ("nothing = 1", "true) TO PROGRAM 'true' --", "true); drop table numbers; --", "1 / (ident - 50) = 0"):
        job = request(outboxx, "public.numbers", where=where)
        wait_state(outboxx, job, "failed")
        assert jobs(outboxx)[job]["reason"], where
    assert postgres.value("select count(*) from numbers") == 100
    # One that only a row refuses, with a SQLSTATE that of a snapshot would mean that it is gone: invalid_parameter_value.
    postgres.execute("alter table numbers add doc jsonb", "update numbers set doc = '{\"n\": null}' where ident = 50")
    job = request(outboxx, "public.numbers", where="(doc->'n')::int = 7")
    wait_state(outboxx, job, "failed")
    assert "cannot cast jsonb" in jobs(outboxx)[job]["reason"]
    assert post(outboxx, "/snapshots", body)[0] == 202
    outboxx.wait_log("snapshot job complete")
    assert outboxx.stop() == 0


def test_stream_goes_on_while_a_long_transaction_keeps_the_snapshot_from_being_made(postgres, kafka, topic, make_outboxx):
    create_numbers(postgres, 5000)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    with postgres.connect(autocommit=False) as blocker:
        blocker.execute("select pg_current_xact_id()")
        job = request(outboxx, "public.numbers")
        outboxx.wait_log("a snapshot job waits")
        outboxx.wait_log("long transactions are open: PID")
        postgres.execute("insert into numbers values (5001, 1, 1)")
        assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
        assert jobs(outboxx)[job]["state"] == "running"
    wait_state(outboxx, job, "complete")
    check_equal(Rebuilt(consume(kafka.bootstrap(), topic, count=5002)), rows_of(postgres, "numbers", NUMBERS))


def test_lost_connection_of_a_job_does_not_end_the_stream(postgres, kafka, topic, make_outboxx):
    create_numbers(postgres, 20_000)
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={**NEVER, **THROTTLE}).start()
    job = request(outboxx, "public.numbers")
    wait_until(lambda: postgres.terminate_backend("query like '%COPY (SELECT%' and pid <> pg_backend_pid()") >= 1, 20, "a COPY was cut")
    outboxx.wait_log("a snapshot job waits")
    wait_state(outboxx, job, "complete")
    check_equal(Rebuilt(consume(kafka.bootstrap(), topic)), rows_of(postgres, "numbers", NUMBERS))
    assert "reconnecting: " not in outboxx.log


def test_lost_connection_of_a_job_repeats_nothing_exactly_once(postgres, kafka, topic, make_outboxx):
    """What was sent of the chunk must go with its Kafka transaction: that costs the session."""
    create_numbers(postgres, 300)
    postgres.execute("alter table numbers add pad text default repeat('x', 9000)")  # PostgreSQL sends each row at once
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={"sink.kafka.delivery": "exactly_once", **NEVER}).start()
    job = request(outboxx, "public.numbers", where="pg_sleep(0.01) is not null")
    wait_until(lambda: rows_read(outboxx, "numbers") > 0, 20, "a part of the chunk was read")
    assert postgres.terminate_backend("state = 'active' and query like '%COPY (SELECT%'") == 1
    outboxx.wait_log("reconnecting: lost a chunk of snapshot job")
    wait_state(outboxx, job, "complete")
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, count=300, config=COMMITTED))
    check_equal(rebuilt, rows_of(postgres, "numbers", f"{NUMBERS}, pad"))
    assert max(rebuilt.reads.values()) == 1


def test_row_that_refuses_the_condition_ends_its_job_exactly_once_too(postgres, kafka, topic, make_outboxx):
    """The session has to end, for what was sent of the chunk; the next one must not come to the same row."""
    create_numbers(postgres, 300)
    postgres.execute("alter table numbers add pad text default repeat('x', 9000)")  # PostgreSQL sends each row at once
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={"sink.kafka.delivery": "exactly_once", **NEVER}).start()
    bad = request(outboxx, "public.numbers", where="1 / (ident - 200) is not null and pg_sleep(0.002) is not null")
    good = request(outboxx, "public.numbers", where="ident <= 100")
    wait_state(outboxx, bad, "failed")
    assert "division by zero" in jobs(outboxx)[bad]["reason"]
    wait_state(outboxx, good, "complete")
    assert outboxx.log.count("reconnecting: ") == 1
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, count=100, config=COMMITTED))
    assert sorted(rebuilt.rows) == list(range(1, 101)) and max(rebuilt.reads.values()) == 1
    assert outboxx.stop() == 0
    outboxx.start()
    wait_delivered(postgres)
    assert bad not in jobs(outboxx)


def test_canceled_job_whose_chunk_fails_ends_nothing_else(postgres, start_kafka, topic, make_outboxx):
    """A part of its chunk was handed over, and the job that would fail is gone."""
    create_numbers(postgres, 5000)
    kafka = start_kafka()
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={**NEVER, **THROTTLE}).start()
    outboxx.wait_log("streaming slot")
    kafka.pause()
    job = unrecorded(outboxx, "/snapshots", {"tables": ["public.numbers"], "where": "1 / (ident - 800) is not null"})
    wait_until(lambda: outboxx.metrics()["outboxx_in_flight_records"] > 100, 20, "a part of the chunk was handed over")
    unrecorded(outboxx, f"/snapshots/{job}/cancel")
    kafka.resume()
    wait_state(outboxx, job, "canceled")
    postgres.execute("insert into numbers values (5001, 1, 1)")
    wait_until(lambda: 5001 in Rebuilt(consume(kafka.bootstrap(), topic)).rows, 30, "the stream goes on", interval=0.5)
    assert outboxx.stop() == 0


def start_slow_chunk(postgres, topic, make_outboxx, kafka, key="primary key"):
    """A chunk of which PostgreSQL sends a row of 9 kB each tenth of a second, for half a minute."""
    create_numbers(postgres, 300, key=key)
    postgres.execute("alter table numbers add pad text default repeat('x', 9000)", "alter table numbers replica identity full")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    job = request(outboxx, "public.numbers", where="pg_sleep(0.1) is not null")
    wait_until(lambda: outboxx.metrics()["outboxx_in_flight_records"] + len(consume(kafka.bootstrap(), topic)) > 1, 20,
               "the chunk was begun", interval=0.5)
    return outboxx, job


def is_copying(postgres):
    """What reads a chunk begins with set_config."""
    return postgres.query("select pid from pg_stat_activity where query like 'SELECT pg_catalog.set_config%COPY (%' and state = 'active'") != []


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_chunk_that_nobody_wants_any_more_holds_the_stream_no_longer(verb, postgres, kafka, topic, make_outboxx):
    """At least once its rows may come again, so it is not read to its end."""
    outboxx, job = start_slow_chunk(postgres, topic, make_outboxx, kafka)
    assert is_copying(postgres)
    assert post(outboxx, f"/snapshots/{job}/{verb}")[0] == 202
    postgres.execute("insert into numbers values (301, 1, 1)")
    wait_until(lambda: 301 in Rebuilt(consume(kafka.bootstrap(), topic)).rows, 10, "the stream goes on", interval=0.5)
    wait_until(lambda: not is_copying(postgres), 5, "the server reads no more")
    assert outboxx.stop() == 0


def test_stop_does_not_wait_for_a_whole_table(postgres, kafka, topic, make_outboxx):
    outboxx, _ = start_slow_chunk(postgres, topic, make_outboxx, kafka, key="")
    assert outboxx.stop() == 0
    assert "not everything was delivered in time" not in outboxx.log


def test_job_that_is_paused_before_its_chunk_goes_on_at_once(postgres, start_kafka, topic, make_outboxx):
    """It waits for a stream that is behind; what it owes the stream for the pause of a chunk is nothing yet."""
    create_numbers(postgres, 3000)
    kafka = start_kafka()
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config={**NEVER, **THROTTLE}, args=["--log-level", "debug"]).start()
    outboxx.wait_log("streaming slot")
    kafka.pause()
    postgres.execute("insert into numbers select n, 0, n from generate_series(3001, 6000) n")
    wait_until(lambda: outboxx.metrics()["outboxx_reading_paused"] == 1, 20, "the stream is behind")
    job = unrecorded(outboxx, "/snapshots", {"tables": ["public.numbers"]})
    outboxx.wait_log("chunk planned")
    unrecorded(outboxx, f"/snapshots/{job}/pause")
    outboxx.wait_log("snapshot job paused")
    unrecorded(outboxx, f"/snapshots/{job}/resume")
    kafka.resume()
    wait_state(outboxx, job, "complete")
    check_equal(Rebuilt(consume(kafka.bootstrap(), topic)), rows_of(postgres, "numbers", NUMBERS))
    assert outboxx.stop() == 0


def test_table_without_a_key_is_read_as_a_whole(postgres, kafka, topic, make_outboxx):
    create_numbers(postgres, 3000, key="")
    postgres.execute("alter table numbers replica identity full")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    wait_state(outboxx, request(outboxx, "public.numbers"), "complete")
    outboxx.wait_log("the table has no key")
    check_equal(Rebuilt(consume(kafka.bootstrap(), topic, count=3000)), rows_of(postgres, "numbers", NUMBERS))


def test_table_that_is_added_later_is_read_by_itself(postgres, kafka, topic, make_outboxx):
    for name in ("numbers", "others"):
        create_numbers(postgres, 2000, name=name)
        kafka.create_topic(f"{topic}.{name}")
    streams = [reading(name, f"{topic}.{name}") for name in ("numbers", "others")]
    outboxx = make_outboxx(postgres, kafka, streams[:1]).start()
    outboxx.wait_log("snapshot complete")
    assert outboxx.stop() == 0
    postgres.execute("alter publication outboxx_publication add table others")
    outboxx.configure(streams=streams)
    outboxx.start()
    outboxx.wait_log("snapshot job complete")
    check_equal(Rebuilt(consume(kafka.bootstrap(), f"{topic}.others", count=2000)), rows_of(postgres, "others", NUMBERS))
    assert outboxx.stop() == 0
    outboxx.start()
    wait_delivered(postgres)
    assert outboxx.log.count("the configuration has a new table") == 1
    for name in ("numbers", "others"):
        assert len(consume(kafka.bootstrap(), f"{topic}.{name}")) == 2000


def test_keys_of_several_columns_and_types(postgres, kafka, topic, make_outboxx):
    """Texts with quotes and backslashes, negative and huge numbers, times."""
    postgres.execute(
        "create table keys (name text, number numeric, at timestamptz, ident int, primary key (name, number, at))",
        r"""insert into keys select case n % 4 when 0 then 'a''b' when 1 then 'back\slash' when 2 then '' else 'Ünï' end, """
        "(n - 2500) * 1e20, '2026-01-01'::timestamptz + n * interval '1 microsecond', n from generate_series(1, 5000) n")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.keys", topic, operations=("read", "insert"), routing_key="ident")],
                           config=NEVER).start()
    wait_state(outboxx, request(outboxx, "public.keys"), "complete")
    messages = consume(kafka.bootstrap(), topic, count=5000)
    assert sorted(message.json["data"]["ident"] for message in messages) == list(range(1, 5001))


def test_jobs_that_the_state_record_could_not_hold_are_refused(postgres, kafka, topic, make_outboxx):
    """All of them are in one message, and brokers take a megabyte."""
    create_numbers(postgres, 100)
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    with postgres.connect(autocommit=False) as blocker:
        blocker.execute("select pg_current_xact_id()")  # no job begins
        long = {"tables": ["public.numbers"], "where": "true" + " " * 60_000}
        accepted = [post(outboxx, "/snapshots", long)[1]["id"] for _ in range(2)]
        status, answer = post(outboxx, "/snapshots", long)
        assert status == 503 and "131072 bytes" in answer["error"], answer
    for job in accepted:
        wait_state(outboxx, job, "complete")
    assert outboxx.stop() == 0


def test_job_of_a_table_that_is_gone_ends(postgres, kafka, topic, make_outboxx):
    """Those behind it have their turn."""
    for name in ("numbers", "others"):
        create_numbers(postgres, 20_000, name=name)
        kafka.create_topic(f"{topic}.{name}", 3)
    outboxx = make_outboxx(postgres, kafka, [reading(name, f"{topic}.{name}") for name in ("numbers", "others")],
                           config={**NEVER, **THROTTLE}).start()
    first = request(outboxx, "public.numbers")
    pause_after_a_chunk(postgres, outboxx, first)
    postgres.execute("drop table numbers")
    assert post(outboxx, f"/snapshots/{first}/resume")[0] == 202
    second = request(outboxx, "public.others", where="ident <= 1000")
    wait_state(outboxx, first, "failed")
    assert "does not exist" in jobs(outboxx)[first]["reason"]
    wait_state(outboxx, second, "complete")
    assert jobs(outboxx)[second]["rows"] == 1000


def test_job_whose_table_is_dropped_while_a_chunk_is_planned_ends(postgres, kafka, topic, make_outboxx):
    """The plan is made of several queries: with the table gone between two of them it is not complete."""
    create_numbers(postgres, 20_000)
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    with postgres.connect(autocommit=False) as other:
        other.execute("lock table pg_inherits")  # which is asked for the table's leaves, after the table was found
        job = request(outboxx, "public.numbers")
        wait_until(lambda: postgres.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%pg_inherits%'"),
                   20, "the planner waits")
        other.execute("drop table numbers")
        other.commit()
    wait_state(outboxx, job, "failed")
    assert "does not exist" in jobs(outboxx)[job]["reason"]


def test_key_that_is_renamed_while_a_chunk_is_planned(postgres, kafka, topic, make_outboxx):
    """The plan sees the catalog as it was, and its statements the table as it is: that passes with the next plan."""
    create_numbers(postgres, 20_000)
    postgres.execute("alter table numbers replica identity full")
    kafka.create_topic(topic, 3)
    numbers = stream("public.numbers", topic, operations=ALL, routing_key="a")
    outboxx = make_outboxx(postgres, kafka, [numbers], config={**NEVER, **THROTTLE}).start()
    job = request(outboxx, "public.numbers")
    pause_after_a_chunk(postgres, outboxx, job)
    with postgres.connect(autocommit=False) as other:
        other.execute("lock table numbers")
        assert post(outboxx, f"/snapshots/{job}/resume")[0] == 202
        wait_until(lambda: postgres.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%pg_inherits%'"),
                   20, "the planner waits, and has its snapshot")
        other.execute("alter table numbers rename ident to number")
        other.commit()
    wait_state(outboxx, job, "complete")
    found = {int(message.json["data"]["a"]) for message in consume(kafka.bootstrap(), topic)}
    assert found == set(range(1, 20_001))


def test_planner_leaves_no_sessions_behind_a_lock(postgres, kafka, topic, make_outboxx):
    """The server would keep one for each attempt until the table is free."""
    create_numbers(postgres, 1000)
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    with postgres.connect(autocommit=False) as other:
        other.execute("lock table numbers")
        job = request(outboxx, "public.numbers")
        outboxx.wait_log("lock timeout", deadline=30)
        assert jobs(outboxx)[job]["state"] == "running"
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until(lambda: postgres.query(waiting)[0][0] == 0, 10, "no session of the planner waits")
    wait_state(outboxx, job, "complete")
    assert jobs(outboxx)[job]["rows"] == 1000


def test_job_is_accepted_when_its_record_has_arrived(postgres, start_kafka, topic, make_outboxx):
    """One that ends with its session must not have been promised."""
    create_numbers(postgres, 100)
    kafka = start_kafka()
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    outboxx.wait_log("streaming slot")
    kafka.pause()
    job = unrecorded(outboxx, "/snapshots", {"tables": ["public.numbers"]})
    kafka.resume()
    wait_state(outboxx, job, "complete")
    assert jobs(outboxx)[job]["rows"] == 100


def test_requests_are_bounded_while_kafka_takes_no_record(postgres, start_kafka, topic, make_outboxx):
    """Somebody who asks in a loop must not fill the memory, and what is refused has not happened."""
    create_numbers(postgres, 100)
    kafka = start_kafka()
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("numbers", topic)], config=NEVER).start()
    outboxx.wait_log("streaming slot")
    kafka.pause()
    job = unrecorded(outboxx, "/snapshots", {"tables": ["public.numbers"]})
    answers = []
    for _ in range(3):
        with ThreadPoolExecutor(30) as pool:
            answers += pool.map(lambda _: post(outboxx, f"/snapshots/{job}/pause"), range(30))
    assert {status for status, _ in answers} == {503}
    assert sum("too many requests wait to be recorded" in answer["error"] for _, answer in answers) == 1 + 90 - 64
    assert outboxx.log.count("snapshot job paused") == 63
    kafka.resume()
    wait_state(outboxx, job, "paused")
    assert post(outboxx, f"/snapshots/{job}/resume")[0] == 202
    wait_state(outboxx, job, "complete")


def test_server_that_is_far_away_is_read(postgres, kafka, topic, make_outboxx, make_proxy):
    """Making a snapshot takes some twenty round trips, more than the first attempt may hold the stream."""
    create_numbers(postgres, 3000)
    kafka.create_topic(topic, 3)
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    outboxx = make_outboxx(postgres.conninfo(port=proxy.port), kafka, [reading("numbers", topic)], config=NEVER).start()
    outboxx.wait_log("streaming slot")
    proxy.delay(0.01)
    job = request(outboxx, "public.numbers")
    wait_state(outboxx, job, "complete")
    outboxx.wait_log("no snapshot could be made in 200 ms")
    assert jobs(outboxx)[job]["rows"] == 3000


@pytest.mark.parametrize("word", ["ltree", "citext"])
def test_key_whose_operators_are_not_the_servers(word, postgres, kafka, topic, make_outboxx):
    """Of an extension's type: such a table is read as one without a key."""
    postgres.execute(f"create extension {word}", f"create table words (word {word} primary key, ident int)",
                     f"insert into words select ('Word' || n)::{word}, n from generate_series(1, 5000) n")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.words", topic, operations=("read", "insert"), routing_key="ident")],
                           config=NEVER).start()
    wait_state(outboxx, request(outboxx, "public.words"), "complete")
    outboxx.wait_log("the table has no key")
    messages = consume(kafka.bootstrap(), topic, count=5000)
    assert sorted(message.json["data"]["ident"] for message in messages) == list(range(1, 5001))


@pytest.mark.parametrize("change", ["alter ident type text", 'alter word type text collate "en-x-icu"'])
def test_key_that_is_ordered_anew_between_chunks(change, postgres, kafka, topic, make_outboxx):
    """What was left to read may sort before what was read: the table is begun anew."""
    postgres.execute("create table keys (ident int, word text collate \"C\", version int)",
                     "insert into keys select n, case when n < 10000 then 'B' else 'a' end || n, 0 from generate_series(1, 19999) n",
                     f"alter table keys add primary key ({'word, ident' if 'word' in change else 'ident'})")
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(postgres, kafka, [reading("keys", topic)], config={**NEVER, **THROTTLE}).start()
    job = request(outboxx, "public.keys")
    pause_after_a_chunk(postgres, outboxx, job)
    assert jobs(outboxx)[job]["rows"] < 9999
    postgres.execute(f"alter table keys {change}")
    assert post(outboxx, f"/snapshots/{job}/resume")[0] == 202
    wait_state(outboxx, job, "complete")
    assert outboxx.stop() == 0
    found = {int(message.json["data"]["ident"]) for message in consume(kafka.bootstrap(), topic)}
    assert found == set(range(1, 20_000))
