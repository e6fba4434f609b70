"""The faults, and the schedule that a seed makes of them."""

import contextlib
import dataclasses
import os
import random
import signal
import time

import psycopg

from .thief import Thief

GAP_S = 3.0  # mean time from a fault's end to the next one
OVERLAPPING = 0.3  # this part of the faults does not wait for the end of the one before


@dataclasses.dataclass(frozen=True)
class Kind:
    """weight: how often. place: two faults of one place never overlap. least, most: how long it lasts, in seconds."""

    name: str
    weight: float
    place: str
    least: float = 0.0
    most: float = 0.0


KINDS = [
    Kind("program: SIGKILL", 35, "program"),
    Kind("program: SIGTERM", 6, "program"),
    Kind("program: SIGSTOP", 4, "program", 1, 12),
    Kind("walsender: SIGSTOP", 3, "server", 1, 8),
    Kind("walsender: terminated", 4, "server"),
    Kind("slot: stolen", 3, "server", 1, 5),
    Kind("server: immediate restart", 3, "server"),
    Kind("server: fast restart", 3, "server"),
    Kind("server: killed", 3, "server"),
    Kind("server: wal_sender_timeout", 2, "settings", 5, 10),
    Kind("publication: altered", 3, "publication", 0.5, 3),
    Kind("postgres net: cut", 3, "postgres net"),
    Kind("postgres net: reset", 3, "postgres net"),
    Kind("postgres net: half-close", 2, "postgres net"),
    Kind("postgres net: black hole up", 2, "postgres net", 1, 8),
    Kind("postgres net: black hole down", 2, "postgres net", 1, 8),
    Kind("postgres net: dribble", 2, "postgres net", 1, 4),
    Kind("postgres net: delay", 2, "postgres net", 1, 5),
    Kind("postgres net: throttle", 2, "postgres net", 1, 5),
    Kind("kafka net: cut", 3, "kafka net"),
    Kind("kafka net: reset", 3, "kafka net"),
    Kind("kafka net: half-close", 2, "kafka net"),
    Kind("kafka net: black hole up", 2, "kafka net", 1, 8),
    Kind("kafka net: black hole down", 2, "kafka net", 1, 8),
    Kind("kafka net: dribble", 2, "kafka net", 1, 4),
    Kind("kafka net: delay", 2, "kafka net", 1, 5),
    Kind("kafka net: throttle", 2, "kafka net", 1, 5),
    Kind("kafka net: one response held", 3, "kafka net", 1, 8),
    Kind("kafka net: refused", 2, "kafka net", 1, 5),
    Kind("broker: SIGSTOP", 3, "broker", 1, 6),
    Kind("broker: killed", 2, "broker"),
    Kind("broker: restart", 2, "broker"),
    Kind("broker: refuses large records", 2, "limit", 2, 4),
]
NAMES = {kind.name: kind for kind in KINDS}


@dataclasses.dataclass(frozen=True)
class Planned:
    at: float  # seconds from the start
    kind: Kind
    lasts: float
    chance: float  # for what the fault has to choose


def schedule(seed, seconds, kinds=None):
    """The faults of a run. kinds: only those whose name begins with one of these."""
    chosen = [kind for kind in KINDS if not kinds or kind.name.startswith(tuple(kinds))]
    pick = random.Random(f"faults-{seed}")
    planned, busy = [], {}
    at = GAP_S
    while chosen:
        at += pick.expovariate(1 / GAP_S)
        kind = pick.choices(chosen, [kind.weight for kind in chosen])[0]
        lasts = pick.uniform(kind.least, kind.most)
        start = max(at, busy.get(kind.place, 0.0))
        if start + lasts > seconds:
            return planned
        planned.append(Planned(round(start, 2), kind, round(lasts, 2), pick.random()))
        busy[kind.place] = start + lasts + 0.5
        if pick.random() >= OVERLAPPING:
            at = start + lasts
    return planned


class Faults:
    """Does them. Each kind has a method that begins it, and one that ends it if it lasts."""

    def __init__(self, rig):
        self._rig = rig
        self._frozen = None
        self._thief = None
        nets = {"postgres net": rig.postgres_proxy, "kafka net": rig.kafka_proxy}
        begin = {
            "program: SIGKILL": rig.service.kill,
            "program: SIGTERM": rig.service.terminate,
            "program: SIGSTOP": rig.service.freeze,
            "walsender: SIGSTOP": self._freeze_walsender,
            "walsender: terminated": self._terminate_walsender,
            "slot: stolen": self._steal,
            "server: immediate restart": lambda: self._restart_server("immediate"),
            "server: fast restart": lambda: self._restart_server("fast"),
            "server: killed": self._kill_server,
            "publication: altered": lambda: self._sql("alter publication outboxx_publication add table side"),
            "broker: SIGSTOP": rig.kafka.pause,
            "broker: killed": lambda: self._restart_broker(rig.kafka.kill),
            "broker: restart": lambda: self._restart_broker(rig.kafka.stop),
            "broker: refuses large records": self._limit,
        }
        end = {
            "program: SIGSTOP": rig.service.thaw,
            "walsender: SIGSTOP": self._thaw_walsender,
            "slot: stolen": self._give_back,
            "server: wal_sender_timeout": lambda: self._timeout("5s"),
            "publication: altered": lambda: self._sql("alter publication outboxx_publication drop table side"),
            "broker: SIGSTOP": rig.kafka.resume,
            "broker: refuses large records": self._no_limit,
        }
        for place, net in nets.items():
            begin.update({f"{place}: cut": net.cut, f"{place}: reset": net.reset, f"{place}: half-close": net.half_close,
                          f"{place}: black hole up": lambda net=net: net.black_hole("up"),
                          f"{place}: black hole down": lambda net=net: net.black_hole("down"), f"{place}: dribble": net.dribble,
                          f"{place}: one response held": net.hold_one, f"{place}: refused": net.refuse})
            end.update({name: net.heal for name in begin if name.startswith(place) and NAMES.get(name) and NAMES[name].most})
            for name in ("delay", "throttle"):
                end[f"{place}: {name}"] = net.heal
        self._begin, self._end, self._nets = begin, end, nets

    def begin(self, planned):
        name, place = planned.kind.name, planned.kind.place
        if name.endswith(": delay"):
            self._nets[place].delay(2.0 * planned.chance)
        elif name.endswith(": throttle"):
            self._nets[place].throttle(64_000)
        elif name == "server: wal_sender_timeout":
            self._timeout(["1s", "2s", "20s"][int(planned.chance * 3)])
        else:
            self._begin[name]()

    def end(self, planned):
        if planned.kind.most:
            self._end[planned.kind.name]()

    def heal(self):
        """Nothing is left of any fault."""
        for net in self._nets.values():
            net.heal()
        self._rig.service.thaw()

    def _sql(self, statement):
        with contextlib.suppress(psycopg.Error):
            self._rig.postgres.execute(statement)

    def _timeout(self, setting):
        self._sql(f"alter system set wal_sender_timeout = '{setting}'")
        self._sql("select pg_reload_conf()")

    def _walsender(self):
        with contextlib.suppress(psycopg.Error):
            return self._rig.postgres.value("select active_pid from pg_replication_slots where slot_name = 'outboxx_slot'")
        return None

    def _freeze_walsender(self):
        self._frozen = self._walsender()
        self._signal_walsender(signal.SIGSTOP)

    def _thaw_walsender(self):
        self._signal_walsender(signal.SIGCONT)

    def _signal_walsender(self, number):
        if self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._frozen, number)

    def _terminate_walsender(self):
        with contextlib.suppress(psycopg.Error):
            self._rig.postgres.terminate_backend()

    def _steal(self):
        """The slot is free for a moment after its walsender was ended: the program wants it back as well."""
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            self._terminate_walsender()
            with contextlib.suppress(OSError, ConnectionError):
                self._thief = Thief(self._rig.postgres.port, "outboxx_slot", "outboxx_publication")
                if self._thief.taken:
                    return
                self._give_back()
            time.sleep(0.02)

    def _give_back(self):
        if self._thief:
            self._thief.close()
            self._thief = None

    def _restart_server(self, mode):
        self._rig.note_server_restart()
        self._rig.postgres.stop(mode)
        self._rig.postgres.start()

    def _kill_server(self):
        self._rig.note_server_restart()
        self._rig.postgres.kill9()
        self._rig.postgres.start()

    def _restart_broker(self, stop):
        stop()
        self._rig.kafka.start()

    def _limit(self):
        self._rig.service.forgiven[73] = None
        self._rig.limit_records(1500)

    def _no_limit(self):
        self._rig.limit_records(10_000_000)
        self._rig.service.forgiven[73] = time.time() + 3.0
