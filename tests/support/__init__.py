"""The language of the integration and end-to-end tests: private servers, the program under test, and readers of its output.

See README.md in this folder. Tests import from here: `from support import consume, stream, wait_until`.
"""

from .consumer import Message, Reader, consume, end_offsets, ndjson
from .kafka import AUTHORIZER, KAFKA_3, Kafka
from .kafka_cluster import KafkaCluster
from .outboxx import Outboxx, sanitized, stream, toml_text
from .postgres import Postgres, lsn
from .proxy import Proxy
from .wait import Ended, Unavailable, free_port, wait_until
from .wall_clock import WallClock

__all__ = [
    "AUTHORIZER",
    "KAFKA_3",
    "Ended",
    "Kafka",
    "KafkaCluster",
    "Message",
    "Outboxx",
    "Postgres",
    "Proxy",
    "Reader",
    "Unavailable",
    "WallClock",
    "consume",
    "end_offsets",
    "free_port",
    "lsn",
    "ndjson",
    "sanitized",
    "stream",
    "toml_text",
    "wait_until",
]
