"""The text that Outboxx makes of binary COPY is the text that the server makes: millions of random values, and the edges.

copy_client (tests/support/copy_client.cc) reads COPY (FORMAT binary) through the program's own code and prints COPY's text
format; the server prints the same rows itself. The values go in as binary COPY, so they are exactly the bits that are meant.
"""

import os
import random
import struct
import subprocess
import time

import pytest
from support import sanitized
from support.wait import REPOSITORY

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(sanitized(), reason="it runs a program of the release build")]

COPY_CLIENT = os.path.join(REPOSITORY, "build", "release", "copy_client")
HOT_ROWS = 100_000
ROWS = 10_000
TIMESTAMP_MIN, TIMESTAMP_END = -211_813_488_000_000_000, 9_223_371_331_200_000_000  # 4713 BC, 294277 AD
DATE_MIN, DATE_END = -2_451_545, 2_145_031_949
DAY_US = 86_400_000_000
SINCE_15, SINCE_16, SINCE_17 = range(15, 19), range(16, 19), range(17, 19)


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run([os.path.join(REPOSITORY, "scripts", "build"), "release", "copy_client"], check=True, capture_output=True)


# Random values as the type's receive function takes them.

def integer(size, signed=True):
    """All lengths, not only the longest."""
    def make(rng):
        number = rng.getrandbits(rng.randint(0, 8 * size - signed))
        return (-number - 1 if signed and rng.random() < 0.5 else number).to_bytes(size, "big", signed=signed)
    return make


def floating(letter, size, powers):
    """Any bits; short decimals, which often lie midway between two floats; numbers as people write them."""
    def make(rng):
        kind = rng.random()
        if kind < 0.4:
            return rng.randbytes(size)
        if kind < 0.7:
            return struct.pack(letter, float(f"{rng.choice('-+')}{rng.getrandbits(rng.randint(1, 30))}e{rng.randint(*powers)}"))
        return struct.pack(letter, round(rng.uniform(-10 ** 6, 10 ** 6), rng.randint(0, 6)))
    return make


def numeric(rng):
    """Zeros in all places, few and many digits; the server leaves out the groups of zeros at both ends."""
    kind = rng.random()
    if kind < 0.01:
        return struct.pack(">hhHh", 0, 0, rng.choice((0xC000, 0xD000, 0xF000)), 0)
    most = 250 if kind < 0.02 else 10
    groups = [rng.choice((0, rng.randrange(10), rng.randrange(10_000), 9999)) for _ in range(rng.randint(0, most))]
    weight = rng.randint(-most, most)
    scale = rng.choice((0, 2, rng.randint(0, 4 * most)))
    return struct.pack(">hhHh", len(groups), weight, rng.choice((0, 0x4000)), scale) + struct.pack(f">{len(groups)}h", *groups)


def text(rng, most=60):
    alphabet = "ab \\\t\n\r\b\f\v\"'\x01\x7f{},;\u00e4\u6f22\U0001f600"
    return "".join(rng.choices(alphabet, k=rng.randint(0, most))).encode()


def timestamp(rng):
    kind = rng.random()
    if kind < 0.01:
        return struct.pack(">q", rng.choice((2 ** 63 - 1, -2 ** 63)))
    number = rng.randrange(TIMESTAMP_MIN, TIMESTAMP_END) if kind < 0.5 else rng.randrange(-10 ** 15, 10 ** 15)
    return struct.pack(">q", number - number % rng.choice((1, 10, 1000, 100_000, 1_000_000, DAY_US)))


def date(rng):
    kind = rng.random()
    if kind < 0.01:
        return struct.pack(">i", rng.choice((2 ** 31 - 1, -2 ** 31)))
    return struct.pack(">i", rng.randrange(DATE_MIN, DATE_END) if kind < 0.5 else rng.randrange(-1_500_000, 200_000))


def time_of_day(rng):
    number = rng.randint(0, DAY_US)
    return struct.pack(">q", number - number % rng.choice((1, 10, 1000, 1_000_000, 60_000_000)))


def time_with_zone(rng):
    zone = rng.randrange(-57_599, 57_600)
    return time_of_day(rng) + struct.pack(">i", int(zone / rng.choice((1, 60, 3600))) * rng.choice((1, 60, 3600)) % 57_600)


def interval(rng):
    """Parts that are zero, of either sign. Within what version 14 can print, whose hours are an int."""
    part = lambda most: rng.choice((0, 0, rng.randint(-20, 20), rng.randint(-most, most)))
    microseconds = part(7 * 10 ** 18) * rng.choice((0, 1, 1)) // rng.choice((1, 1000, 10 ** 6)) * rng.choice((1, 1, 1))
    return struct.pack(">qii", microseconds, part(2 ** 31 - 1), part(2 ** 31 - 1))


def network(is_cidr):
    def make(rng):
        size = rng.choice((4, 16))
        bits = rng.choice((8 * size, rng.randint(0, 8 * size)))
        words = [rng.choice((0, 0, 1, 0xFFFF, rng.getrandbits(16))) for _ in range(size // 2)]
        if size == 16 and rng.random() < 0.3:
            words[:6] = rng.choice(([0] * 6, [0] * 5 + [0xFFFF]))
        address = int.from_bytes(struct.pack(f">{size // 2}H", *words), "big")
        if is_cidr:
            address &= -1 << (8 * size - bits)
        return bytes((2 if size == 4 else 3, bits, is_cidr, size)) + address.to_bytes(size, "big")
    return make


def json_text(rng):
    return f'{{"a": [{rng.getrandbits(40)}, "\u00e4\\n"],  "b":{rng.choice(("null", "true", "1.50"))} }}'.encode()


def raw(least, most=None):
    return lambda rng: rng.randbytes(rng.randint(least, most or least))


HOT = {
    "int2": integer(2), "int4": integer(4), "int8": integer(8), "float4": floating(">f", 4, (-40, 27)), "float8": floating(">d", 8, (-60, 40)),
    "numeric": numeric, "text": text, "date": date, "timestamp": timestamp, "timestamptz": timestamp,
}
OTHERS = {
    "bool": lambda rng: bytes((rng.randrange(2),)), "oid": integer(4, signed=False), "varchar": text,
    "bpchar": text, "character(70)": text, "name": lambda rng: text(rng, 15), "json": json_text,
    "jsonb": lambda rng: b"\x01" + json_text(rng), "uuid": raw(16), "bytea": raw(0, 40), "time": time_of_day,
    "timetz": time_with_zone, "interval": interval, "pg_lsn": integer(8, signed=False), "inet": network(False), "cidr": network(True),
    "macaddr": raw(6), "macaddr8": raw(8),
}

EDGES = {
    "bool": ["true", "false"],
    "int2": ["-32768", "32767", "0"],
    "int4": ["-2147483648", "2147483647"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "oid": ["0", "4294967295"],
    "float4": ["-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "1.17549435e-38", "1e5", "999999", "1e6", "1234567", "0.0001", "0.00001",
               "33554432", "3e10", "9e9"],
    "float8": ["-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "2.2250738585072014e-308", "1e14", "1e15",
               "123456789012345", "1234567890123456", "0.0001", "0.00001", "1e23", "9007199254740993", "0.1", "1e100", "1e-100"],
    "numeric": ["0", "0.00", "-0.0", "NaN", "Infinity", "-Infinity", "1e131071", "-1e131071", "1e-16383", "10000", "0.0001", "100000000.00010000",
                "0.00000000012300"],
    "text": ["", "\\N", "x" * 100_000],
    "character(5)": ["", "ab"],
    "json": [' {"a" :1,  "a": 2} '],
    "jsonb": [' {"a" :1,  "a": 2} ', "null"],
    "bytea": ["", r"\x00ff"],
    "date": ["infinity", "-infinity", "4714-11-24 BC", "0001-12-31 BC", "0001-01-01", "5874897-12-31", "2000-02-29", "1900-03-01", "10000-01-01"],
    "time": ["00:00", "24:00", "23:59:59.999999"],
    "timetz": ["24:00-15:59:59", "00:00+15:59:59", "12:00+00", "12:00-05:30"],
    "timestamp": ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "1999-12-31 23:59:59.999999", "0001-01-01",
                  "0001-12-31 23:59:59.5 BC"],
    "timestamptz": ["infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "2024-02-29 12:34:56.78+05:30"],
    "interval": ["0", "-1 day +00:00:00.1", "-1 mon 2 days -3 hours", "1 year", "-1 year 1 day", "-0.000001 seconds", "-178956970 years -8 mons",
                 "1 mon -1 day 1 hour"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF", "1/A"],
    "inet": ["::", "::1", "::2", "1::", "::ffff:1.2.3.4", "::1.2.3.4", "1:0:0:2::3", "::1/64", "10.1.2.3/8", "255.255.255.255", "0.0.0.0/0", "::/0"],
    "cidr": ["10/8", "1.2.3.4", "::/0", "2001:db8::/32", "::ffff:0:0/96"],
}
# What only some versions have: type, values, versions.
EDGES_OF_VERSIONS = [
    ("\"char\"", ["", "a", r"\377", r"\200"], SINCE_16),
    ("interval", ["178956970 years 7 mons 2147483646 days 2562047788:00:54.775807"], SINCE_15),
    ("interval", ["178956970 years 7 mons 2147483647 days 2562047788:00:54.775807"], (15, 16)),
    ("interval", ["infinity", "-infinity"], SINCE_17),
]
# Types whose text the server makes. With some, column::text is another text than the one that COPY and the stream have.
FOREIGN = {"mood": "happy", "flag": "true", "code": "ab", "mac": "08:00:2b:01:02:03", "int4[]": "{1,NULL,-3}", "boolean[]": "{t,f}", "pair": '(1,"a b")',
           "xml": '<?xml version="1.0" encoding="UTF-8"?><a/>', "money": "1.50", "bit(3)": "101", "int4range": "[1,5)", "point": "(1,2)"}


def binary_copy(rows):
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for row in rows:
        yield struct.pack(">h", len(row)) + b"".join(
            struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value for value in row)
    yield b"\xff\xff"


def client(postgres, query, oids):
    ran = subprocess.run([COPY_CLIENT, postgres.conninfo(), query, *map(str, oids)], capture_output=True, check=False,
                         timeout=300)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout


def server(connection, query):
    connection.execute("set TimeZone to UTC")
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT") as copy:
        return b"".join(copy)


def type_oid(connection, name):
    return connection.execute("select %s::regtype::oid", [name]).fetchone()[0]


def assert_same(postgres, connection, columns, types):
    """columns of the table t, compared line by line. Outboxx's search_path has pg_catalog alone."""
    query = f"select {', '.join(columns)} from public.t"
    ours = client(postgres, query, [type_oid(connection, name) for name in types]).splitlines()
    theirs = server(connection, query).splitlines()
    assert len(ours) == len(theirs) > 0
    wrong = [(name, mine, his) for lines in zip(ours, theirs) if lines[0] != lines[1]
             for name, mine, his in zip(types, *(line.split(b"\t") for line in lines)) if mine != his]
    assert not wrong, f"{len(wrong)} values in {len(theirs)} lines; type, ours, the server's: {wrong[:5]}"


@pytest.mark.parametrize(("makers", "rows"), [(HOT, HOT_ROWS), (OTHERS, ROWS)], ids=["hot", "others"])
def test_random_values_have_the_servers_text(postgres, makers, rows):
    seed = int(os.environ.get("OUTBOXX_TEST_SEED", time.time_ns() % 2 ** 32))
    print(f"OUTBOXX_TEST_SEED={seed}")
    rng = random.Random(seed)
    columns = [f"c{number}" for number in range(len(makers))]
    with postgres.connect() as connection:
        connection.execute(f"create table t ({', '.join(f'{column} {name}' for column, name in zip(columns, makers))})")
        values = ([None if rng.random() < 0.02 else make(rng) for make in makers.values()] for _ in range(rows))
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"".join(binary_copy(values)))

        assert_same(postgres, connection, columns, makers)


def test_edges_have_the_servers_text(postgres):
    edges = [*((name, values, range(14, 19)) for name, values in EDGES.items()), *EDGES_OF_VERSIONS]
    with postgres.connect() as connection:
        for name, values, versions in edges:
            if postgres.version in versions:
                connection.execute(f"create table t (v {name})")
                connection.execute(f"insert into t select unnest(%s::text[])::{name}", [values])
                assert_same(postgres, connection, ["v"], [name])
                connection.execute("drop table t")


def test_a_copy_of_nothing_is_understood(postgres):
    postgres.execute("create table t (v int)")

    assert client(postgres, "select v from public.t", [23]) == b""
    assert client(postgres, "select from generate_series(1, 2)", []) == b"\n\n"


def test_other_types_come_through_their_output_function(postgres):
    postgres.execute("create type mood as enum ('happy', 'sad')", "create domain flag as bool", "create domain code as character(5)",
                     "create domain mac as macaddr", "create type pair as (a int, b text)")
    with postgres.connect() as connection:
        columns = ", ".join(f"c{number} {name}" for number, name in enumerate(FOREIGN))
        connection.execute(f"create table t ({columns})")
        connection.execute(f"insert into t values ({', '.join(['%s'] * len(FOREIGN))})", list(FOREIGN.values()))
        connection.execute("insert into t default values")
        functions = [connection.execute("select typoutput::text from pg_type where oid = %s::regtype", [name]).fetchone()[0]
                     for name in FOREIGN]
        calls = [f"textin({function}(c{number}))" for number, function in enumerate(functions)]

        assert client(postgres, f"select {', '.join(calls)} from public.t", [0] * len(calls)) == server(connection, "select * from public.t")
