"""TLS and SASL listeners: what is right delivers, and what is wrong says so, without a word of the password."""

import os

import pytest

from support import KAFKA_3, Kafka, Unavailable, consume, stream
from support.certificates import Certificates

TABLE = "create table items (id bigint primary key)"
USER = "outboxx"
PASSWORD = "right-0f3b7c-password"
WRONG = "wrong-5d1e9a-password"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.fixture(scope="module")
def broker(session_directory):
    """Kafka 3, because librdkafka before 2.6.1 cannot log in to Kafka 4 with SCRAM."""
    kafka = None
    try:
        kafka = Kafka(os.path.join(session_directory, "kafka-secure"), version=KAFKA_3, listeners=["ssl", "sasl_ssl"],
                      users={USER: PASSWORD}, certificate_root=session_directory)
        yield kafka.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        if kafka:
            kafka.close()


def secure(ca, mechanism=None):
    config = {"sink.kafka.tls": True, "sink.kafka.tls_ca_location": ca}
    if mechanism:
        config["sink.kafka.sasl"] = {"mechanism": mechanism, "username": USER, "password_env": "KAFKA_PASSWORD"}
    return config


def check_delivers(postgres, outboxx, kafka, topic):
    postgres.execute("insert into items values (1)", "insert into items values (2)")
    messages = consume(kafka.bootstrap(), topic, count=2)
    assert [message.json["data"]["id"] for message in messages] == [1, 2]
    assert outboxx.stop() == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_sasl_over_tls_delivers(postgres, broker, topic, make_outboxx, mechanism):
    """Each mechanism that the configuration offers must work against a real listener."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, broker.bootstrap("sasl_ssl"), [stream("public.items", topic)],
                           config=secure(broker.certificates.ca, mechanism), env={"KAFKA_PASSWORD": PASSWORD}).start()

    check_delivers(postgres, outboxx, broker, topic)
    assert PASSWORD not in outboxx.log


def test_tls_without_sasl_delivers(postgres, broker, topic, make_outboxx):
    """The encrypted listener without a login."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, broker.bootstrap("ssl"), [stream("public.items", topic)],
                           config=secure(broker.certificates.ca)).start()

    check_delivers(postgres, outboxx, broker, topic)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_password_is_refused_and_never_shown(postgres, broker, topic, make_outboxx, mechanism):
    """An endless retry hides the mistake; a message that quotes the password spreads it."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, broker.bootstrap("sasl_ssl"), [stream("public.items", topic)], args=["--log-level", "trace"],
                           config=secure(broker.certificates.ca, mechanism), env={"KAFKA_PASSWORD": WRONG}).start(ready=False)

    assert outboxx.wait_exit() == 73
    error = outboxx.wait_log("Kafka refused the credentials")
    assert "[sink.kafka.sasl]" in error and "code=73" in error
    assert WRONG not in outboxx.log
    assert postgres.slot("outboxx_slot") is None


def test_certificate_of_an_unknown_authority_is_refused_with_its_reason(postgres, broker, topic, make_outboxx):
    """Talking to a broker that anybody could be would hand him the password and the rows."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, broker.bootstrap("sasl_ssl"), [stream("public.items", topic)],
                           config=secure(broker.certificates.other_ca, "PLAIN"), env={"KAFKA_PASSWORD": PASSWORD}).start(ready=False)

    assert outboxx.wait_exit() == 71
    error = outboxx.wait_log("could not reach any Kafka broker")
    assert "certificate verify failed" in error and "tls_ca_location" in error
    assert PASSWORD not in outboxx.log
    assert topic not in broker.topics()


def test_missing_file_of_the_authority_is_a_configuration_error(postgres, broker, topic, make_outboxx, directory):
    """Falling back to the system's authorities would trust others than the operator named."""
    postgres.execute(TABLE)
    missing = os.path.join(directory, "no-such-ca.pem")
    outboxx = make_outboxx(postgres, broker.bootstrap("ssl"), [stream("public.items", topic)], config=secure(missing)).start(ready=False)

    assert outboxx.wait_exit() == 65
    assert "no-such-ca.pem" in outboxx.log


def start_with_certificate(start_kafka, certificate, session_directory):
    """A broker that shows another certificate than that of the session's brokers."""
    store = Certificates(os.path.join(session_directory, "certificates")).pem_store(certificate)
    return start_kafka(listeners=["ssl"], properties={"ssl.keystore.location": store})


def test_certificate_for_another_host_is_refused(postgres, start_kafka, session_directory, topic, make_outboxx):
    """Whoever has any certificate of the same authority could be the broker otherwise."""
    postgres.execute(TABLE)
    other = Certificates(os.path.join(session_directory, "certificates")).issue("elsewhere-kafka", names="DNS:kafka.example.com")
    broker = start_with_certificate(start_kafka, other, session_directory)
    outboxx = make_outboxx(postgres, broker.bootstrap("ssl"), [stream("public.items", topic)],
                           config=secure(broker.certificates.ca)).start(ready=False)

    assert outboxx.wait_exit() == 71
    assert "certificate verify failed" in outboxx.wait_log("could not reach any Kafka broker")
    assert topic not in broker.topics()


def test_f114_expired_certificate_of_the_broker_is_refused_with_its_reason(postgres, start_kafka, session_directory, topic, make_outboxx):
    """It worked yesterday: the message must not send anybody to look at the network."""
    postgres.execute(TABLE)
    expired = Certificates(os.path.join(session_directory, "certificates")).issue("expired-kafka", days=-1)
    broker = start_with_certificate(start_kafka, expired, session_directory)
    outboxx = make_outboxx(postgres, broker.bootstrap("ssl"), [stream("public.items", topic)],
                           config=secure(broker.certificates.ca)).start(ready=False)

    assert outboxx.wait_exit() == 71
    assert "certificate verify failed" in outboxx.wait_log("could not reach any Kafka broker")


@pytest.fixture
def mutual(start_kafka):
    """A broker that asks its clients for a certificate."""
    return start_kafka(listeners=["ssl"], properties={"ssl.client.auth": "required"})


def client_certificate(broker):
    return {"sink.kafka.properties": {"ssl.certificate.location": broker.certificates.issue("kafka-client", subject=USER),
                                      "ssl.key.location": broker.certificates.key}}


def test_client_certificate_is_a_login(postgres, mutual, topic, make_outboxx):
    """mTLS: no password anywhere."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, mutual.bootstrap("ssl"), [stream("public.items", topic)],
                           config={**secure(mutual.certificates.ca), **client_certificate(mutual)}).start()

    check_delivers(postgres, outboxx, mutual, topic)


def test_missing_client_certificate_is_refused(postgres, mutual, topic, make_outboxx):
    """The counterpart: the certificate above was really asked for."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, mutual.bootstrap("ssl"), [stream("public.items", topic)],
                           config=secure(mutual.certificates.ca)).start(ready=False)

    assert outboxx.wait_exit() == 71
    outboxx.wait_log("could not reach any Kafka broker")
    assert topic not in mutual.topics()


def test_plaintext_client_at_a_tls_port_is_explained(postgres, broker, topic, make_outboxx):
    """The reverse of TLS against a plaintext port: both look like a broken connection."""
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, broker.bootstrap("ssl"), [stream("public.items", topic)]).start(ready=False)

    assert outboxx.wait_exit() == 71
    error = outboxx.wait_log("could not reach any Kafka broker")
    assert "tls in [sink.kafka]" in error and "the reverse" in error


def test_scram_of_an_old_librdkafka_against_kafka_4_names_the_reason(postgres, start_kafka, topic, make_outboxx):
    """The right password is refused there: without the hint nobody looks for the fault in the library."""
    postgres.execute(TABLE)
    kafka = start_kafka(listeners=["sasl_plaintext"], users={USER: PASSWORD})
    sasl = {"mechanism": "SCRAM-SHA-256", "username": USER, "password_env": "KAFKA_PASSWORD"}
    outboxx = make_outboxx(postgres, kafka.bootstrap("sasl_plaintext"), [stream("public.items", topic)],
                           config={"sink.kafka.sasl": sasl}, env={"KAFKA_PASSWORD": PASSWORD}).start(ready=False)
    library = outboxx.wait_log("starting").split("librdkafka=")[1].split()[0]
    if tuple(int(part) for part in library.split("-")[0].split(".")) >= (2, 6, 1):
        outboxx.wait_ready()
        check_delivers(postgres, outboxx, kafka, topic)
        return

    assert outboxx.wait_exit() == 73
    error = outboxx.wait_log("Kafka refused the credentials")
    assert "librdkafka before 2.6.1 cannot use SCRAM with brokers of Kafka 4.0" in error and f"this one is {library}" in error
