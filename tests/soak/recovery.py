"""How long it took, after each fault, until things went on: measured at the consumer, with the server's commit times."""

import bisect
import dataclasses

WELL_S = 1.0  # before a fault the pipeline was well if what was committed so long ago had arrived

# From which moment a recovery counts, and what it is called, by the beginning of the fault's name.
FROM_BEGIN = {"program: SIGKILL": "killed and restarted", "program: SIGTERM": "stopped and restarted",
              "program: taken over": "taken over by a second instance", "walsender: terminated": "walsender terminated",
              "postgres net: cut": "connection lost, PostgreSQL", "postgres net: reset": "connection lost, PostgreSQL",
              "kafka net: cut": "connection lost, Kafka", "kafka net: reset": "connection lost, Kafka",
              "broker: leader killed": "leader moved"}
FROM_END = {"server: immediate": "PostgreSQL back", "server: fast": "PostgreSQL back", "server: killed": "PostgreSQL back",
            "broker: killed": "broker back", "broker: restart": "broker back", "broker: SIGSTOP": "broker back",
            "broker: too few in sync": "broker back", "program: SIGSTOP": "frozen and thawed", "program: long SIGSTOP": "frozen and thawed",
            "postgres net: black hole": "black hole gone, PostgreSQL", "kafka net: black hole": "black hole gone, Kafka"}


@dataclasses.dataclass(frozen=True)
class Recovery:
    """fault: as it was written down. took: seconds from the moment until the consumer had the first change that was committed
    later. alone: all was well when it began, and no other fault came meanwhile.
    """

    kind: str
    fault: dict
    took: float
    alone: bool


class Stream:
    """What the consumer saw, by the time of the commit."""

    def __init__(self, history, matching):
        first = {}
        for (index, _), event in matching.first.items():
            committed = history.transactions[index].committed
            first[committed] = min(event.arrived, first.get(committed, event.arrived))
        self._committed = sorted(first)
        self._arrived = [first[committed] for committed in self._committed]
        for place in range(len(first) - 2, -1, -1):  # the first of all that were committed then or later
            self._arrived[place] = min(self._arrived[place], self._arrived[place + 1])

    def seen_after(self, moment):
        """When the first change arrived that was committed after that moment; None if there was none."""
        place = bisect.bisect_right(self._committed, moment)
        return self._arrived[place] if place < len(self._committed) else None

    def well_at(self, moment):
        """Whether the consumer was not behind."""
        seen = self.seen_after(moment - WELL_S)
        return seen is not None and seen <= moment


def recoveries(history, matching):
    """A Recovery for each fault that has one."""
    stream = Stream(history, matching)
    found = []
    for fault in history.faults:
        kind, moment = _moment(fault)
        seen = stream.seen_after(moment) if kind else None
        if seen is not None:
            alone = stream.well_at(fault["begun"]) and not any(other is not fault and other["begun"] < seen
                                                               and other["healed"] > fault["begun"] for other in history.faults)
            found.append(Recovery(kind, fault, seen - moment, alone))
    return found


def repetitions(found, matching):
    """For each SIGKILL that was alone: (records that came again, how long the oldest of them had been in its topic, in seconds)."""
    kills = sorted((each.fault["begun"], each.fault["begun"] + each.took) for each in found
                   if each.alone and each.fault["name"] == "program: SIGKILL")
    repeated = {kill: (0, 0.0) for kill, _ in kills}
    for events in matching.copies.values():
        appended = sorted(event.appended / 1000 for event in events)
        for before, again in zip(appended, appended[1:]):
            place = bisect.bisect_right(kills, (again, float("inf"))) - 1
            if place >= 0 and before <= kills[place][0] and again <= kills[place][1]:
                kill = kills[place][0]
                number, oldest = repeated[kill]
                repeated[kill] = number + 1, max(oldest, kill - before)
    return sorted(repeated.values())


def _moment(fault):
    for kinds, moment in ((FROM_BEGIN, "begun"), (FROM_END, "healed")):
        for name, kind in kinds.items():
            if fault["name"].startswith(name):
                return kind, fault[moment]
    return None, None
