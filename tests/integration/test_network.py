"""The connection to PostgreSQL byte by byte, slow, and torn at any offset: nothing is misread, lost or out of order."""

import os
import random

import pytest

from support import consume, stream, wait_until
from support.witness import check_history

TABLE = "create table orders (id int primary key, filler text)"


def streamed(postgres, kafka, topic, make_outboxx, proxy):
    postgres.execute(TABLE)
    kafka.create_topic(topic)
    return make_outboxx(postgres.conninfo(port=proxy.port), kafka, [stream("orders", topic)])


def insert(postgres, first, last):
    postgres.execute(*(f"insert into orders values ({number}, repeat('x', {number % 300}))" for number in range(first, last + 1)))


@pytest.mark.parametrize("directions", [("down",), ("up", "down")], ids=["from-server", "both"])
def test_f20_stream_that_comes_byte_by_byte_is_whole(directions, postgres, kafka, topic, make_outboxx, make_proxy):
    """A message that is taken for complete when its first bytes are there is misread, and all behind it."""
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    proxy.dribble(1, directions=directions)
    outboxx = streamed(postgres, kafka, topic, make_outboxx, proxy).start()
    insert(postgres, 1, 100)

    messages = consume(kafka.bootstrap(), topic, count=100)

    assert [(message.json["data"]["id"], len(message.json["data"]["filler"])) for message in messages] == [
        (number, number % 300) for number in range(1, 101)]
    assert outboxx.stop() == 0
    assert len(consume(kafka.bootstrap(), topic)) == 100


def running(outboxx):
    """Starts it again if the lost connection has ended it, as a service manager does."""
    if not outboxx.running:
        assert outboxx.exit_code == 69
        outboxx.start(ready=False)
    return True


def test_f20_connection_reset_at_random_offsets_loses_nothing(postgres, kafka, topic, make_outboxx, make_proxy):
    """Half a message at the end of a connection must be forgotten, and come again whole."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    offsets = random.Random(seed)
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    outboxx = streamed(postgres, kafka, topic, make_outboxx, proxy).start()
    for round_ in range(8):
        proxy.dribble(offsets.randrange(1, 200))
        accepted, behind = proxy.accepted, proxy.bytes["down"] + offsets.randrange(10_000)
        insert(postgres, round_ * 100 + 1, round_ * 100 + 100)
        wait_until(lambda at=behind: proxy.bytes["down"] >= at or not outboxx.running, 20, "the offset to cut at")
        proxy.cut()
        wait_until(lambda at=accepted: running(outboxx) and proxy.accepted > at, 30, "a new connection")
    insert(postgres, 801, 801)

    wait_until(lambda: running(outboxx) and any(message.json["data"]["id"] == 801 for message in consume(kafka.bootstrap(), topic)), 60,
               "the last row", interval=0.2)
    check_history(consume(kafka.bootstrap(), topic), range(1, 802))
    assert "protocol" not in outboxx.log


def test_f20_half_closed_connection_is_an_end_and_not_a_silence(postgres, kafka, topic, make_outboxx, make_proxy):
    """A peer that closed its direction sends no more, though ours still takes what we write."""
    proxy = make_proxy(f"127.0.0.1:{postgres.port}")
    outboxx = streamed(postgres, kafka, topic, make_outboxx, proxy).start()
    insert(postgres, 1, 5)
    assert len(consume(kafka.bootstrap(), topic, count=5)) == 5
    accepted = proxy.accepted

    assert proxy.half_close() > 0

    wait_until(lambda: running(outboxx) and proxy.accepted > accepted, 30, "a new connection")
    insert(postgres, 6, 10)
    wait_until(lambda: running(outboxx) and len(consume(kafka.bootstrap(), topic)) >= 10, 30, "the rows behind it", interval=0.2)
    check_history(consume(kafka.bootstrap(), topic), range(1, 11))
