"""A standby as the source: the stream, the initial snapshot and tables that are read again. PostgreSQL decodes there since 16."""

import os
import subprocess
import time

import pytest
from support import consume, lsn, stream, wait_until
from support.snapshot import Changes, Rebuilt, check_equal, create_table, request, rows_of, wait_state
from support.witness import Writer

ALL = ("read", "insert", "update", "delete")
EXISTING = {"source.postgres.publication": "existing"}
PUBLICATION = "create publication outboxx_publication for table orders"
# What a slot on a standby waits for, and the primary logs by itself every 15 s.
NUDGE = "select pg_log_standby_snapshot(), %s"


@pytest.fixture
def pair(start_postgres):
    """(primary, standby). The standby is a copy of the primary's files, as a base backup of a server that stands still is."""
    primary = start_postgres(version=18)
    standby = start_postgres(version=18)
    standby.stop()
    primary.stop()
    subprocess.run(["rm", "-r", standby.data], check=True)
    subprocess.run(["cp", "-a", primary.data, standby.data], check=True)
    with open(os.path.join(standby.data, "standby.signal"), "w", encoding="ascii"):
        pass
    primary.start()
    standby.configure(port=standby.port, unix_socket_directories=standby.directory, hot_standby_feedback="on",
                      primary_conninfo=primary.conninfo(host="tcp", application_name="standby"))
    standby.start()
    wait_until(lambda: standby.value("select status from pg_stat_wal_receiver") == "streaming", 30, "the standby follows")
    return primary, standby


def replayed(primary, standby):
    target = primary.current_lsn()
    wait_until(lambda: lsn(standby.value("select pg_last_wal_replay_lsn()")) >= target, 30, "the standby has replayed everything")
    return target


def delivered(primary, standby):
    target = replayed(primary, standby)
    wait_until(lambda: standby.slot("outboxx_slot")["confirmed_flush_lsn"] >= target, 60, "the slot has confirmed everything")


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_table_of_a_standby_is_equal_although_others_write(delivery, pair, kafka, topic, make_outboxx):
    """The initial snapshot, and then a job that reads the table again."""
    primary, standby = pair
    create_table(primary, "orders", 5000)
    primary.execute(PUBLICATION)
    replayed(primary, standby)
    kafka.create_topic(topic, 3)
    outboxx = make_outboxx(standby, kafka, [stream("public.orders", topic, operations=ALL, routing_key="ident")],
                           config={"sink.kafka.delivery": delivery, **EXISTING})
    seed = int(time.time())
    print(f"seed {seed}")
    with Writer(primary, NUDGE, per_second=1), Changes(primary, ["orders"], seed):
        outboxx.start(deadline=60)
        wait_until(lambda: "snapshot complete" in outboxx.log, 60, "the snapshot is complete")
        wait_state(outboxx, request(outboxx, "public.orders"), "complete")
    assert outboxx.log.count("the stream stands still for up to 15 s before each chunk") == 1
    delivered(primary, standby)
    rebuilt = Rebuilt(consume(kafka.bootstrap(), topic, until_idle=2, config={"isolation.level": "read_committed"}))
    assert rebuilt.reads.total() >= 10_000
    check_equal(rebuilt, rows_of(primary, "orders"))
    assert outboxx.stop() == 0
