# The unit tests: beside their sources, in one program. Each *_test.cc in src/ must be listed (tests/tidy checks it).
enable_testing()
find_package(GTest REQUIRED)

add_executable(unit_tests
  src/ack_tracker_test.cc
  src/base/byte_reader_test.cc
  src/base/log_line_test.cc
  src/base/log_test.cc
  src/base/lsn_test.cc
  src/base/metrics_test.cc
  src/base/scrub_test.cc
  src/base/secret_file_test.cc
  src/base/wait_test.cc
  src/cli_test.cc
  src/config_faults_test.cc
  src/config_properties_test.cc
  src/config_test.cc
  src/format/json_writer_test.cc
  src/format/outboxx_json_golden_test.cc
  src/format/outboxx_json_test.cc
  src/http_jobs_test.cc
  src/http_server_test.cc
  src/metrics_text_test.cc
  src/model/event_id_test.cc
  src/model/pg_type_test.cc
  src/model/snapshot_job_test.cc
  src/model/snapshot_state_test.cc
  src/model/state_record_test.cc
  src/pipeline_test.cc
  src/postgres/binary_text_test.cc
  src/postgres/conninfo_test.cc
  src/postgres/copy_binary_test.cc
  src/postgres/key_chunk_test.cc
  src/postgres/libpq_stream_test.cc
  src/postgres/pgoutput_robustness_test.cc
  src/postgres/pgoutput_test.cc
  src/postgres/preflight_test.cc
  src/postgres/publication_test.cc
  src/postgres/receive_pacer_test.cc
  src/postgres/relation_cache_test.cc
  src/postgres/resolver_test.cc
  src/postgres/server_checks_test.cc
  src/postgres/server_error_test.cc
  src/postgres/server_identity_test.cc
  src/postgres/slot_monitor_test.cc
  src/postgres/slot_test.cc
  src/postgres/snapshot_plan_test.cc
  src/postgres/table_checks_test.cc
  src/postgres/table_watch_test.cc
  src/postgres/tls_policy_test.cc
  src/process_usage_test.cc
  src/progress_gate_test.cc
  src/retry_policy_test.cc
  src/router_test.cc
  src/session_hold_test.cc
  src/session_liveness_test.cc
  src/shutdown_watch_test.cc
  src/sink/kafka_config_test.cc
  src/sink/kafka_error_test.cc
  src/sink/kafka_health_test.cc
  src/sink/kafka_sink_open_test.cc
  src/sink/kafka_sink_test.cc
  src/sink/kafka_state_topic_test.cc
  src/sink/kafka_transactions_test.cc
  src/sink/stdout_sink_test.cc
  src/snapshot_chunks_test.cc
  src/snapshot_mailbox_test.cc
  src/snapshot_report_test.cc
  src/snapshot_summary_test.cc
  src/snapshots_json_test.cc
  src/start_decision_test.cc
  src/start_jobs_test.cc
  src/state_store_test.cc
  src/status_timer_test.cc
  fuzz/replay_test.cc
  tests/simulation/database.cc
  tests/simulation/pgoutput_encoder_test.cc
  tests/simulation/recorded_session_test.cc
  tests/simulation/walsender.cc
)
target_include_directories(unit_tests PRIVATE tests .)
target_link_libraries(unit_tests PRIVATE outboxx_core GTest::gtest_main)
target_compile_definitions(unit_tests PRIVATE OUTBOXX_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
if(OUTBOXX_PRECOMPILE)
  target_precompile_headers(unit_tests PRIVATE ${PRECOMPILED} "$<$<COMPILE_LANGUAGE:CXX>:<gtest/gtest.h$<ANGLE-R>>")
endif()
add_test(NAME unit COMMAND unit_tests)

# Replaces malloc, so that it can count; the sanitizers replace it too.
if(NOT OUTBOXX_SANITIZE)
  add_executable(allocation_tests tests/allocations/allocations_test.cc tests/allocations/count.cc)
  target_include_directories(allocation_tests PRIVATE tests)
  target_link_libraries(allocation_tests PRIVATE outboxx_core GTest::gtest_main)
  target_compile_definitions(allocation_tests PRIVATE OUTBOXX_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
  add_test(NAME allocations COMMAND allocation_tests)
endif()

# The simulation: the pure core, optimised whatever the preset, for it runs thousands of seeds.
add_executable(simulation
  src/ack_tracker.cc
  src/base/log.cc
  src/base/log_line.cc
  src/base/scrub.cc
  src/dispatcher.cc
  src/format/format.cc
  src/format/json_writer.cc
  src/format/outboxx_json.cc
  src/model/pg_type.cc
  src/model/snapshot_job.cc
  src/model/snapshot_job_json.cc
  src/model/snapshot_state.cc
  src/model/state_record.cc
  src/postgres/pgoutput.cc
  src/postgres/relation_cache.cc
  src/postgres/server_state.cc
  src/progress_gate.cc
  src/router.cc
  src/session.cc
  src/session_snapshot.cc
  src/start_decision.cc
  src/status_timer.cc
  tests/simulation/broker.cc
  tests/simulation/checker.cc
  tests/simulation/cluster.cc
  tests/simulation/connection.cc
  tests/simulation/database.cc
  tests/simulation/main.cc
  tests/simulation/no_snapshot.cc
  tests/simulation/plan.cc
  tests/simulation/starter.cc
  tests/simulation/walsender.cc
  tests/simulation/world.cc
)
target_include_directories(simulation PRIVATE src tests)
target_compile_options(simulation PRIVATE -O2)
target_link_libraries(simulation PRIVATE PkgConfig::LIBPQ fmt::fmt nlohmann_json::nlohmann_json spdlog::spdlog)
add_test(NAME simulation COMMAND simulation)
