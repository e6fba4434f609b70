"""The slot and the publication: what is refused, what is waited for, and what the application must never notice."""

import os
import re
import shutil
import signal

import pytest

from support import consume, stream, wait_until

pytestmark = pytest.mark.postgres

TABLE = "create table orders (id int primary key, note text)"
INSERT = "insert into orders select generate_series({}, {})"
WATCH = "application_name = 'outboxx' and backend_type = 'client backend'"  # the session that asks for the slot's state


def prepared(make_outboxx, postgres, kafka, topic, **options):
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    return make_outboxx(postgres, kafka, [stream("public.orders", topic)], **options)


def ids(kafka, topic, count):
    return [message.json["data"]["id"] for message in consume(kafka.bootstrap(), topic, count=count)]


def restore_all_but_slots(postgres, copy):
    """Puts an older copy of the data directory in place, with the slots of today: a restored server whose slots are ahead."""
    slots = os.path.join(postgres.data, "pg_replslot")
    shutil.rmtree(os.path.join(copy, "pg_replslot"))
    os.rename(slots, os.path.join(copy, "pg_replslot"))
    shutil.rmtree(postgres.data)
    os.rename(copy, postgres.data)


def slot_is_saved_behind(postgres, position):
    """The server saves a slot when its restart_lsn moves, which takes a checkpoint's record and a status update behind it."""
    postgres.execute("checkpoint")
    return postgres.slot("outboxx_slot")["restart_lsn"] > position


def copied(directory, copy):
    """A copy with the owners, for the server refuses the files of others."""
    shutil.copytree(directory, copy, copy_function=copy_with_owner)
    for folder, _, _ in os.walk(directory):
        target = os.path.join(copy, os.path.relpath(folder, directory))
        shutil.chown(target, os.stat(folder).st_uid, os.stat(folder).st_gid)
    return copy


def copy_with_owner(source, target):
    shutil.copy2(source, target)
    shutil.chown(target, os.stat(source).st_uid, os.stat(source).st_gid)
    return target


def test_f10_slot_ahead_of_the_server_is_refused(postgres, kafka, topic, make_outboxx):
    """A slot that has confirmed more than the server has written skips, silently, all that is written up to there."""
    outboxx = prepared(make_outboxx, postgres, kafka, topic).start()
    assert outboxx.stop() == 0
    end_of_older = postgres.current_lsn()
    postgres.stop()
    older = copied(postgres.data, f"{postgres.data}-older")
    postgres.start()
    outboxx.start()
    postgres.execute(INSERT.format(1, 5000), "select pg_switch_wal()", INSERT.format(5001, 5002))
    assert len(ids(kafka, topic, 5002)) == 5002
    wait_until(lambda: slot_is_saved_behind(postgres, end_of_older + 1_000_000), 20, "the slot is saved with a newer position")
    assert outboxx.stop() == 0
    postgres.stop()
    restore_all_but_slots(postgres, older)
    postgres.start()
    before = postgres.slot("outboxx_slot")["confirmed_flush_lsn"]
    assert before > postgres.current_lsn()

    outboxx.start(ready=False)

    assert outboxx.wait_exit() == 80
    assert re.search(r'replication slot "outboxx_slot" has confirmed \S+, but the server\'s WAL ends at', outboxx.log)
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] == before
    assert outboxx.command("check").returncode == 80


def test_f16_slot_in_use_is_waited_for_and_taken_over(postgres, kafka, topic, make_outboxx):
    """Two instances on one slot: the second must neither fight nor give up, and must say whom it waits for."""
    first = prepared(make_outboxx, postgres, kafka, topic).start()
    holder = postgres.slot("outboxx_slot")["active_pid"]
    name = postgres.value("select application_name from pg_stat_activity where pid = %s", [holder])
    second = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start(ready=False)

    line = second.wait_log("waiting for replication slot")

    assert f"PID {holder} " in line
    assert name and re.search(rf'application_name \\?"{re.escape(name)}\\?"', line)
    postgres.execute(INSERT.format(1, 3))
    assert ids(kafka, topic, 3) == [1, 2, 3]
    assert postgres.slot("outboxx_slot")["active_pid"] == holder
    assert first.stop() == 0
    second.wait_ready()
    postgres.execute(INSERT.format(4, 5))
    assert ids(kafka, topic, 5) == [1, 2, 3, 4, 5]
    assert len(second.log.splitlines()) < 50  # it did not try in a tight loop
    assert second.stop() == 0


def test_f16_stop_while_waiting_for_the_slot_is_a_clean_end(postgres, kafka, topic, make_outboxx):
    """SIGTERM during a wait that only another process can end."""
    first = prepared(make_outboxx, postgres, kafka, topic).start()
    second = make_outboxx(postgres, kafka, [stream("public.orders", topic)]).start(ready=False)
    second.wait_log("waiting for replication slot")

    assert second.stop() == 0

    postgres.execute(INSERT.format(1, 1))
    assert ids(kafka, topic, 1) == [1]
    assert first.running


def test_watch_of_the_slot_comes_back(postgres, kafka, topic, make_outboxx):
    """Somebody ends idle sessions: nothing else tells that WAL piles up, and old figures look like good ones."""
    outboxx = prepared(make_outboxx, postgres, kafka, topic).start()
    assert postgres.terminate_backend(WATCH) == 1
    outboxx.wait_log("lost the connection that watches the replication slot")
    postgres.execute(INSERT.format(1, 2))
    assert ids(kafka, topic, 2) == [1, 2]
    end = postgres.current_lsn()

    outboxx.wait_log("the replication slot is watched again")
    wait_until(lambda: outboxx.metrics()["outboxx_confirmed_lsn"] >= end, 20, "the figures follow")
    assert "reconnecting" not in outboxx.log


def test_watch_of_the_slot_takes_no_other_server(start_postgres, kafka, topic, make_outboxx, make_proxy):
    """With several hosts the new connection may reach another one: that has no such slot, and ours is not missing."""
    postgres, other = start_postgres(), start_postgres()
    other.execute(TABLE)
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    hosts = f"host=127.0.0.1,127.0.0.1 port={proxy.port},{other.port} user=postgres dbname=postgres"
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    outboxx = make_outboxx(hosts, kafka, [stream("public.orders", topic)], args=["--log-level", "debug"]).start()
    proxy.refuse()
    assert postgres.terminate_backend(WATCH) == 1
    outboxx.wait_log("the stream is not from this server")

    proxy.accept()
    outboxx.wait_log("the replication slot is watched again")
    assert "does not exist any more" not in outboxx.log and "reconnecting" not in outboxx.log


def test_figures_of_the_slot_follow_while_kafka_is_away(postgres, start_kafka, topic, make_outboxx):
    """No session can begin, and that is when WAL piles up."""
    kafka = start_kafka()
    outboxx = prepared(make_outboxx, postgres, kafka, topic).start()
    kafka.stop()
    assert postgres.terminate_backend() == 1
    outboxx.wait_log("reconnecting: ")
    before = outboxx.metrics()["outboxx_slot_retained_bytes"]
    postgres.execute(INSERT.format(1, 100_000), "select pg_switch_wal()", "checkpoint")

    wait_until(lambda: outboxx.metrics()["outboxx_slot_retained_bytes"] > before + 5_000_000, 60, "the figure follows")


def test_f19_reason_of_a_terminated_walsender_is_told(postgres, kafka, topic, make_outboxx):
    """The COPY ends without an error of its own: who takes that for an end of the stream hides why, and spins."""
    outboxx = prepared(make_outboxx, postgres, kafka, topic).start()

    assert postgres.terminate_backend() == 1

    line = outboxx.wait_log("replication on slot")
    assert "terminating connection due to administrator command" in line
    assert "57P01" in line
    postgres.execute(INSERT.format(1, 2))
    assert ids(kafka, topic, 2) == [1, 2]


@pytest.mark.parametrize("version", [15, 18])
def test_f19_dropped_publication_ends_the_stream_with_a_clear_message(version, start_postgres, kafka, topic, make_outboxx):
    """The server refuses to decode, or (18) skips the changes with a warning that is easily overheard, or not wanted."""
    postgres = start_postgres(version)
    postgres.execute("alter database postgres set client_min_messages = error")
    outboxx = prepared(make_outboxx, postgres, kafka, topic).start()
    postgres.execute(INSERT.format(1, 1))
    assert ids(kafka, topic, 1) == [1]
    confirmed = postgres.slot("outboxx_slot")["confirmed_flush_lsn"]

    postgres.execute("drop publication outboxx_publication", INSERT.format(2, 2))

    assert outboxx.wait_exit() == 66
    line = outboxx.wait_log(" ERROR ", 1)
    assert re.search(r'publication \\?"outboxx_publication\\?" does not exist', line)
    assert "drop slot" in line
    skipped = postgres.current_lsn()
    assert confirmed <= postgres.slot("outboxx_slot")["confirmed_flush_lsn"] < skipped


@pytest.mark.parametrize("identity", ["", "alter table keyless replica identity nothing"], ids=["no-key", "identity-nothing"])
def test_f34_table_without_replica_identity_is_refused_and_stays_writable(identity, postgres, kafka, topic, make_outboxx):
    """Once such a table is published, the application's own UPDATE and DELETE fail."""
    postgres.execute("create table keyless (id int, note text)", "insert into keyless values (1, 'a')", identity or "select 1")
    outboxx = make_outboxx(postgres, kafka, [stream("public.keyless", topic)]).start(ready=False)

    assert outboxx.wait_exit() == 66

    assert re.search(r'table \\?"public.keyless\\?" has no usable replica identity', outboxx.log)
    assert re.search(r"ALTER TABLE \S*keyless\S* REPLICA IDENTITY FULL", outboxx.log)
    postgres.execute("update keyless set note = 'b'", "delete from keyless")
    assert postgres.query("select pubname from pg_publication") == []
    assert postgres.slot("outboxx_slot") is None


def test_f34_table_without_replica_identity_can_be_streamed_for_inserts(postgres, kafka, topic, make_outboxx):
    """A publication of all operations would break the application although only inserts are asked for."""
    postgres.execute("create table keyless (id int, note text)")
    outboxx = make_outboxx(postgres, kafka, [stream("public.keyless", topic, operations=["insert"])]).start()

    postgres.execute("insert into keyless values (1, 'a')", "update keyless set note = 'b'", "delete from keyless")

    assert ids(kafka, topic, 1) == [1]
    assert outboxx.stop() == 0


def test_f49_wait_for_an_old_transaction_names_it_and_can_be_stopped(postgres, kafka, topic, make_outboxx):
    """Creating a slot waits for all open transactions: it looks hung, and a stop must not leave half a slot behind. That others
    must not wait long for a lock is no reason to give up.
    """
    outboxx = prepared(make_outboxx, postgres, kafka, topic)
    postgres.execute("alter database postgres set lock_timeout = '1ms'")
    with postgres.connect(autocommit=False, application_name="nightly report") as old:
        old.execute(INSERT.format(1, 1))
        blocker = old.info.backend_pid
        outboxx.start(ready=False)

        line = outboxx.wait_log("waiting to create replication slot")
        assert f"PID {blocker} " in line
        assert "nightly report" in line
        outboxx.signal(signal.SIGTERM)
        assert outboxx.wait_exit() == 0
        wait_until(lambda: postgres.slot("outboxx_slot") is None, 10, "no slot is left behind")

        outboxx.start(ready=False)
        wait_until(lambda: postgres.slot("outboxx_slot"), 20, "the slot is being created again")
        old.commit()
        outboxx.wait_ready()
    postgres.execute(INSERT.format(2, 3))
    assert ids(kafka, topic, 2)[-2:] == [2, 3]
    assert outboxx.stop() == 0
