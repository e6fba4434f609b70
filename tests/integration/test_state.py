"""Gap detection at start: a slot that may have lost changes is noticed, refused with its own code, and never used silently."""

import json
import os
import subprocess

import pytest
from support import AUTHORIZER, consume, stream, wait_until

SLOT = "outboxx_slot"


def make(make_outboxx, postgres, kafka, topic, **options):
    return make_outboxx(postgres, kafka, [stream("public.orders", topic)], **options)


def records(kafka, outboxx):
    """The state records of the topic, oldest first."""
    messages = consume(kafka.bootstrap(), outboxx.config["state"]["topic"], until_idle=1)
    return [json.loads(message.value) for message in messages if message.value]


def refused(outboxx, code, text, *args):
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == code, outboxx.log
    assert text in outboxx.log
    assert "hint" in outboxx.log.lower()


def with_arguments(make_outboxx, outboxx, postgres, kafka, topic, *args):
    """Another start of the same pipeline, with these arguments."""
    return make(make_outboxx, postgres, kafka, topic, args=args, config={"state": outboxx.config["state"]})


@pytest.fixture
def ran(start_postgres, kafka, topic, make_outboxx):
    """A pipeline that streamed ten rows and was stopped: (postgres, outboxx)."""
    postgres = start_postgres()
    return postgres, run_ten(postgres, kafka, topic, make_outboxx)


def copied(directory, copy):
    """A copy with the owners, for the server refuses the files of others."""
    subprocess.run(["cp", "-a", directory, copy], check=True)


def run_ten(postgres, kafka, topic, make_outboxx):
    postgres.execute("create table orders (id int primary key)")
    kafka.create_topic(topic)
    outboxx = make(make_outboxx, postgres, kafka, topic).start()
    postgres.execute("insert into orders select generate_series(1, 10)")
    consume(kafka.bootstrap(), topic, count=10)
    assert outboxx.stop() == 0
    return outboxx


def test_position_is_recorded_before_it_is_confirmed(start_postgres, kafka, topic, make_outboxx):
    postgres = start_postgres()
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)

    found = records(kafka, outboxx)

    assert found[0]["kind"] == "intent" and {record["kind"] for record in found[1:]} == {"progress"}
    assert found[-1]["slot"] == SLOT and found[-1]["database"] == "postgres" and found[-1]["timeline"] == 1
    assert found[-1]["system"] == str(postgres.value("select system_identifier from pg_control_system()"))
    assert found[-1]["publication_oid"] == postgres.value("select oid::int from pg_publication")
    high, low = found[-1]["position"].split("/")
    assert postgres.slot(SLOT)["confirmed_flush_lsn"] == (int(high, 16) << 32) + int(low, 16)
    positions = [record["position"] for record in found]
    assert len(set(positions)) >= len(positions) - 1
    configuration = kafka.admin().list_topics(outboxx.config["state"]["topic"]).topics[outboxx.config["state"]["topic"]]
    assert len(configuration.partitions) == 1


def test_idle_pipeline_writes_next_to_nothing(start_postgres, kafka, topic, make_outboxx):
    postgres = start_postgres()
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)
    before = len(records(kafka, outboxx))
    outboxx.start()
    postgres.execute("create table unpublished (id int)")
    for number in range(30):
        postgres.execute(f"insert into unpublished values ({number})", "select pg_sleep(0.1)")
    assert len(records(kafka, outboxx)) - before <= 2
    assert outboxx.stop() == 0


def test_f25_missing_slot_is_refused_and_a_gap_is_marked(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    postgres.execute(f"select pg_drop_replication_slot('{SLOT}')", "insert into orders values (11)")

    refused(outboxx, 72, "does not exist, but changes before")
    assert postgres.slot(SLOT) is None

    again = with_arguments(make_outboxx, outboxx, postgres, kafka, topic, "--accept-gap", "dropped by mistake").start()
    postgres.execute("insert into orders values (12)")
    assert [message.json["data"]["id"] for message in consume(kafka.bootstrap(), topic, count=11)] == [*range(1, 11), 12]
    [gap] = [record for record in records(kafka, outboxx) if record["kind"] == "gap"]
    assert gap["reason"] == "dropped by mistake" and gap["from"] != gap["to"]
    assert again.stop() == 0
    outboxx.start()  # and the next start needs no permission
    assert outboxx.stop() == 0


def test_f26_recreated_slot_is_refused(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    postgres.execute(f"select pg_drop_replication_slot('{SLOT}')", "insert into orders values (11)",
                     f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
    before = postgres.slot(SLOT)["confirmed_flush_lsn"]

    refused(outboxx, 78, "it was created again, advanced by hand, or used by another client")

    assert postgres.slot(SLOT)["confirmed_flush_lsn"] == before


def test_f26_slot_advanced_by_hand_is_refused(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    postgres.execute("insert into orders values (11)", f"select pg_replication_slot_advance('{SLOT}', pg_current_wal_lsn())")
    refused(outboxx, 78, "has confirmed")


def test_f27_f28_lost_slot_is_refused_with_the_reason(start_postgres, kafka, topic, make_outboxx):
    postgres = start_postgres(version=18, settings={"max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB"})
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)
    postgres.execute("create table filler (id int, text text)")
    for _ in range(4):
        postgres.execute("insert into filler select n, repeat('x', 1000) from generate_series(1, 20000) n", "select pg_switch_wal()",
                         "checkpoint")
    wait_until(lambda: postgres.slot(SLOT)["wal_status"] == "lost", 20, "the slot is lost")
    refused(outboxx, 77, "is lost (wal_removed)")
    assert outboxx.log.count("is lost (wal_removed)") == 1


def test_f28_idle_slot_is_refused_with_the_reason(start_postgres, kafka, topic, make_outboxx):
    postgres = start_postgres(version=18)
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)
    reason = f"select invalidation_reason from pg_replication_slots where slot_name = '{SLOT}'"
    postgres.configure(idle_replication_slot_timeout="1s")
    postgres.reload()
    wait_until(lambda: postgres.execute("checkpoint") or postgres.value(reason) == "idle_timeout", 30, "the slot is invalidated")
    refused(outboxx, 77, "is lost (idle_timeout)")


def test_f30_recreated_publication_is_refused(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    postgres.execute("drop publication outboxx_publication", "insert into orders values (11)",
                     "create publication outboxx_publication for table only orders")
    refused(outboxx, 81, "was dropped and created again since the last start")


def test_f47_restored_server_is_refused(start_postgres, kafka, topic, make_outboxx):
    """The cluster goes back to a copy made before the last changes were streamed, its slot with it."""
    postgres = start_postgres()
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)
    postgres.stop()
    copied(postgres.data, f"{postgres.data}-older")
    postgres.start()
    outboxx.start()
    postgres.execute("insert into orders select generate_series(11, 5000)")
    consume(kafka.bootstrap(), topic, count=5000)
    assert outboxx.stop() == 0
    postgres.stop()
    os.rename(postgres.data, f"{postgres.data}-newer")
    os.rename(f"{postgres.data}-older", postgres.data)
    postgres.start()

    refused(outboxx, 80, "the server's WAL ends at")


def test_f46_another_server_is_refused(ran, start_postgres, kafka, topic, make_outboxx):
    """The address leads to another server, which has the same tables."""
    _, outboxx = ran
    other = start_postgres(version=18)
    other.execute("create table orders (id int primary key)")
    swapped = make(make_outboxx, other, kafka, topic, config={"state": outboxx.config["state"]})
    refused(swapped, 80, "system identifier")
    assert other.slot(SLOT) is None or not other.slot(SLOT)["active"]


def test_f46_lower_timeline_is_refused(start_postgres, kafka, topic, make_outboxx):
    """The old primary comes back after a failover: its slot is there, its history is not ours any more."""
    postgres = start_postgres()
    outboxx = run_ten(postgres, kafka, topic, make_outboxx)
    state = outboxx.config["state"]["topic"]
    newest = records(kafka, outboxx)[-1]
    key = consume(kafka.bootstrap(), state, until_idle=1)[-1].key
    _write(kafka, state, key, json.dumps({**newest, "timeline": 2}))
    refused(outboxx, 80, "the server is on timeline 1, but changes of timeline 2 were streamed already")


def test_slot_without_record_is_adopted_only_if_told(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    fresh = {"state": {"topic": f"{outboxx.config['state']['topic']}-fresh"}}
    unknown = make(make_outboxx, postgres, kafka, topic, config=fresh)
    refused(unknown, 79, "there is no state record")
    adopting = make(make_outboxx, postgres, kafka, topic, config=fresh, args=["--adopt-slot"]).start()
    adopting.wait_log("adopting replication slot")
    assert adopting.stop() == 0
    unknown.start()
    assert unknown.stop() == 0


def test_v0_file_adopts_its_slot_with_a_warning(ran, kafka, topic, make_outboxx):
    postgres, outboxx = ran
    config = {"metadata.version": "v0", "state": {"topic": f"{outboxx.config['state']['topic']}-v0"}}
    old = make(make_outboxx, postgres, kafka, topic, config=config).start()
    old.wait_log("adopting replication slot")
    assert old.stop() == 0
    assert records(kafka, old)[0]["kind"] == "progress"


def forbidden(start_postgres, start_kafka, topic, make_outboxx, right, version):
    """A pipeline that lacks a right on its state topic, which exists."""
    user, password, state = "outboxx", "secret-of-the-test", f"state-{topic}"
    postgres = start_postgres()
    postgres.execute("create table orders (id int primary key)")
    kafka = start_kafka(listeners=["sasl_plaintext"], users={user: password}, properties=AUTHORIZER)
    kafka.create_topic(topic)
    kafka.create_topic(state, cleanup_policy="compact")
    kafka.deny(user, state, right)
    sasl = {"mechanism": "PLAIN", "username": user, "password_env": "KAFKA_PASSWORD"}
    config = {"metadata.version": version, "state": {"topic": state}, "sink.kafka.sasl": sasl}
    outboxx = make_outboxx(postgres, kafka.bootstrap("sasl_plaintext"), [stream("public.orders", topic)], config=config,
                           env={"KAFKA_PASSWORD": password})
    return postgres, kafka, outboxx


RIGHTS = ["all", "read", "write"]


@pytest.mark.parametrize("right", RIGHTS)
def test_state_topic_that_is_forbidden_is_refused(right, start_postgres, start_kafka, topic, make_outboxx):
    postgres, _, outboxx = forbidden(start_postgres, start_kafka, topic, make_outboxx, right, "v1")
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == 73
    error = outboxx.wait_log("Topic authorization failed")
    assert {"all": "cannot use", "read": "cannot read", "write": "could not write to"}[right] in error
    assert f'the state topic "state-{topic}"' in error and "The user needs Read, Write and Describe on the topic" in error
    assert 'or set mode = ' in error
    assert postgres.slot(SLOT) is None


@pytest.mark.parametrize("right", RIGHTS)
def test_v0_file_goes_on_without_a_state_topic_that_is_forbidden(right, start_postgres, start_kafka, topic, make_outboxx):
    """Its rights were given for v0, which had no such topic."""
    postgres, kafka, outboxx = forbidden(start_postgres, start_kafka, topic, make_outboxx, right, "v0")
    outboxx.start()
    assert "going on without a state record" in outboxx.log
    postgres.execute("insert into orders values (1)")
    consume(kafka.bootstrap(), topic, count=1)
    assert outboxx.stop() == 0
    outboxx.start()  # without one again, with a slot
    postgres.execute("insert into orders values (2)")
    assert [message.json["data"]["id"] for message in consume(kafka.bootstrap(), topic, count=2)] == [1, 2]
    assert outboxx.stop() == 0


def test_garbage_under_the_key_is_refused(ran, kafka, topic, make_outboxx):
    _, outboxx = ran
    state = outboxx.config["state"]["topic"]
    _write(kafka, state, consume(kafka.bootstrap(), state, until_idle=1)[-1].key, "garbage")
    refused(outboxx, 82, "cannot read the state record")


def test_mode_none_writes_nothing(start_postgres, kafka, topic, make_outboxx):
    postgres = start_postgres()
    postgres.execute("create table orders (id int primary key)")
    config = {"state": {"mode": "none", "topic": f"none-{topic}"}}
    outboxx = make(make_outboxx, postgres, kafka, topic, config=config).start()
    postgres.execute("insert into orders values (1)")
    consume(kafka.bootstrap(), topic, count=1)
    assert outboxx.stop() == 0
    assert f"none-{topic}" not in kafka.topics()


def test_stdout_keeps_its_state_in_a_file(start_postgres, directory, make_outboxx):
    postgres = start_postgres()
    postgres.execute("create table orders (id int primary key)")
    path = os.path.join(directory, "outboxx.state")
    outboxx = make_outboxx(postgres, None, [stream("public.orders")], config={"state": {"file": path}}).start()
    postgres.execute("insert into orders values (1)")
    wait_until(lambda: outboxx.stdout.count("\n") == 1, 20, "the row is written")
    assert outboxx.stop() == 0
    with open(path, encoding="utf-8") as file:
        high, low = json.load(file)["position"].split("/")
    assert postgres.slot(SLOT)["confirmed_flush_lsn"] == (int(high, 16) << 32) + int(low, 16)
    postgres.execute(f"select pg_drop_replication_slot('{SLOT}')")
    refused(outboxx, 72, "does not exist, but changes before")


def _write(kafka, topic, key, value):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": kafka.bootstrap()})
    producer.produce(topic, key=key, value=value, partition=0)
    assert producer.flush(20) == 0
