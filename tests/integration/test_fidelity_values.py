"""Values and names as they come: hostile names, extreme values, encodings, and settings that would change PostgreSQL's text."""

import json

import psycopg
import pytest

from support import consume, stream, wait_until

pytestmark = pytest.mark.postgres

V1 = {"metadata.version": "v1"}
HOSTILE_NAMES = [
    'quote"d', 'a":1,"b', "new\nline", "tab\tbed", "__proto__", "constructor", "back\\slash", "it's", " ", "}", "\\u0041", "\x01\x1f\x7f",
    "\u00fc" * 31 + "x", "\u6f22\u5b57\U0001f600", "\u2028", "select", "%s{}%n", "a.b", "--", "$1",
]


def events(outboxx, count):
    """The lines on standard output, once there are count: valid UTF-8, valid JSON, and no name twice."""
    def read():
        with open(outboxx.stdout_path, "rb") as file:
            return file.read().split(b"\n")[:-1]
    wait_until(lambda: len(read()) >= count, 30, f"{count} lines on standard output")
    return [json.loads(line.decode("utf-8"), object_pairs_hook=without_repetition) for line in read()]


def without_repetition(pairs):
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def test_f99_hostile_column_names_stay_exact(postgres, kafka, topic, make_outboxx):
    """A name could break out of the JSON, replace another column, or be another one after it."""
    columns = ", ".join(f"{quoted(name)} text" for name in HOSTILE_NAMES)
    assert max(len(name.encode()) for name in HOSTILE_NAMES) == 63
    postgres.execute(f"create table hostile (id int primary key, {columns})")
    streams = [stream("hostile", topic, name=f"by_{number}", routing_key=name, operations=["insert"])
               for number, name in enumerate(HOSTILE_NAMES)]
    outboxx = make_outboxx(postgres, kafka, streams).start()
    with postgres.connect() as connection:
        places = ", ".join(["%s"] * len(HOSTILE_NAMES))
        connection.execute(f"insert into hostile values (1, {places})", [f"value of {name}" for name in HOSTILE_NAMES])

    messages = consume(kafka.bootstrap(), topic, count=len(HOSTILE_NAMES))

    row = [("id", 1)] + [(name, f"value of {name}") for name in HOSTILE_NAMES]
    for message in messages:
        event = json.loads(message.value.decode("utf-8"), object_pairs_hook=list)
        assert [name for name, _ in event] == ["op", "data", "meta"]
        assert event[1][1] == row
    assert sorted(message.key.decode() for message in messages) == sorted(f"value of {name}" for name in HOSTILE_NAMES)
    assert outboxx.stop() == 0


@pytest.mark.parametrize("name", ['quote"d', "a'b\\c", "new\nline", "\u00fc" * 31 + "x", "Upper Case", '"; drop table t; --', "{a,b}"],
                         ids=["quote", "backslash", "line", "63_bytes", "case", "injection", "array"])
def test_f99_hostile_table_and_schema_names_stay_exact(name, postgres, make_outboxx):
    """A name could end in a statement of ours, or in the JSON."""
    table = f"{quoted(name)}.{quoted(name)}"
    postgres.execute(f"create schema {quoted(name)}", f"create table {table} (id int primary key)", "create table t (id int)")
    outboxx = make_outboxx(postgres, None, [stream(f"{name}.{name}", "topic", name="hostile")])
    checked = outboxx.command("check", "--json")
    assert checked.returncode == 0, checked.stdout
    json.loads(checked.stdout)
    outboxx.start()
    postgres.execute(f"insert into {table} values (1)", f"delete from {table}")
    found = events(outboxx, 2)
    assert [(event["op"], event["data"], event["meta"]["resource"]) for event in found] == [
        ("INSERT", {"id": 1}, f"{name}.{name}"), ("DELETE", {"id": 1}, f"{name}.{name}")]
    assert postgres.value("select count(*) from t") == 0
    assert outboxx.stop() == 0


def test_f105_names_that_differ_by_case_alone_stay_apart(postgres, make_outboxx):
    """One column would overwrite the other."""
    postgres.execute('create table cases (id int primary key, "Id" int, "ID" int)')
    outboxx = make_outboxx(postgres, None, [stream("cases")]).start()
    postgres.execute("insert into cases values (1, 2, 3)")
    assert events(outboxx, 1)[0]["data"] == {"id": 1, "Id": 2, "ID": 3}


SETTINGS = {"datestyle": "German, DMY", "intervalstyle": "iso_8601", "timezone": "America/St_Johns", "bytea_output": "escape",
            "extra_float_digits": "0"}
SETTINGS_TABLE = "create table t (id int primary key, d date, ts timestamp, tz timestamptz, i interval, b bytea, f float8, r float4)"
SETTINGS_ROW = ("insert into t values (1, '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56+00', '1 year 2 days 03:04:05', "
                "'\\x00ff5c', 0.1 + 0.2::float8, 0.33333334)")
PINNED = {"id": 1, "d": "2024-02-29", "ts": "2024-02-29 12:34:56.789", "tz": "2024-02-29 12:34:56+00",
          "i": "1 year 2 days 03:04:05", "b": "\\x00ff5c", "f": 0.30000000000000004, "r": 0.33333334}


@pytest.mark.parametrize("scope", ["role postgres", "database postgres", "role postgres in database postgres"])
@pytest.mark.parametrize("version, tz", [("v1", "2024-02-29 12:34:56+00"), ("v0", "2024-02-29 09:04:56-03:30")])
def test_f102_settings_of_role_and_database_change_no_text(version, tz, scope, postgres, make_outboxx):
    """An ALTER ROLE by somebody else would change the format of dates in the topic; in v0 TimeZone alone follows the server."""
    target, _, rest = scope.partition(" in ")
    for name, setting in SETTINGS.items():
        value = setting if name == "datestyle" else f"'{setting}'"
        postgres.execute(f"alter {target} {'in ' + rest if rest else ''} set {name} to {value}")
    with postgres.connect() as connection:
        assert connection.execute("select '2024-02-29'::date::text").fetchone()[0] == "29.02.2024"
    postgres.execute(SETTINGS_TABLE.replace("timestamptz", "timestamptz"))
    outboxx = make_outboxx(postgres, None, [stream("t")], config={"metadata.version": version}).start()
    postgres.execute(SETTINGS_ROW)
    assert events(outboxx, 1)[0]["data"] == {**PINNED, "tz": tz}
    assert outboxx.stop() == 0


def test_f102_options_of_the_connection_string_change_no_text(postgres, make_outboxx):
    """The operator's own conninfo would win over what we promise."""
    postgres.execute(SETTINGS_TABLE)
    conninfo = postgres.conninfo(options="-c datestyle=German -c bytea_output=escape -c timezone=Asia/Tokyo -c extra_float_digits=0")
    outboxx = make_outboxx(conninfo, None, [stream("t")]).start()
    postgres.execute(SETTINGS_ROW)
    assert events(outboxx, 1)[0]["data"] == PINNED


def test_f98_f104_control_characters_and_nul_bytes(postgres, kafka, topic, make_outboxx):
    """A NUL would cut the value; a raw control character is no JSON."""
    text = "".join(map(chr, range(1, 0x20))) + '"\\/\x7f\x80\u2028\u2029\ufeff\ufffe\U0010ffff'
    postgres.execute("create table t (id int primary key, s text, b bytea, j json)")
    with pytest.raises(psycopg.errors.UntranslatableCharacter):
        postgres.execute("""select '"\\u0000"'::jsonb""")
    outboxx = make_outboxx(postgres, kafka, [stream("t", topic, routing_key="b", operations=["insert"])]).start()
    with postgres.connect() as connection:
        connection.execute("insert into t values (1, %s, %s, %s)", [text, b"a\0b\0\0", '"\\u0000 \\ud800 \\" "'])

    [message] = consume(kafka.bootstrap(), topic, count=1)

    assert message.json["data"] == {"id": 1, "s": text, "b": "\\x6100620000", "j": '"\\u0000 \\ud800 \\" "'}
    assert message.key == b"\\x6100620000"
    assert not any(byte < 0x20 for byte in message.value)
    message.value.decode("utf-8")


def test_f100_f101_extreme_values(postgres, make_outboxx):
    """A number would lose digits, or become something that is no JSON."""
    big = "1" + "0" * 131_071
    small = "0." + "0" * 16_382 + "1"
    rows = [
        ("float8", "NaN", "NaN"), ("float8", "-Infinity", "-Infinity"), ("float4", "Infinity", "Infinity"),
        # Plain decimals, as v0 wrote them: without a fraction they read as integers.
        ("float8", "1.7976931348623157e308", 17976931348623157 * 10**292), ("float8", "5e-324", 5e-324), ("float8", "1e23", 10**23),
        ("int8", "9223372036854775807", 9223372036854775807), ("int8", "-9223372036854775808", -9223372036854775808),
        ("int8", "9007199254740993", 9007199254740993), ("int2", "-32768", -32768),
        ("numeric", "NaN", "NaN"), ("numeric", "-Infinity", "-Infinity"), ("numeric", big, big), ("numeric", small, small),
        ("numeric", "0.10", "0.10"), ("jsonb", "1e400", "1" + "0" * 400), ("jsonb", "12345678901234567890.5", "12345678901234567890.5"),
        ("date", "4714-11-24 BC", "4714-11-24 BC"), ("date", "5874897-12-31", "5874897-12-31"), ("date", "-infinity", "-infinity"),
        ("timestamp", "294276-12-31 23:59:59.999999", "294276-12-31 23:59:59.999999"),
        ("timestamptz", "4714-11-24 00:00:00+00 BC", "4714-11-24 00:00:00+00 BC"), ("timestamptz", "infinity", "infinity"),
        ("time", "24:00:00", "24:00:00"), ("interval", "-178000000 years", "-178000000 years"), ("text", "", ""), ("bytea", "", "\\x"),
    ]
    columns = ", ".join(f"c{number} {type_}" for number, (type_, _, _) in enumerate(rows))
    postgres.execute(f"create table t (id int primary key, {columns})")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    literals = ", ".join(f"'{literal}'" for _, literal, _ in rows)
    postgres.execute(f"insert into t values (1, {literals})", "update t set id = 2")

    inserted, updated = events(outboxx, 2)

    wanted = [value for _, _, value in rows]
    got = list(inserted["data"].values())[1:]
    assert [(type(value), value) for value in got] == [(type(value), value) for value in wanted]
    assert list(updated["data"].values())[1:] == wanted


def test_f103_types_of_users_keep_postgresqls_text(postgres, make_outboxx):
    """An enum that got a new name, a composite or an array would come as the server's inner form."""
    postgres.execute("create type mood as enum ('ok', 'so so')", "create type pair as (a int, b text)",
                     "create table t (id int primary key, m mood, p pair, a int[], ps pair[])")
    outboxx = make_outboxx(postgres, None, [stream("t")]).start()
    row = "insert into t values (%d, '%s', row(1, 'x, \"y\"'), '[0:1]={1,NULL}', array[row(1, null)::pair])"
    postgres.execute(row % (1, "so so"), "alter type mood rename value 'so so' to 'better'", row % (2, "better"))
    texts = {"p": '(1,"x, ""y""")', "a": "[0:1]={1,NULL}", "ps": '{"(1,)"}'}
    assert [event["data"] for event in events(outboxx, 2)] == [{"id": 1, "m": "so so", **texts}, {"id": 2, "m": "better", **texts}]


def test_f96_sql_ascii_database_with_invalid_bytes(postgres, kafka, topic, make_outboxx):
    """The server would refuse to convert such a row for ever, or the message would be no JSON; nobody would be told."""
    postgres.execute("create database ascii encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
    postgres.execute("create table t (id int primary key, k text, s text)", dbname="ascii")
    outboxx = make_outboxx(postgres.conninfo("ascii"), kafka, [stream("t", topic, routing_key="k", operations=["insert"])]).start()
    assert "WARN" in outboxx.wait_log("server_encoding is SQL_ASCII")
    postgres.execute(r"insert into t values (1, E'k\xff', E'a\xff\xfeb'), (2, E'k\xfe', E'\xe2\x82'), (3, 'k', E'\xc3\xa4')", dbname="ascii")

    messages = consume(kafka.bootstrap(), topic, count=3)

    bad = "\ufffd"
    assert [json.loads(message.value.decode("utf-8"))["data"] for message in messages] == [
        {"id": 1, "k": f"k{bad}", "s": f"a{bad}{bad}b"}, {"id": 2, "k": f"k{bad}", "s": bad}, {"id": 3, "k": "k", "s": "\u00e4"}]
    assert [message.key for message in messages] == [b"k\xff", b"k\xfe", b"k"]
    wait_until(lambda: outboxx.metrics()["outboxx_invalid_utf8_values_total"] == 4, 10, "four values are counted")
    assert outboxx.stop() == 0


def test_f97_latin1_database_becomes_utf8(postgres, make_outboxx):
    """Letters beyond ASCII would be mojibake, in names too."""
    postgres.execute("create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0")
    postgres.execute('create table t (id int primary key, "gr\u00f6\u00dfe" text)', dbname="latin")
    assert postgres.value("select pg_encoding_to_char(encoding) from pg_database where datname = 'latin'") == "LATIN1"
    outboxx = make_outboxx(postgres.conninfo("latin"), None, [stream("t")]).start()
    postgres.execute("insert into t values (1, '\u00e4\u00f6\u00fc\u00df\u00ff')", dbname="latin")
    assert events(outboxx, 1)[0]["data"] == {"id": 1, "gr\u00f6\u00dfe": "\u00e4\u00f6\u00fc\u00df\u00ff"}
    assert outboxx.stop() == 0
