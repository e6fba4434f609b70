"""What users of the original (Zig) Outboxx rely on, through the binary alone: messages, adoption, command line, endpoint."""

import os
import re
import subprocess
import time

import pytest

from support import KAFKA_3, consume, stream, wait, wait_until
from support.outboxx import binary
from support.wait import REPOSITORY

V0 = {"metadata.version": "v0", "observability.address": None}
TABLE = """
    create table orders (id serial primary key, customer text, amount bigint, weight float8, paid boolean, total numeric(10,2));
    alter table orders replica identity full;
"""
ROW = {"id": 1, "customer": "Ann", "amount": 9007199254740993, "weight": 0.25, "paid": False, "total": "12.50"}
INSERT = "insert into orders (customer, amount, weight, paid, total) values ('Ann', 9007199254740993, 0.25, false, 12.5)"


def start_by(outboxx, *arguments):
    """Starts the program with a command line of the test's own."""
    with open(outboxx.log_path, "ab") as log, open(outboxx.stdout_path, "ab") as out:
        outboxx.process = wait.spawn([binary(), *arguments], env={**os.environ, **outboxx._env}, stdout=out, stderr=log)
    outboxx.wait_ready()
    return outboxx


def test_insert_update_delete_and_restart(postgres, kafka, topic, make_outboxx):
    """A missing or doubled message, a wrong field or type in any of v0's scenarios."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], config=V0).start()
    began = int(time.time())
    postgres.execute(INSERT)
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
    postgres.execute("update orders set paid = true where id = 1")
    assert len(consume(kafka.bootstrap(), topic, count=2)) == 2
    assert outboxx.stop() == 0
    postgres.execute("delete from orders where id = 1")  # while it is down
    outboxx.start()

    messages = consume(kafka.bootstrap(), topic, count=3, until_idle=1)

    paid = {**ROW, "paid": True}
    events = [message.json for message in messages]
    assert [list(event) for event in events] == [["op", "data", "meta"]] * 3
    assert [(event["op"], event["data"]) for event in events] == [("INSERT", ROW), ("UPDATE", paid), ("DELETE", paid)]
    assert [list(map(type, event["data"].values())) for event in events] == [[int, str, int, float, bool, str]] * 3
    assert {(event["meta"]["source"], event["meta"]["resource"]) for event in events} == {("postgres", "public.orders")}
    assert all(began - 5 <= event["meta"]["timestamp"] <= time.time() + 5 for event in events)
    assert [(message.key, message.headers) for message in messages] == [(b"1", {})] * 3
    assert outboxx.stop() == 0


def test_slot_and_for_all_tables_publication_of_v0_are_adopted(postgres, kafka, topic, make_outboxx):
    """The first start after the swap would skip what v0 had not confirmed, or refuse v0's publication."""
    postgres.execute(TABLE, "create table other (id int primary key)", "create publication outboxx_publication for all tables",
                     "select pg_create_logical_replication_slot('outboxx_slot', 'pgoutput')",
                     INSERT, "insert into other values (1)")
    before = postgres.slot("outboxx_slot")

    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], config=V0).start()

    [message] = consume(kafka.bootstrap(), topic, count=1, until_idle=0.5)
    assert message.json["data"] == ROW
    assert "WARN" in outboxx.wait_log('publication "outboxx_publication" is FOR ALL TABLES')
    assert postgres.value("select puballtables from pg_publication where pubname = 'outboxx_publication'") is True
    assert outboxx.stop() == 0
    after = postgres.slot("outboxx_slot")
    assert after["catalog_xmin"] is not None and after["confirmed_flush_lsn"] > before["confirmed_flush_lsn"]
    assert "created replication slot" not in outboxx.log


def test_endpoints_and_metric_names_of_v0(postgres, kafka, topic, make_outboxx):
    """Probes and dashboards made for v0 would find nothing, or another answer."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic, name="orders-stream")], config=V0).start()
    postgres.execute(INSERT, "update orders set paid = true", "delete from orders")
    assert len(consume(kafka.bootstrap(), topic, count=3)) == 3

    def counted():
        metrics = outboxx.metrics()
        return [metrics.get(f'outboxx_events_processed_total{{stream="orders-stream",operation="{operation}"}}')
                for operation in ("INSERT", "UPDATE", "DELETE")]
    wait_until(lambda: counted() == [1, 1, 1], 20, "the three operations are counted")
    metrics = outboxx.metrics()
    assert metrics["outboxx_produce_errors_total"] == 0
    assert 0 <= metrics["outboxx_replication_lag_seconds"] < 60
    assert outboxx.get("/healthz") == (200, "ok\n")
    assert outboxx.get("/readyz")[0] == 200
    assert outboxx.get("/nothing") == (404, "not found\n")
    types = [line for line in outboxx.get("/metrics")[1].splitlines() if line.startswith("# TYPE outboxx_")]
    for name, kind in [("events_processed_total", "counter"), ("produce_errors_total", "counter"), ("replication_lag_seconds", "gauge")]:
        assert f"# TYPE outboxx_{name} {kind}" in types
    with open(f"/proc/{outboxx.pid}/net/tcp", encoding="ascii") as file:
        listening = {line.split()[1] for line in file if line.split()[3] == "0A"}
    assert f"00000000:{outboxx.port:04X}" in listening  # 0.0.0.0, as v0
    assert outboxx.stop() == 0


@pytest.mark.parametrize("option", ["--config", "-c"])
def test_command_line_of_v0_runs(option, postgres, kafka, topic, make_outboxx):
    """Unit files written for v0, without a subcommand, would not start."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)], config=V0)
    start_by(outboxx, option, outboxx.config_path)
    postgres.execute(INSERT)
    assert [message.json["data"] for message in consume(kafka.bootstrap(), topic, count=1)] == [ROW]
    assert outboxx.stdout == ""
    assert outboxx.stop() == 0


def test_version_and_help_of_v0():
    """Scripts that read the first line of --version, or ask for help, would break."""
    def output(*arguments):
        result = subprocess.run([binary(), *arguments], capture_output=True, text=True, check=False, timeout=30)
        return result.returncode, result.stdout
    code, text = output("--version")
    assert code == 0 and re.fullmatch(r"outboxx \d+\.\d+\.\d+\S*", text.splitlines()[0])
    assert output("version") == (0, text)
    for option in ("--help", "-h"):
        code, text = output(option)
        assert code == 0 and "--config" in text
    assert output()[0] == 64
    assert output("--no-such-option")[0] == 64


def v0_file(changes):
    """dist/outboxx-v0.toml, every key of v0 in one file, with lines replaced: pattern -> text."""
    with open(os.path.join(REPOSITORY, "dist", "outboxx-v0.toml"), encoding="utf-8") as file:
        text = file.read()
    for key in ("connection_env", "slot_name", "publication_name", "brokers", "tls", "tls_ca_location", "mechanism", "username",
                "password_env", "address", "port", "resource", "operations", "format", "destination", "routing_key", "include", "exclude"):
        assert re.search(f"(?m)^{key} = ", text), key
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


def v0_tables(postgres):
    postgres.execute(TABLE, "create schema audit", "create table audit.entries (id int primary key, note text)")


def test_file_with_every_key_of_v0_runs_unchanged(postgres, kafka, topic, make_outboxx):
    """A key or rule of v0's file that is refused or means something else now."""
    v0_tables(postgres)
    outboxx = make_outboxx(postgres, kafka, [stream("orders", topic)])
    outboxx._env.update(POSTGRES_CONNECTION=postgres.conninfo())
    outboxx.write_config(v0_file({
        r"(?m)^brokers = .*$": f'brokers = ["{kafka.bootstrap()}"]', "(?m)^tls = true\ntls_ca.*$": "tls = false",
        r"(?m)^\[sink.kafka.sasl\]\n(.*\n){3}": "", r"(?m)^port = .*$": f"port = {outboxx.port}", r'"shop\.': f'"{topic}.',
        r'(?m)^address = .*$': 'address = "127.0.0.1"', "outboxx_slot": "Outboxx_Slot"}))
    outboxx.start()

    postgres.execute(INSERT, "insert into audit.entries values (7, 'x')", "update audit.entries set note = 'y'")

    [order] = consume(kafka.bootstrap(), f"{topic}.orders", count=1)
    [entry] = consume(kafka.bootstrap(), f"{topic}.audit", count=1, until_idle=0.5)
    assert order.json["data"] == ROW and order.key == b"1"
    assert entry.json["data"] == {"id": 7, "note": "x"} and entry.json["meta"]["resource"] == "audit.entries"
    assert postgres.slot("outboxx_slot") is not None  # folded to lower case
    assert "WARN" in outboxx.wait_log("tables.include: has no effect")
    assert outboxx.stop() == 0


def test_file_with_tls_and_sasl_of_v0_passes_check(postgres, start_kafka, make_outboxx):
    """v0's security keys would be refused, or mean another protocol."""
    v0_tables(postgres)
    kafka = start_kafka(listeners=["sasl_ssl"], users={"outboxx": "secret-word"}, version=KAFKA_3)
    kafka.create_topic("shop.orders")
    kafka.create_topic("shop.audit")
    outboxx = make_outboxx(postgres, kafka, [stream("orders")])
    outboxx._env.update(POSTGRES_CONNECTION=postgres.conninfo(), KAFKA_PASSWORD="secret-word")
    outboxx.write_config(v0_file({r"(?m)^brokers = .*$": f'brokers = ["{kafka.bootstrap("sasl_ssl")}"]',
                                  r'(?m)^tls_ca_location = .*$': f'tls_ca_location = "{kafka.certificates.ca}"'}))

    result = outboxx.command("check")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok       configuration" in result.stdout and "ok       sink" in result.stdout
    refused = outboxx.command("check", env={"KAFKA_PASSWORD": "wrong-word"})
    assert refused.returncode == 73 and "credentials" in refused.stdout
    assert "-word" not in refused.stdout + refused.stderr
