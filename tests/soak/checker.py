"""The checks of a run. Each takes the history and the matching of events to changes, and returns what is wrong, as texts."""

import bisect
import collections

from .history import UNCHANGED, Matching, same

CHECKPOINT_S = 60.0  # what a crashed server may have forgotten was told to it at most so long before
LANDING_S = 2.0  # after a session's end, a request of it may still reach the broker
LATE = ("program: taken over", "kafka net: ", "broker: SIGSTOP")


def _late(history):
    """When records of a session that is over may arrive late, at least once (docs/delivery.md, F85 and F86): after a process
    was taken over and woke up, and what a frozen broker or a network that holds things back let through at the end.
    """
    if history.facts.get("exactly_once"):
        return []
    return [(fault["begun"], fault["healed"] + LANDING_S) for fault in history.faults
            if fault["name"].startswith(LATE) and fault["healed"] > fault["begun"] + 0.5]


def _is_late(event, windows):
    return any(begin <= event.appended / 1000 <= end for begin, end in windows)


def k1_no_loss(history, matching):
    """Every committed change of a streamed table is in its topic, and the oracle has every commit that a client saw."""
    lost = [f"{_name(history, index)} change {number}: {change.op} of {change.table} is missing: {change.text[:120]}"
            for index, wanted in enumerate(matching.wanted)
            for number, change in enumerate(wanted) if (index, number) not in matching.first]
    known = {transaction.xid for transaction in history.transactions}
    lost += [f"transaction {xid} was committed, and the oracle does not have it" for xid, outcome in history.journal
             if outcome == "committed" and xid not in known]
    return lost


def k2_no_phantom(history, matching):
    """Every event tells a committed change, in the topic of its table; nothing that was rolled back, to a savepoint or wholly."""
    wrong = [f"{_place(event)} {event.id.decode('latin-1')}: {why}: {event.value[:120]!r}" for event, why in matching.unmatched]
    # After a crash the server may give out an xid again of which nothing had been flushed.
    aborted = {xid for xid, outcome in history.journal if outcome == "aborted"} \
        - {xid for xid, outcome in history.journal if outcome != "aborted"}
    for (index, number), events in matching.copies.items():
        transaction = history.transactions[index]
        if transaction.xid in aborted:
            wrong.append(f"{_name(history, index)} was rolled back: {_place(events[0])}")
        table = matching.wanted[index][number].table
        wrong += [f"{_place(event)}: a change of {table}" for event in events if history.topics.get(event.topic) != table]
    wrong += [f"{_place(event)}: a row that was rolled back to a savepoint: {event.value[:120]!r}" for event in history.events
              if b'"ghost":true' in event.value]
    return wrong


def k3_no_duplicate(history, matching):
    """Exactly one record per change: in exactly-once mode always, else if nothing worse than SIGTERM happened."""
    if not (history.facts.get("exactly_once") or all(fault["graceful"] for fault in history.faults)):
        return []
    return [f"{_name(history, index)} change {number} is there {len(events)} times: {', '.join(map(_place, events))}"
            for (index, number), events in sorted(matching.copies.items()) if len(events) > 1]


def k4_bounded_duplicates(history, matching):
    """What comes again was not covered by a position that a still running server had been told.

    A status update counts once the server had time to take it: from the next session on, unless the server crashed or was
    restarted since (it may then have forgotten what it had not saved).
    """
    floors = []  # (begin of a session, the position that it may not go below)
    told = 0
    for previous, status in zip([None, *history.statuses], history.statuses):
        if previous is None or status.session != previous.session:
            forgotten = previous is None or any(previous.at - CHECKPOINT_S <= when <= status.at
                                                for when in history.facts.get("server_restarts", []))
            floors.append((status.at, status.flush if forgotten else min(told, status.flush)))  # the first is what the slot has
            told = status.flush
        told = max(told, status.flush)
    begins = [at for at, _ in floors]
    late = _late(history)
    wrong = []
    for (index, number), events in matching.copies.items():
        for event in sorted(events, key=lambda event: event.appended)[1:]:
            session = bisect.bisect_right(begins, event.appended / 1000) - 1
            if session < 0 or _is_late(event, late):
                continue
            floor = floors[session][1]
            if session > 0 and event.appended / 1000 < begins[session] + LANDING_S:
                floor = min(floor, floors[session - 1][1])  # a request of the session before may still have been on its way
            if matching.commit_lsn[index] < floor:
                wrong.append(f"{_name(history, index)} change {number} came again below {floor:X}, which was confirmed: {_place(event)}")
    return wrong


def k5_order(history, _matching):
    """Per partition: ids strictly rise, leaving repetitions aside, and a repetition is a rewind: from some earlier record on
    everything comes again without a gap. And a key has one partition.
    """
    wrong = []
    partitions = collections.defaultdict(list)
    homes = {}
    for event in history.events:
        partitions[event.topic, event.partition].append(event)
        home = homes.setdefault((event.topic, event.key), event.partition)
        if home != event.partition:
            wrong.append(f"{_place(event)}: key {event.key!r} was in partition {home} before")
    late = _late(history)
    for events in partitions.values():
        wrong += _order_of(events, late)
    return wrong


def _order_of(events, late):
    wrong = []
    seen = []  # ids in the order of their first appearance: strictly rising
    contents = []
    at = -1  # where in it the last record stands; None: a late one came between, anything that is known may follow
    for event in events:
        place = bisect.bisect_left(seen, event.id)
        known = place < len(seen) and seen[place] == event.id
        if known:
            if at is not None and place > at + 1:
                wrong.append(f"{_place(event)}: a repetition with a gap: {_text(seen[at])} is followed by {_text(event.id)}")
            if contents[place] != hash((event.key, event.value)):
                wrong.append(f"{_place(event)}: {_text(event.id)} says something else than the first time")
            at = None if _is_late(event, late) else place
        elif place < len(seen):
            wrong.append(f"{_place(event)}: {_text(event.id)} comes first after {_text(seen[-1])}: a filtering consumer loses it")
            seen.insert(place, event.id)
            contents.insert(place, hash((event.key, event.value)))
            at = place
        else:
            if at not in (None, len(seen) - 1):
                wrong.append(f"{_place(event)}: {_text(event.id)} is new, before the repetition has reached {_text(seen[-1])}")
            seen.append(event.id)
            contents.append(hash((event.key, event.value)))
            at = len(seen) - 1
    if at not in (None, len(seen) - 1):
        wrong.append(f"{_place(events[-1])}: the repetition ends at {_text(seen[at])}, before it has reached {_text(seen[-1])}")
    return wrong


def k6_content(history, matching):
    """Each event's row is what the oracle says, its key is the row's id, and applying all events in commit order gives the tables.

    The rows are taken from the events; what docs/formats.md says they do not tell (the old id of an UPDATE that changes it,
    and TRUNCATE) from the oracle.
    """
    wrong = []
    built = {table: {} for table in history.topics.values()}
    for index, transaction in enumerate(history.transactions):
        number = 0
        for change in transaction.changes:
            if change.op == "TRUNCATE":
                for table in change.table.split(", "):
                    built.get(table, {}).clear()
            elif change.table in built:
                event = matching.first.get((index, number))
                number += 1
                if event is not None:
                    if not same(event, change):
                        wrong.append(f"{_name(history, index)} {_place(event)}: {event.value[:200]!r} is not {change.op} {change.text[:200]}")
                    elif event.key.decode() != str(event.json["data"]["id"]):
                        wrong.append(f"{_place(event)}: key {event.key!r} is not the row's id")
                    else:
                        _apply(built[change.table], change, event.json["data"])
    for table, rows in history.tables.items():
        wrong += _differences(table, built[table], {row["id"]: row for row in rows})
    return wrong


def _apply(rows, change, data):
    if change.op == "DELETE":
        rows.pop(data["id"], None)
        return
    old = rows.pop(change.old_key.get("id", data["id"]), {}) if change.op == "UPDATE" else {}
    rows[data["id"]] = {column: old.get(column) if value == UNCHANGED else value for column, value in data.items()}


def _differences(table, built, real):
    wrong = [f"{table}: row {key} is missing" for key in real.keys() - built.keys()]
    wrong += [f"{table}: row {key} should not be there" for key in built.keys() - real.keys()]
    wrong += [f"{table}: row {key} is {str(built[key])[:200]}, the table has {str(real[key])[:200]}"
              for key in built.keys() & real.keys() if built[key] != real[key]]
    return wrong


def k7_atomicity(history, _matching):
    """Exactly-once: the records of one PostgreSQL transaction lie in one Kafka transaction.

    The end of a Kafka transaction takes an offset of its own, and so do records of one that was aborted: in one partition, a gap
    between two records of one transaction means that it was split. Across partitions: where there is no gap between two records,
    all that was committed from the one to the other is one Kafka transaction, so that no other partition may have a gap there.
    """
    wrong = []
    if not history.facts.get("exactly_once"):
        return wrong
    last, gaps, joined = {}, [], []
    for event in history.events:
        previous = last.get((event.topic, event.partition))
        last[event.topic, event.partition] = event
        if previous is None:
            continue
        (joined if event.offset == previous.offset + 1 else gaps).append((previous, event))
        if previous.id[:16] == event.id[:16] and event.offset != previous.offset + 1:
            wrong.append(f"{_place(previous)} and {_place(event)}: one transaction, {_text(event.id[:16])}, in two of Kafka's")
    return wrong + _contradictions(gaps, joined)


def _contradictions(gaps, joined):
    """Gaps between two transactions that another partition joins."""
    wrong = []
    joined = sorted((pair for pair in joined if pair[0].id[:16] != pair[1].id[:16]), key=lambda pair: pair[0].id[:16])
    begins = [pair[0].id[:16] for pair in joined]
    furthest = []  # of all that begin so early, the one that reaches furthest
    for pair in joined:
        furthest.append(pair if not furthest or pair[1].id > furthest[-1][1].id else furthest[-1])
    for previous, event in gaps:
        place = bisect.bisect_right(begins, previous.id[:16]) - 1
        if place >= 0 and furthest[place][1].id[:16] >= event.id[:16]:
            one, other = furthest[place]
            wrong.append(f"{_place(previous)} and {_place(event)} are in two Kafka transactions, {_place(one)} and {_place(other)} in one")
    return wrong


def k8_slot_safety(history, matching):
    """No position is confirmed before everything below it is in its topic, and only positions are confirmed that the server told.

    Why this is sound: the broker stamps a record when it appends it (LogAppendTime), before it acknowledges; the program may
    confirm only after the acknowledgement, and we stamp the status update before we pass it on, by the same machine's clock.
    So a correct program has appended <= at for every record of every T with C(T) < F, with no margin at all; and an update
    that breaks it was sent before the broker had the record. No crash is needed to see it.
    """
    wrong = []
    starts, done, latest = [], [], 0
    for index, transaction in enumerate(history.transactions):
        wanted = matching.wanted[index]
        if wanted:
            appended = [matching.first[index, number].appended if (index, number) in matching.first else float("inf")
                        for number in range(len(wanted))]
            latest = max(latest, *appended)
            starts.append(matching.commit_lsn.get(index, transaction.end - 1))
            done.append(latest)
    last = None
    for status in history.statuses:
        covered = bisect.bisect_left(starts, status.flush)
        if covered and done[covered - 1] > int(status.at * 1000):
            missing = next(number for number in range(covered) if done[number] > int(status.at * 1000))
            wrong.append(f"{status.flush:X} was confirmed at {status.at:.3f}, the records of {starts[missing]:X} were appended at "
                         f"{done[missing] / 1000:.3f}")
        if not status.known:
            wrong.append(f"{status.flush:X} was confirmed in session {status.session}: not the end of a commit and no keepalive's")
        if status.flush > status.received:
            wrong.append(f"{status.flush:X} was confirmed in session {status.session}, only {status.received:X} was received")
        if max(status.write, status.apply) > status.received:
            wrong.append(f"write {status.write:X} or apply {status.apply:X} is above {status.received:X}, which was received")
        if last and last.session == status.session and status.flush < last.flush:
            wrong.append(f"flush went back from {last.flush:X} to {status.flush:X} in session {status.session}")
        last = status
    return wrong


def k9_schema(history, _matching):
    """Each event has the shape that docs/formats.md gives it."""
    wrong = []
    for event in history.events:
        try:
            told = event.json
            assert list(told) == ["op", "data", "meta"], "other fields"
            assert list(told["meta"]) == ["source", "resource", "timestamp", "lsn"], "other fields in meta"
            assert told["meta"]["source"] == "postgres", "another source"
            assert told["op"] in ("INSERT", "UPDATE", "DELETE"), "an unknown op"
            assert told["meta"]["resource"] == history.topics[event.topic], "another table"
            assert isinstance(told["data"], dict) and told["data"], "no row"
            assert event.position is not None, "no id"
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            wrong.append(f"{_place(event)}: {error}: {event.value[:120]!r}")
    return wrong


def k10_liveness(history, _matching):
    """After the last fault everything arrives and is confirmed within the bound, and no start ended with what nobody asked for."""
    wrong = []
    if history.facts.get("drained_s") is None:
        wrong.append(f"not everything had arrived and was confirmed {history.facts.get('drain_bound_s')} s after the last fault")
    wrong += [f"the program ended by itself with {start['code']} ({start['why']})" for start in history.starts if start["unexpected"]]
    return wrong


def k11_resources(history, _matching):
    """Memory, file descriptors and threads stay within the budget."""
    wrong = []
    budget = history.facts.get("budget", {})
    for name, most in budget.items():
        seen = max((sample[name] for sample in history.samples), default=0)
        if seen > most:
            wrong.append(f"{name} reached {seen}, the budget is {most}")
    return wrong


def k12_silence(history, _matching):
    """No secret is in anything that the program wrote, nor in its command line."""
    wrong = []
    for path in history.outputs:
        with open(path, "rb") as file:
            text = file.read()
        wrong += [f"{path} holds a secret" for secret in history.facts.get("secrets", []) if secret.encode() in text]
    return wrong


CHECKS = {
    "K1 no loss": k1_no_loss,
    "K2 no phantom": k2_no_phantom,
    "K3 no duplicate": k3_no_duplicate,
    "K4 bounded duplicates": k4_bounded_duplicates,
    "K5 order": k5_order,
    "K6 content": k6_content,
    "K7 atomicity": k7_atomicity,
    "K8 slot safety": k8_slot_safety,
    "K9 schema": k9_schema,
    "K10 liveness": k10_liveness,
    "K11 resources": k11_resources,
    "K12 silence": k12_silence,
}


def check(history):
    """name of the check -> violations."""
    matching = Matching(history)
    return {name: function(history, matching) for name, function in CHECKS.items()}


def duplicates(matching):
    """How many records are repetitions."""
    return sum(len(events) - 1 for events in matching.copies.values())


def _name(history, index):
    transaction = history.transactions[index]
    return f"transaction {transaction.xid} (ends at {transaction.end:X})"


def _place(event):
    return f"{event.topic}[{event.partition}]@{event.offset}"


def _text(identity):
    return identity.decode("latin-1")
