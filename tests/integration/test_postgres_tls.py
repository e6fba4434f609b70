"""TLS to PostgreSQL: what is right streams; a server that cannot prove who it is gets neither the password nor a connection."""

import re

import pytest

from support import ndjson, stream, wait_until

TABLE = "create table items (id bigint primary key)"
PASSWORD = "right-7c1e40-password"
# Not written as a loopback address, so it counts as another machine; getaddrinfo(3) makes 127.0.0.1 of it.
ELSEWHERE = "127.1"
SCRAM_OVER_TLS = ["hostssl all outboxx 127.0.0.1/32 scram-sha-256", "host all outboxx all reject"]


@pytest.fixture
def postgres(start_postgres):
    server = start_postgres(ssl=True, hba=SCRAM_OVER_TLS)
    server.execute(TABLE, f"create role outboxx superuser login password '{PASSWORD}'")
    return server


@pytest.fixture
def make(make_outboxx):
    """A program without Kafka: these tests are about the other side."""
    def make_with(conninfo, config=None, env=None):
        return make_outboxx(conninfo, None, [stream("public.items")], config=config, env=env)
    return make_with


@pytest.fixture
def login(postgres):
    def conninfo(host="localhost", **more):
        fields = {"user": "outboxx", "password": PASSWORD, "sslrootcert": postgres.certificates.ca, **more}
        return postgres.conninfo(host=host, **{key: text for key, text in fields.items() if text is not None})
    return conninfo


def check_streams(postgres, outboxx):
    outboxx.start()
    postgres.execute("insert into items values (1)")
    wait_until(lambda: [event["data"]["id"] for event in ndjson(outboxx.stdout)] == [1], 20, "the row")
    [encrypted] = postgres.query("select s.version from pg_stat_ssl s join pg_stat_replication using (pid) where s.ssl")
    assert encrypted[0] in ("TLSv1.2", "TLSv1.3")
    assert outboxx.stop() == 0


def check_refused(outboxx, code, *texts):
    """Both the run and the check must refuse, and say why."""
    outboxx.start(ready=False)
    assert outboxx.wait_exit() == code, outboxx.log
    check = outboxx.command("check")
    assert check.returncode == code
    for text in texts:
        assert text in outboxx.log and text in check.stdout
    assert PASSWORD not in outboxx.log + check.stdout + check.stderr


def test_scram_with_channel_binding_streams(postgres, make, login):
    """Channel binding tells a man in the middle by his other certificate, even if an authority signed it."""
    check_streams(postgres, make(login(sslmode="verify-full", channel_binding="require")))


def test_channel_binding_that_is_required_is_not_given_up(postgres, make, login):
    """A server that talks the client out of it is the very attack."""
    postgres.set_hba(["hostssl all outboxx 127.0.0.1/32 trust"])
    postgres.reload()
    check_refused(make(login(sslmode="verify-full", channel_binding="require")), 66, "channel binding required")


def test_server_elsewhere_is_verified_by_default(postgres, make, login):
    """libpq's default would take any certificate, and clear text too."""
    check_streams(postgres, make(login(host=ELSEWHERE)))
    other = make(login(host=ELSEWHERE, sslrootcert=postgres.certificates.other_ca))
    check_refused(other, 66, "certificate verify failed", "openssl s_client")


def test_server_elsewhere_without_the_authoritys_file_says_what_to_set(make, login, directory):
    """libpq's own advice is to switch the verification off."""
    outboxx = make(login(host=ELSEWHERE, sslrootcert=None), env={"HOME": directory})
    check_refused(outboxx, 66, "root certificate file", "sslrootcert=FILE")
    assert "disable server certificate verification" not in outboxx.log


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_modes_that_may_not_encrypt_are_refused_for_a_server_elsewhere(make, login, mode):
    """The password hash and every row would cross the network in clear text, and nobody would notice."""
    check_refused(make(login(host=f"localhost,{ELSEWHERE}", sslmode=mode)), 65, "source.postgres.insecure", f"sslmode={mode}")


def test_insecure_is_spelled_out_and_warned_of(postgres, make, login):
    """Some networks are private; the choice must be visible in the file and in the log."""
    postgres.set_hba(["hostnossl all outboxx 127.0.0.1/32 scram-sha-256"])
    postgres.reload()
    outboxx = make(login(host=ELSEWHERE, sslmode="disable"), {"source.postgres.insecure": True}).start()
    assert "sslmode=disable" in outboxx.wait_log("may be unencrypted")
    check = outboxx.command("check")
    assert check.returncode == 0 and "may be unencrypted" in check.stdout
    assert outboxx.stop() == 0


def test_v0_file_runs_as_ever_with_a_warning(postgres, make, login):
    """An upgrade must not stop the pipeline, and should not hide the hole either."""
    outboxx = make(login(host=ELSEWHERE, sslrootcert=None), {"metadata.version": "v0"}).start()
    assert "sslmode=prefer" in outboxx.wait_log("may be unencrypted")
    assert outboxx.stop() == 0


def test_certificate_for_another_host_is_refused(postgres, make, login):
    """Any certificate of a public authority would do otherwise."""
    certificates = postgres.certificates
    postgres.configure(ssl_cert_file=certificates.issue("elsewhere", names="DNS:db.example.com", subject="db.example.com"))
    postgres.restart()
    check_refused(make(login(sslmode="verify-full")), 66, "does not match host name", "Use a name of the server's certificate")
    check_streams(postgres, make(login(host="db.example.com", hostaddr="127.0.0.1", sslmode="verify-full")))


def test_f114_expired_server_certificate_ends_with_its_reason(postgres, make, login):
    """An endless retry would hide it until the WAL has filled the disk."""
    postgres.configure(ssl_cert_file=postgres.certificates.issue("expired", days=-1))
    postgres.restart()
    check_refused(make(login(sslmode="verify-full")), 66, "certificate verify failed", "has expired")


def test_f114_certificate_that_expires_soon_is_warned_of(postgres, make, login):
    """Two weeks are enough to renew it; the day itself is too late."""
    postgres.configure(ssl_cert_file=postgres.certificates.issue("soon", days=5))
    postgres.restart()
    outboxx = make(login(sslmode="verify-full")).start()
    outboxx.wait_log(re.compile(r"the server's certificate expires in [45] days"))  # to the second, it is five
    check = outboxx.command("check")
    assert check.returncode == 0 and "Renew it at the server" in check.stdout
    assert outboxx.stop() == 0


def test_revoked_server_certificate_is_refused(postgres, make, login):
    """A key that was stolen is not believed any more."""
    crl = postgres.certificates.revoke(postgres.certificates.certificate)
    check_refused(make(login(sslmode="verify-full", sslcrl=crl)), 66, "certificate verify failed", "is revoked")


def test_client_certificate_is_a_login_of_its_own(postgres, make, login):
    """No password at all: the key never leaves this machine."""
    certificates = postgres.certificates
    client = certificates.issue("client", subject="outboxx", names="DNS:outboxx")
    postgres.configure(ssl_ca_file=certificates.ca)
    postgres.set_hba(["hostssl all outboxx 127.0.0.1/32 cert", "host all outboxx all reject"])
    postgres.reload()
    check_streams(postgres, make(login(password=None, sslmode="verify-full", sslcert=client, sslkey=certificates.key)))
    check_refused(make(login(sslmode="verify-full")), 66, "connection requires a valid client certificate")


def test_f114_expired_client_certificate_ends_with_its_reason(postgres, make, login):
    """The server says it in a TLS alert that says little."""
    certificates = postgres.certificates
    client = certificates.issue("expired-client", subject="outboxx", names="DNS:outboxx", days=-1)
    postgres.configure(ssl_ca_file=certificates.ca)
    postgres.set_hba(["hostssl all outboxx 127.0.0.1/32 cert", "host all outboxx all reject"])
    postgres.reload()
    check_refused(make(login(password=None, sslmode="verify-full", sslcert=client, sslkey=certificates.key)), 66,
                  "certificate expired", "Check sslcert and sslkey")


def test_messages_of_any_size_arrive_through_tls_at_once(postgres, make, login):
    """OpenSSL reads ahead, so it holds whole messages, and parts of them, that poll(2) says nothing of."""
    outboxx = make(login()).start()
    sizes = [1 + (number * 7919) % 60_000 if number % 5 == 0 else number % 300 for number in range(1_000)]
    postgres.execute("alter table items add column payload text")
    with postgres.connect() as client, client.transaction(), client.cursor() as cursor:
        cursor.executemany("insert into items values (%s, repeat('x', %s))", list(enumerate(sizes)))
    wait_until(lambda: outboxx.stdout.count("\n") == len(sizes), 30, "all rows")
    assert [len(event["data"]["payload"]) for event in ndjson(outboxx.stdout)] == sizes
    # Sizes about that of a record, and nothing comes after: what is held back would stay so until the next keepalive.
    for number in range(40):
        postgres.execute(f"insert into items values ({len(sizes) + number}, repeat('y', {16_250 + number * 5}))")
        wait_until(lambda: outboxx.stdout.count("\n") == len(sizes) + number + 1, 3, f"row {number} of those that come alone")
    assert outboxx.stop() == 0
    assert "did not end the stream in time" not in outboxx.log
