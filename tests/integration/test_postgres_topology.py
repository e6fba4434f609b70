"""Tables, publications and partitions that change while they are streamed, and the server's settings around them."""

import re
import time

import pytest

from support import consume, ndjson, stream, wait_until

EXISTING = {"source.postgres.publication": "existing"}
PARTITIONED = ("create table metrics (id int, region int, n int, primary key (id, region)) partition by list (region)",
               "create table metrics_1 partition of metrics for values in (1)",
               "create table metrics_2 partition of metrics for values in (2)")
NESTED = ("create table orders (id int primary key) partition by range (id)",
          "create table orders_low partition of orders for values from (0) to (100) partition by range (id)",
          "create table orders_low_1 partition of orders_low for values from (0) to (10)",
          "create table orders_high partition of orders for values from (100) to (200)")

pytestmark = pytest.mark.postgres


def lines(outboxx, count):
    """The events on standard output once there are count of them."""
    wait_until(lambda: len(ndjson(outboxx.stdout)) >= count, 30, f"{count} lines on standard output")
    events = ndjson(outboxx.stdout)
    assert len(events) == count
    return events


def told(outboxx, count):
    return [(event["op"], event["data"]) for event in lines(outboxx, count)]


def refused(outboxx):
    """What `outboxx check` says of PostgreSQL's faults."""
    checked = outboxx.command("check")
    assert checked.returncode == 66, checked.stdout
    return checked.stdout


def wait_confirmed(postgres):
    """All that was written so far is confirmed: what should have come has come."""
    position = postgres.current_lsn()
    wait_until(lambda: postgres.slot("outboxx_slot")["confirmed_flush_lsn"] >= position, 20, "all is confirmed")


def test_f11_f12_where_the_stream_starts_is_left_to_the_slot(postgres, make_outboxx):
    """A position of ours that is ahead of the slot's skips changes without a word; one behind it is silently moved up."""
    postgres.execute("create table orders (id int primary key)")
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    postgres.execute("insert into orders values (1)")
    wait_confirmed(postgres)
    assert outboxx.stop() == 0
    postgres.execute("insert into orders values (2)", "insert into orders values (3)")
    outboxx.start()

    assert told(outboxx, 3) == [("INSERT", {"id": number}) for number in (1, 2, 3)]
    asked = [line for line in postgres.log.splitlines() if "received replication command: START_REPLICATION" in line]
    assert len(asked) == 2 and all('SLOT "outboxx_slot" LOGICAL 0/0 ' in line for line in asked)
    assert outboxx.stop() == 0


def test_f14_clean_stop_of_the_server_repeats_the_same_ids_at_most(start_postgres, kafka, topic, make_outboxx):
    """Before 17 a clean stop does not save what was confirmed last: repeats under new ids could not be told from changes."""
    postgres = start_postgres(fsync=True)
    postgres.execute("create table orders (id int primary key)")
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)]).start()
    for first in range(1, 30, 10):
        postgres.execute(*(f"insert into orders values ({number})" for number in range(first, first + 10)))
        wait_confirmed(postgres)
        assert outboxx.stop() == 0
        postgres.restart()
        outboxx.start()
    postgres.execute("insert into orders values (31)")

    wait_until(lambda: any(message.json["data"]["id"] == 31 for message in consume(kafka.bootstrap(), topic)), 30, "the last row")

    messages = consume(kafka.bootstrap(), topic)
    contents = {message.headers["outboxx-id"]: message.json["data"]["id"] for message in messages}
    assert [contents[event_id] for event_id in sorted(contents)] == list(range(1, 32))
    if postgres.version >= 17:
        assert len(messages) == 31


def test_f22_synchronous_standby_is_warned_of_and_commits_go_on(postgres, make_outboxx):
    """The application's commits would hang with Kafka, and nobody would look for the reason here."""
    postgres.execute("create table orders (id int primary key)")
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start()
    assert "synchronous_standby_names" not in outboxx.log
    assert outboxx.stop() == 0
    postgres.configure(synchronous_standby_names="*")
    postgres.reload()
    outboxx.start()
    warned = outboxx.wait_log("matches our application_name")
    assert "WARN" in warned and "List the standbys by name" in warned
    wait_until(lambda: postgres.value("select sync_state from pg_stat_replication") == "sync", 10, "we are the standby")

    began = time.monotonic()
    for number in range(1, 4):  # each waits until it is delivered and confirmed, for ever if need be
        postgres.execute(f"set statement_timeout = '30s'; insert into orders values ({number})")
    assert time.monotonic() - began < 25

    assert told(outboxx, 3) == [("INSERT", {"id": number}) for number in range(1, 4)]
    assert outboxx.stop() == 0


def test_f31_added_table_is_streamed_from_the_alter_on_even_with_open_writers(postgres, make_outboxx):
    """Rows of transactions that were open during the ALTER may be missing, as operations.md says; none behind it may be."""
    postgres.execute("create table old (id int primary key)", "create table new (id int primary key)",
                     "create publication outboxx_publication for table old")
    outboxx = make_outboxx(postgres, None, [stream("old")], config=EXISTING).start()
    with postgres.connect(autocommit=False) as open_writer:
        open_writer.execute("insert into new values (1)")
        assert outboxx.stop() == 0
        postgres.execute("alter publication outboxx_publication add table new")
        outboxx.configure(streams=[stream("old"), stream("new")])
        outboxx.start()
        postgres.execute("insert into new values (2)", "insert into old values (3)")
        open_writer.execute("insert into new values (4)")
        open_writer.commit()
    postgres.execute("insert into new values (5)")

    wait_confirmed(postgres)

    ids = [event["data"]["id"] for event in ndjson(outboxx.stdout)]
    assert [number for number in ids if number != 1] == [2, 3, 4, 5]
    assert outboxx.stop() == 0


def test_f35_identity_that_changes_in_mid_transaction_decides_the_old_row(postgres, make_outboxx):
    """A delete would show the columns of an identity that the table no longer has, or nulls for what was not sent."""
    postgres.execute("create table t (id int primary key, code text not null, note text)", "create unique index t_code on t (id, code)")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    postgres.execute("""begin; insert into t select g, 'c' || g, 'n' from generate_series(1, 3) g;
        delete from t where id = 1;
        alter table t replica identity full; delete from t where id = 2;
        alter table t replica identity using index t_code; delete from t where id = 3; commit""")

    assert told(outboxx, 6)[3:] == [
        ("DELETE", {"id": 1}), ("DELETE", {"id": 2, "code": "c2", "note": "n"}), ("DELETE", {"id": 3, "code": "c3"})]
    assert outboxx.stop() == 0


def test_f35_identity_without_the_routing_key_ends_the_program_and_keeps_the_delete(postgres, make_outboxx):
    """A delete without a key would get an invented one, or be dropped."""
    postgres.execute("create table t (id int primary key, code text not null unique)", "insert into t values (1, 'a')")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    postgres.execute("alter table t replica identity using index t_code_key", "insert into t values (2, 'b')")
    assert told(outboxx, 1) == [("INSERT", {"id": 2, "code": "b"})]
    before = postgres.current_lsn()

    postgres.execute("delete from t where id = 1")

    assert outboxx.wait_exit() == 66
    assert 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL' in outboxx.log.replace("\\", "")
    assert postgres.slot("outboxx_slot")["confirmed_flush_lsn"] <= before
    assert len(ndjson(outboxx.stdout)) == 1


def test_f37_row_that_moves_to_another_partition_is_a_delete_and_an_insert(postgres, make_outboxx):
    """PostgreSQL tells a move as two changes; taken for one, or in the other order, the row is gone or there twice."""
    postgres.execute(*PARTITIONED)
    outboxx = make_outboxx(postgres, None, [stream("metrics")]).start()
    postgres.execute("insert into metrics values (1, 1, 10)", "update metrics set region = 2, n = 20", "update metrics set n = 30")

    assert told(outboxx, 4) == [
        ("INSERT", {"id": 1, "region": 1, "n": 10}), ("DELETE", {"id": 1, "region": 1}),
        ("INSERT", {"id": 1, "region": 2, "n": 20}), ("UPDATE", {"id": 1, "region": 2, "n": 30})]
    assert outboxx.stop() == 0


def test_f38_truncate_of_a_partition_is_never_told_and_harms_nothing(postgres, make_outboxx):
    """The server says nothing about it under publish_via_partition_root: a limit to be known. That of the root is counted."""
    postgres.execute(*PARTITIONED, "create publication outboxx_publication for table metrics with (publish_via_partition_root)")
    outboxx = make_outboxx(postgres, None, [stream("metrics")], config=EXISTING).start()
    postgres.execute("insert into metrics values (1, 1, 10), (2, 2, 20)", "truncate metrics_1", "insert into metrics values (3, 1, 30)")
    wait_confirmed(postgres)
    assert outboxx.metrics()["outboxx_changes_skipped_total"] == 0

    postgres.execute("truncate metrics", "insert into metrics values (4, 1, 40)")

    assert [data["id"] for _, data in told(outboxx, 4)] == [1, 2, 3, 4]
    assert outboxx.metrics()["outboxx_changes_skipped_total"] == 1
    assert outboxx.stop() == 0


@pytest.mark.parametrize("resource", ["orders_low", "orders_low_1"], ids=["partitioned", "leaf"])
@pytest.mark.parametrize("tables", ["all tables", "table only orders, only {}"], ids=["all_tables", "listed"])
def test_partition_that_is_published_as_its_root_is_refused(tables, resource, postgres, make_outboxx):
    """The stream would get nothing, and the slot would be confirmed all the same."""
    postgres.execute(*NESTED, f"create publication outboxx_publication for {tables.format(resource)} with (publish_via_partition_root)")
    outboxx = make_outboxx(postgres, None, [stream(resource)], config=EXISTING)

    assert 'it is a partition of "public.orders"' in refused(outboxx)
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == 66
    assert postgres.slot("outboxx_slot") is None


def test_partitioned_partition_is_streamed_by_a_publication_without_its_root(postgres, make_outboxx):
    """The way that the refusal names must lead somewhere."""
    postgres.execute(*NESTED, "create publication outboxx_publication for all tables")
    outboxx = make_outboxx(postgres, None, [stream("orders_low")], config=EXISTING)
    assert 'FOR TABLE ONLY "public"."orders_low" WITH (publish_via_partition_root = true)' in refused(outboxx)
    postgres.execute('create publication own for table only "public"."orders_low" with (publish_via_partition_root = true)')
    outboxx.configure(**{"source.postgres.publication_name": "own"})
    outboxx.start()
    postgres.execute("insert into orders values (1), (100)")
    wait_confirmed(postgres)

    assert told(outboxx, 1) == [("INSERT", {"id": 1})]
    assert outboxx.stop() == 0


@pytest.mark.parametrize("below", ["orders_low", "orders_low_1"], ids=["partitioned", "leaf"])
@pytest.mark.parametrize("mode", ["create", "existing"])
def test_streams_of_a_table_and_its_partition_are_refused(mode, below, postgres, make_outboxx):
    """All would come under the upper one's name: the other stream would get nothing."""
    postgres.execute(*NESTED)
    if mode == "existing":
        postgres.execute(f"create publication outboxx_publication for table only orders, only {below} with (publish_via_partition_root)")
    outboxx = make_outboxx(postgres, None, [stream("orders"), stream(below)], config={"source.postgres.publication": mode})

    assert f'table "public.{below}" is a partition of "public.orders", and both have streams' in refused(outboxx)
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == 66
    assert postgres.value("select count(*) from pg_publication") == (1 if mode == "existing" else 0)
    assert postgres.slot("outboxx_slot") is None


def test_publication_that_is_not_what_was_asked_for_is_refused(postgres, make_outboxx):
    """What came of our own CREATE decides what we get, and a slot would be confirmed on the strength of it."""
    postgres.execute("create table orders (id int primary key)", """
        create function narrow() returns event_trigger language plpgsql as
        $$ begin alter publication outboxx_publication set (publish = 'insert'); end $$""",
                     "create event trigger narrow on ddl_command_end when tag in ('CREATE PUBLICATION') execute function narrow()")
    outboxx = make_outboxx(postgres, None, [stream("orders")]).start(ready=False)

    assert outboxx.wait_exit() == 66
    assert "does not publish update, delete, which streams ask for" in outboxx.log
    assert postgres.slot("outboxx_slot") is None


def test_partitions_that_do_not_write_the_key_of_their_table_are_refused(postgres, make_outboxx):
    """A delete would show a null for a column that is not null. What the refusal says to run is enough."""
    postgres.execute("create table orders (tenant int not null, id int not null, code text not null) partition by list (tenant)",
                     "create unique index orders_code on orders (tenant, code)",
                     "create table orders_1 partition of orders for values in (1)", "alter table orders_1 add primary key (tenant, id)",
                     "alter table orders replica identity using index orders_code")
    outboxx = make_outboxx(postgres, None, [stream("orders", routing_key="tenant")])

    assert 'partition "public.orders_1" lacks code' in refused(outboxx)
    postgres.execute("alter table orders_1 replica identity full")
    outboxx.start()
    postgres.execute("insert into orders values (1, 2, 'c')", "delete from orders")
    assert told(outboxx, 2)[1] == ("DELETE", {"tenant": 1, "code": "c"})
    assert outboxx.stop() == 0


def test_partitioned_table_without_a_key_is_refused_for_deletes_only(postgres, make_outboxx):
    """Its partitions' own keys do not help: the first delete ended the program, and nothing got past it."""
    postgres.execute("create table orders (id int, n int) partition by list (id)",
                     "create table orders_1 partition of orders for values in (1)", "alter table orders_1 add primary key (id)")
    outboxx = make_outboxx(postgres, None, [stream("orders")])
    assert 'asks for delete, but table "public.orders" has no usable replica identity' in refused(outboxx)
    outboxx.configure(streams=[stream("orders", operations=["insert", "update"])])
    outboxx.start()
    postgres.execute("insert into orders values (1, 1)", "update orders set n = 2", "delete from orders")
    wait_confirmed(postgres)

    assert told(outboxx, 2) == [("INSERT", {"id": 1, "n": 1}), ("UPDATE", {"id": 1, "n": 2})]
    assert outboxx.stop() == 0


def test_f39_truncate_of_several_tables_counts_each_and_keeps_the_numbering(postgres, kafka, topic, make_outboxx):
    """One message names several relations: changes behind it would get the ids of others once a format tells a truncate."""
    postgres.execute("create table parents (id serial primary key)", "create table children (id serial primary key, of int references parents)",
                     "create publication outboxx_publication for table parents, children")
    streams = [stream("parents", topic), stream("children", topic)]
    outboxx = make_outboxx(postgres, kafka, streams, config=EXISTING).start()
    postgres.execute("begin; insert into parents default values; insert into children values (default, 1);"
                     " truncate parents restart identity cascade; insert into parents default values; commit")

    messages = consume(kafka.bootstrap(), topic, count=3)

    assert [message.json["meta"]["resource"] for message in messages] == ["public.parents", "public.children", "public.parents"]
    assert [int(message.headers["outboxx-id"][17:29], 16) for message in messages] == [0, 1, 4]
    assert messages[2].json["data"] == {"id": 1}
    assert outboxx.metrics()["outboxx_changes_skipped_total"] == 2
    assert outboxx.stop() == 0


@pytest.mark.parametrize("how", ["", "concurrently"], ids=["locked", "concurrently"])
def test_f40_detached_partition_is_no_longer_streamed_and_an_attached_one_is(how, postgres, make_outboxx):
    """Its changes would go on coming under the parent's name, or those of a new partition would be missing."""
    postgres.execute(*PARTITIONED, "create table metrics_3 (id int, region int, n int, primary key (id, region))",
                     "insert into metrics_3 values (30, 3, 0)")
    outboxx = make_outboxx(postgres, None, [stream("metrics")]).start()
    postgres.execute("insert into metrics values (1, 1, 1), (2, 2, 2)", "insert into metrics_3 values (31, 3, 0)",
                     f"alter table metrics detach partition metrics_2 {how}",
                     "alter table metrics attach partition metrics_3 for values in (3)")
    if postgres.version == 14:  # there a running session keeps to what it knew: operations.md
        assert outboxx.stop() == 0
        outboxx.start()
    postgres.execute("insert into metrics_2 values (3, 2, 3)", "update metrics_2 set n = 4", "delete from metrics_2",
                     "insert into metrics_3 values (32, 3, 1)", "insert into metrics values (33, 3, 2)",
                     "update metrics set n = 9 where id = 30", "drop table metrics_2", "insert into metrics values (4, 1, 4)")
    wait_confirmed(postgres)

    assert {event["meta"]["resource"] for event in ndjson(outboxx.stdout)} == {"public.metrics"}
    assert [(operation, data["id"]) for operation, data in told(outboxx, 6)] == [
        ("INSERT", 1), ("INSERT", 2), ("INSERT", 32), ("INSERT", 33), ("UPDATE", 30), ("INSERT", 4)]
    assert outboxx.stop() == 0


def test_f42_column_list_row_filter_and_generated_column_that_change_while_streaming(start_postgres, make_outboxx):
    """Values would stand under the names of columns that are no longer sent."""
    postgres = start_postgres()
    if postgres.version < 15:
        pytest.skip("PostgreSQL 14 has neither column lists nor row filters")
    postgres.execute("create table t (id int primary key, a int, twice int generated always as (a * 2) stored, b text)",
                     "create publication outboxx_publication for table t")
    outboxx = make_outboxx(postgres, None, [stream("t")], config=EXISTING).start()
    postgres.execute("insert into t (id, a, b) values (1, 10, 'x')",
                     "alter publication outboxx_publication set table t (id, b)", "insert into t (id, a, b) values (2, 20, 'y')",
                     "update t set a = 21, b = 'z' where id = 2",
                     "alter publication outboxx_publication set table t (a, id) where (id > 10)",
                     "insert into t (id, a, b) values (3, 30, 'x'), (11, 110, 'x')", "delete from t where id = 11",
                     "alter publication outboxx_publication set table t", "alter table t drop b",
                     "insert into t (id, a) values (4, 40)")
    expected = [("INSERT", {"id": 1, "a": 10, "b": "x"}), ("INSERT", {"id": 2, "b": "y"}), ("UPDATE", {"id": 2, "b": "z"}),
                ("INSERT", {"id": 11, "a": 110}), ("DELETE", {"id": 11}), ("INSERT", {"id": 4, "a": 40})]
    if postgres.version >= 18:
        postgres.execute("alter publication outboxx_publication set (publish_generated_columns = stored)", "insert into t (id, a) values (5, 50)")
        expected.append(("INSERT", {"id": 5, "a": 50, "twice": 100}))
    wait_confirmed(postgres)

    assert told(outboxx, len(expected)) == expected
    assert outboxx.stop() == 0


def test_generated_column_as_routing_key_is_refused_unless_it_is_published(postgres, make_outboxx):
    """The first change would end the program, and nothing would get past it."""
    postgres.execute("create table t (id int primary key, twice int generated always as (id * 2) stored)",
                     "create publication outboxx_publication for table t")
    outboxx = make_outboxx(postgres, None, [stream("t", operations=["insert"], routing_key="twice")], config=EXISTING)
    assert "is a generated column, which is not published" in refused(outboxx)
    if postgres.version >= 18:
        postgres.execute("alter publication outboxx_publication set (publish_generated_columns = stored)")
        assert outboxx.command("check").returncode == 0


def test_f43_types_made_while_streaming_are_their_text(postgres, make_outboxx):
    """A type that was not there at the start would end the stream, or show its value in a made-up way."""
    postgres.execute("create table t (id int primary key)")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    postgres.execute("create type mood as enum ('sad', 'ok')", "alter table t add m mood", "insert into t values (1, 'ok')",
                     "alter type mood add value 'happy'", "insert into t values (2, 'happy')",
                     "alter type mood rename value 'happy' to 'glad'", "insert into t values (3, 'glad')",
                     "create domain positive as int check (value > 0); create type pair as (x int, y text);"
                     " create type span as range (subtype = int); alter table t add d positive, add p pair, add s span, add ms mood[]",
                     "insert into t values (4, 'sad', 7, (1, 'two words'), '[1,5)', '{sad,glad}')")

    assert [data for _, data in told(outboxx, 4)] == [
        {"id": 1, "m": "ok"}, {"id": 2, "m": "happy"}, {"id": 3, "m": "glad"},
        {"id": 4, "m": "sad", "d": "7", "p": '(1,"two words")', "s": "[1,5)", "ms": "{sad,glad}"}]
    assert outboxx.stop() == 0


def test_f71_changes_with_an_origin_are_streamed_like_others(postgres, make_outboxx):
    """Rows that a subscription of this server applied would be missing, or their origin taken for something else."""
    postgres.execute("create table t (id int primary key)", "select pg_replication_origin_create('elsewhere')")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    postgres.execute("insert into t values (1)")
    with postgres.connect() as subscription:
        subscription.execute("select pg_replication_origin_session_setup('elsewhere')")
        subscription.execute("begin; select pg_replication_origin_xact_setup('0/1234', now()); insert into t values (2); commit")
        subscription.execute("insert into t values (3)")
    postgres.execute("insert into t values (4)")

    assert [data["id"] for _, data in told(outboxx, 4)] == [1, 2, 3, 4]
    assert outboxx.stop() == 0


def make_watched(postgres, make_outboxx, name, publication, *tables):
    """A pipeline of its own with an existing publication."""
    postgres.execute(f"create publication {name} for {publication}")
    return make_outboxx(postgres, None, [stream(table) for table in tables],
                        config={**EXISTING, "source.postgres.publication_name": name, "source.postgres.slot_name": name}).start()


def reconnects(outboxx):
    return sum(number for name, number in outboxx.metrics().items() if name.startswith("outboxx_reconnects_total"))


LOST_TABLES = {
    "swapped": ("begin; alter table orders rename to orders_old; alter table orders_new rename to orders; commit",
                'table "public.orders" was replaced by another one and is "public.orders_old" now'),
    "renamed": ("alter table customers rename to clients", 'table "public.customers" was renamed to "public.clients"'),
    "dropped": ("alter publication dropped drop table items", 'publication "dropped" does not publish table "public.items" any more'),
    "narrowed": ("alter publication narrowed set (publish = 'insert')",
                 'publication "narrowed" does not publish update, delete of table "public.items" any more'),
    "by_leaf": ("alter publication by_leaf set (publish_via_partition_root = false)",
                'publication "by_leaf" does not publish table "public.metrics" any more'),
}


def test_table_that_is_no_longer_streamed_ends_the_session_and_the_next_one_refuses(postgres, make_outboxx):
    """A publication has the table that was, whatever is called so now: changes would be missing until somebody restarts us."""
    postgres.execute("create table orders (id int primary key)", "create table orders_new (id int primary key)",
                     "create table customers (id int primary key)", "create table items (id int primary key)", *PARTITIONED)
    tables = {"swapped": "orders", "renamed": "customers", "dropped": "items", "narrowed": "items", "by_leaf": "metrics"}
    pipelines = {name: make_watched(postgres, make_outboxx, name, "table " + table +
                                    (" with (publish_via_partition_root)" if name == "by_leaf" else ""), table)
                 for name, table in tables.items()}
    postgres.execute(*(statement for statement, _ in LOST_TABLES.values()))

    for name, outboxx in pipelines.items():
        assert outboxx.wait_exit(40) == 66, name
        log = outboxx.log.replace("\\", "")
        assert "reconnecting: " + LOST_TABLES[name][1] in log, log
        assert re.search("ALTER PUBLICATION|Names are case-sensitive", log), log


def test_changes_that_lose_nothing_do_not_end_the_session(postgres, make_outboxx):
    """Partitions come and go every night, and a table may be made anew where all are published: once a new session, no more."""
    postgres.execute(*PARTITIONED, "create table orders (id int primary key)", "create table orders_2 (id int primary key)")
    partitioned = make_watched(postgres, make_outboxx, "parts", "table metrics with (publish_via_partition_root)", "metrics")
    anew = make_watched(postgres, make_outboxx, "every", "all tables", "orders")
    gone = make_watched(postgres, make_outboxx, "gone", "table orders_2", "orders_2")
    postgres.execute("alter publication parts add table orders", "create table metrics_3 partition of metrics for values in (3)",
                     "alter table metrics detach partition metrics_1", "drop table metrics_2", "alter table metrics add note text",
                     "alter publication parts set (publish = 'insert, update, delete')", "drop table orders_2",
                     "begin; drop table orders; create table orders (id int primary key); insert into orders values (1); commit")
    wait_until(lambda: reconnects(anew) == 1, 30, "a new session for the new table")
    gone.wait_log('table "public.orders_2" was dropped', 30)
    anew.wait_ready()
    postgres.execute("insert into orders values (2)", "insert into metrics values (1, 3, 1)")

    time.sleep(11)  # the next question

    assert [data["id"] for _, data in told(anew, 2)] == [1, 2]
    assert [data["id"] for _, data in told(partitioned, 1)] == [1]
    assert [reconnects(outboxx) for outboxx in (partitioned, anew, gone)] == [0, 1, 0]
    assert [outboxx.stop() for outboxx in (partitioned, anew, gone)] == [0, 0, 0]
