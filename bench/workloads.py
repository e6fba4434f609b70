"""The tables and what is written to them. A workload is prepared once, and each run of the benchmark reads its WAL again."""

import dataclasses

# About 200 bytes a row in COPY's text form, 270 on the wire, 440 as JSON.
RECORD_COLUMNS = """
  id bigserial primary key,
  account_id bigint not null,
  numeric_field numeric(20,6) not null,
  status text not null,
  payload jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()"""
RECORD = """(random() * 10000000)::bigint, (random() * 1000000)::numeric(20,6),
  (array['new', 'active', 'paused', 'closed'])[1 + floor(random() * 4)::int],
  jsonb_build_object('source', 'cdc-benchmark', 'seq', g, 'padding', repeat('x', 60))"""
INSERT = "insert into {table} (account_id, numeric_field, status, payload)"
WIDE_TEXTS = 34  # with the key and 15 numbers 50 columns; two kilobytes a row


@dataclasses.dataclass(frozen=True)
class Workload:
    """create: statements before the publication and the slots exist; load: statements whose WAL is the backlog. streamed: the
    tables of the streams; all tables are published. rows: how many changes of streamed tables the load makes.
    """

    name: str
    rows: int
    create: tuple
    load: tuple
    streamed: tuple = ("records",)
    operations: tuple = ("insert", "update", "delete")
    partitions: int = 1


def inserts(name, rows, per_transaction, **more):
    return Workload(name, rows, (_table("records"),), (_insert("records", rows, per_transaction),), **more)


def whole_table(name, rows):
    """What a snapshot reads: vacuumed, so that no run pays for hint bits, and analyzed."""
    return Workload(name, rows, (_table("records"),), (_insert("records", rows, 100_000), "vacuum (freeze, analyze) records"))


def one_transaction(name, rows, **more):
    return inserts(name, rows, rows, **more)


def wide(name, rows):
    """50 columns, 2 kB: a key, 15 numbers and 34 texts."""
    numbers = [f"n{i} {('bigint', 'integer', 'numeric(12,2)')[i % 3]} not null" for i in range(15)]
    texts = [f"t{i} text not null" for i in range(WIDE_TEXTS)]
    columns = ", ".join(["id bigserial primary key", *numbers, *texts])
    values = ", ".join([*["(random() * 1000000)::int" for _ in numbers], *["md5(g::text) || ' said \"so\"'" for _ in texts]])
    names = ", ".join([*[f"n{i}" for i in range(15)], *[f"t{i}" for i in range(WIDE_TEXTS)]])
    return Workload(name, rows, (f"create table records ({columns})", _full("records")),
                    (_batches(f"insert into records ({names}) select {values}", rows, 1000),))


def updates(name, rows, identity):
    """Every row once, 10,000 a transaction."""
    fill = _insert("records", rows, 10_000)
    step = min(rows, 10_000)
    change = _loop(f"update records set numeric_field = numeric_field + 1, updated_at = clock_timestamp() "
                   f"where id > (i - 1) * {step} and id <= i * {step}", -(-rows // step))
    operations = ("insert", "update", "delete") if identity == "full" else ("insert", "update")
    return Workload(name, rows, (_table("records", identity), fill), (change,), operations=operations)


def many_tables(name, rows, tables):
    """Ten tables are streamed and take the load; before it, each published table gets a row, so that all of them are known."""
    names = [f"t{i:05}" for i in range(tables)]
    streamed = names[:10]
    create = (_loop(f"execute format('create table t%s ({RECORD_COLUMNS.replace(chr(10), ' ')})', lpad((i - 1)::text, 5, '0'));"
                    f" execute format('alter table t%s replica identity full', lpad((i - 1)::text, 5, '0'))", tables),)
    touch = _loop(f"execute format('{INSERT.format(table='t%s')} values (1, 1, ''new'', ''{{}}'')', lpad((i - 1)::text, 5, '0'))",
                  tables)
    return Workload(name, len(streamed) * (rows // len(streamed) + 1), create, (touch, *_spread(streamed, rows)), streamed=tuple(streamed))


def many_streams(name, rows, streams):
    """The rows go round the tables, a stream each, 100 rows a transaction; all streams share one topic."""
    names = [f"s{i:03}" for i in range(streams)]
    return Workload(name, len(names) * (rows // len(names)), tuple(_table(table) for table in names), _spread(names, rows),
                    streamed=tuple(names))


def _spread(tables, rows):
    """A hundred rows to each table in turn."""
    each = rows // len(tables)
    block = min(each, 100)
    insert = f"{INSERT.format(table='%I')} select {RECORD} from generate_series(1, %s) g".replace("'", "''")
    listed = ", ".join(f"'{table}'" for table in tables)
    return (f"""do $$ declare tables text[] := array[{listed}]; done int := 0; block int; begin
  while done < {each} loop
    block := least({block}, {each} - done);
    for i in 1..array_length(tables, 1) loop execute format('{insert}', tables[i], block); commit; end loop;
    done := done + block;
  end loop; end $$""",)


def _table(table, identity="full"):
    return f"create table {table} ({RECORD_COLUMNS}); alter table {table} replica identity {identity}"


def _full(table):
    return f"alter table {table} replica identity full"


def _insert(table, rows, per_transaction):
    return _batches(f"{INSERT.format(table=table)} select {RECORD}", rows, per_transaction)


def _batches(insert, rows, per_transaction):
    series = f"generate_series(1, least({per_transaction}, {rows} - (i - 1) * {per_transaction}))"
    return _loop(f"{insert} from {series} g", -(-rows // per_transaction))


def _loop(statement, times):
    """A transaction each time; i counts from 1."""
    return f"do $$ begin for i in 1..{times} loop {statement}; commit; end loop; end $$"
