"""F24: a crash of the program, at any instruction, repeats and loses nothing."""

import os
import random
import time

from support import consume, stream, wait_until
from support.witness import Writer, check_history

KILLS = 20


def test_f24_twenty_crashes_at_random_points_lose_nothing_and_keep_the_order(postgres, kafka, topic, make_outboxx):
    """A position that is confirmed before its rows have arrived shows only when the process dies between the two."""
    seed = int(os.environ.get("OUTBOXX_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"OUTBOXX_SEED={seed}")
    chance = random.Random(seed)
    postgres.execute("create table orders (id bigint generated always as identity primary key, filler text)")
    kafka.create_topic(topic)
    outboxx = make_outboxx(postgres, kafka, [stream("public.orders", topic)], config={"pipeline.status_interval_ms": 100}).start()

    # Single rows and larger transactions; what happens between two crashes is seen in the topic's offsets.
    with Writer(postgres, "insert into orders (filler) select repeat('x', 300) from generate_series(1, %s %% 7 * 20 + 1)") as writer:
        for _ in range(KILLS):
            written = writer.written
            wait_until(lambda at=written: writer.written > at, 20, "the writer goes on")
            if not outboxx.running:
                outboxx.start(ready=False)
            # From before it has connected to long after it streams.
            deadline = time.monotonic() + chance.uniform(0, 0.6)
            wait_until(lambda at=deadline: time.monotonic() >= at, 5, "the moment of the crash")
            outboxx.kill()
        outboxx.start()

    expected = [number for (number,) in postgres.query("select id from orders order by id")]
    messages = consume(kafka.bootstrap(), topic, count=len(expected), until_idle=1)
    check_history(messages, expected)
    assert outboxx.stop() == 0
