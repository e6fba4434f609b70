"""python3 -m soak.resources [NAME...]: what the program needs at most, in the cases of docs/reliability.md. `make soak-resources`.

Each case starts servers of its own, and is over when all that it wrote has arrived and is confirmed. A line for each tells the
highest resident memory; the exit code is 1 if one is above its bar. OUTAGE_S, ROWS, RECONNECTS (environment) make it shorter.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time

import psycopg

from support import Kafka, Outboxx, Postgres, stream, wait_until
from support.consumer import end_offsets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIB = 1 << 20
BUDGET = 64 * MIB  # and three times the largest message
RECONNECT_GROWTH = 1 * MIB
WARM_UP = 50  # reconnects, before the memory is measured
ROWS = int(os.environ.get("ROWS", "10000000"))
OUTAGE_S = float(os.environ.get("OUTAGE_S", "600"))
ROWS_PER_S = 20_000
TABLES = 10_000
STREAMS = 100  # a file has no more
COLUMNS = 1600  # PostgreSQL has no more
RECONNECTS = int(os.environ.get("RECONNECTS", "1000"))
DEADLINE_S = 3600
SLOT = "outboxx_slot"


class Bench:
    """Both servers and the program, with one table unless streams says otherwise."""

    def __init__(self, **settings):
        self.directory = tempfile.mkdtemp(prefix="outboxx-resources-")
        os.chmod(self.directory, 0o755)
        self.postgres = Postgres(os.path.join(self.directory, "pg"), settings=settings)
        self.kafka = Kafka(os.path.join(self.directory, "kafka"))
        self.outboxx = None

    def __enter__(self):
        self.postgres.start()
        self.kafka.start()
        return self

    def __exit__(self, *_):
        for thing in (self.outboxx, self.kafka, self.postgres):
            if thing:
                thing.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *tables, topic="rows", config=None):
        self.kafka.create_topic(topic)
        streams = [stream(table, topic, name=f"s{number}") for number, table in enumerate(tables)]
        self.outboxx = Outboxx(os.path.join(self.directory, "outboxx"), self.postgres, self.kafka, streams, config=config).start(deadline=120)
        return self

    def wait_delivered(self, rows, topic="rows"):
        """Until so many records are in the topic, and the slot has confirmed all."""
        wait_until(lambda: sum(end_offsets(self.kafka.bootstrap(), topic).values()) >= rows, DEADLINE_S, f"{rows} records", interval=0.5)
        end = self.postgres.current_lsn()
        wait_until(lambda: self.postgres.slot(SLOT)["confirmed_flush_lsn"] >= end, 60, "all is confirmed", interval=0.1)
        arrived = sum(end_offsets(self.kafka.bootstrap(), topic).values())
        assert arrived == rows, f"{arrived} records for {rows} changes"

    @property
    def peak(self):
        return self.outboxx.rss_bytes()[1]


def transaction():
    """One transaction of ten million rows."""
    with Bench() as bench:
        bench.postgres.execute("create table rows (id bigint primary key, filler text)")
        bench.run("rows")
        bench.postgres.execute(f"insert into rows select n, 'row ' || n from generate_series(1, {ROWS}) n")
        bench.wait_delivered(ROWS)
        return bench.peak, BUDGET


def outage():
    """The broker is down for ten minutes, while 20,000 rows are written each second."""
    with Bench() as bench:
        bench.postgres.execute("create table rows (id bigint generated always as identity primary key, filler text)")
        bench.run("rows")
        bench.postgres.execute("insert into rows (filler) values ('before')")
        bench.wait_delivered(1)
        bench.kafka.kill()
        written = write_at_rate(bench.postgres, OUTAGE_S)
        print(f"        {written} rows in {OUTAGE_S:g} s; {bench.outboxx.rss_bytes()[0] / MIB:.1f} MiB, {bench.peak / MIB:.1f} MiB at most")
        bench.kafka.start()
        bench.wait_delivered(written + 1)
        return bench.peak, BUDGET


def write_at_rate(postgres, seconds):
    """Inserts ROWS_PER_S, in ten transactions each second; returns how many rows that were."""
    written, tick = 0, 0.1
    begin = time.monotonic()
    pause = threading.Event()
    with postgres.connect() as connection:
        while (passed := time.monotonic() - begin) < seconds:
            due = int((passed + tick) * ROWS_PER_S) - written
            connection.execute("insert into rows (filler) select 'while the broker is down' from generate_series(1, %s)", [due])
            written += due
            pause.wait(max(0.0, begin + written / ROWS_PER_S - tick - time.monotonic()))
    return written


def tables():
    """Changes of ten thousand tables, all published, a hundred of them with a stream of their own."""
    with Bench(max_locks_per_transaction=1000) as bench:
        for first in range(0, TABLES, 1000):
            bench.postgres.execute(f"""do $$ begin for i in {first}..{first + 999} loop execute format(
                'create table t%s (id int primary key, customer_name text, delivery_address text, created_at timestamptz)', i);
                end loop; end $$""")
        bench.postgres.execute("create publication outboxx_publication for all tables")
        bench.run(*(f"t{number}" for number in range(STREAMS)), config={"source.postgres.publication": "existing"})
        for _ in range(2):
            bench.postgres.execute(f"do $$ begin for i in 0..{TABLES - 1} loop execute format('insert into t%s values (1) on conflict (id)"
                                   " do update set customer_name = ''x''', i); end loop; end $$")
        bench.wait_delivered(2 * STREAMS)
        return bench.peak, BUDGET


def columns():
    """Rows of 1,600 columns, with the old row beside the new one."""
    names = [f"column_with_a_rather_long_name_{number}" for number in range(COLUMNS - 1)]
    with Bench() as bench:
        bench.postgres.execute(f"create table rows (id int primary key, {', '.join(f'{name} int' for name in names)})",
                               "alter table rows replica identity full")
        bench.run("rows")
        bench.postgres.execute(f"insert into rows select n, {', '.join(map(str, range(COLUMNS - 1)))} from generate_series(1, 5000) n",
                               f"update rows set {names[0]} = -1")
        bench.wait_delivered(10_000)
        largest = len(json.dumps(dict.fromkeys(names, COLUMNS)))
        return bench.peak, BUDGET + 3 * largest


def reconnects():
    """A thousand sessions that are ended by the server, each after a row has arrived. What grows from the fiftieth on."""
    with Bench() as bench:
        bench.postgres.execute("create table rows (id bigint generated always as identity primary key, filler text)")
        bench.run("rows")
        with bench.postgres.connect() as connection:
            warm = 0
            for number in range(1, RECONNECTS + WARM_UP + 1):
                reconnect(bench, connection)
                if number == WARM_UP:
                    warm = bench.outboxx.rss_bytes()[0]
                elif number % 100 == WARM_UP:
                    print(f"        {number - WARM_UP} reconnects: {bench.outboxx.rss_bytes()[0] / MIB:.2f} MiB, {warm / MIB:.2f} MiB before",
                          flush=True)
        return bench.outboxx.rss_bytes()[0] - warm, RECONNECT_GROWTH


def reconnect(bench, connection):
    """Ends the session, and waits until the next one has confirmed a row."""
    def confirmed():
        return connection.execute("select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s",
                                  [end, SLOT]).fetchone()[0]
    old = connection.execute("select active_pid from pg_replication_slots where slot_name = %s", [SLOT]).fetchone()[0]
    connection.execute("select pg_terminate_backend(%s)", [old])
    wait_until(lambda: connection.execute("select active_pid from pg_replication_slots where slot_name = %s and active_pid <> %s",
                                          [SLOT, old]).fetchone(), 60, "another session streams")
    connection.execute("insert into rows (filler) values ('x')")
    end = connection.execute("select pg_current_wal_lsn()").fetchone()[0]
    wait_until(confirmed, 60, "the row is confirmed")


CASES = [transaction, outage, tables, columns, reconnects]


def main():
    wanted = sys.argv[1:] or [case.__name__ for case in CASES]
    unknown = set(wanted) - {case.__name__ for case in CASES}
    if unknown:
        sys.exit(f"no case {', '.join(sorted(unknown))}: {', '.join(case.__name__ for case in CASES)}")
    failed = False
    for case in CASES:
        if case.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            found, bar = case()
        except (AssertionError, psycopg.Error) as error:
            print(f"FAILED  {case.__name__}: {error}", flush=True)
            failed = True
            continue
        failed |= found > bar
        print(f"{'FAILED' if found > bar else 'ok':7} {case.__name__}: {found / MIB:.2f} MiB, bar {bar / MIB:.1f} MiB; {case.__doc__}"
              f" ({time.monotonic() - begin:.0f} s)", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
