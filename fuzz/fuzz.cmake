# The fuzz targets: libFuzzer, so clang. The preset sets AddressSanitizer and UndefinedBehaviorSanitizer for everything.
#
#   cmake --preset fuzz && cmake --build --preset fuzz
#   fuzz/make_seeds.py build/fuzz/seeds
#   build/fuzz/pgoutput_fuzz -max_total_time=60 -max_len=65536 -malloc_limit_mb=2 build/fuzz/seeds/pgoutput
target_compile_options(outboxx_core PRIVATE -fsanitize=fuzzer-no-link)

foreach(target byte_reader config copy_binary json pgoutput)
  add_executable(${target}_fuzz fuzz/${target}_fuzz.cc)
  target_compile_options(${target}_fuzz PRIVATE -fsanitize=fuzzer-no-link)
  target_link_libraries(${target}_fuzz PRIVATE outboxx_core)
  target_link_options(${target}_fuzz PRIVATE -fsanitize=fuzzer)
endforeach()
