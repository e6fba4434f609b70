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
SCALE_S = 1800.0  # the length of a run for which scaled durations are given
OVERLAPPING = 0.3  # this part of the faults does not wait for the end of the one before


@dataclasses.dataclass(frozen=True)
class Kind:
    """weight: how often. place: two faults of one place never overlap. least, most: how long it lasts, in seconds; with scaled, in
    a run of half an hour, and in others in proportion. operator: who does it, if it takes its time. brokers: only with so many.
    run: only in a run of so many seconds.
    """

    name: str
    weight: float
    place: str
    least: float = 0.0
    most: float = 0.0
    scaled: bool = False
    operator: str = ""
    brokers: int = 0
    run: float = 0.0


KINDS = [
    Kind("program: SIGKILL", 35, "program"),
    Kind("program: SIGTERM", 6, "program"),
    Kind("program: SIGSTOP", 4, "program", 1, 12),
    Kind("program: long SIGSTOP", 1, "program", 60, 120, scaled=True),
    Kind("program: taken over", 3, "program", 14, 20, operator="second"),
    Kind("program: clock jumps", 3, "clock", 1, 6),
    Kind("walsender: SIGSTOP", 3, "server", 1, 8, operator="server"),
    Kind("walsender: terminated", 4, "server", operator="server"),
    Kind("slot: stolen", 3, "server", 1, 5, operator="server"),
    Kind("server: immediate restart", 3, "server", operator="server"),
    Kind("server: fast restart", 3, "server", operator="server"),
    Kind("server: killed", 3, "server", operator="server"),
    Kind("server: wal_sender_timeout", 2, "settings", 5, 10, operator="server"),
    Kind("publication: altered", 3, "publication", 0.5, 3, operator="server"),
    Kind("postgres net: cut", 3, "postgres net"),
    Kind("postgres net: reset", 3, "postgres net"),
    Kind("postgres net: half-close", 2, "postgres net"),
    Kind("postgres net: black hole up", 2, "postgres net", 1, 8),
    Kind("postgres net: black hole down", 2, "postgres net", 1, 8),
    Kind("postgres net: black hole until found", 2, "postgres net", 29, 32, run=240),
    Kind("postgres net: dribble", 2, "postgres net", 1, 4),
    Kind("postgres net: delay", 2, "postgres net", 1, 5),
    Kind("postgres net: throttle", 2, "postgres net", 1, 5),
    Kind("kafka net: cut", 3, "kafka net"),
    Kind("kafka net: reset", 3, "kafka net"),
    Kind("kafka net: half-close", 2, "kafka net"),
    Kind("kafka net: black hole up", 2, "kafka net", 1, 8),
    Kind("kafka net: black hole down", 2, "kafka net", 1, 8),
    Kind("kafka net: black hole until found", 2, "kafka net", 29, 32, run=240),
    Kind("kafka net: dribble", 2, "kafka net", 1, 4),
    Kind("kafka net: delay", 2, "kafka net", 1, 5),
    Kind("kafka net: throttle", 2, "kafka net", 1, 5),
    Kind("kafka net: one response held", 3, "kafka net", 1, 8),
    Kind("kafka net: refused", 2, "kafka net", 1, 5),
    Kind("broker: SIGSTOP", 3, "broker", 1, 6, operator="broker"),
    Kind("broker: killed", 2, "broker", operator="broker", brokers=1),
    Kind("broker: restart", 2, "broker", operator="broker", brokers=1),
    Kind("broker: leader killed", 4, "broker", operator="broker", brokers=3),
    Kind("broker: rolling restart", 2, "broker", operator="broker", brokers=3),
    Kind("broker: too few in sync", 3, "broker", 2, 5, operator="broker", brokers=3),
    Kind("broker: refuses large records", 2, "limit", 2, 4, operator="broker"),
]
JUMPS_S = (3000, -3600, -30 * 86400)  # Kafka refuses what is dated more than an hour ahead


@dataclasses.dataclass(frozen=True)
class Planned:
    at: float  # seconds from the start
    kind: Kind
    lasts: float
    chance: float  # for what the fault has to choose


def schedule(seed, seconds, kinds=None, brokers=1, gap=GAP_S):
    """The faults of a run. kinds: only those whose name begins with one of these."""
    chosen = [kind for kind in KINDS if (not kinds or kind.name.startswith(tuple(kinds))) and kind.brokers in (0, brokers)
              and kind.run <= seconds]
    pick = random.Random(f"faults-{seed}")
    planned, busy = [], {}
    at = gap
    while chosen:
        at += pick.expovariate(1 / gap)
        kind = pick.choices(chosen, [kind.weight for kind in chosen])[0]
        lasts = pick.uniform(kind.least, kind.most) * (seconds / SCALE_S if kind.scaled else 1)
        start = max(at, busy.get(kind.place, 0.0))
        if start + lasts > seconds:
            return planned
        planned.append(Planned(round(start, 2), kind, round(lasts, 2), pick.random()))
        busy[kind.place] = start + lasts + 0.5
        if pick.random() >= OVERLAPPING:
            at = start + lasts
    return planned


class Faults:
    """Does them. Each kind has a method that begins it, and one that ends it if it lasts. What happened, and when, goes to the
    journal.
    """

    def __init__(self, rig):
        self._rig = rig
        self._frozen = None
        self._thief = None
        self._victim = None  # the broker to which something is done
        self._begun = {}  # planned -> when
        self._watched = {}  # planned -> connections for which a black hole was made
        nets = {"postgres net": rig.postgres_proxy, "kafka net": rig.kafka_proxy}
        begin = {
            "program: SIGKILL": rig.service.kill,
            "program: SIGTERM": rig.service.terminate,
            "program: SIGSTOP": rig.service.freeze,
            "program: long SIGSTOP": rig.service.freeze,
            "program: taken over": rig.takeover.begin,
            "walsender: SIGSTOP": self._freeze_walsender,
            "walsender: terminated": self._terminate_walsender,
            "slot: stolen": self._steal,
            "server: immediate restart": lambda: self._restart_server("immediate"),
            "server: fast restart": lambda: self._restart_server("fast"),
            "server: killed": self._kill_server,
            "publication: altered": lambda: self._sql("alter publication outboxx_publication add table side"),
            "broker: SIGSTOP": self._pause_broker,
            "broker: killed": lambda: self._restart_broker(rig.brokers[0], "kill"),
            "broker: restart": lambda: self._restart_broker(rig.brokers[0], "stop"),
            "broker: leader killed": lambda: self._restart_broker(rig.leader(), "kill"),
            "broker: rolling restart": self._rolling_restart,
            "broker: too few in sync": self._too_few,
            "broker: refuses large records": self._limit,
        }
        end = {
            "program: SIGSTOP": rig.service.thaw,
            "program: long SIGSTOP": rig.service.thaw,
            "program: taken over": rig.takeover.end,
            "program: clock jumps": lambda: rig.clock.move(0),
            "walsender: SIGSTOP": self._thaw_walsender,
            "slot: stolen": self._give_back,
            "server: wal_sender_timeout": lambda: self._timeout("5s"),
            "publication: altered": lambda: self._sql("alter publication outboxx_publication drop table side"),
            "broker: SIGSTOP": lambda: self._victim.resume(),
            "broker: too few in sync": self._enough,
            "broker: refuses large records": self._no_limit,
        }
        for place, net in nets.items():
            begin.update({f"{place}: cut": net.cut, f"{place}: reset": net.reset, f"{place}: half-close": net.half_close,
                          f"{place}: black hole up": lambda net=net: net.black_hole("up"),
                          f"{place}: black hole down": lambda net=net: net.black_hole("down"),
                          f"{place}: black hole until found": net.black_hole, f"{place}: dribble": net.dribble,
                          f"{place}: one response held": net.hold_one, f"{place}: refused": net.refuse})
            end.update({kind.name: net.heal for kind in KINDS if kind.place == place and kind.most})
        self._begin, self._end, self._nets = begin, end, nets

    def begin(self, planned):
        self._begun[planned] = time.time()
        if "black hole" in planned.kind.name:
            self._watched[planned] = self._open_connections(planned)
        self._begun[planned] = self._do(planned) or self._begun[planned]
        if not planned.kind.most:
            self._note(planned, 0.0)

    def end(self, planned):
        self._end[planned.kind.name]()
        self._note(planned, planned.lasts)

    def _note(self, planned, lasted):
        healed, found = time.time(), None
        if planned in self._watched:
            left = self._nets[planned.kind.place].left
            found = min((left[number] for number in self._watched[planned] if number in left), default=None)
        self._rig.record["faults"](name=planned.kind.name, at=planned.at, lasted=lasted, begun=self._begun[planned], healed=healed,
                                   found=found, graceful=planned.kind.name == "program: SIGTERM")

    def _open_connections(self, planned):
        """Those on which the program would notice that nothing comes."""
        return self._rig.tap.streaming if planned.kind.place == "postgres net" else self._nets[planned.kind.place].connections

    def _do(self, planned):
        """Returns when it happened, if that was later than asked for."""
        name, place = planned.kind.name, planned.kind.place
        if name.endswith(": delay"):
            self._nets[place].delay(2.0 * planned.chance)
        elif name.endswith(": throttle"):
            self._nets[place].throttle(64_000)
        elif name == "server: wal_sender_timeout":
            self._timeout(["1s", "2s", "20s"][int(planned.chance * 3)])
        elif name == "program: clock jumps":
            self._rig.clock.move(JUMPS_S[int(planned.chance * len(JUMPS_S))])
        else:
            return self._begin[name]()
        return None

    def heal(self):
        """Nothing is left of any fault."""
        for net in self._nets.values():
            net.heal()
        self._rig.service.thaw()
        self._rig.clock.move(0)

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

    def _pause_broker(self):
        self._victim = self._rig.leader()
        self._victim.pause()

    @staticmethod
    def _restart_broker(broker, how):
        stopped = time.time()
        getattr(broker, how)()
        broker.start()
        return stopped

    def _rolling_restart(self):
        """One after the other, each when all replicas are in sync, as an operator does it."""
        for broker in self._rig.brokers:
            self._rig.wait_in_sync()
            self._restart_broker(broker, "stop")

    def _too_few(self):
        """A broker is down, and all three are asked for: NOT_ENOUGH_REPLICAS."""
        self._victim = self._rig.leader()
        self._rig.set_topics(min_insync_replicas=len(self._rig.brokers))
        self._victim.kill()

    def _enough(self):
        self._victim.start()  # first: with another fault at the same time, nobody answered an administrator
        self._rig.set_topics()

    def _limit(self):
        self._rig.service.forgive(73)
        self._rig.set_topics(max_message_bytes=1500)

    def _no_limit(self):
        self._rig.set_topics()
        self._rig.service.forgive(73, 3.0)
