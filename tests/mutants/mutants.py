"""Deliberate mistakes, each with the test that must fail on it. README.md tells why they are replacements of text."""

import dataclasses

SIMULATION = ("simulation", ["build/mutant/simulation", "--seeds", "2000"])


def unit(tests):
    return "unit_tests", ["build/mutant/unit_tests", "--gtest_brief=1", f"--gtest_filter={tests}"]


def integration(file, tests):
    return "outboxx", ["/usr/bin/python3", "-m", "pytest", "-q", "-x", "-c", "tests/pytest.ini", f"tests/integration/{file}", "-k",
                       tests]


@dataclasses.dataclass(frozen=True)
class Mutant:
    number: str
    mistake: str
    edits: tuple  # of (file below src, text that stands there exactly once, text in its place)
    caught_by: tuple  # (CMake target, command)


def mutant(number, mistake, caught_by, *edits):
    return Mutant(number, mistake, edits, caught_by)


MUTANTS = [
    mutant("1", "a keepalive is confirmed though earlier transactions are not delivered", SIMULATION,
           ("ack_tracker.cc", "  if (closed_units == 0) {", "  if (true) {")),
    mutant("2", "the position is read when the status is sent, not kept with what was delivered", SIMULATION,
           ("session.cc", "  const Lsn flushed = confirmable();", "  const Lsn flushed = tracker_.received();")),
    mutant("4", "the last keepalive counts, not the highest", SIMULATION,
           ("ack_tracker.cc", "  if (wal_end <= received_ || (open_ ", "  if ((open_ ")),
    mutant("5", "the start of the commit record is confirmed", SIMULATION,
           ("dispatcher.cc", "tracker_.commit(commit.end_lsn);", "tracker_.commit(commit.commit_lsn);")),
    mutant("6", "a record counts as delivered when the sink takes it", SIMULATION,
           ("dispatcher.cc", "    tracker_.add_record();\n", ""),
           ("ack_tracker.cc", "void AckTracker::delivered(UnitId unit, std::uint64_t count) {",
            "void AckTracker::delivered(UnitId unit, std::uint64_t count) {\n  if (unit > 0) return;")),
    mutant("7", "a relation is not described anew, in mid-transaction or elsewhere", SIMULATION,
           ("dispatcher.cc", "relations_.update(description);",
            "if (relations_.find(description.oid) == nullptr) relations_.update(description);")),
    mutant("8", "an unchanged TOAST value is told as null", SIMULATION,
           ("format/outboxx_json.cc", "append(kUnchangedToast)", "append(kUnchangedToast.empty() ? \"\" : \"null\")")),
    mutant("11", "a slot that is missing is made anew, whatever was streamed from it", SIMULATION,
           ("start_decision.cc", "  return missing_slot(facts, *facts.record);", "  return facts.slot_name.empty() ? missing_slot(facts, *facts.record) : Result<>{};")),
    mutant("13", "a record that a full sink did not take is dropped", SIMULATION,
           ("dispatcher.cc", "    if (*admission == Admission::kFull) {\n      return Admission::kFull;\n    }\n    tracker_.add_record();",
            "    if (*admission != Admission::kFull) tracker_.add_record();")),
    mutant("17", "what ends at the recorded position is sent again", SIMULATION,  # a commit record has 48 bytes there
           ("dispatcher.cc", "begin.final_lsn < arrived_.position", "begin.final_lsn.value + 48 < arrived_.position.value")),
    mutant("18", "what begins to commit at the recorded position is passed over", SIMULATION,
           ("dispatcher.cc", "begin.final_lsn < arrived_.position", "begin.final_lsn <= arrived_.position")),
    mutant("18b", "one more than the end of the commit record is confirmed", SIMULATION,
           ("dispatcher.cc", "tracker_.commit(commit.end_lsn);", "tracker_.commit(Lsn{commit.end_lsn.value + 1});")),
    mutant("20b", "a record counts as delivered because a later one was acknowledged", unit("KafkaSinkTest.RecordThatOnly*"),
           ("sink/kafka_sink.cc", "RD_KAFKA_RESP_ERR_NO_ERROR && message.offset >= 0", "RD_KAFKA_RESP_ERR_NO_ERROR")),
    mutant("21", "no status while the sink holds up the reading", SIMULATION,
           ("session.cc", "  const bool sending = state_", "  const bool sending = !dispatcher_.blocked() && state_")),
    mutant("22", "a status only when nothing is in flight", SIMULATION,
           ("session.cc", "  const bool sending = state_", "  const bool sending = tracker_.all_delivered() && state_")),
    mutant("26", "a tuple is read with one column less", SIMULATION,
           ("postgres/pgoutput.cc", "  ByteReader reader = source;\n  const std::size_t count = reader.read_u16();",
            "  ByteReader reader = source;\n  const std::size_t count = reader.read_u16() - std::size_t{1};")),
    mutant("29", "what an earlier session knew of a relation is trusted", SIMULATION,
           ("dispatcher.h", "  RelationCache relations_;", "  static inline RelationCache relations_;"),
           ("dispatcher.cc", "relations_.update(description);",
            "if (next_ordinal_ > 0 || relations_.find(description.oid) == nullptr) relations_.update(description);")),
    mutant("30", "a stop that runs out of time confirms what it received", SIMULATION,
           ("session.cc", "  const Lsn flushed = confirmable();",
            "  const Lsn flushed = state_ == State::kDraining ? tracker_.received() : confirmable();")),
    mutant("3", "the error of a delivery report is ignored", unit("KafkaSinkTest.RecordTooLargeForTheBroker*"),
           ("sink/kafka_sink.cc", "if (!is_acknowledged(*message)) [[unlikely]] {",
            "if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && message->len == 0) {")),
    mutant("12", "positions are sent in the host's byte order", unit("EncodeStatus*"),
           ("postgres/libpq_stream.cc", "std::endian::native == std::endian::big ? number : std::byteswap(number);", "number;")),
    mutant("14", "a producer that is given up goes on sending its queue", unit("KafkaSinkTest.Abandoned*"),
           ("sink/kafka_sink.cc", "void KafkaSink::abandon() noexcept {\n  if (kafka_ == nullptr) {",
            "void KafkaSink::abandon() noexcept {\n  if (kafka_ == nullptr || in_flight_records_ > 0) {")),
    mutant("15", "a producer goes on although nobody knows how its transaction ended", unit("KafkaTransactionsTest*"),
           ("sink/kafka_sink_progress.cc", "    fail_for_good(std::move(*ended).error());\n  }\n}", "    return;\n  }\n}")),
    mutant("19", "records go to any partition", unit("*KafkaPartitionerTest*"),
           ("sink/kafka_config.cc", '"partitioner", options.partitioner,', '"partitioner", "random",')),
    mutant("20", "one replica is enough", unit("KafkaConfig*"),
           ("sink/kafka_config.cc", '{"acks", "all"},', '{"acks", "1"},')),
    mutant("27", "the name of a column is not escaped", unit("OutboxxJson*"),
           ("format/outboxx_json.cc", "append_json_string(prepared.prefix, as_utf8(column.name));",
            'prepared.prefix.append("\\"").append(as_utf8(column.name)).append("\\"");')),
    mutant("28", "a message quotes the connection string", unit("ConninfoTest*"),
           ("postgres/conninfo.cc", 'config_error(options, "it holds an unescaped \\"@\\"")',
            'config_error(options, "it holds an unescaped \\"@\\": " + options.conninfo)')),
    mutant("23", "the reason why a stream ended is not asked for", integration("test_slot.py", "terminated_walsender"),
           ("postgres/libpq_stream.cc", "if (result != nullptr && (status == ", "if (end_sent_ && (status == ")),
    mutant("16", "the record is read before the predecessor's transaction is ended", integration("test_exactly_once.py", "predecessor"),
           ("supervisor.cc", "  TRY(sink->open(Clock::now() + kSinkOpenTimeout, stop));\n", ""),
           ("supervisor.cc", "  Result<OpenStream> open = open_stream(config, sql, history, stop);\n",
            "  Result<OpenStream> open = open_stream(config, sql, history, stop);\n"
            "  TRY(sink->open(Clock::now() + kSinkOpenTimeout, stop));\n")),
    mutant("24", "a notice that rows are being skipped is ignored", integration("test_slot.py", "dropped_publication and 18"),
           ("postgres/connection.cc", "  if (is_skipped_publication(notice, text)) {",
            "  if (text.empty() && is_skipped_publication(notice, text)) {")),
    mutant("25", "a snapshot that was begun is not gone on with where the slot exists",
           integration("test_snapshot_resume.py", "finished_are_not_read_again"),
           ("start_snapshot.cc", "  if (!state.is_pending) {", "  if (!state.is_pending || !started.point) {")),
]

# What the list has and the program does not, yet or by design.
NOT_HERE = {
    "9": "streaming of open transactions is not asked for (protocol version 1)",
    "10": "the same",
}


def changed_sources(chosen, root):
    """{path below src: text} of the files that a mutant changes. Fails if one of its texts does not stand there exactly once."""
    texts = {}
    for name, old, new in chosen.edits:
        text = texts.get(name) or (root / "src" / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"mutant {chosen.number}: src/{name} has {text.count(old)} times, not once:\n{old}")
        texts[name] = text.replace(old, new)
    return texts
