"""The schedule is the seed's alone, and each fault can be done."""

import collections
from unittest import mock

from soak.faults import KINDS, Faults, schedule

SECONDS = 20_000


def test_seed_makes_the_schedule():
    assert schedule(7, 600) == schedule(7, 600)
    assert schedule(7, 600) != schedule(8, 600)
    assert len(schedule(7, 600, gap=12)) < len(schedule(7, 600)) / 2


def test_faults_of_one_place_do_not_overlap_and_end_with_the_run():
    ends = collections.defaultdict(float)
    for planned in schedule(7, SECONDS):
        assert planned.at >= ends[planned.kind.place], planned
        ends[planned.kind.place] = planned.at + planned.lasts
    assert max(ends.values()) <= SECONDS


def test_each_kind_comes_where_it_can():
    one, three = ({planned.kind.name for planned in schedule(7, SECONDS, brokers=brokers)} for brokers in (1, 3))
    assert one == {kind.name for kind in KINDS if kind.brokers in (0, 1)}
    assert three == {kind.name for kind in KINDS if kind.brokers in (0, 3)}
    assert "kafka net: black hole until found" not in {planned.kind.name for planned in schedule(7, 100)}
    assert {planned.kind.name for planned in schedule(7, SECONDS, ["program: SIGK", "slot"])} == {"program: SIGKILL", "slot: stolen"}


def test_long_stops_are_scaled_to_the_run():
    longest = max(planned.lasts for planned in schedule(7, 180, ["program: long"]))
    assert 6 <= longest <= 12


def test_each_kind_can_begin_and_end_and_is_written_down():
    rig = mock.MagicMock()
    rig.postgres.value.return_value = None
    noted = []
    rig.record = {"faults": lambda **fields: noted.append(fields["name"])}
    first = {planned.kind.name: planned for planned in [*schedule(7, SECONDS), *schedule(7, SECONDS, brokers=3)]}
    faults = Faults(rig)
    with mock.patch("soak.faults.Thief"):
        for planned in first.values():
            faults.begin(planned)
            if planned.kind.most:
                faults.end(planned)
    assert sorted(noted) == sorted(kind.name for kind in KINDS)
