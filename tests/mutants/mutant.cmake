# OUTBOXX_MUTANT: the same targets from a copy of src that has one deliberate mistake. Configure again after a change of src.
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tests/mutants/run --write ${OUTBOXX_MUTANT} ${CMAKE_BINARY_DIR}/mutant
                COMMAND_ERROR_IS_FATAL ANY)
get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
foreach(target ${targets})
  foreach(property SOURCES INCLUDE_DIRECTORIES INTERFACE_INCLUDE_DIRECTORIES)
    get_target_property(paths ${target} ${property})
    if(paths)
      list(TRANSFORM paths REPLACE "^(${CMAKE_SOURCE_DIR}/)?src(/|$)" "${CMAKE_BINARY_DIR}/mutant/src\\2")
      set_target_properties(${target} PROPERTIES ${property} "${paths}")
    endif()
  endforeach()
  target_compile_options(${target} PRIVATE -Wno-error)  # a mistake may leave a function unused
endforeach()
