"""The load: clients that write transactions of many shapes, and note in the journal how each of them ended."""

import contextlib
import random
import threading

import psycopg

TABLES = ("public.orders", "public.items", "public.customers", "public.shape")
SCHEMA = """
create table orders (id bigint primary key, client int not null, amount numeric(12,2), status text, paid boolean, ghost boolean,
                     at timestamptz);
create table items (id bigint primary key, client int not null, count int, share double precision, wide text, extra bytea, ghost boolean);
alter table items alter column wide set storage external;
alter table items replica identity full;
create table customers (id bigint primary key, client int not null, name varchar(80), notes text, ghost boolean);
alter table customers alter column notes set storage external;
create table shape (id bigint primary key, client int not null, n int, ghost boolean);
create table side (id bigint primary key, client int not null, what text);
"""
IDS_PER_CLIENT = 100_000_000
KEPT = 400  # rows of a client and table that it goes on changing
NAMES = ["O'Neil", "\u00fcml\u00e4ut", 'say "x"', "back\\slash", "tab\tnewline\n", "\u2028", "", "[z]:1 'old-key: '"]


class Client(threading.Thread):
    """Runs transactions, about per_second of them, until its time is up. Random, from its own seed."""

    def __init__(self, number, postgres, record, seed, per_second):
        super().__init__(daemon=True)
        self.number = number
        self._postgres = postgres
        self._record = record
        self._random = random.Random(f"{seed}-{number}")
        self._pause = 1 / per_second
        self._ended = threading.Event()
        self._next = number * IDS_PER_CLIENT
        self._rows = {table: [] for table in ("orders", "items", "customers")}
        self.committed = 0

    def stop(self):
        self._ended.set()

    def run(self):
        while not self._ended.is_set():
            with contextlib.suppress(psycopg.Error, OSError):
                with self._postgres.connect(autocommit=False) as connection:
                    self._forget_rows_in_doubt(connection)
                    while not self._ended.wait(self._random.expovariate(1 / self._pause)):
                        self.one(connection)
            self._ended.wait(0.1)

    def one(self, connection):
        """One transaction; its outcome goes to the journal. An error of the connection ends it as unknown, and is raised."""
        outcome = "unknown"
        xid = None
        try:
            xid = connection.execute("select pg_current_xact_id()::text::bigint").fetchone()[0] & 0xFFFFFFFF
            self._fill(connection)
            if self._random.random() < 0.06:
                connection.rollback()
                outcome = "aborted"
            else:
                connection.commit()
                outcome = "committed"
                self.committed += 1
        finally:
            if xid is not None:
                self._record(client=self.number, xid=xid, outcome=outcome)
        if outcome == "aborted":
            self._forget_rows_in_doubt(connection)

    def _fill(self, connection):
        kind = self._random.random()
        if kind < 0.001:
            self._bulk(connection, self._random.randrange(2000, 8000))
            return
        size = 1 if kind < 0.6 else self._random.randrange(2, 15) if kind < 0.97 else self._random.randrange(30, 150)
        for _ in range(size):
            self._change(connection)
        if self._random.random() < 0.15:
            self._savepoint(connection)

    def _change(self, connection):
        table = self._random.choice(["orders", "orders", "items", "customers"])
        rows = self._rows[table]
        what = self._random.random()
        if what < 0.45 or not rows:
            rows.append(self._insert(connection, table))
        elif what < 0.85:
            self._update(connection, table, self._random.choice(rows))
        elif what < 0.90 and table == "customers":
            old = rows.pop(self._random.randrange(len(rows)))
            self._next += 1
            connection.execute("update customers set id = %s where id = %s", [self._next, old])
            rows.append(self._next)
        else:
            self._delete_row(connection, table, rows.pop(self._random.randrange(len(rows))))
        if len(rows) > KEPT:
            del rows[0]
        if self._random.random() < 0.05:
            self._next += 1
            connection.execute("insert into side values (%s, %s, 'noise')", [self._next, self.number])

    def _insert(self, connection, table, ghost=False):
        self._next += 1
        pick = self._random
        if table == "orders":
            columns = [round(pick.uniform(0, 9999), 2), pick.choice(NAMES), pick.choice([True, False, None]), ghost or None]
            connection.execute("insert into orders values (%s, %s, %s, %s, %s, %s, clock_timestamp())", [self._next, self.number, *columns])
        elif table == "items":
            columns = [pick.randrange(1000), pick.random(), self._wide(), pick.randbytes(pick.randrange(40)), ghost or None]
            connection.execute("insert into items values (%s, %s, %s, %s, %s, %s, %s)", [self._next, self.number, *columns])
        else:
            connection.execute("insert into customers values (%s, %s, %s, %s, %s)",
                               [self._next, self.number, pick.choice(NAMES), self._wide(), ghost or None])
        return self._next

    def _update(self, connection, table, key):
        pick = self._random
        statement = {"orders": "update orders set status = %s, at = clock_timestamp() where id = %s",
                     "items": "update items set count = count + length(%s) where id = %s",
                     "customers": "update customers set name = %s where id = %s"}[table]
        connection.execute(statement, [pick.choice(NAMES), key])

    @staticmethod
    def _delete_row(connection, table, key):
        connection.execute(psycopg.sql.SQL("delete from {} where id = %s").format(psycopg.sql.Identifier(table)), [key])

    def _savepoint(self, connection):
        """Rows of a savepoint that is rolled back must never be seen: they are marked as ghosts."""
        connection.execute("savepoint s")
        for _ in range(self._random.randrange(1, 5)):
            self._insert(connection, self._random.choice(["orders", "items", "customers"]), ghost=True)
        connection.execute("rollback to s")

    def _bulk(self, connection, rows):
        first = self._next + 1
        self._next += rows
        connection.execute("insert into orders select n, %s, n, 'bulk', null, null, now() from generate_series(%s::bigint, %s) n",
                           [self.number, first, self._next])

    def _wide(self):
        return "".join(self._random.choices("abcdefgh", k=8)) * self._random.choice([1, 1, 1, 10, 400, 1000])

    def _forget_rows_in_doubt(self, connection):
        """After a rollback or a lost connection: the rows that are really there."""
        for table, rows in self._rows.items():
            rows[:] = [key for (key,) in connection.execute(
                psycopg.sql.SQL("select id from {} where client = %s order by id desc limit 200").format(psycopg.sql.Identifier(table)),
                [self.number])]
        top = connection.execute("select max(id) from (select max(id) id from orders where client = %s union all select max(id) from items"
                                 " where client = %s union all select max(id) from customers where client = %s) a", [self.number] * 3)
        self._next = max(self._next, top.fetchone()[0] or 0)
        connection.commit()


class PairClient(Client):
    """Commits two transactions back to back, so that one's commit record often starts where the other's ends."""

    def run(self):
        while not self._ended.is_set():
            with contextlib.suppress(psycopg.Error, OSError):
                with self._postgres.connect(autocommit=False) as one, self._postgres.connect(autocommit=False) as other:
                    while not self._ended.wait(self._random.expovariate(1 / self._pause)):
                        self._pair(one, other)
            self._ended.wait(0.1)

    def _pair(self, *connections):
        for connection in connections:
            self._insert(connection, "orders")
        for connection in connections:
            xid = connection.execute("select pg_current_xact_id()::text::bigint").fetchone()[0] & 0xFFFFFFFF
            self._record(client=self.number, xid=xid, outcome="unknown")
        for connection in connections:
            connection.commit()


class SchemaClient(Client):
    """Changes rows of a table whose columns, types and replica identity change all the time, inside transactions too."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._columns = 0

    def _fill(self, connection):
        for _ in range(self._random.randrange(1, 5)):
            self._some_rows(connection)
            if self._random.random() < 0.25:
                self._alter(connection)
                self._some_rows(connection)

    def _some_rows(self, connection):
        self._next += 1
        if self._random.random() < 0.02:
            connection.execute("truncate shape")
        connection.execute("insert into shape (id, client, n) values (%s, %s, %s)", [self._next, self.number, self._random.randrange(100)])
        connection.execute("update shape set n = n + 1 where id = %s", [self._next - self._random.randrange(5)])
        connection.execute("delete from shape where id = %s", [self._next - 50])

    def _alter(self, connection):
        names = [name for (name,) in connection.execute("select attname from pg_attribute where attrelid = 'shape'::regclass and attnum > 0"
                                                        " and not attisdropped and attname like 'c%' and attname <> 'client'")]
        self._columns += 1
        if not names or (len(names) < 6 and self._random.random() < 0.3):
            connection.execute(f"alter table shape add column c{self._columns}_{self._random.randrange(1000)} int default {self._columns}")
            return
        name = self._random.choice(names)
        connection.execute(self._random.choice([
            f"alter table shape drop column {name}",
            f"alter table shape rename column {name} to c{self._columns}_{self._random.randrange(1000)}",
            f"alter table shape alter column {name} type text using {name}::text",
            f"alter table shape alter column {name} type int using length({name}::text)",
            "alter table shape replica identity full",
            "alter table shape replica identity default",
        ]))

    def _forget_rows_in_doubt(self, connection):
        self._next = max(self._next, connection.execute("select coalesce(max(id), 0) from shape").fetchone()[0])
        connection.commit()


class Workload:
    """All the clients. rate: transactions per second of them together."""

    def __init__(self, postgres, record, seed, rate=120, writers=4):
        self._postgres = postgres
        each = rate / (writers + 1.5)
        self.clients = [Client(number, postgres, record, seed, each) for number in range(1, writers + 1)]
        self.clients.append(PairClient(writers + 1, postgres, record, seed, each / 2))
        self.clients.append(SchemaClient(writers + 2, postgres, record, seed, each / 4))

    def start(self):
        for client in self.clients:
            client.start()

    def stop(self):
        """Ends all clients. Then every row of the table whose columns changed is written once more, so that its events tell
        all of its columns (ADD COLUMN ... DEFAULT gives old rows a value of which no event tells).
        """
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(60)
            if client.is_alive():
                raise AssertionError(f"client {client.number} does not end")
        self._postgres.execute("update shape set n = coalesce(n, 0) + 1")

    @property
    def committed(self):
        return sum(client.committed for client in self.clients)


def tables(postgres):
    """table -> its rows as JSON values, the way docs/formats.md writes them."""
    found = {}
    with postgres.connect() as connection:
        for table in TABLES:
            cursor = connection.execute(f"select * from {table}", binary=False)
            columns = [(column.name, column.type_code) for column in cursor.description]
            found[table] = [dict(zip((name for name, _ in columns), row)) for row in _texts(connection, table, columns)]
    return found


def _texts(connection, table, columns):
    """Everything as text, then numbers and booleans as what they are."""
    as_is = {16: lambda text: text == "true", 20: int, 21: int, 23: int, 700: float, 701: float}
    selected = ", ".join(f'"{name}"::text' for name, _ in columns)
    connection.execute("set timezone = 'UTC'")
    for row in connection.execute(f"select {selected} from {table}"):
        yield [text if text is None else as_is.get(oid, str)(text) for text, (_, oid) in zip(row, columns)]
