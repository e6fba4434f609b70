#!/usr/bin/env python3
"""Captures binary COPY from a PostgreSQL server (16 to 18, for "char"), beside this program, with the text of the same rows.

    capture.py "host=127.0.0.1 port=5432 user=postgres dbname=postgres"

A capture has the SQL in its head, then a line with the OIDs of the columns, then a line of hex for each CopyData. NAME.txt is
what the server prints of the same rows in text format. Needs psycopg 3.
"""

import pathlib
import sys

import psycopg

SETTINGS = "set TimeZone to UTC; set DateStyle to ISO; set IntervalStyle to postgres; set bytea_output to hex; set extra_float_digits to 3"
# type: values of three rows.
TYPES = {
    "bool": ("t", "f", None), "bytea": (r"\x00ff", "", None), '"char"': ("a", r"\377", None), "name": ("a name", "\u00e4", None),
    "int8": ("-9223372036854775808", "42", None), "int2": ("-32768", "7", None), "int4": ("2147483647", "0", None),
    "text": ("a\tb\\c\n\u6f22", "", None), "oid": ("4294967295", "16", None), "json": ('{"a" : [1, null]}', "1", None),
    "cidr": ("10/8", "2001:db8::/32", None), "float4": ("3e10", "-0.1", "NaN"), "float8": ("1e23", "-0", "1e-5"),
    "macaddr8": ("08:00:2b:01:02:03:04:05",) * 2 + (None,), "macaddr": ("08:00:2b:01:02:03",) * 2 + (None,),
    "inet": ("::ffff:1.2.3.4", "192.168.0.1/24", None), "character(5)": ("ab", "abcde", None), "varchar(20)": ("v", "", None),
    "date": ("0044-03-15 BC", "2024-02-29", "infinity"), "time": ("24:00", "12:34:56.78", None),
    "timestamp": ("0001-12-31 23:59:59.5 BC", "2024-02-29 12:34:56.789", "-infinity"),
    "timestamptz": ("12345-01-01 00:00:00+00", "2024-02-29 12:34:56+02", None),
    "interval": ("1 year 2 mons 3 days 04:05:06.7", "-1 mon 1 day -00:00:01", None), "timetz": ("12:00+05:30", "00:00:00.000001-08", None),
    "numeric": ("-123456789012345678901234567890.000100", "0.00001234", "NaN"), "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",) * 2 + (None,),
    "pg_lsn": ("16/374D848", "0/0", None), "jsonb": ('{"k": null}', '"s"', None),
}
BENCHMARK_TABLE = (  # as in ../pgoutput/capture.py
    "CREATE TABLE t (id bigserial PRIMARY KEY, account_id bigint NOT NULL, numeric_field numeric(20,6) NOT NULL,"
    " status text NOT NULL, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " updated_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
BENCHMARK_ROWS = (
    "INSERT INTO t (account_id, numeric_field, status, payload) SELECT (random() * 10000000)::bigint,"
    " (random() * 1000000)::numeric(20,6), (array['new', 'active', 'paused', 'closed'])[1 + floor(random() * 4)::int],"
    " jsonb_build_object('source', 'cdc-benchmark', 'seq', g, 'padding', repeat('x', 60)) FROM generate_series(1, 50) g"
)


def literal(value, name):
    quoted = "'" + value.replace("'", "''") + "'" if value is not None else "NULL"
    return f"{quoted}::{name}"


def scenarios():
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(TYPES))
    rows = ", ".join(f"({', '.join(literal(values[row], name) for name, values in TYPES.items())})" for row in range(3))
    yield "types", [f"CREATE TABLE t ({columns})", f"INSERT INTO t VALUES {rows}"]
    yield "empty", ["CREATE TABLE t (a int, b text)"]
    yield "no_columns", ["CREATE TABLE t ()", "INSERT INTO t DEFAULT VALUES"]
    yield "benchmark", [BENCHMARK_TABLE, BENCHMARK_ROWS]


def main():
    folder = pathlib.Path(__file__).parent
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute(SETTINGS)
        version = connection.execute("show server_version").fetchone()[0]
        for name, statements in scenarios():
            connection.execute("drop table if exists t")
            for statement in statements:
                connection.execute(statement)
            oids = connection.execute("select atttypid::text from pg_attribute where attrelid = 't'::regclass and attnum > 0 order by attnum")
            head = [f"# PostgreSQL {version}, COPY t TO STDOUT (FORMAT binary). Written by capture.py."]
            head += [f"# {line}" for statement in statements for line in statement.encode("unicode_escape").decode().splitlines()]
            lines = [*head, "types" + "".join(f" {oid}" for [oid] in oids)]
            with connection.cursor().copy("COPY t TO STDOUT (FORMAT binary)") as copy:
                lines += [bytes(message).hex() for message in copy]
            (folder / f"{name}.capture").write_text("\n".join(lines) + "\n", "ascii")
            with connection.cursor().copy("COPY t TO STDOUT") as copy:
                (folder / f"{name}.txt").write_bytes(b"".join(copy))


if __name__ == "__main__":
    main()
