"""F123, F124: a role with the grants of SECURITY.md and its one line of pg_hba.conf runs everything, and what it can do beyond."""

import os
import pathlib
import re
import subprocess

import psycopg
import pytest

from support import ndjson, stream, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "right-41d0c9-password"
AS_OWNER = "-- as the tables' owner:"
TABLES = ("create table orders (id bigint primary key, card_number text)", "create table customers (id bigint primary key)")


def documented(language):
    """The one block of that language in SECURITY.md; docs/operations.md must say the same."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.M | re.S)
    [block] = [text for its_language, text in blocks if its_language == language]
    assert block in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return block


def as_owner(postgres, *statements):
    with postgres.connect("shop", user="shop_owner") as owner:
        for statement in statements:
            owner.execute(statement)


@pytest.fixture
def postgres(start_postgres):
    """A server with the documented grants and no others."""
    server = start_postgres(ssl=True)
    server.execute("create role shop_owner login", "create database shop owner shop_owner")
    as_owner(server, *TABLES)
    superusers, owners = documented("sql").replace("'...'", f"'{PASSWORD}'").split(AS_OWNER)
    server.execute(superusers, dbname="shop")
    as_owner(server, owners)
    line = documented("").replace("10.0.0.0/24", "127.0.0.1/32")
    server.set_hba([*line.splitlines(), "local shop shop_owner trust"], trust=False)
    server.reload()
    return server


@pytest.fixture
def conninfo(postgres):
    return postgres.conninfo("shop", host="localhost", user="outboxx", password=PASSWORD, sslmode="verify-full",
                             sslrootcert=postgres.certificates.ca)


@pytest.fixture
def outboxx(conninfo, make_outboxx):
    return make_outboxx(conninfo, None, [stream("public.orders"), stream("public.customers")],
                        config={"source.postgres.publication": "existing", "source.postgres.publication_name": "outboxx_pub"})


def check_ends_well(run):
    assert run.returncode == 0, (run.stdout, run.stderr)
    return run.stdout


def test_f124_documented_grants_are_enough_for_everything(postgres, outboxx, conninfo):
    """An operator who is told to grant less than is needed grants SUPERUSER next. And: no SELECT, and yet all rows."""
    check_ends_well(outboxx.command("check"))
    outboxx.start()
    as_owner(postgres, "insert into orders values (1, '4111')")
    wait_until(lambda: [event["data"] for event in ndjson(outboxx.stdout)] == [{"id": 1, "card_number": "4111"}], 20, "the row")
    with psycopg.connect(conninfo) as role, pytest.raises(psycopg.errors.InsufficientPrivilege):
        role.execute("select * from orders")
    check_ends_well(outboxx.command("check"))  # beside the running one: CONNECTION LIMIT has room for both
    assert "outboxx_slot" in check_ends_well(outboxx.command("slot", "show"))
    assert outboxx.stop() == 0

    assert "dropped" in check_ends_well(outboxx.command("slot", "drop", "--confirm", "outboxx_slot"))
    assert postgres.slot("outboxx_slot") is None


def base_backup(postgres, directory, fields):
    command = [os.path.join(postgres.bin, "pg_basebackup"), "-D", os.path.join(directory, "copy"), "-d", fields, "-X", "none", "-c", "fast"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_f123_base_backup_is_refused_without_a_replication_line(postgres, conninfo, directory):
    """A copy of the cluster has every database and every password hash. What refuses it is the missing line alone."""
    refused = base_backup(postgres, directory, conninfo)
    assert refused.returncode != 0
    assert "no pg_hba.conf entry for replication connection" in refused.stderr

    postgres.set_hba(["hostssl replication outboxx 127.0.0.1/32 scram-sha-256"], trust=False)
    postgres.reload()
    allowed = base_backup(postgres, directory, conninfo)
    assert allowed.returncode == 0, allowed.stderr


def test_f123_role_drops_the_slots_of_others(postgres, conninfo):
    """SECURITY.md says so: if a PostgreSQL of the future refuses it, the sentence goes."""
    postgres.execute("select pg_create_logical_replication_slot('of_others', 'pgoutput')", dbname="shop")
    with psycopg.connect(conninfo) as role:
        role.execute("select pg_drop_replication_slot('of_others')")
    assert postgres.slot("of_others") is None


def test_f124_column_list_is_no_boundary_for_the_role(postgres, conninfo):
    """The publication hides a column from the stream, and not from the role: a slot of its own with another plug-in shows it."""
    as_owner(postgres, "create publication narrow for table orders (id) where (id > 100)")
    with psycopg.connect(conninfo, autocommit=True) as role:
        role.execute("select pg_create_logical_replication_slot('curious', 'test_decoding')")
        as_owner(postgres, "insert into orders values (7, 'hidden-card-number')")
        rows = role.execute("select data from pg_logical_slot_get_changes('curious', null, null)").fetchall()
    assert any("hidden-card-number" in row[0] for row in rows)


def test_missing_grants_are_named_with_the_sql_that_mends_them(postgres, outboxx):
    """The least privileges are found by trying: each step must say what is missing."""
    postgres.execute("alter role outboxx noreplication")
    check = outboxx.command("check")
    assert check.returncode == 66 and "ALTER ROLE" in check.stdout and "REPLICATION" in check.stdout
    postgres.execute("alter role outboxx replication", "revoke connect on database shop from public", "revoke connect on database shop from outboxx")
    check = outboxx.command("check")
    assert check.returncode == 66 and "permission denied for database" in check.stdout


def test_schema_of_a_type_that_a_snapshot_needs_is_named_before_anything_is_made(postgres, outboxx):
    """What makes text of the values has to be called by its name: the snapshot would fail with the slot made, and all was green."""
    has_hstore = postgres.query("select from pg_available_extensions where name = 'hstore'")
    postgres.execute("create schema ext", "create type ext.mood as enum ('sad', 'ok')", "create domain ext.feeling as ext.mood",
                     "grant usage on schema ext to shop_owner", *["create extension hstore schema ext"] * len(has_hstore), dbname="shop")
    as_owner(postgres, "alter table orders add feels ext.feeling, add moods ext.mood[], add plain ext.mood",
             *["alter table orders add tags ext.hstore"] * len(has_hstore),
             "insert into orders values (1, '4111', 'ok', '{sad}', 'ok')", "grant usage on schema public to outboxx",
             "grant select on orders to outboxx")
    check_ends_well(outboxx.command("check"))  # nothing of it is wanted by streams without a snapshot
    outboxx.configure(streams=[stream("public.orders", operations=("insert", "read"))])

    check = outboxx.command("check")
    assert check.returncode == 66 and 'GRANT USAGE ON SCHEMA "ext" TO "outboxx"' in check.stdout, check.stdout
    assert ("feels, tags" if has_hstore else "feels") + " of table" in check.stdout
    assert outboxx.start(ready=False).wait_exit() == 66
    assert postgres.slot("outboxx_slot") is None

    postgres.execute("grant usage on schema ext to outboxx", dbname="shop")
    check_ends_well(outboxx.command("check"))
    outboxx.start()
    [event] = wait_until(lambda: ndjson(outboxx.stdout), 20, "the row")
    assert (event["op"], event["data"]["feels"], event["data"]["moods"]) == ("READ", "ok", "{sad}")
    assert outboxx.stop() == 0
