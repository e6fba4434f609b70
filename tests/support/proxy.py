"""A TCP proxy on loopback for faults of the network: cut, refuse, black hole, delay, byte by byte."""

import socket
import threading
import time

from . import wait

DIRECTIONS = ("up", "down")  # up: from the client to the server


class Proxy:
    """Listens on port of 127.0.0.1 and passes on to the target, "HOST:PORT" or a port of 127.0.0.1.

    pause("down") holds back what the server says (the sender sees a full socket in the end, no error); "up" likewise.
    """

    def __init__(self, target):
        host, _, port = str(target).rpartition(":")
        self._target = (host or "127.0.0.1", int(port))
        self.port = wait.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.accepted = 0
        self.bytes = dict.fromkeys(DIRECTIONS, 0)
        self._changed = threading.Condition()
        self._paused = set()
        self._delay = 0.0
        self._dribble = {}
        self._connections = set()
        self._closed = False
        self._refuse = False
        self._listener = None
        self.accept()

    def accept(self):
        """Takes connections (again, after refuse())."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._refuse = False
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self):
        """Connection refused from now on; those that are open stay."""
        self._refuse = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self):
        """Ends all open connections at once, with a reset; new ones are taken. Returns how many there were."""
        with self._changed:
            connections, self._connections = self._connections, set()
            for pair in connections:
                for end in pair:
                    _reset(end)
            self._changed.notify_all()
        return len(connections)

    def half_close(self):
        """The server's direction of all open connections ends, as by its FIN; ours stays. Returns how many there were."""
        with self._changed:
            for client, _ in self._connections:
                client.shutdown(socket.SHUT_WR)
            return len(self._connections)

    def pause(self, *directions):
        """Passes on nothing in these directions (both if none is named): a black hole, the connections stay."""
        with self._changed:
            self._paused |= set(directions or DIRECTIONS)

    def resume(self):
        with self._changed:
            self._paused.clear()
            self._changed.notify_all()

    def delay(self, seconds):
        """Each piece is passed on so much later, in both directions."""
        self._delay = seconds

    def dribble(self, size=1, seconds=0.0, directions=DIRECTIONS):
        """Passes on pieces of size bytes, with a pause of seconds between them. size=None: no longer."""
        self._dribble = {direction: (size, seconds) for direction in directions} if size else {}

    @property
    def open_connections(self):
        return len(self._connections)

    def close(self):
        self._closed = True
        if not self._refuse:
            self.refuse()
        self.resume()
        self.cut()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            self.accepted += 1
            pair = (client, server)
            for end in pair:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._connections.add(pair)
            for direction, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(direction, source, sink, pair), daemon=True).start()

    def _pump(self, direction, source, sink, pair):
        try:
            while data := self._receive(direction, source, pair):
                size, pause = self._dribble.get(direction, (len(data), 0.0))
                for start in range(0, len(data), size):
                    if pause or self._delay:
                        time.sleep(pause or self._delay)
                    self._wait_unless_paused(direction, pair)
                    sink.sendall(data[start:start + size])
                self.bytes[direction] += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            with self._changed:
                if pair in self._connections:
                    self._connections.discard(pair)
                    for end in pair:
                        _reset(end)

    def _receive(self, direction, source, pair):
        self._wait_unless_paused(direction, pair)
        return source.recv(65536)

    def _wait_unless_paused(self, direction, pair):
        with self._changed:
            while direction in self._paused and not self._closed and pair in self._connections:
                self._changed.wait()


def _reset(end):
    """shutdown() wakes a thread that is blocked in recv(); linger 0 makes the close a reset."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
