"""Exactly once: what a consumer of committed records sees is each change once, whole transactions only, whatever is killed."""

import collections
import random
import signal
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from support import Reader, consume, free_port, lsn, stream, wait_until
from support.witness import Writer

SLOT = "outboxx_slot"
EXACTLY_ONCE = {"sink.kafka.delivery": "exactly_once"}
COMMITTED = {"isolation.level": "read_committed"}


def make(make_outboxx, postgres, kafka, topic, **config):
    return make_outboxx(postgres, kafka, [stream("public.orders", topic)], config={**EXACTLY_ONCE, **config})


@pytest.fixture
def postgres_with_orders(start_postgres, kafka, topic):
    postgres = start_postgres()
    postgres.execute("create table orders (id int primary key, batch int)")
    kafka.create_topic(topic, partitions=3)
    return postgres


def committed(kafka, topic, count):
    return [message.json["data"] for message in consume(kafka.bootstrap(), topic, count=count, until_idle=2, config=COMMITTED)]


def ten_rows_each(postgres):
    """Writes transactions of ten rows, the first with the ids 10 to 19."""
    return Writer(postgres, "insert into orders select %s * 10 + n, 0 from generate_series(0, 9) n", per_second=100)


def check_once(rows, expected):
    counts = collections.Counter(row["id"] for row in rows)
    assert [number for number, count in counts.items() if count > 1] == [], "duplicates"
    assert set(counts) == set(expected)


def seen(kafka, topic, config=COMMITTED):
    """What is there now: all that a reader gets before the end that it sees first."""
    with Reader(kafka.bootstrap(), topic, config=config) as reader:
        found = []
        while not reader.at_end:
            message = reader.read()
            if message:
                found.append(message)
        return found


def state_records(kafka, outboxx):
    """The committed ones."""
    return [message.json for message in seen(kafka, outboxx.config["state"]["topic"]) if message.value]


def state_positions(kafka, outboxx):
    return [lsn(record["position"]) for record in state_records(kafka, outboxx)]


def test_rows_arrive_once_over_restarts(postgres_with_orders, kafka, topic, make_outboxx):
    postgres = postgres_with_orders
    outboxx = make(make_outboxx, postgres, kafka, topic).start()
    for batch in range(3):
        postgres.execute(f"insert into orders select {batch} * 1000 + n, {batch} from generate_series(1, 1000) n")
        wait_until(lambda at=batch: len(committed(kafka, topic, (at + 1) * 1000)) == (at + 1) * 1000, 30, "the batch is committed")
        assert outboxx.stop() == 0
        assert postgres.slot(SLOT)["confirmed_flush_lsn"] == state_positions(kafka, outboxx)[-1]
        outboxx.start()
    check_once(committed(kafka, topic, 3000), range(1, 3001))


def test_f89_twenty_kills_leave_no_duplicate_and_no_part(postgres_with_orders, kafka, topic, make_outboxx):
    """SIGKILL at random moments, with open Kafka transactions: every PostgreSQL transaction is seen whole, at any time, once."""
    seed = int(time.time())
    print(f"seed {seed}")
    choose = random.Random(seed)
    postgres = postgres_with_orders
    outboxx = make(make_outboxx, postgres, kafka, topic).start()
    too_early = []
    with ten_rows_each(postgres) as writer:
        for _ in range(20):
            pause = time.monotonic() + choose.uniform(0.05, 0.8)
            written = writer.written
            wait_until(lambda at=pause, count=written: time.monotonic() >= at and writer.written > count, 20, "some transactions")
            outboxx.kill()
            confirmed = postgres.slot(SLOT)["confirmed_flush_lsn"]
            outboxx.start()
            recorded = max(state_positions(kafka, outboxx))
            if confirmed > recorded:
                too_early.append((confirmed, recorded))
    total = writer.written * 10
    rows = committed(kafka, topic, total)

    assert too_early == []
    check_once(rows, range(10, total + 10))
    assert outboxx.stop() == 0
    check_once(committed(kafka, topic, total), range(10, total + 10))


def test_transactions_are_never_seen_in_part(postgres_with_orders, kafka, topic, make_outboxx):
    """A reader that stops anywhere has whole transactions, because all partitions of a Kafka transaction show at once."""
    postgres = postgres_with_orders
    outboxx = make(make_outboxx, postgres, kafka, topic, **{"sink.kafka.transaction.batch_records": 50}).start()
    with ten_rows_each(postgres) as writer:
        wait_until(lambda: writer.written >= 50, 20, "fifty transactions")
        outboxx.kill()  # with an open transaction, most likely
    rows = [message.json["data"] for message in seen(kafka, topic)]
    by_batch = collections.Counter(row["id"] // 10 for row in rows)
    assert set(by_batch.values()) <= {10}
    outboxx.start()
    check_once(committed(kafka, topic, writer.written * 10), range(10, writer.written * 10 + 10))


def test_f90_same_id_on_another_slot_fences_the_first(postgres_with_orders, kafka, topic, make_outboxx):
    """Two pipelines under one transactional id: neither may write into the other's transactions, nor fight for ever."""
    postgres = postgres_with_orders
    state = {"topic": f"state-{topic}", "id": f"id-{topic}"}
    first = make(make_outboxx, postgres, kafka, topic, state=state).start()
    postgres.execute("insert into orders values (1, 0)")
    committed(kafka, topic, 1)
    second = make(make_outboxx, postgres, kafka, topic, state=state, **{"source.postgres.slot_name": "another"}).start(ready=False)
    assert second.wait_exit() == 72  # the record is there, and this slot is not
    postgres.execute("insert into orders values (2, 0)")

    assert first.wait_exit() == 75
    assert "took over" in first.log
    first.start()
    check_once(committed(kafka, topic, 2), [1, 2])


def test_f55_second_process_waits_and_does_not_fence_the_first(postgres_with_orders, kafka, topic, make_outboxx):
    postgres = postgres_with_orders
    first = make(make_outboxx, postgres, kafka, topic).start()
    second = make(make_outboxx, postgres, kafka, topic).start(ready=False)
    second.wait_log("waiting for replication slot")
    postgres.execute("insert into orders values (1, 0)")
    committed(kafka, topic, 1)
    assert first.stop() == 0
    second.wait_ready(60)
    postgres.execute("insert into orders values (2, 0)")
    check_once(committed(kafka, topic, 2), [1, 2])


def test_second_process_with_a_wrong_kafka_ends_although_it_would_have_to_wait(postgres_with_orders, kafka, topic, make_outboxx):
    """It may not open its producer while the first streams, and yet it sees at once that no broker is there."""
    postgres = postgres_with_orders
    first = make(make_outboxx, postgres, kafka, topic).start()
    nowhere = f"127.0.0.1:{free_port()}"
    second = make_outboxx(postgres, nowhere, [stream("public.orders", topic)], config=EXACTLY_ONCE).start(ready=False)
    assert second.wait_exit() == 71
    assert "could not reach any Kafka broker" in second.log and "reconnecting" not in second.log
    postgres.execute("insert into orders values (1, 0)")
    check_once(committed(kafka, topic, 1), [1])
    assert first.stop() == 0


def test_frozen_process_does_not_write_after_its_successor(start_postgres, kafka, topic, make_outboxx):
    """The one that wakes up finds itself fenced, waits for its turn, and leaves its successor in peace."""
    postgres = start_postgres(settings={"wal_sender_timeout": "1s"})
    postgres.execute("create table orders (id int primary key, batch int)")
    kafka.create_topic(topic, partitions=3)
    first = make(make_outboxx, postgres, kafka, topic).start()
    postgres.execute("insert into orders values (1, 0)")
    committed(kafka, topic, 1)
    first.signal(signal.SIGSTOP)
    postgres.execute("insert into orders select n, 0 from generate_series(2, 100) n")
    second = make(make_outboxx, postgres, kafka, topic).start()
    check_once(committed(kafka, topic, 100), range(1, 101))
    first.signal(signal.SIGCONT)
    wait_until(lambda: not first.running or "waiting for replication slot" in first.log, 30, "the first has given up its session")
    postgres.execute("insert into orders values (101, 0)")
    check_once(committed(kafka, topic, 101), range(1, 102))
    assert second.running


def test_f89_open_transaction_of_a_predecessor_is_ended_before_the_record_is_read(postgres_with_orders, kafka, topic, make_outboxx):
    """Its record of progress stands in the state topic and does not count yet: who reads before that is decided waits for the
    broker to end it, or believes an older record while the predecessor may still commit."""
    postgres = postgres_with_orders
    state = {"topic": f"state-{topic}", "id": f"id-{topic}"}
    outboxx = make(make_outboxx, postgres, kafka, topic, state=state).start()
    assert outboxx.stop() == 0
    predecessor = Producer({"bootstrap.servers": kafka.bootstrap(), "transactional.id": state["id"]})
    predecessor.init_transactions(30)
    predecessor.begin_transaction()
    predecessor.produce(state["topic"], key="predecessor", value="left open")
    predecessor.flush(20)

    outboxx.start(deadline=15)

    with pytest.raises(KafkaException):
        predecessor.commit_transaction(10)
    postgres.execute("insert into orders values (1, 0)")
    check_once(committed(kafka, topic, 1), [1])
    assert outboxx.stop() == 0


def test_record_behind_the_open_transaction_of_another_pipeline_counts(postgres_with_orders, kafka, topic, make_outboxx):
    """Readers of committed records see nothing behind it. Who took that for the end of the topic would believe an older record."""
    postgres = postgres_with_orders
    outboxx = make(make_outboxx, postgres, kafka, topic).start()
    other = Producer({"bootstrap.servers": kafka.bootstrap(), "transactional.id": f"other-{topic}", "transaction.timeout.ms": 10_000})
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(outboxx.config["state"]["topic"], key="other/0000000000000001", value="left open")
    other.flush(20)
    postgres.execute("insert into orders values (1, 0)")
    check_once(committed(kafka, topic, 1), [1])
    assert outboxx.stop() == 0

    outboxx.start(deadline=60)  # when the broker has ended it

    check_once(committed(kafka, topic, 1), [1])
    assert outboxx.stop() == 0


LARGE = {"sink.kafka.transaction.bytes_max": 20_000}


def test_large_transaction_is_refused_unless_it_may_be_split(postgres_with_orders, kafka, topic, make_outboxx):
    postgres = postgres_with_orders
    outboxx = make(make_outboxx, postgres, kafka, topic, **LARGE).start()
    postgres.execute("insert into orders select n, 0 from generate_series(1, 2000) n")
    assert outboxx.wait_exit() == 65
    assert "split_large_transactions" in outboxx.log
    assert seen(kafka, topic) == []


def test_split_transaction_is_resumed_by_ordinal(postgres_with_orders, kafka, topic, make_outboxx):
    """Killed again and again inside of one transaction, which becomes visible part by part, each change once."""
    postgres = postgres_with_orders
    config = {**LARGE, "sink.kafka.transaction.split_large_transactions": True}
    outboxx = make(make_outboxx, postgres, kafka, topic, **config).start()
    postgres.execute("insert into orders select n, 0 from generate_series(1, 20000) n", "insert into orders values (20001, 1)")
    for part in (1000, 5000, 10000):
        wait_until(lambda at=part: _end(kafka, topic) > at, 60, "a part of it was written")
        outboxx.kill()
        outboxx.start(ready=False)
    check_once(committed(kafka, topic, 20001), range(1, 20002))
    marked = [message.json["data"]["id"] for message in seen(kafka, topic) if message.headers.get("outboxx-split") == b"true"]
    assert sorted(marked) == list(range(1, 20001)), "each event of the transaction that was split says so, and no other"
    splits = [record for record in state_records(kafka, outboxx) if record["ordinal"] > 0]
    assert splits and len({record["open_commit"] for record in splits}) == 1
    assert [record["ordinal"] for record in splits] == sorted(record["ordinal"] for record in splits)


def _end(kafka, topic):
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap(), "group.id": "end"})
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1] for partition in range(3))


def test_f87_answer_to_a_commit_that_is_lost(postgres_with_orders, kafka, topic, start_kafka, make_outboxx):
    """The broker dies with commits under way: whether the last one counted, only the progress record tells."""
    postgres = postgres_with_orders
    own = start_kafka()
    own.create_topic(topic, partitions=3)
    outboxx = make(make_outboxx, postgres, own, topic).start()
    with ten_rows_each(postgres) as writer:
        for _ in range(3):
            written = writer.written
            wait_until(lambda at=written: writer.written > at + 30, 20, "some transactions")
            own.kill()
            own.start()
            end = writer.written
            wait_until(lambda at=end: outboxx.running and outboxx.metrics()["outboxx_streaming"] == 1, 60, "it streams again")
    check_once(committed(own, topic, writer.written * 10), range(10, writer.written * 10 + 10))
    assert outboxx.stop() == 0
