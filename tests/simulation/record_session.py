#!/usr/bin/env python3
"""Records sessions of the replication protocol with a real server, one file each, into tests/golden/sessions.

    record_session.py [--version 15] [SCENARIO...]

Each line is one event, positions as numbers in hex:

    wal C E            a transaction that the publication sends: start and end of its commit record (from a second slot)
    start S            START_REPLICATION ... 0/0, the slot's confirmed_flush_lsn being S
    begin C  commit C E  keepalive K     what the server sent
    status F           a status update with write = flush = apply = F, and the server has processed it
    slot S             the slot's confirmed_flush_lsn as pg_replication_slots has it
    crash              the server was stopped with "immediate" and started again
    stop               the server was stopped with "fast" and started again

recorded_session_test.cc replays them against the simulated walsender.
"""

import argparse
import pathlib
import select
import struct
import sys
import tempfile
import time

import psycopg
from psycopg import pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres  # noqa: E402
from support.wait import wait_until  # noqa: E402

SLOT = "recorded"


class Session:
    """One START_REPLICATION, with psycopg's bare libpq."""

    def __init__(self, recording):
        self.recording = recording
        self.connection = pq.PGconn.connect(f"{recording.server.conninfo()} replication=database".encode())
        assert self.connection.status == pq.ConnStatus.OK, self.connection.error_message
        recording.write("start", recording.confirmed())
        result = self.connection.exec_(f"START_REPLICATION SLOT {SLOT} LOGICAL 0/0 "
                                       "(proto_version '1', publication_names 'p')".encode())
        assert result.status == pq.ExecStatus.COPY_BOTH, result.error_message

    def read_until(self, position, deadline=10.0):
        """Asks for a reply, and reads until a keepalive is at or behind position."""
        end = time.monotonic() + deadline
        self.send_status(0, reply=True, records=False)
        while time.monotonic() < end:
            size, data = self.connection.get_copy_data(1)
            if size == 0:
                if not select.select([self.connection.socket], [], [], 0.1)[0]:
                    self.send_status(0, reply=True, records=False)
                self.connection.consume_input()
                continue
            assert size > 0, self.connection.error_message
            if self._note(bytes(data)) >= position:
                return
        raise AssertionError(f"nothing at {position:X}")

    def _note(self, data):
        """The position of a keepalive, 0 for everything else."""
        if data[0:1] == b"k":
            position = struct.unpack(">Q", data[1:9])[0]
            self.recording.write("keepalive", position)
            return position
        body = data[25:]
        if body[0:1] == b"B":
            self.recording.write("begin", struct.unpack(">Q", body[1:9])[0])
        elif body[0:1] == b"C":
            self.recording.write("commit", *struct.unpack(">QQ", body[2:18]))
        return 0

    def send_status(self, flush, reply=False, records=True):
        self.connection.put_copy_data(b"r" + struct.pack(">QQQQB", flush, flush, flush, 0, reply))
        self.connection.flush()
        if records:
            self.recording.write("status", flush)

    def confirm(self, flush):
        """A status update, and waits until the slot shows it."""
        before = self.recording.confirmed()
        self.send_status(flush)
        wait_until(lambda: self.recording.confirmed() >= max(flush, before), 10, "the status is processed")
        self.recording.write("slot", self.recording.confirmed())

    def end(self):
        self.connection.finish()
        wait_until(lambda: not self.recording.server.slot(SLOT)["active"], 10, "the slot is free")


class Recording:
    def __init__(self, name, server):
        self.name = name
        self.server = server
        self.lines = []
        server.execute("create table t (id int primary key, v text)", "create publication p for table t",
                       f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')",
                       "select pg_create_logical_replication_slot('truth', 'pgoutput')")

    def write(self, event, *positions):
        self.lines.append(" ".join([event, *(f"{position:X}" for position in positions)]))

    def confirmed(self):
        return self.server.slot(SLOT)["confirmed_flush_lsn"]

    def transactions(self):
        """C and E of each transaction so far; new ones are written to the recording."""
        rows = self.server.query("select data from pg_logical_slot_peek_binary_changes('truth', null, null, "
                                 "'proto_version', '1', 'publication_names', 'p')")
        found = [struct.unpack(">QQ", bytes(row[0])[2:18]) for row in rows if bytes(row[0])[0:1] == b"C"]
        for transaction in found:
            line = f"wal {transaction[0]:X} {transaction[1]:X}"
            if line not in self.lines:
                self.lines.append(line)
        return found

    def wal_end(self):
        return self.server.current_lsn()

    def insert(self, *ids):
        for one in ids:
            self.server.execute(f"insert into t values ({one}, 'x')")
        return self.transactions()

    def restart(self, mode):
        self.server.stop(mode)
        self.server.start()
        self.write("crash" if mode == "immediate" else "stop")


def interleaved(recording):
    """Rows of transactions that overlap; they come in the order of their commits."""
    with recording.server.connect(autocommit=False) as a, recording.server.connect(autocommit=False) as b:
        for connection, base in ((a, 0), (b, 100), (a, 10), (b, 110)):
            connection.execute(f"insert into t select g, 'x' from generate_series({base}, {base + 3}) g")
        b.commit()
        a.execute("insert into t values (50, 'x')")
        a.commit()
    recording.transactions()
    session = Session(recording)
    session.read_until(recording.wal_end())
    session.end()


def confirm_start_or_end(recording):
    """The start of a commit record, confirmed, sends its transaction again; the end does not."""
    transactions = recording.insert(1, 2, 3)
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.confirm(transactions[-1][0])
    session.end()
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.confirm(transactions[-1][1])
    session.end()
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.end()


def confirm_beyond(recording):
    """A position behind the start of a commit record skips its transaction in silence; one that goes back is ignored."""
    transactions = recording.insert(1, 2, 3, 4)
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.confirm(transactions[2][0] + 1)
    session.confirm(transactions[0][1])
    session.end()
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.end()


def back_to_back(recording, beyond=0):
    """C(B) = E(A). E(A), confirmed, sends B; E(A) + 1 never does."""
    for attempt in range(200):
        with recording.server.connect(autocommit=False) as a, recording.server.connect(autocommit=False) as b:
            a.execute(f"insert into t values ({2 * attempt}, 'a')")
            b.execute(f"insert into t values ({2 * attempt + 1}, 'b')")
            a.commit()
            b.commit()
        transactions = recording.transactions()
        if transactions[-1][0] == transactions[-2][1]:
            break
    else:
        raise AssertionError("no two commits without anything between them")
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.confirm(transactions[-2][1] + beyond)
    session.end()
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.end()


def restart(recording, mode):
    """What a crash or a clean stop leaves of three confirmed positions."""
    transactions = recording.insert(1, 2, 3)
    session = Session(recording)
    session.read_until(transactions[-1][1])
    for _, end in transactions:
        session.confirm(end)
    session.end()
    recording.restart(mode)
    session = Session(recording)
    session.read_until(transactions[-1][1])
    session.end()


SCENARIOS = {
    "interleaved": interleaved,
    "confirm_start_or_end": confirm_start_or_end,
    "confirm_beyond": confirm_beyond,
    "back_to_back": back_to_back,
    "back_to_back_beyond": lambda recording: back_to_back(recording, beyond=1),
    "crash": lambda recording: restart(recording, "immediate"),
    "stop": lambda recording: restart(recording, "fast"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", type=int, default=15)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS))
    options = parser.parse_args()
    for name in options.scenarios:
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory).chmod(0o755)
            server = Postgres(f"{directory}/postgres", options.version, fsync=True).start()
            try:
                recording = Recording(name, server)
                SCENARIOS[name](recording)
                version = server.value("show server_version").split()[0]
            finally:
                server.stop("immediate")
        path = ROOT / "tests" / "golden" / "sessions" / f"{name}_{options.version}.session"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# PostgreSQL {version}. Written by record_session.py.\n" + "\n".join(recording.lines) + "\n",
                        encoding="ascii")
        print(f"{name}: {len(recording.lines)} events")


if __name__ == "__main__":
    main()
