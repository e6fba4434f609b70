"""Another client that takes the slot for a while, reads it and confirms nothing."""

import socket
import struct


class Thief:
    """Holds the slot until closed, or until the server drops it for not answering. taken: whether it got the slot."""

    def __init__(self, port, slot, publication):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        parameters = b"user\0postgres\0database\0postgres\0replication\0database\0application_name\0thief\0\0"
        self._socket.sendall(struct.pack(">II", 8 + len(parameters), 196608) + parameters)
        self._wait_for(b"Z")
        query = f"START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 (proto_version '1', publication_names '\"{publication}\"')".encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack(">I", 4 + len(query)) + query)
        self.taken = self._wait_for(b"WE") == b"W"

    def close(self):
        self._socket.close()

    def _wait_for(self, kinds):
        """The type of the next message that is one of these."""
        while True:
            kind, size = struct.unpack(">cI", self._read(5))
            self._read(size - 4)
            if kind in kinds:
                return kind

    def _read(self, size):
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data)) or self._gone()
        return data

    @staticmethod
    def _gone():
        raise ConnectionError("the server closed the connection")
