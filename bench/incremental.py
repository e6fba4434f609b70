"""A table that is read anew while its rows are updated: how long that takes, and what a change waits meanwhile.

Latency is of the updates alone, from the row's clock_timestamp() to a consumer; once before the job, and once while it runs.
"""

import json
import time
import urllib.request

import process
import steady
from support import wait, wait_until

BEFORE_S = 20
DEADLINE_S = 600
UPDATE = """\\set id random(1, {rows})
update {schema}.records set status = 'changed', created_at = clock_timestamp() where id = :id;
"""


def measure(rig, client, backlog, rate):
    topic = rig.new_topic()
    run = client.start(backlog, rig.new_slot_name(), topic)
    wait_until(lambda: "streaming slot=" in run.outboxx.log, 60, "it streams")
    script = UPDATE.format(rows=backlog.workload.rows, schema=backlog.schema)
    load = steady.start_load(rig, rate, BEFORE_S + DEADLINE_S, script)
    consumers = [steady.start_consumer(rig, topic) for _ in range(2)]
    steady.let_pass(load, steady.WARM_UP_S)
    quiet_since = time.time()
    steady.let_pass(load, BEFORE_S - steady.WARM_UP_S)
    quiet, _ = consumers[0].communicate(f"{quiet_since}\n", timeout=60)
    begun = time.time()
    job = _ask(run.outboxx, "/snapshots", {"tables": [f"{backlog.schema}.records"]})["id"]
    wait_until(lambda: _state(run.outboxx, job) == "complete", DEADLINE_S, "the job is complete", 0.2)
    seconds = time.time() - begun
    busy, _ = consumers[1].communicate(f"{begun}\n", timeout=120)
    load.terminate()
    wait.reap(load)
    figures = {"client": client.name, "offered_rate": rate, "rows": backlog.workload.rows, "seconds": round(seconds, 1),
               "rate": round(backlog.workload.rows / seconds), "latency_ms": json.loads(busy), "quiet_latency_ms": json.loads(quiet),
               "peak_rss_bytes": process.peak_rss_bytes(run.process.pid)} | run.finish()
    rig.kafka.delete_topic(topic)
    return figures


def _state(outboxx, job):
    jobs = {entry["id"]: entry for entry in json.loads(outboxx.get("/snapshots")[1])["jobs"]}
    if jobs[job]["state"] == "failed":
        raise AssertionError(jobs[job])
    return jobs[job]["state"]


def _ask(outboxx, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{outboxx.port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())
