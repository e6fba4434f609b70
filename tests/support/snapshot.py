"""For tests of snapshots: tables that are written while they are read, and a consumer that builds them anew from the topic."""

import collections
import json
import random
import threading
import urllib.error
import urllib.request

import psycopg

from .wait import wait_until

UNKNOWN = "__outboxx_unknown_value__"  # a TOASTed value that an UPDATE did not change
THROTTLE = {"sink.kafka.in_flight_bytes_max": 65536, "sink.kafka.properties": {"linger.ms": "5"}}
READS = 'outboxx_events_processed_total{stream="%s",operation="READ"}'
COLUMNS = "ident, id, region, version, note, big"


def create_table(postgres, name, rows, big_every=10):
    """ident never changes and is the routing key; id, the rest of the key, and region do. version counts the changes."""
    postgres.execute(
        f"create table {name} (ident int, id int, region int, version int, note text, big text, primary key (ident, id))",
        f"alter table {name} alter big set storage external",
        f"insert into {name} select n, n, n % 3, 0, 'row ' || n, case when n % {big_every} = 0 then repeat(n::text || '.', 900) end "
        f"from generate_series(1, {rows}) n")


def create_partitioned(postgres, name, rows):
    """By region: an UPDATE of it moves the row."""
    postgres.execute(
        f"create table {name} (ident int, id int, region int, version int, note text, big text, primary key (ident, id, region)) "
        "partition by list (region)",
        *[f"create table {name}_{region} partition of {name} for values in ({region})" for region in range(3)],
        f"insert into {name} select n, n, n % 3, 0, 'row ' || n, null from generate_series(1, {rows}) n")


def rows_of(postgres, table, columns=COLUMNS):
    """ident -> the row as the topic has it."""
    names = columns.split(", ")
    return {row[0]: dict(zip(names, row)) for row in postgres.query(f"select {columns} from {table}")}


def rows_read(outboxx, stream_name):
    """By the process as it runs now."""
    return outboxx.metrics().get(READS % stream_name, 0)


class Rebuilt:
    """The table as a consumer has it that takes the messages in their order."""

    def __init__(self, messages):
        self.rows = {}
        self.reads = collections.Counter()
        self.stale = []     # what must not be if no message comes twice: an older version after a newer one
        self.unknown = []   # changes of rows that nothing told before: normal after a resumed snapshot, which reads them no more
        for message in messages:
            self._apply(message.json)

    def _apply(self, event):
        data, operation = event["data"], event["op"]
        ident = data["ident"]
        before = self.rows.get(ident)
        if operation == "DELETE":
            if self.rows.pop(ident, None) is None:
                self.unknown.append(f"DELETE of {ident}")
            return
        if operation == "READ":
            self.reads[ident] += 1
        if before is not None and "version" in data and data["version"] < before["version"]:
            self.stale.append(f"{operation} of {ident} has version {data['version']} after {before['version']}")
        row = {}
        for column, value in data.items():
            row[column] = (before or {}).get(column, UNKNOWN) if value == UNKNOWN else value
        self.rows[ident] = row


class Changes:
    """Inserts, updates (some with the big value), deletes, changes of the key and of the partition, from `with` to its end."""

    def __init__(self, postgres, tables, seed, pause=0.001):
        self._tables = tables
        self._choose = random.Random(seed)
        self._postgres = postgres
        self._pause = pause
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.failure = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        if self.failure:
            raise self.failure

    def _run(self):
        try:
            with self._postgres.connect() as connection:
                bounds = {table: connection.execute(f"select max(ident) from {table}").fetchone()[0] for table in self._tables}
                while not self._end.wait(self._pause):
                    table = self._choose.choice(self._tables)
                    connection.execute(self._statement(table, bounds))
                    self.count += 1
        except psycopg.Error as error:
            self.failure = error

    def _statement(self, table, bounds):
        ident = self._choose.randint(1, bounds[table])
        kind = self._choose.choices(["update", "big", "key", "region", "delete", "insert"], [40, 5, 10, 10, 10, 25])[0]
        changes = {"update": f"note = 'changed {self.count}'", "big": f"big = repeat('{self.count}:', 900)",
                   "key": "id = id + 1000000", "region": "region = (region + 1) % 3"}
        if kind == "delete":
            return f"delete from {table} where ident = {ident}"
        if kind == "insert":
            bounds[table] += 1
            return f"insert into {table} values ({bounds[table]}, {bounds[table]}, {ident % 3}, 0, 'new', null)"
        return f"update {table} set version = version + 1, {changes[kind]} where ident = {ident}"


def post(outboxx, path, body=None, headers=None):
    """(status, answer) of a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{outboxx.port}{path}", data=data, method="POST",
                                     headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def request(outboxx, *tables, where=None):
    status, answer = post(outboxx, "/snapshots", {"tables": list(tables), **({"where": where} if where else {})})
    assert status == 202, answer
    return answer["id"]


def jobs(outboxx):
    return {job["id"]: job for job in json.loads(outboxx.get("/snapshots")[1])["jobs"]}


def wait_state(outboxx, job, state, deadline=60):
    wait_until(lambda: jobs(outboxx).get(job, {}).get("state") == state, deadline, f"job {job} is {state}: {outboxx.log_path}")


def check_equal(rebuilt, expected):
    assert rebuilt.rows.keys() == expected.keys()
    assert [ident for ident in expected if rebuilt.rows[ident] != expected[ident]] == []
