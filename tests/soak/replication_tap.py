"""Reads along on connections to PostgreSQL, through a proxy, and writes down what the program confirms: check K8.

The bytes: https://www.postgresql.org/docs/current/protocol-message-formats.html and protocol-replication.html. A message is its
type (1 byte), its length (4 bytes, itself included, the type not) and its body; only the start-up message has no type.
"""

import struct
import threading
import time

NO_TYPE = {80877102, 80877103, 80877104}  # CancelRequest, SSLRequest, GSSENCRequest: the next one has no type either
START_REPLICATION = b"START_REPLICATION"


class ReplicationTap:
    """Is the tap of a FaultProxy. Each START_REPLICATION begins a session; record(**fields) gets a Status for each update."""

    def __init__(self, record):
        self._record = record
        self._connections = {}
        self._lock = threading.Lock()
        self._positions = set()  # that the server has told, in any session
        self.sessions = 0
        self.flushed = 0  # the highest position that was confirmed

    def __call__(self, number, direction, data):
        with self._lock:
            if not data:
                self._connections.pop(number, None)
                return
            connection = self._connections.setdefault(number, _Connection())
            (self._up if direction == "up" else self._down)(connection, data)

    @property
    def streaming(self):
        """The numbers of the connections on which a session runs."""
        with self._lock:
            return [number for number, connection in self._connections.items() if connection.session]

    def _up(self, connection, data):
        connection.up += data
        while (message := connection.take_up()) is not None:
            kind, body = message
            if kind == b"Q" and body.startswith(START_REPLICATION):
                self.sessions += 1
                connection.session = self.sessions
            elif kind == b"d" and body[:1] == b"r" and connection.session:
                self._status(connection, body)

    def _status(self, connection, body):
        write, flush, apply = struct.unpack(">QQQ", body[1:25])
        if connection.begin is None:  # what the program found in the slot: never above what was confirmed before
            connection.begin = flush
            connection.received = max(connection.received, flush)
            known = flush <= self.flushed or connection.session == 1
        else:
            known = flush == connection.begin or flush in self._positions
        self.flushed = max(self.flushed, flush)
        self._record(session=connection.session, at=time.time(), write=write, flush=flush, apply=apply, known=known,
                     received=connection.received)

    def _down(self, connection, data):
        if connection.session is None:
            return  # the answers to queries do not concern us, and START_REPLICATION's own comes after it was read
        connection.down += data
        while (body := connection.take_down()) is not None:
            if body[:1] == b"k":
                self._saw(connection, struct.unpack(">Q", body[1:9])[0])
            elif body[:1] == b"w" and body[25:26] == b"C":
                self._saw(connection, struct.unpack(">Q", body[35:43])[0])  # flags, commit LSN, end LSN

    def _saw(self, connection, position):
        self._positions.add(position)
        connection.received = max(connection.received, position)


class _Connection:
    """What is left over of both directions, and the highest position that the server has told."""

    def __init__(self):
        self.up = bytearray()
        self.down = bytearray()
        self.session = None
        self.begin = None
        self.received = 0
        self._typed = False

    def take_up(self):
        """(type, body) of the next whole message; start-up messages have the type b''."""
        if self._typed:
            return self._take(self.up)
        if len(self.up) < 8:
            return None
        size, code = struct.unpack(">II", self.up[:8])
        if len(self.up) < size:
            return None
        del self.up[:size]
        self._typed = code not in NO_TYPE
        return b"", b""

    def take_down(self):
        """The body of the next whole CopyData message; others are passed over."""
        while (message := self._take(self.down)) is not None:
            if message[0] == b"d":
                return message[1]
        return None

    @staticmethod
    def _take(buffer):
        if len(buffer) < 5:
            return None
        size = 1 + struct.unpack(">I", buffer[1:5])[0]
        if len(buffer) < size:
            return None
        message = bytes(buffer[:1]), bytes(buffer[5:size])
        del buffer[:size]
        return message
