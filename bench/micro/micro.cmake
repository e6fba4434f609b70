# Benchmarks of the parts, and the programs that replay recorded streams. Built as the release is.
find_package(benchmark REQUIRED)

add_executable(micro_benchmarks bench/micro/copy_benchmarks.cc bench/micro/micro_benchmarks.cc)
target_link_libraries(micro_benchmarks PRIVATE benchmark::benchmark)
add_executable(micro_instructions bench/micro/micro_instructions.cc)
add_executable(micro_replay bench/micro/micro_replay.cc)

foreach(program micro_benchmarks micro_instructions micro_replay)
  target_include_directories(${program} PRIVATE tests)
  target_link_libraries(${program} PRIVATE outboxx_core)
  target_compile_definitions(${program} PRIVATE OUTBOXX_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
endforeach()
