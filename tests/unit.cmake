# The unit tests: beside their sources, in one program. Each *_test.cc in src/ must be listed (tests/tidy checks it).
enable_testing()
find_package(GTest REQUIRED)

add_executable(unit_tests
)
target_link_libraries(unit_tests PRIVATE outboxx_core GTest::gtest_main)
target_compile_definitions(unit_tests PRIVATE OUTBOXX_GOLDEN_DIR="${CMAKE_SOURCE_DIR}/tests/golden")
add_test(NAME unit COMMAND unit_tests)
