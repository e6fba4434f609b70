"""What was asked for: the words NAME=value of the command line, checked."""

import dataclasses

SINKS = ("kafka", "stdout", "null")
HOSTS = ("tcp", "socket")
VERSIONS = ("v0", "v1")
PEERS = ("", "debezium")


@dataclasses.dataclass(frozen=True)
class Settings:
    """SCENARIO: names or their beginnings, with commas. ROUNDS and SECONDS: 0 is the scenario's own default. ROWS: of the
    largest backlog, the others shrink with it. VERSION: one or more flavours of the configuration. NETNS: in a network
    namespace with TCP's loss-based congestion control. PROFILE: a perf profile of each burst as well.
    """

    scenario: str = "burst,idle,start,steady"
    rounds: int = 0
    rows: int = 1_000_000
    seconds: int = 0
    sink: str = "kafka"
    host: str = "tcp"
    version: str = "v0"
    peer: str = ""
    netns: bool = False
    profile: bool = False

    @property
    def versions(self):
        return self.version.split(",")


class Invalid(Exception):
    """The message says which word is wrong."""


def parse(words):
    fields = {field.name.upper(): field for field in dataclasses.fields(Settings)}
    chosen = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in fields:
            raise Invalid(f"unknown setting \"{name}\": {', '.join(fields)}")
        chosen[name.lower()] = _value(name, text, fields[name].type)
    settings = Settings(**chosen)
    _check("SINK", settings.sink, SINKS)
    _check("HOST", settings.host, HOSTS)
    _check("PEER", settings.peer, PEERS)
    for version in settings.versions:
        _check("VERSION", version, VERSIONS)
    if settings.peer and (settings.sink, settings.host) != ("kafka", "tcp"):
        raise Invalid("PEER=debezium needs SINK=kafka and HOST=tcp")
    return settings


def _value(name, text, kind):
    if kind is str:
        return text
    if not text.isdigit():
        raise Invalid(f"{name} must be a number, not \"{text}\"")
    return kind(int(text))


def _check(name, text, allowed):
    if text not in allowed:
        raise Invalid(f"{name} must be {' or '.join(filter(None, allowed))}, not \"{text}\"")
