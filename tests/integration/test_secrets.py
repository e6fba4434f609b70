"""F117, F119: passwords never show: not in the log at trace level, not on standard output, not in metrics, not in the command line."""

import concurrent.futures
import glob
import os

import pytest

from support import consume, free_port, stream
from support.outboxx import CONNECTION_ENV

TABLE = "create table items (id bigint primary key)"
POSTGRES_SECRET = "pgCanary7Q2xV9"
KAFKA_SECRET = "kafkaCanary4W8zL1"
SASL = {"mechanism": "PLAIN", "username": "outboxx", "password_env": "KAFKA_PASSWORD"}

# F117: libpq's own messages quote a part of some of these.
MALFORMED = {
    "unquoted space": f"host=127.0.0.1 password=first {POSTGRES_SECRET} dbname=postgres",
    "unquoted space and an equals sign": f"host=127.0.0.1 password=first {POSTGRES_SECRET}=second dbname=postgres",
    "bad percent escape": f"postgresql://outboxx:{POSTGRES_SECRET}%zz@127.0.0.1/postgres",
    "percent escape of NUL": f"postgresql://outboxx:{POSTGRES_SECRET}%00@127.0.0.1/postgres",
    "unterminated quote": f"host=127.0.0.1 password='{POSTGRES_SECRET} dbname=postgres",
    "unescaped at sign": f"postgresql://outboxx:first@{POSTGRES_SECRET}@127.0.0.1/postgres",
    "unescaped slash": f"postgresql://outboxx:first/{POSTGRES_SECRET}@127.0.0.1/postgres",
    "unescaped question mark": f"postgresql://outboxx:first?{POSTGRES_SECRET}@127.0.0.1/postgres",
    "unescaped colon, no host": f"postgresql://outboxx:first:{POSTGRES_SECRET}",
    "bracket of IPv6": f"postgresql://outboxx:{POSTGRES_SECRET}@[::1/postgres",
    "typing mistake in the keyword": f"host=127.0.0.1 pasword={POSTGRES_SECRET} dbname=postgres",
}


def check_nothing_shows(*texts):
    for text in texts:
        for secret in (POSTGRES_SECRET, KAFKA_SECRET):
            assert secret not in text, text[max(0, text.index(secret) - 300):text.index(secret) + 100]


def run_and_check(outboxx, codes):
    """Runs all three commands that connect; each must fail with one of codes, and none may show a secret."""
    outboxx.start(ready=False)
    with concurrent.futures.ThreadPoolExecutor() as pool:  # side by side: each may wait for a server that is not there
        check, text, slot = pool.map(lambda arguments: outboxx.command(*arguments), [("check", "--json"), ("check",), ("slot", "show")])
    assert outboxx.wait_exit() in codes, outboxx.log
    assert check.returncode in codes and text.returncode in codes, (check, text)
    check_nothing_shows(outboxx.log, outboxx.stdout, *(output for run in (check, text, slot) for output in (run.stdout, run.stderr)))
    assert '"status":"failed"' in check.stdout
    return outboxx.log


@pytest.fixture
def make(make_outboxx, topic):
    """A program that holds both secrets and logs all it can."""
    def make_with(conninfo, kafka, config=None):
        return make_outboxx(conninfo, kafka, [stream("public.items", topic)], args=["--log-level", "trace"],
                            config={"sink.kafka.sasl": SASL, **(config or {})}, env={"KAFKA_PASSWORD": KAFKA_SECRET})
    return make_with


@pytest.fixture
def nobody():
    """A broker that is not there."""
    return f"127.0.0.1:{free_port()}"


def test_f119_secrets_show_nowhere_while_it_runs(postgres, start_kafka, topic, make):
    """What is printed ends in log collectors, what is in the command line in every process list."""
    postgres.execute(TABLE, f"create role outboxx superuser login password '{POSTGRES_SECRET}'")
    postgres.set_hba(["host all outboxx 127.0.0.1/32 scram-sha-256"])
    postgres.reload()
    kafka = start_kafka(listeners=["sasl_plaintext"], users={"outboxx": KAFKA_SECRET})
    outboxx = make(postgres.conninfo(user="outboxx", password=POSTGRES_SECRET), kafka.bootstrap("sasl_plaintext")).start()
    postgres.execute("insert into items values (1)")
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1

    with open(f"/proc/{outboxx.pid}/cmdline", encoding="utf-8") as file:
        command_line = file.read()
    assert command_line
    check_nothing_shows(command_line, *(outboxx.get(path)[1] for path in ("/metrics", "/healthz", "/readyz", "/config", "/")))
    postgres.terminate_backend()
    outboxx.wait_log("reconnecting: ")
    outboxx.wait_ready()
    check = outboxx.command("check", "--json")
    slot = outboxx.command("slot", "show")
    assert check.returncode == 0 and slot.returncode == 0
    check_nothing_shows(outboxx.log, outboxx.stdout, check.stdout, check.stderr, slot.stdout, slot.stderr)


@pytest.mark.parametrize("name", MALFORMED)
def test_f117_malformed_connection_string_is_not_quoted(nobody, make, name):
    """libpq's parser quotes the piece that it does not understand: a piece of the password."""
    outboxx = make(MALFORMED[name], nobody)
    log = run_and_check(outboxx, (65, 69))
    assert CONNECTION_ENV in log or "PostgreSQL" in log


def test_f119_wrong_host_shows_no_secret(postgres, nobody, make):
    """Neither a port where nobody listens nor a name that nobody knows."""
    for host, port in (("127.0.0.1", free_port()), ("nowhere.invalid", 5432)):
        outboxx = make(f"postgresql://outboxx:{POSTGRES_SECRET}@{host}:{port}/postgres", nobody,
                       {"source.postgres.connect_timeout_ms": 2000})
        assert host in run_and_check(outboxx, (69,))


def test_f119_refused_login_shows_no_secret(postgres, nobody, make):
    """The most common mistake of all."""
    postgres.execute("create role outboxx login replication password 'another'")
    postgres.set_hba(["host all outboxx 127.0.0.1/32 scram-sha-256"])
    postgres.reload()
    outboxx = make(postgres.conninfo(user="outboxx", password=POSTGRES_SECRET), nobody)
    assert "password authentication failed" in run_and_check(outboxx, (66,))


def test_f119_untrusted_certificate_shows_no_secret(start_postgres, nobody, make):
    """The password must not even be sent to a server that is not known."""
    postgres = start_postgres(ssl=True)
    conninfo = postgres.conninfo(password=POSTGRES_SECRET, sslmode="verify-full", sslrootcert=postgres.certificates.other_ca)
    assert "certificate verify failed" in run_and_check(make(conninfo, nobody), (66, 69))


def test_f119_kafka_that_refuses_or_is_away_shows_no_secret(postgres, start_kafka, nobody, make):
    """librdkafka's messages go through our log."""
    postgres.execute(TABLE)
    kafka = start_kafka(listeners=["sasl_plaintext"], users={"outboxx": "another"})
    conninfo = postgres.conninfo(password=POSTGRES_SECRET)
    assert "Kafka refused the credentials" in run_and_check(make(conninfo, kafka.bootstrap("sasl_plaintext")), (73,))
    assert nobody in run_and_check(make(conninfo, nobody), (71,))


@pytest.mark.parametrize("named, properties", [
    ("sasl.password", {"sasl.password": KAFKA_SECRET}),
    ("sasl.oauthbearer.config", {"sasl.oauthbearer.config": f"secret={KAFKA_SECRET}"}),
    ("ssl.key.pem", {"ssl.key.pem": KAFKA_SECRET}),
    ("no.such.property", {"ssl.key.password": KAFKA_SECRET, "no.such.property": KAFKA_SECRET}),
    ("ssl.keystore.location", {"ssl.keystore.location": "/nowhere", "ssl.keystore.password": KAFKA_SECRET}),
])
def test_f118_error_about_a_kafka_property_does_not_repeat_its_value(postgres, nobody, make, named, properties):
    """librdkafka repeats the value that it does not accept, and its dump of the configuration hides nothing."""
    postgres.execute(TABLE)
    outboxx = make(postgres.conninfo(password=POSTGRES_SECRET), nobody, {"sink.kafka.tls": True, "sink.kafka.properties": properties})
    assert outboxx.start(ready=False).wait_exit() == 65
    check = outboxx.command("check", "--json")
    assert check.returncode == 65
    assert named in outboxx.log
    check_nothing_shows(outboxx.log, check.stdout, check.stderr)


def test_f119_broken_configuration_file_does_not_show_the_secret_in_it(postgres, nobody, make):
    """A parser that quotes the line it stumbles over quotes the password."""
    outboxx = make(postgres.conninfo(password=POSTGRES_SECRET), nobody)
    with open(outboxx.config_path, encoding="utf-8") as file:
        good = file.read()
    for line in (f'"ssl.key.password" = "{KAFKA_SECRET}', f'"ssl.key.password" = {KAFKA_SECRET}', f'password = "{KAFKA_SECRET}"',
                 f'"ssl.key.password" = ["{KAFKA_SECRET}"]'):
        outboxx.write_config(f"{good}\n[sink.kafka.properties]\n{line}\n")
        assert "outboxx.toml" in run_and_check(outboxx, (65,))
    outboxx.write_config(good.replace("KAFKA_PASSWORD", "NO_SUCH_VARIABLE"))
    assert "NO_SUCH_VARIABLE" in run_and_check(outboxx, (65,))


def test_f119_crash_leaves_no_core_file_with_the_secret(postgres, make, directory):
    """Both passwords are in memory: a core file would carry them to wherever cores are collected."""
    postgres.execute(TABLE)
    outboxx = make(postgres.conninfo(password=POSTGRES_SECRET), None, {"sink.type": "stdout", "sink.kafka": None}).start()
    with open(f"/proc/{outboxx.pid}/limits", encoding="ascii") as file:
        [limit] = [line.split()[4] for line in file if line.startswith("Max core file size")]
    assert limit == "0"
    assert not glob.glob(os.path.join(directory, "**", "core*"), recursive=True)
