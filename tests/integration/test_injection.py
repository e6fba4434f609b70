"""F122: names that PostgreSQL allows and a log reader or a terminal would obey never come out as they are."""

import json
import re

import pytest

from support import ndjson, stream, wait_until

FORGED = "2026-01-01T00:00:00Z ERROR forged code=70"  # no dot: it would part schema and table
NAME = f"a\n{FORGED}\x1b[2J\r\x07"
assert len(NAME.encode()) <= 63
TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (TRACE|DEBUG|INFO |WARN |ERROR) ")


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def check_text(text):
    """No control characters but line ends, and no line that the name began."""
    assert not re.search(r"[^\n\x20-\x7e\u00a0-\U0010ffff]", text), text
    assert not [line for line in text.splitlines() if line.startswith(FORGED)], text


def check_log(outboxx, log_format):
    check_text(outboxx.log)
    lines = outboxx.log.splitlines()
    assert any("forged" in line for line in lines), "the name is not in the log at all, so nothing was tested"
    for line in lines:
        if log_format == "json":
            assert {"time", "level", "message"} <= json.loads(line).keys()
        else:
            assert TEXT_LINE.match(line), line


@pytest.fixture(params=["text", "json"])
def log_format(request):
    return request.param


@pytest.fixture
def make(postgres, make_outboxx, log_format):
    """A program on a database whose name is hostile."""
    postgres.execute(f"create database {quoted(NAME)}")

    def make_with(streams, config=None):
        return make_outboxx(postgres.conninfo(NAME), None, streams, config=config, args=["--log-level", "trace", "--log-format", log_format])
    return make_with


def test_f122_hostile_names_of_tables_and_databases_stay_inside_their_line(postgres, make, log_format):
    """A forged line in the log hides what happened; an escape sequence in a terminal shows what did not."""
    outboxx = make([stream(f"public.{NAME}", "topic", name="hostile")])
    missing = outboxx.start(ready=False)
    assert missing.wait_exit() == 66
    check_log(missing, log_format)
    for run in (missing.command("check"), missing.command("check", "--json"), missing.command("slot", "show")):
        assert run.returncode != 0
        check_text(run.stdout)
        check_text(run.stderr)

    postgres.execute(f"create table {quoted(NAME)} (id int primary key)", dbname=NAME)
    outboxx.start()
    postgres.execute(f"insert into {quoted(NAME)} values (1)", dbname=NAME)
    wait_until(lambda: [event["data"]["id"] for event in ndjson(outboxx.stdout)] == [1], 20, "the row")
    check_text(outboxx.get("/metrics")[1])
    shown = outboxx.command("slot", "show")
    assert shown.returncode == 0 and "forged" in shown.stdout
    check_text(shown.stdout)
    assert outboxx.stop() == 0
    check_log(outboxx, log_format)


def test_f122_text_of_the_server_stays_inside_its_line(postgres, make, log_format):
    """A server's message holds what any of its users wrote: here the name of a role that may not log in."""
    postgres.execute(f"create role {quoted(NAME)} nologin")
    outboxx = make([stream("public.items")])
    outboxx._env["OUTBOXX_TEST_POSTGRES"] = postgres.conninfo(NAME, user=NAME)
    assert outboxx.start(ready=False).wait_exit() == 66
    check_log(outboxx, log_format)
    check = outboxx.command("check")
    assert check.returncode == 66 and "forged" in check.stdout
    check_text(check.stdout + check.stderr)


def test_f122_hostile_names_do_not_leave_their_json(postgres, make_outboxx):
    """A line end or a quote in a name would make two messages of one, or another message of it."""
    name = 'a"},{"op":"DELETE\n'
    postgres.execute(f"create table items (id int primary key, {quoted(name)} text)")
    outboxx = make_outboxx(postgres, None, [stream("public.items")]).start()
    postgres.execute("insert into items values (1, 'x')")
    wait_until(lambda: outboxx.stdout.endswith("\n"), 20, "the row")
    assert [event["data"] for event in ndjson(outboxx.stdout)] == [{"id": 1, name: "x"}]
    assert outboxx.stop() == 0
