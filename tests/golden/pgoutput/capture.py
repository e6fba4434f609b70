#!/usr/bin/env python3
"""Captures pgoutput messages from a PostgreSQL server, one file per scenario, beside this program.

    capture.py "host=127.0.0.1 port=5432 user=postgres dbname=postgres" [SCENARIO...]

The server needs wal_level=logical; the role must be a superuser (replication origins, COPY FROM PROGRAM). It works in a
database of its own, golden_pgoutput, that it drops first. Needs psycopg 3.

A capture has the SQL in its head, then a line for each message: LSN and bytes in hex. Object ids, transaction ids, LSNs and
times differ from run to run, so after a new capture the expectations (*.txt) must be written anew with
OUTBOXX_UPDATE_GOLDEN=1 and their difference read.
"""

import pathlib
import sys

import psycopg

DATABASE = "golden_pgoutput"
SLOT = "golden_pgoutput"
PUBLISH_ALL = "CREATE PUBLICATION p FOR ALL TABLES"
WIDE_COLUMNS = 1600

# The table that the benchmarks load, about 270 bytes a row in pgoutput; and one of 50 columns, about 2 kB.
BENCHMARK_TABLE = (
    "CREATE TABLE benchmark_records (id bigserial PRIMARY KEY, account_id bigint NOT NULL, numeric_field numeric(20,6) NOT NULL,"
    " status text NOT NULL, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " updated_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
BENCHMARK_FULL = "ALTER TABLE benchmark_records REPLICA IDENTITY FULL"
BENCHMARK_UPDATE = "UPDATE benchmark_records SET status = 'closed', updated_at = clock_timestamp()"
BENCHMARK_DELETE = "DELETE FROM benchmark_records"
WIDE_TABLE = f"CREATE TABLE benchmark_records (id int PRIMARY KEY, {', '.join(f'c{n} text' for n in range(1, 50))})"
WIDE_ROWS = (
    f"INSERT INTO benchmark_records SELECT g, {', '.join(['md5(random()::text)'] * 49)}"
    " FROM generate_series(1, 50) g"
)


def benchmark_rows(count):
    return (
        "INSERT INTO benchmark_records (account_id, numeric_field, status, payload) SELECT (random() * 10000000)::bigint,"
        " (random() * 1000000)::numeric(20,6), (array['new', 'active', 'paused', 'closed'])[1 + floor(random() * 4)::int],"
        " jsonb_build_object('source', 'cdc-benchmark', 'seq', g, 'padding', repeat('x', 60))"
        f" FROM generate_series(1, {count}) g"
    )


# name: (statements before the slot exists, statements whose messages are captured). Those of benchmark/ are replayed by the
# benchmarks and have no expectation: each is one transaction of rows of one kind.
SCENARIOS = {
    "row_changes": (
        ["CREATE TABLE t (id int PRIMARY KEY, name text, amount numeric(10,2))", PUBLISH_ALL],
        [
            "INSERT INTO t VALUES (1, 'one', 1.50), (2, NULL, NULL), (3, '', 0)",
            "UPDATE t SET name = 'uno' WHERE id = 1",
            "UPDATE t SET id = 20, name = 'two' WHERE id = 2",
            "DELETE FROM t WHERE id = 3",
        ],
    ),
    "unchanged_toast": (
        [
            "CREATE TABLE t (id int PRIMARY KEY, n int, body text)",
            "ALTER TABLE t ALTER body SET STORAGE EXTERNAL",
            "CREATE TABLE f (id int PRIMARY KEY, n int, body text)",
            "ALTER TABLE f ALTER body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL",
            PUBLISH_ALL,
        ],
        [
            "INSERT INTO t VALUES (1, 1, repeat('x', 2100))",
            "UPDATE t SET n = 2",
            "UPDATE t SET id = 10",
            "UPDATE t SET body = 'short'",
            "INSERT INTO f VALUES (1, 1, repeat('y', 2100))",
            "UPDATE f SET n = 2",
            "DELETE FROM f",
        ],
    ),
    "replica_identity": (
        [
            "CREATE TABLE identity_full (id int, name text)",
            "ALTER TABLE identity_full REPLICA IDENTITY FULL",
            "CREATE TABLE identity_index (id int PRIMARY KEY, code text NOT NULL UNIQUE, note text)",
            "ALTER TABLE identity_index REPLICA IDENTITY USING INDEX identity_index_code_key",
            "CREATE TABLE identity_nothing (id int PRIMARY KEY, name text)",
            "ALTER TABLE identity_nothing REPLICA IDENTITY NOTHING",
            "CREATE TABLE no_columns ()",
            PUBLISH_ALL,
        ],
        [
            "INSERT INTO identity_full VALUES (1, 'a'), (2, NULL)",
            "UPDATE identity_full SET name = 'b' WHERE id = 1",
            "DELETE FROM identity_full",
            "INSERT INTO identity_index VALUES (1, 'one', 'n')",
            "UPDATE identity_index SET note = 'm'",
            "UPDATE identity_index SET code = 'uno'",
            "DELETE FROM identity_index",
            "INSERT INTO identity_nothing VALUES (1, 'a')",
            "INSERT INTO no_columns DEFAULT VALUES",
        ],
    ),
    "truncate": (
        [
            "CREATE TABLE parent (id serial PRIMARY KEY)",
            "CREATE TABLE child (id int REFERENCES parent)",
            "CREATE TABLE other (id int)",
            PUBLISH_ALL,
        ],
        [
            "TRUNCATE other",
            "TRUNCATE parent, other RESTART IDENTITY CASCADE",
            "TRUNCATE parent CASCADE",
            "TRUNCATE child, other RESTART IDENTITY",
        ],
    ),
    "types": (
        [
            "CREATE TYPE mood AS ENUM ('sad', 'it''s ok')",
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
            "CREATE TYPE pair AS (x int, y text)",
            "CREATE TABLE t (id int PRIMARY KEY, m mood, p positive, c pair, a mood[], v varchar(20), b bytea, j jsonb)",
            PUBLISH_ALL,
        ],
        ["INSERT INTO t VALUES (1, 'it''s ok', 7, ROW(1, 'a,\"b'), '{sad,NULL}', 'v', '\\x0001ff', '{\"k\": null}')"],
    ),
    "type_created_while_running": (
        ["CREATE TABLE t (id int PRIMARY KEY)", PUBLISH_ALL],
        [
            "INSERT INTO t VALUES (1)",
            "CREATE TYPE color AS ENUM ('red')",
            "ALTER TABLE t ADD c color",
            "INSERT INTO t VALUES (2, 'red')",
        ],
    ),
    "origin": (
        ["CREATE TABLE t (id int PRIMARY KEY)", PUBLISH_ALL, "SELECT pg_replication_origin_create('node \"a\"')"],
        [
            "SELECT pg_replication_origin_session_setup('node \"a\"')",
            "BEGIN",
            "SELECT pg_replication_origin_xact_setup('1A/2B3C4D5E', '2020-01-02 03:04:05+00')",
            "INSERT INTO t VALUES (1)",
            "COMMIT",
            "SELECT pg_replication_origin_session_reset()",
            "INSERT INTO t VALUES (2)",
        ],
    ),
    "logical_message": (
        ["CREATE TABLE t (id int PRIMARY KEY)", PUBLISH_ALL],
        [
            "SELECT pg_logical_emit_message(false, 'out of band', 'now')",
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "SELECT pg_logical_emit_message(true, 'in transaction', '\\x00ff0a'::bytea)",
            "SELECT pg_logical_emit_message(false, '', '')",
            "COMMIT",
            "BEGIN",
            "SELECT pg_logical_emit_message(true, 'rolled back', 'never')",
            "ROLLBACK",
        ],
    ),
    "ddl_in_transaction": (
        ["CREATE TABLE t (id int PRIMARY KEY, a text)", PUBLISH_ALL],
        [
            "BEGIN",
            "INSERT INTO t VALUES (1, 'before')",
            "ALTER TABLE t ADD b int DEFAULT 5",
            "INSERT INTO t VALUES (2, 'added', 6)",
            "ALTER TABLE t RENAME a TO renamed",
            "INSERT INTO t VALUES (3, 'renamed', 7)",
            "ALTER TABLE t DROP renamed",
            "UPDATE t SET b = 8 WHERE id = 3",
            "ALTER TABLE t ALTER b TYPE text",
            "ALTER TABLE t RENAME TO u",
            "DELETE FROM u WHERE id = 1",
            "COMMIT",
        ],
    ),
    "hostile_names": (
        [
            'CREATE SCHEMA "s.\u00e9\u4e16"',
            'CREATE TABLE "s.\u00e9\u4e16"."a"":1,""b" ("id" int PRIMARY KEY, "quote""s" text, "new\nline" text, '
            '"back\\slash" text, "__proto__" text, "\u2028" text, "' + "n" * 61 + '\u00e9" text)',
            'CREATE TABLE "' + "\u4e16" * 21 + '" (id int PRIMARY KEY, "\x01\x7f" text)',
            PUBLISH_ALL,
        ],
        [
            'INSERT INTO "s.\u00e9\u4e16"."a"":1,""b" VALUES (1, E\'"\', E\'\\n\', E\'\\\\\', \'x\', \'\u2028\', \'\u4e16\')',
            'INSERT INTO "' + "\u4e16" * 21 + '" VALUES (1, E\'\\x01\\x7f\')',
        ],
    ),
    "copy": (
        ["CREATE TABLE t (id int PRIMARY KEY, name text)", PUBLISH_ALL],
        ["COPY t FROM PROGRAM 'printf \"1\\ta\\n2\\t\\\\\\\\N\\n3\\t\\n\"'"],
    ),
    "savepoint": (
        ["CREATE TABLE t (id int PRIMARY KEY)", PUBLISH_ALL],
        [
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "SAVEPOINT a",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO a",
            "SAVEPOINT b",
            "INSERT INTO t VALUES (3)",
            "RELEASE b",
            "COMMIT",
        ],
    ),
    "partitioned_via_root": (
        [
            "CREATE TABLE t (id int PRIMARY KEY, name text) PARTITION BY RANGE (id)",
            "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE t_high (name text, id int PRIMARY KEY)",
            "ALTER TABLE t ATTACH PARTITION t_high FOR VALUES FROM (10) TO (20)",
            PUBLISH_ALL + " WITH (publish_via_partition_root = true)",
        ],
        [
            "INSERT INTO t VALUES (1, 'low'), (11, 'high')",
            "UPDATE t SET id = 12 WHERE id = 1",
            "DELETE FROM t WHERE id = 11",
            "TRUNCATE t",
        ],
    ),
    "partitioned_as_leaves": (
        [
            "CREATE TABLE t (id int PRIMARY KEY, name text) PARTITION BY RANGE (id)",
            "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (10) TO (20)",
            PUBLISH_ALL,
        ],
        ["INSERT INTO t VALUES (1, 'low')", "UPDATE t SET id = 12 WHERE id = 1", "TRUNCATE t"],
    ),
    "column_list_and_row_filter": (
        [
            "CREATE TABLE t (id int PRIMARY KEY, a text, secret text, twice int GENERATED ALWAYS AS (id * 2) STORED)",
            "CREATE PUBLICATION p FOR TABLE t (id, a) WHERE (id < 10)",
        ],
        [
            "INSERT INTO t VALUES (1, 'a', 's'), (11, 'b', 's')",
            "UPDATE t SET id = 12 WHERE id = 1",
            "UPDATE t SET id = 2 WHERE id = 11",
        ],
    ),
    "wide": (
        [
            f"DO $$ BEGIN EXECUTE 'CREATE TABLE t (' || (SELECT string_agg('c' || i || ' bool', ',') "
            f"FROM generate_series(1, {WIDE_COLUMNS}) i) || ')'; END $$",
            PUBLISH_ALL,
        ],
        [
            "INSERT INTO t (c2) VALUES (true)",
            f"DO $$ BEGIN EXECUTE 'INSERT INTO t VALUES (' || (SELECT string_agg('true', ',') "
            f"FROM generate_series(1, {WIDE_COLUMNS})) || ')'; END $$",
        ],
    ),
    "benchmark/insert": ([BENCHMARK_TABLE, BENCHMARK_FULL, PUBLISH_ALL], [benchmark_rows(1000)]),
    "benchmark/insert_wide": ([WIDE_TABLE, PUBLISH_ALL], [WIDE_ROWS]),
    "benchmark/update_full": ([BENCHMARK_TABLE, BENCHMARK_FULL, benchmark_rows(200), PUBLISH_ALL], [BENCHMARK_UPDATE]),
    "benchmark/update_default": ([BENCHMARK_TABLE, benchmark_rows(200), PUBLISH_ALL], [BENCHMARK_UPDATE]),
    "benchmark/delete_full": ([BENCHMARK_TABLE, BENCHMARK_FULL, benchmark_rows(200), PUBLISH_ALL], [BENCHMARK_DELETE]),
    "benchmark/delete_default": ([BENCHMARK_TABLE, benchmark_rows(200), PUBLISH_ALL], [BENCHMARK_DELETE]),
}


def connect(conninfo, database):
    return psycopg.connect(conninfo, dbname=database, autocommit=True)


def recreate_database(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for slot in connection.execute("SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s", (SLOT,)):
            connection.execute("SELECT pg_drop_replication_slot(%s)", slot)
        connection.execute("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = 'node \"a\"'")
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")


def run_scenario(connection, setup, workload):
    connection.execute("SELECT setseed(0.5)")  # the same random rows each time
    for statement in setup:
        connection.execute(statement)
    connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (SLOT,))
    for statement in workload:
        connection.execute(statement)
    return connection.execute(
        "SELECT lsn::text, encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL,"
        " 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')",
        (SLOT,),
    ).fetchall()


def comment(statement):
    return "# " + statement.encode("unicode_escape").decode("ascii") + ";\n"


def main():
    conninfo, names = sys.argv[1], sys.argv[2:] or list(SCENARIOS)
    for name in names:
        setup, workload = SCENARIOS[name]
        recreate_database(conninfo)
        with connect(conninfo, DATABASE) as connection:
            version = connection.execute("SHOW server_version").fetchone()[0].split()[0]
            rows = run_scenario(connection, setup, workload)
        path = pathlib.Path(__file__).parent / f"{name}.capture"
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="ascii") as file:
            file.write(f"# PostgreSQL {version}, pgoutput, proto_version 1. Written by capture.py.\n")
            file.writelines(comment(statement) for statement in setup)
            file.write("# -- captured from here\n")
            file.writelines(comment(statement) for statement in workload)
            file.writelines(f"{lsn} {data}\n" for lsn, data in rows)
        print(f"{name}: {len(rows)} messages")


if __name__ == "__main__":
    main()
