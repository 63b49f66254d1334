# sallyport_python_tests(KIND LABELS...): one ctest KIND_* a test_*.py of this folder, driven by
# pytest against the built binaries. In a file's head,
#   # labels: bulk multiworker     adds labels (bulk: not under sanitizers; multiworker: under TSan)
#   # timeout: 600                 seconds instead of 300
#   # serial                       no other test beside it: it lives by deadlines of few seconds
set(python /usr/bin/python3)  # Debian's, which has the peers' modules
function(sallyport_python_tests kind)
  set(programs)  # the tests of a program that is not built fail, saying so
  foreach(program sallyport sallyport-demo)
    if(TARGET ${program})
      string(TOUPPER ${program} variable)
      string(REPLACE - _ variable ${variable})
      list(APPEND programs ${variable}_BIN=$<TARGET_FILE:${program}>)
    endif()
  endforeach()
  file(GLOB scripts CONFIGURE_DEPENDS test_*.py)
  foreach(script ${scripts})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
    get_filename_component(name ${script} NAME_WE)
    string(REGEX REPLACE "^test_" "${kind}_" name ${name})
    set(labels ${ARGN})
    set(timeout 300)
    set(serial OFF)
    file(STRINGS ${script} heads REGEX "^# (labels: |timeout: |serial$)" LIMIT_COUNT 4)
    foreach(head ${heads})
      if(head MATCHES "^# labels: (.*)$")
        string(REPLACE " " ";" more "${CMAKE_MATCH_1}")
        list(APPEND labels ${more})
      elseif(head MATCHES "^# timeout: ([0-9]+)$")
        set(timeout ${CMAKE_MATCH_1})
      elseif(head STREQUAL "# serial")
        set(serial ON)
      endif()
    endforeach()
    add_test(NAME ${name} COMMAND ${python} -B -m pytest -q -p no:cacheprovider ${script})
    set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout}
      RUN_SERIAL ${serial} ENVIRONMENT "${programs}")
  endforeach()
endfunction()
