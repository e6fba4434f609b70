"""A TCP proxy on loopback that does to connections what networks do, and lets a listener read along."""

import select
import socket
import struct
import threading
import time

from support import free_port

DIRECTIONS = ("up", "down")  # up: from the program to the server
LOOK_S = 0.1  # so often a black hole looks whether the program still holds its end
LINGER_ZERO = struct.pack("ii", 1, 0)  # close() sends a reset and forgets what was not sent


class FaultProxy:
    """Passes on from a port of its own to a port of 127.0.0.1.

    tap: called as tap(connection number, direction, bytes) before these bytes are passed on, and with b"" when that direction
    has ended; it must be quick. latency: seconds that each piece always stays here. Each fault holds for what is connected and
    for what connects later, until heal(). left: connection number -> when the program ended it.
    """

    def __init__(self, target_port, tap=None, port=None, latency=0.0):
        self._target = ("127.0.0.1", target_port)
        self._tap = tap or (lambda *_: None)
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._changed = threading.Condition()
        self._pairs = {}
        self._accepted = 0
        self.left = {}
        self._closed = False
        self._refusing = False
        self._blocked = set()
        self._latency = latency
        self._delay = latency
        self._piece = None
        self._bytes_per_second = None
        self._hold = None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self):
        """The numbers of those that the program has open."""
        with self._changed:
            return [number for number in self._pairs if number not in self.left]

    # Faults that are over at once.

    def cut(self):
        """Ends all connections in order: both sides see the end of the stream."""
        for pair in self._take_all():
            for end in pair:
                _close(end)

    def reset(self):
        """Both sides get a reset; what was on its way is lost."""
        for pair in self._take_all():
            for end in pair:
                _reset(end)

    def half_close(self):
        """The program sees the end of the stream, and may still send."""
        with self._changed:
            pairs = list(self._pairs.values())
        for client, _ in pairs:
            try:
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    # Faults that last.

    def refuse(self):
        """New connections are reset at once, and those that are open now."""
        self._refusing = True
        self.reset()

    def black_hole(self, *directions):
        """Nothing arrives in these directions (both if none is named), and nobody is told."""
        with self._changed:
            self._blocked = set(directions or DIRECTIONS)

    def dribble(self, size=1):
        """Each write has this many bytes."""
        self._piece = size

    def delay(self, seconds):
        """Each piece stays here so long."""
        self._delay = seconds

    def throttle(self, bytes_per_second):
        self._bytes_per_second = bytes_per_second

    def hold_one(self, direction="down"):
        """The next piece in this direction, and all behind it on the same connection, stay here; other connections go on."""
        with self._changed:
            self._hold = (direction, None)

    def heal(self):
        with self._changed:
            self._refusing = False
            self._blocked = set()
            self._delay, self._piece, self._bytes_per_second, self._hold = self._latency, None, None, None
            self._changed.notify_all()

    def close(self):
        self._closed = True
        self._listener.close()
        self.heal()
        self.reset()

    # The traffic.

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise OSError("refusing")
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._accepted += 1
                number = self._accepted
                self._pairs[number] = (client, server)
            for direction, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._pump, args=(number, direction, source, sink), daemon=True).start()

    def _pump(self, number, direction, source, sink):
        try:
            while data := source.recv(65536):
                self._pass_on(number, direction, source, sink, data)
            self._end(number, direction)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(number, direction)
            with self._changed:
                pair = self._pairs.pop(number, ())
                self._changed.notify_all()
            for end in pair:
                _reset(end)

    def _end(self, number, direction):
        if direction == "up":
            self.left.setdefault(number, time.time())
        self._tap(number, direction, b"")

    def _pass_on(self, number, direction, source, sink, data):
        if self._delay:
            time.sleep(self._delay)
        self._wait_while_blocked(number, direction, source)
        self._tap(number, direction, data)
        rest = memoryview(data)
        while rest:
            if number not in self._pairs:
                raise OSError("cut")
            size = self._piece or len(rest)  # asked anew: it may have been healed
            sink.sendall(rest[:size])
            rest = rest[size:]
        if self._bytes_per_second:
            time.sleep(len(data) / self._bytes_per_second)

    def _wait_while_blocked(self, number, direction, source):
        with self._changed:
            while number in self._pairs and not self._closed and self._is_blocked(number, direction):
                if direction == "up" and _hung_up(source):
                    self.left.setdefault(number, time.time())
                self._changed.wait(LOOK_S)

    def _is_blocked(self, number, direction):
        if self._hold == (direction, None):
            self._hold = (direction, number)
        return direction in self._blocked or self._hold == (direction, number)

    def _take_all(self):
        with self._changed:
            pairs, self._pairs = list(self._pairs.values()), {}
            self._changed.notify_all()
        return pairs


def _hung_up(end):
    poll = select.poll()
    try:
        poll.register(end, select.POLLRDHUP)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


def _reset(end):
    """shutdown() wakes a thread that is blocked in recv()."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


def _close(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()


class Together:
    """Several proxies, e.g. one for each broker, to which the same is done."""

    def __init__(self, proxies):
        self._proxies = proxies
        self.address = ",".join(proxy.address for proxy in proxies)

    def __getattr__(self, name):
        def call(*arguments):
            for proxy in self._proxies:
                getattr(proxy, name)(*arguments)
        return call

    @property
    def connections(self):
        return [(proxy, number) for proxy in self._proxies for number in proxy.connections]

    @property
    def left(self):
        return {(proxy, number): at for proxy in self._proxies for number, at in list(proxy.left.items())}
