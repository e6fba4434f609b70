"""What happened in a run, as its witnesses wrote it down: one file of JSON lines for each, which the checker reads when all is
over. Nothing here knows the program; test_decoding's text and the messages of docs/formats.md are read by code of our own.
"""

import bisect
import collections
import dataclasses
import json
import os
import re
import threading

UNCHANGED = "__outboxx_unknown_value__"
ID = re.compile(rb"([0-9A-F]{16})-([0-9A-F]{12})-([0-9A-F]{4})")


@dataclasses.dataclass(slots=True)
class Change:
    """A line of test_decoding. op: INSERT, UPDATE, DELETE or TRUNCATE; text: the tuples as the server printed them."""

    table: str
    op: str
    text: str

    @property
    def row(self):
        """column -> value as docs/formats.md says it looks in JSON: the new row, or of a DELETE what is known of the old."""
        return tuple_of(self.text.rpartition(" new-tuple: ")[2] if self.text.startswith("old-key: ") else self.text)

    @property
    def old_key(self):
        """The old row, as far as the server has it, of an UPDATE that changed the key or has REPLICA IDENTITY FULL; {} else."""
        return tuple_of(self.text[len("old-key: "):].partition(" new-tuple: ")[0]) if self.text.startswith("old-key: ") else {}


@dataclasses.dataclass(slots=True)
class Transaction:
    """A committed transaction. end: where its commit record ends, E(T); test_decoding does not tell where it starts. committed:
    when, by the server's clock, which is ours, in seconds.
    """

    xid: int
    end: int
    changes: list
    committed: float = 0.0


@dataclasses.dataclass(slots=True)
class Event:
    """A record of a topic. appended: the broker's clock in milliseconds, when it took the record (LogAppendTime). arrived: ours in
    seconds, when the consumer had it.
    """

    topic: str
    partition: int
    offset: int
    appended: int
    id: bytes
    key: bytes
    value: bytes
    arrived: float = 0.0

    @property
    def position(self):
        """(commit LSN, ordinal, part); None if the header is not an id."""
        found = ID.fullmatch(self.id)
        return tuple(int(part, 16) for part in found.groups()) if found else None

    @property
    def json(self):
        return json.loads(self.value)


@dataclasses.dataclass(slots=True)
class Status:
    """A status update on its way to PostgreSQL. at: our clock in seconds, before it was passed on; known: flush is a position
    that the server had told (the end of a commit, or a keepalive's), in this session or in one before, from which the recorded
    position can be; or it is where the session began. received: the highest that was told in this session.
    """

    session: int
    at: float
    write: int
    flush: int
    apply: int
    known: bool
    received: int


@dataclasses.dataclass
class History:
    """A run. topics: topic -> table. journal: (xid, outcome) of the clients, outcome being committed, aborted or unknown."""

    topics: dict
    transactions: list = dataclasses.field(default_factory=list)
    events: list = dataclasses.field(default_factory=list)
    statuses: list = dataclasses.field(default_factory=list)
    journal: list = dataclasses.field(default_factory=list)
    tables: dict = dataclasses.field(default_factory=dict)
    faults: list = dataclasses.field(default_factory=list)
    samples: list = dataclasses.field(default_factory=list)
    starts: list = dataclasses.field(default_factory=list)
    facts: dict = dataclasses.field(default_factory=dict)
    outputs: list = dataclasses.field(default_factory=list)

    @classmethod
    def load(cls, directory):
        """outputs are the paths of what the program wrote; the rest is read."""
        with open(os.path.join(directory, "facts.json"), encoding="utf-8") as file:
            facts = json.load(file)
        history = cls(facts["topics"], tables=facts["tables"], facts=facts, outputs=facts["outputs"])
        for line in lines(directory, "oracle"):
            history.transactions.append(Transaction(line["xid"], line["end"], [Change(*change) for change in line["changes"]],
                                                    line["committed"]))
        for line in lines(directory, "topic"):
            history.events.append(Event(line["topic"], line["partition"], line["offset"], line["appended"],
                                        *(line[name].encode("latin-1") for name in ("id", "key", "value")), line["arrived"]))
        history.statuses = [Status(**line) for line in lines(directory, "status")]
        history.journal = [(line["xid"], line["outcome"]) for line in lines(directory, "journal")]
        history.faults = list(lines(directory, "faults"))
        history.samples = list(lines(directory, "samples"))
        history.starts = list(lines(directory, "starts"))
        return history

    def wanted(self, transaction):
        """The changes of a transaction that must be in a topic. TRUNCATE writes nothing (docs/formats.md)."""
        tables = set(self.topics.values())
        return [change for change in transaction.changes if change.op != "TRUNCATE" and change.table in tables]


class Matching:
    """Which event tells which change.

    An event names its transaction by C(T), where the commit record starts. Commit records do not overlap, so that C(T) lies
    between the end of the commit before and E(T): the first transaction that ends behind it is the one. Ordinals count
    changes that we may not know of (of other tables), so the n-th distinct ordinal of a transaction stands for its n-th change;
    where their number differs, contents decide.
    """

    def __init__(self, history):
        self.first = {}  # (transaction index, change index) -> first event, in the order of appending
        self.copies = collections.defaultdict(list)  # the same -> all events
        self.unmatched = []  # (event, why)
        self.commit_lsn = {}  # transaction index -> C(T)
        self.wanted = [history.wanted(transaction) for transaction in history.transactions]
        self._ends = [transaction.end for transaction in history.transactions]
        for index, by_ordinal in self._by_transaction(history).items():
            self._match(index, by_ordinal)

    def _by_transaction(self, history):
        found = collections.defaultdict(lambda: collections.defaultdict(list))
        for event in history.events:
            position = event.position
            if position is None:
                self.unmatched.append((event, f"header {event.id!r} is no id"))
                continue
            index = bisect.bisect_right(self._ends, position[0])
            if index == len(self._ends):
                self.unmatched.append((event, "no such transaction"))
            elif self.commit_lsn.setdefault(index, position[0]) != position[0]:
                self.unmatched.append((event, f"two commit LSNs, {self.commit_lsn[index]:X} and {position[0]:X}, for one transaction"))
            else:
                found[index][position[1:]].append(event)
        return found

    def _match(self, index, by_ordinal):
        ordinals = sorted(by_ordinal)
        wanted = self.wanted[index]
        same_number = len(ordinals) == len(wanted)
        candidate = 0
        for ordinal in ordinals:
            events = by_ordinal[ordinal]
            chosen = candidate
            if not same_number:
                chosen = next((number for number in range(candidate, len(wanted)) if same(events[0], wanted[number])), None)
            if chosen is None:
                self.unmatched += [(event, "the transaction has no such change") for event in events]
                continue
            self.copies[index, chosen] = events
            self.first[index, chosen] = min(events, key=lambda event: (event.appended, event.offset))
            candidate = chosen + 1


def same(event, change):
    """Whether the event's op and row are the change's."""
    try:
        told = event.json
        row, data = change.row, dict(told["data"])
    except (ValueError, KeyError, TypeError):
        return False
    if change.op == "DELETE":  # test_decoding leaves nulls of the old row out, pgoutput does not
        data = {column: value for column, value in data.items() if value is not None}
    return told["op"] == change.op and data == row and told["meta"]["resource"] == change.table


# name[type]:value, as print_literal() of contrib/test_decoding writes it.
_COLUMN = re.compile(r"""("(?:[^"]|"")*"|[^\s\["]+)\[((?:[^\[\]]|\[\])*)\]:('(?:[^']|'')*'|B'[01]*'|\S+)(?: |$)""")
_NUMBERS = {"smallint": int, "integer": int, "bigint": int, "real": float, "double precision": float}


def tuple_of(text):
    """test_decoding's text of a row as JSON values; fails on what it does not understand."""
    row = {}
    end = 0
    if text == "(no-tuple-data)":
        return row
    for found in _COLUMN.finditer(text):
        if found.start() != end:
            break
        end = found.end()
        name, kind, value = found.groups()
        row[name.strip('"').replace('""', '"')] = _value(kind, value)
    if end != len(text):
        raise ValueError(f"cannot read {text[end:end + 80]!r}")
    return row


def _value(kind, text):
    if text == "null":
        return None
    if text == "unchanged-toast-datum":
        return UNCHANGED
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    if kind == "boolean":
        return text == "true"
    return _NUMBERS.get(kind, str)(text)


class Journal:
    """Appends JSON lines to a file. Any thread may call it."""

    def __init__(self, directory, name):
        self._file = open(os.path.join(directory, f"{name}.jsonl"), "a", encoding="utf-8")
        self._lock = threading.Lock()

    def __call__(self, **fields):
        line = json.dumps(fields, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()


def lines(directory, name):
    """The lines of such a file, parsed; none if there is no file."""
    try:
        with open(os.path.join(directory, f"{name}.jsonl"), encoding="utf-8") as file:
            yield from map(json.loads, file)
    except FileNotFoundError:
        return
