"""What the original (Zig) Outboxx wrote, byte for byte: tests/golden/outboxx-v0/README tells how it was captured."""

import collections
import csv
import itertools
import json
import os
import re

import pytest

from support import consume, stream
from support.wait import REPOSITORY

GOLDEN = os.path.join(REPOSITORY, "tests", "golden", "outboxx-v0")
POSITION = re.compile(rb'"timestamp":\d+,"lsn":"[0-9A-F]+/[0-9A-F]+"}}$')
MASK = b'"timestamp":T,"lsn":"L"}}'
COPIED_ROWS = "".join(f"{number}\trow {number}\n" for number in range(1, 6))

V0 = {"metadata.version": "v0", "observability.address": None}
V1_WITH_V0_DEFAULTS = {
    "metadata.version": "v1",
    "source.postgres.pin_time_zone": False,
    "sink.kafka.partitioner": "consistent_random",
    "sink.kafka.compression": "none",
    "sink.kafka.id_header": False,
    "observability.address": "0.0.0.0",
}

Record = collections.namedtuple("Record", "key value headers")


@pytest.mark.parametrize("config", [V0, V1_WITH_V0_DEFAULTS], ids=["v0", "v1_with_v0_defaults"])
def test_swap_of_binaries_changes_no_byte_and_no_partition(config, postgres, kafka, topic, make_outboxx):
    """A consumer of v0 would meet other bytes, another partition, another order or headers after the swap."""
    rows = streams_of_the_capture()
    for row in rows:
        kafka.create_topic(f"{topic}.{row['stream']}", int(row["topic_partitions"]))
    run_file(postgres, "schema.sql")
    run_file(postgres, "before.sql")
    expected = golden_records()
    outboxx = make_outboxx(postgres, kafka, [stream_config(row, topic) for row in rows], config=config).start()
    outboxx.wait_log("snapshot complete")

    run_file(postgres, "live.sql")

    for row in rows:
        name = row["stream"]
        count = sum(len(records) for records in expected[name].values())
        messages = consume(kafka.bootstrap(), f"{topic}.{name}", count=count)
        actual = by_partition(messages)
        for partition in sorted(actual.keys() | expected[name].keys()):
            for got, wanted in itertools.zip_longest(actual[partition], expected[name][partition]):
                assert got == wanted, (name, partition)
        if name == "copied":
            assert len({message.json["meta"]["lsn"] for message in messages}) == 1
    assert outboxx.stop() == 0


def streams_of_the_capture():
    with open(os.path.join(GOLDEN, "streams.tsv"), encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    names = ["stream", "resource", "topic_partitions", "operations", "routing_key"]
    assert [title.split(" ")[0] for title in rows[0]] == names
    return [dict(zip(names, row)) for row in rows[1:]]


def stream_config(row, topic):
    config = stream(row["resource"], f"{topic}.{row['stream']}", name=row["stream"], operations=row["operations"].split(","))
    if row["routing_key"]:
        config["sink"]["routing_key"] = row["routing_key"]
    else:
        del config["sink"]["routing_key"]  # v0's default counts
    return config


def golden_records():
    """stream -> partition -> records in order."""
    expected = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(os.path.join(GOLDEN, "messages.jsonl"), encoding="utf-8") as file:
        for message in map(json.loads, file):
            value = message["value"]
            # The differences: v0's READ had generated columns, and numbers for domains; its stream had neither.
            value = value.replace('{"op":"READ","data":{"id":1,"a":21,"b":42}', '{"op":"READ","data":{"id":1,"a":21}')
            if '"op":"READ"' in value:
                value = value.replace('"c_domain_int":5,', '"c_domain_int":"5",')
            record = Record(message["key"].encode(), masked(value.encode()), message["headers"] or {})
            expected[message["stream"]][message["partition"]].append(record)
    assert sum(len(records) for partitions in expected.values() for records in partitions.values()) == 107
    return expected


def by_partition(messages):
    records = collections.defaultdict(list)
    for message in messages:
        records[message.partition].append(Record(message.key, masked(message.value), message.headers))
    return records


def masked(value):
    text, count = POSITION.subn(MASK, value)
    assert count == 1, value
    return text


def run_file(postgres, name):
    """One transaction a statement, as psql runs a file."""
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        statements = [text.strip() for text in re.split(r";\n", file.read())]
    with postgres.connect() as connection:
        for statement in filter(None, statements):
            if statement.startswith("copy "):
                with connection.cursor().copy(statement) as copy:
                    copy.write(COPIED_ROWS)
            else:
                connection.execute(statement)
