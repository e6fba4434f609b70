"""What a snapshot reads of each kind of table: each row is read once, and looks as the stream tells an INSERT of it."""

import collections
import json

import pytest

from support import stream, wait_until

pytestmark = pytest.mark.postgres

EXISTING = {"source.postgres.publication": "existing"}
OPERATIONS = ["insert", "read"]


def events(outboxx, count):
    """The lines on standard output once there are count of them, each as (op, resource, [(column, value), ...])."""
    def read():
        with open(outboxx.stdout_path, "rb") as file:
            return file.read().split(b"\n")[:-1]
    wait_until(lambda: len(read()) >= count, 60, f"{count} lines on standard output, log {outboxx.log_path}")
    lines = [json.loads(line) for line in read()]
    assert len(lines) == count
    return [(line["op"], line["meta"]["resource"], list(line["data"].items())) for line in lines]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def by_table(changes):
    """resource -> how often each row is there."""
    rows = collections.defaultdict(collections.Counter)
    for _, resource, row in changes:
        rows[resource][json.dumps(row)] += 1
    return rows


def assert_read_as_inserted(postgres, make_outboxx, tables, rows, *, count, again=None, truncate=None, streams=None, config=None):
    """Inserts the rows before Outboxx starts, and once more (or by other statements, again) while it streams. count: of the rows
    that are published.
    """
    postgres.execute(*rows)
    outboxx = make_outboxx(postgres, None, streams or [stream(table, operations=OPERATIONS) for table in tables], config=config).start()
    read = events(outboxx, count)
    assert {operation for operation, _, _ in read} == {"READ"}
    postgres.execute(f"truncate {', '.join(truncate or tables)}", *(again or rows))
    inserted = events(outboxx, 2 * count)[count:]
    assert {operation for operation, _, _ in inserted} == {"INSERT"}
    assert by_table(read) == by_table(inserted)
    assert outboxx.stop() == 0
    return read


TYPES = {
    "bool": ["t", "f"],
    "bytea": ["", r"\x00ff5c27"],
    "name": ["", "n" * 63],
    "int8": ["-9223372036854775808", "9223372036854775807", "0"],
    "int2": ["-32768", "32767"],
    "int4": ["-2147483648", "2147483647"],
    "text": ["", "null", r"\N", "\u00fc\u6f22\U0001f600\u2028", "tab\tline\nquote\"back\\slash", "x" * 100_000],
    "oid": ["0", "4294967295"],
    "json": [' {"a" :1,  "a": 2} ', '"\\u0000"'],
    "xml": ['<?xml version="1.0" encoding="UTF-8"?><a/>', "<b>&lt;</b>"],
    "cidr": ["10/8", "::/0", "2001:db8::/32"],
    "float4": ["-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "0.00001", "999999", "1e6"],
    "float8": ["-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "1e23", "9007199254740993", "0.1"],
    "money": ["-1.50", "92233720368547758.07"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "macaddr": ["08:00:2b:01:02:03"],
    "inet": ["::1/64", "10.1.2.3/8", "255.255.255.255", "::ffff:1.2.3.4"],
    "character(5)": ["", "ab"],
    "character varying(5)": ["", "abcde"],
    "date": ["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2000-02-29"],
    "time": ["00:00", "24:00", "23:59:59.999999"],
    "time(0)": ["12:00:01"],
    "timestamp": ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "2024-02-29 12:34:56.78+05:30"],
    "interval": ["0", "-1 mon 2 days -3 hours", "-178956970 years -8 mons", "-0.000001 seconds"],
    "timetz": ["24:00-15:59:59", "12:00+00"],
    "bit(3)": ["101"],
    "varbit": ["", "1"],
    "numeric": ["0.00", "NaN", "Infinity", "-Infinity", "1e131071", "1e-16383", "-0.00000000012300", "12345678901234567890.5"],
    "numeric(6,2)": ["1234.50"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "jsonb": [' {"a" :1,  "a": 2} ', "null", "1e400", '"\u00fc"'],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF", "1/A"],
    "tid": ["(4294967295,65535)"],
    "xid": ["4294967295"],
    "regclass": ["pg_catalog.pg_class", "hidden.things", "public.things", "-"],
    "regtype": ["int4", "hidden.pair", "pair"],
    "regprocedure": ["pg_catalog.lower(text)", "public.lower(int)"],
    "places": ['(things,"{things,pg_class}")'],
    '"char"': ["", "a", r"\377"],
    "tsvector": ["'a':1A 'b':2"],
    "tsquery": ["'a' & !'b'"],
    "point": ["(1.5,-2)"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzrange": ["[2024-02-29 12:00+00,infinity]"],
    "int4multirange": ["{[1,3),[5,9)}"],
    "jsonpath": ["$.a[*]"],
    "mood": ["happy", "so \"so\""],
    "pair": ['(1,"a ""b"" c")', "(,)"],
    "flag": ["t", "f"],
    "code": ["ab"],
    "amount": ["7"],
    "choice": ["happy"],
    "numbers": ["{1,NULL,-3}"],
    "couple": ['(1,"x y")'],
    "nested": ["12.50"],
    "hidden.pair": ["(1)"],
    "hidden.level": ["high"],
}
TYPE_DEFINITIONS = [
    "create type mood as enum ('happy', 'so \"so\"')", "create type pair as (a int, b text)",
    "create schema hidden", "create type hidden.pair as (a int)", "create type hidden.level as enum ('low', 'high')",
    "create table hidden.things (id int)", "create table things (id int)", "create type places as (a regclass, b regclass[])",
    "create function public.lower(int) returns int immutable language sql as 'select 1'",
    "create domain flag as bool", "create domain code as character(5)", "create domain amount as int check (value > 0)",
    "create domain choice as mood", "create domain numbers as int[]", "create domain couple as pair",
    "create domain price as numeric(10,2)", "create domain nested as price check (value > 0)",
]


def test_values_of_all_types(postgres, make_outboxx):
    """A value would look one way when it is read and another when it is streamed: to a consumer it has changed."""
    postgres.execute(*TYPE_DEFINITIONS)
    tables, rows = [], []
    for number, (name, literals) in enumerate(TYPES.items()):
        table = f"t{number}"
        values = [literal(text) for text in literals]
        lists = [f"array[{', '.join([*values, 'null'])}]::{name}[]", "'{}'", "null"]
        postgres.execute(f"create table {table} (id int primary key, v {name}, list {name}[])")
        lines = [f"({index}, {value}, null)" for index, value in enumerate(values)] + [
            f"({100 + index}, null, {value})" for index, value in enumerate(lists)]
        tables.append(table)
        rows.append(f"insert into {table} values {', '.join(lines)}")
    assert_read_as_inserted(postgres, make_outboxx, tables, rows, count=sum(len(literals) + 3 for literals in TYPES.values()))


SETTINGS = {"datestyle": "German, DMY", "intervalstyle": "iso_8601", "timezone": "America/St_Johns", "bytea_output": "escape",
            "extra_float_digits": "0", "xmlbinary": "hex", "lc_monetary": "C", "search_path": "traps, public, pg_catalog",
            "statement_timeout": "1ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "1ms", "default_transaction_isolation": "serializable"}
TRAPS = [
    "create schema traps", "create function traps.never(tid, tid) returns bool immutable return false",
    "create function traps.age(xid) returns int immutable return 0",
    *(f"create operator traps.{name} (function = traps.never, leftarg = tid, rightarg = tid)" for name in ("<", ">=")),
]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_settings_of_the_role_change_no_value(version, postgres, make_outboxx):
    """An ALTER ROLE by somebody else would change what is read, or that it is read at all."""
    postgres.execute(*TRAPS[:1], *(TRAPS[1:] if postgres.version > 14 else []),
                     "create table public.t (id int primary key, d date, ts timestamp, tz timestamptz, i interval, b bytea, f float8, r regclass, a timestamptz[], pad text)",
                     "create table traps.t (id int)")
    # Over one connection: the next one's statements may take a millisecond.
    postgres.execute(*[f"alter role postgres set {name} to {setting if ',' in setting else literal(setting)}"
                       for name, setting in SETTINGS.items()])
    with postgres.connect(options="-c search_path=public -c statement_timeout=0 -c lock_timeout=0 -c timezone=UTC") as connection:
        row = ("insert into public.t select g, '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56+00', '1 year 2 days 03:04:05', '\\x00ff5c',"
               " 0.1 + 0.2::float8, case g % 2 when 0 then 'public.t' else 'traps.t' end::regclass, '{2024-02-29 12:34:56+00}', repeat(md5(g::text), 25) from generate_series(1, 15000) g")  # several chunks
        connection.execute(row)
        outboxx = make_outboxx(postgres, None, [stream("t", operations=OPERATIONS)], config={"metadata.version": version}).start()
        read = events(outboxx, 15_000)
        connection.execute("truncate public.t")
        connection.execute(row)
    inserted = events(outboxx, 30_000)[15_000:]
    assert [operation for operation, _, _ in [*read, *inserted]] == ["READ"] * 15_000 + ["INSERT"] * 15_000
    assert by_table(read) == by_table(inserted)
    assert dict(read[0][2])["tz"] == ("2024-02-29 12:34:56+00" if version == "v1" else "2024-02-29 09:04:56-03:30")
    assert outboxx.stop() == 0


@pytest.mark.parametrize("encoding, column, value", [("SQL_ASCII", "v", r"E'a\xffb'"), ("LATIN1", "gr\u00f6\u00dfe", "'\u00e4\u00ff'")])
def test_databases_of_other_encodings(encoding, column, value, postgres, make_outboxx):
    """Letters would be others than the stream's, or a row could not be read at all."""
    postgres.execute(f"create database other encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0")
    row = f"insert into t values (1, {value}, array[{value}])"
    postgres.execute(f'create table t (id int primary key, "{column}" text, list text[])', row, dbname="other")
    outboxx = make_outboxx(postgres.conninfo("other"), None, [stream("t", operations=OPERATIONS)]).start()
    read = events(outboxx, 1)
    postgres.execute("truncate t", row, dbname="other")
    inserted = events(outboxx, 2)[1:]
    assert [operation for operation, _, _ in [*read, *inserted]] == ["READ", "INSERT"]
    assert by_table(read) == by_table(inserted)
    assert outboxx.stop() == 0


TABLES = {
    "empty": ("(id int primary key)", None, 0),
    "one": ("(id int primary key, v text)", "(1, 'a')", 1),
    "toasted": ("(id int primary key, far text, near text, plain bytea)",
                "(1, repeat('x', 3000), repeat('y', 1000000), decode(repeat('00ff', 50000), 'hex')), (2, null, '', null)", 2),
    "generated (id, a)": ("(id int primary key, twice int generated always as (a * 2) stored, a int)", "(1, 10), (2, null)", 2),
    "identity_column": ("(id int generated by default as identity primary key, v int)", "(7, 1)", 1),
    "composite": ("(a int, id text, b int, v int, primary key (b, id))", "(1, 'x', 2, 3), (1, 'y', 2, 3)", 2),
    "without_key": ("(id int, v text)", "(1, 'a'), (1, 'a'), (null, null)", 3),
    "text_key": ("(id text primary key)", "(''), ('\u00fc'), ('a''b'), ('Z')", 4),
    "huge_key": ("(id numeric primary key)", "(-1e300), (0), (1e-300)", 3),
    "negative_key": ("(id int8 primary key)", "(-9223372036854775808), (-1), (9223372036854775807)", 3),
    "large": ("(id int primary key, v text)", None, 0),
    "unlogged_once": ("(id int primary key)", "(1)", 1),
}
LARGE_ROWS = 40_000  # of 800 bytes: several chunks


def test_tables_of_all_shapes(postgres, make_outboxx):
    """A table would be left out, or a row of it, or read twice."""
    rows, count = [], 0
    for name, (columns, values, rows_there) in TABLES.items():
        postgres.execute(f"create table {name.split(' ')[0]} {columns}")
        rows += [f"insert into {name} values {values}"] if values else []
        count += rows_there
    postgres.execute("alter table toasted alter far set storage external", "alter table without_key replica identity full",
                     "create unique index composite_id on composite (id)", "alter table composite alter id set not null",
                     "alter table composite replica identity using index composite_id",
                     "alter table unlogged_once set unlogged", "alter table unlogged_once set logged")
    rows.append(f"insert into large select g, repeat(md5(g::text), 25) from generate_series(1, {LARGE_ROWS}) g")
    tables = [name.split(" ")[0] for name in TABLES]

    read = assert_read_as_inserted(postgres, make_outboxx, tables, rows, count=count + LARGE_ROWS)

    assert ("READ", "public.generated", [("id", 1), ("a", 10)]) in read
    assert {resource for _, resource, _ in read} == {f"public.{table}" for table in tables} - {"public.empty"}


def test_rows_older_than_their_columns(postgres, make_outboxx):
    """A row has values that are not in it, and holds others that are no column's any more."""
    postgres.execute("create table t (gone int, id int primary key, v text)", "create table late (id int primary key)")
    rows = ["insert into t values (1, 1, 'a')", "alter table t drop gone", "alter table t add added int default 7",
            "alter table t rename v to w", "insert into t values (2, 'b', 8)",
            "insert into late values (1)", "alter table late add v text default 'x', add n int"]
    again = ["insert into t values (1, 'a', 7), (2, 'b', 8)", "insert into late values (1, 'x', null)"]
    read = assert_read_as_inserted(postgres, make_outboxx, ["t", "late"], rows, again=again, count=3)
    assert ("READ", "public.t", [("id", 1), ("w", "a"), ("added", 7)]) in read


def test_rows_of_tables_that_inherit_are_not_the_parents(postgres, make_outboxx):
    """A row of a child would be told as one of its parent, which the stream never does."""
    postgres.execute("create table parent (id int primary key)", "create table child (extra int) inherits (parent)",
                     "create table stranger () inherits (parent)", "insert into stranger values (9)")
    read = assert_read_as_inserted(postgres, make_outboxx, ["parent", "child"], ["insert into parent values (1)", "insert into child values (2, 3)"],
                                   count=2, truncate=["only parent", "only child"])
    assert sorted(read) == [("READ", "public.child", [("id", 2), ("extra", 3)]), ("READ", "public.parent", [("id", 1)])]


HOSTILE_NAMES = ['quote"d', "a'b\\c", "new\nline", "\u00fc" * 31 + "x", "Upper Case", '"; drop table t; --', "{a,b}", "$1", "%s", "select"]


def test_hostile_names(postgres, make_outboxx):
    """A name could end in a statement of ours, or name another table."""
    tables = [f"{quoted(name)}.{quoted(name)}" for name in HOSTILE_NAMES]
    for name, table in zip(HOSTILE_NAMES, tables):
        kind = f"{quoted(name)}.{quoted('!' + name[:20])}"
        postgres.execute(f"create schema {quoted(name)}", f"create type {kind} as enum ('v')",
                         f"create table {table} (id int primary key, {quoted(name)} {kind}, {quoted('?' + name[:20])} text)")
    rows = [f"insert into {table} values (1, 'v', 'w')" for table in tables]
    streams = [stream(f"{name}.{name}", "topic", name=f"s{number}", operations=OPERATIONS) for number, name in enumerate(HOSTILE_NAMES)]
    read = assert_read_as_inserted(postgres, make_outboxx, tables, rows, count=len(tables), streams=streams)
    assert {(resource, row[1]) for _, resource, row in read} == {(f"{name}.{name}", (name, "v")) for name in HOSTILE_NAMES}


def test_column_list_and_row_filter(postgres, make_outboxx):
    """Columns and rows that are kept from the topic would come with the snapshot."""
    if postgres.version < 15:
        pytest.skip("PostgreSQL 14 has neither column lists nor row filters")
    postgres.execute("create table listed (id int primary key, secret text, v text)",
                     "create table filtered (id int primary key, v text, w int)",
                     "create table both_of_them (id int primary key, secret text, v text)",
                     "create publication outboxx_publication for table listed (v, id), filtered where (id > 1 and v = 'a' or w is null),"
                     " both_of_them (id, v) where (id <> 2) with (publish = 'insert')")
    rows = ["insert into listed values (1, 'hush', 'a')",
            "insert into filtered values (1, 'a', 1), (2, 'a', 1), (3, 'b', 1), (4, null, 1), (5, 'b', null)",
            "insert into both_of_them values (1, 'hush', 'a'), (2, 'hush', 'b')"]
    read = assert_read_as_inserted(postgres, make_outboxx, ["listed", "filtered", "both_of_them"], rows, count=4, config=EXISTING)
    assert sorted(read) == [("READ", "public.both_of_them", [("id", 1), ("v", "a")]),
                            ("READ", "public.filtered", [("id", 2), ("v", "a"), ("w", 1)]),
                            ("READ", "public.filtered", [("id", 5), ("v", "b"), ("w", None)]),
                            ("READ", "public.listed", [("id", 1), ("v", "a")])]


def test_tables_of_schemas_and_of_all_tables(postgres, make_outboxx):
    """A publication that names no table publishes it all the same, without lists and filters."""
    if postgres.version < 15:
        pytest.skip("PostgreSQL 14 has no publications of schemas")
    postgres.execute("create schema shop", "create table shop.orders (id int primary key, twice int generated always as (id * 2) stored)",
                     "create publication outboxx_publication for tables in schema shop")
    assert_read_as_inserted(postgres, make_outboxx, ["shop.orders"], ["insert into shop.orders values (1)"], count=1, config=EXISTING)
    postgres.execute("drop publication outboxx_publication", "create publication outboxx_publication for all tables",
                     "select pg_drop_replication_slot('outboxx_slot')")
    assert_read_as_inserted(postgres, make_outboxx, ["shop.orders"], ["insert into shop.orders values (2)"], count=2,
                            again=["insert into shop.orders values (1), (2)"], config=EXISTING)


def test_generated_columns_that_are_published(postgres, make_outboxx):
    """They are in the stream's messages since PostgreSQL 18, if the publication says so."""
    if postgres.version < 18:
        pytest.skip("generated columns are published since PostgreSQL 18")
    postgres.execute("create table t (id int primary key, twice int generated always as (id * 2) stored, thrice int generated always as (id * 3))",
                     "create table listed (id int primary key, twice int generated always as (id * 2) stored, v int)",
                     "create publication outboxx_publication for table t, listed (id, twice) with (publish_generated_columns = stored, publish = 'insert')")
    read = assert_read_as_inserted(postgres, make_outboxx, ["t", "listed"], ["insert into t values (1)", "insert into listed (id) values (2)"],
                                   count=2, config=EXISTING)
    assert sorted(read) == [("READ", "public.listed", [("id", 2), ("twice", 4)]), ("READ", "public.t", [("id", 1), ("twice", 2)])]


PARTITIONED = [
    "create table metrics (id int, region int, v text, n numeric, primary key (id, region)) partition by list (region)",
    "create table metrics_1 partition of metrics for values in (1)",
    "create table other_order (gone int, n numeric, v text, region int not null, id int not null)", "alter table other_order drop gone",
    "alter table metrics attach partition other_order for values in (2)",
    "create table deep partition of metrics for values in (3, 4) partition by list (region)",
    "create schema elsewhere", 'create table elsewhere."deep 3" partition of deep for values in (3)',
    "create table no_leaves partition of metrics for values in (5) partition by list (region)",
]
PARTITIONED_ROWS = ["insert into metrics values (1, 1, 'a', 1.0), (2, 2, 'b', 2.0), (3, 3, 'c', 3.0), (4, 2, null, null)"]


def test_partitions_are_read_under_their_tables_name(postgres, make_outboxx):
    """A leaf would be missing, or be told under its own name, or its values stand under the names of others."""
    postgres.execute(*PARTITIONED)
    read = assert_read_as_inserted(postgres, make_outboxx, ["metrics"], PARTITIONED_ROWS, count=4)
    assert ("READ", "public.metrics", [("id", 2), ("region", 2), ("v", "b"), ("n", "2.0")]) in read
    assert {resource for _, resource, _ in read} == {"public.metrics"}


def test_partitions_under_their_own_names(postgres, make_outboxx):
    """Without publish_via_partition_root each leaf is a table of its own, with the columns as it has them."""
    postgres.execute(*PARTITIONED, "create publication outboxx_publication for table metrics")
    read = assert_read_as_inserted(postgres, make_outboxx, ["metrics_1", "other_order"], PARTITIONED_ROWS, count=3, truncate=["metrics"],
                                   config=EXISTING)
    assert ("READ", "public.other_order", [("n", "2.0"), ("v", "b"), ("region", 2), ("id", 2)]) in read


def test_list_and_filter_of_a_partitioned_table(postgres, make_outboxx):
    """That of the table counts, and not those of its leaves."""
    if postgres.version < 15:
        pytest.skip("PostgreSQL 14 has neither column lists nor row filters")
    postgres.execute(*PARTITIONED, "create publication outboxx_publication for table metrics (region, id, v) where (id <> 3),"
                     " other_order (id, region) with (publish_via_partition_root, publish = 'insert')")
    read = assert_read_as_inserted(postgres, make_outboxx, ["metrics"], PARTITIONED_ROWS, count=3, config=EXISTING)
    assert ("READ", "public.metrics", [("id", 2), ("region", 2), ("v", "b")]) in read


def test_many_tables_and_many_partitions(postgres, make_outboxx):
    """A limit inside would leave tables out."""
    tables = [f"t{number}" for number in range(99)]  # as many streams as there may be
    postgres.execute(*(f"create table {table} (id int primary key, v text)" for table in tables),
                     "create table parts (id int primary key) partition by list (id)",
                     *(f"create table parts_{number} partition of parts for values in ({number})" for number in range(901)))
    rows = [*(f"insert into {table} values (1, '{table}')" for table in tables), "insert into parts select generate_series(0, 900)"]
    assert_read_as_inserted(postgres, make_outboxx, [*tables, "parts"], rows, count=1000)


def test_two_streams_of_a_table_read_it_once_each(postgres, make_outboxx):
    """Rows would come twice, or to one of them alone; a stream without "read" gets none."""
    postgres.execute("create table t (id int primary key)", "insert into t values (1), (2)")
    streams = [stream("t", topic, name=topic, operations=operations)
               for topic, operations in [("a", OPERATIONS), ("b", OPERATIONS), ("c", ["insert"]), ("d", ["read"])]]
    outboxx = make_outboxx(postgres, None, streams).start()
    assert len(events(outboxx, 6)) == 6
    postgres.execute("insert into t values (3)")
    assert [operation for operation, _, _ in events(outboxx, 9)[6:]] == ["INSERT"] * 3
    assert outboxx.stop() == 0


def refusal(outboxx):
    assert outboxx.start(ready=False).wait_exit() == 66
    return outboxx.log.replace("\\", "")


def test_partition_on_another_server_is_refused(postgres, make_outboxx):
    """Its rows would be read once and never again: their changes are not in this server's WAL."""
    postgres.execute("create foreign data wrapper far", "create server far foreign data wrapper far",
                     "create table t (id int) partition by list (id)", "create foreign table far_away partition of t for values in (1) server far",
                     "create publication outboxx_publication for table t with (publish = 'insert')")
    log = refusal(make_outboxx(postgres, None, [stream("t", operations=OPERATIONS)], config=EXISTING))
    assert 'partition "public.far_away" of table "public.t" is a foreign table' in log


def test_partition_that_may_not_be_read_is_refused(postgres, make_outboxx):
    """A right to the partitioned table is none to its partitions, which are read by themselves."""
    postgres.execute("create role reader login replication", *PARTITIONED, "grant select on metrics to reader",
                     "create publication outboxx_publication for table metrics with (publish_via_partition_root, publish = 'insert')")
    outboxx = make_outboxx(postgres.conninfo(user="reader"), None, [stream("metrics", operations=OPERATIONS)], config=EXISTING)
    log = refusal(outboxx)
    assert 'GRANT SELECT ON "public"."metrics_1" TO "reader"' in log
    postgres.execute("grant usage on schema elsewhere to reader", 'grant select on metrics_1, other_order, elsewhere."deep 3" to reader', *PARTITIONED_ROWS)
    outboxx.start()
    assert len(events(outboxx, 4)) == 4
    assert outboxx.stop() == 0


def test_server_without_room_for_the_locks_says_which_setting(start_postgres, make_outboxx):
    """All tables are locked while they are read; what to do about a lack of room is no riddle."""
    postgres = start_postgres(settings={"max_locks_per_transaction": 10, "max_connections": 20, "max_prepared_transactions": 0, "max_wal_senders": 5})
    postgres.execute("create table parts (id int primary key) partition by list (id)",
                     *(f"create table parts_{number} partition of parts for values in ({number})" for number in range(1500)),
                     "create publication outboxx_publication for table parts with (publish_via_partition_root)")
    outboxx = make_outboxx(postgres, None, [stream("parts", operations=OPERATIONS)], config=EXISTING).start(ready=False)
    assert "max_locks_per_transaction" in outboxx.wait_log("out of shared memory")
