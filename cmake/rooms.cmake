# sallyport_room(name ROOMS lower… LIBRARIES dep… BATCH n ALONE file…) makes the static library room_<name> of
# src/<name>/*.cpp. Each room's public headers are reached through a tree of its own in the
# build folder, so a room sees only the rooms it names.
# -Wcast-qual: clang applies it to OpenSSL's macros too.
function(sallyport_compile_options target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
    $<$<CXX_COMPILER_ID:GNU>:-Wcast-qual> -Wimplicit-fallthrough -Werror -fno-omit-frame-pointer)
  if(SALLYPORT_SANITIZE)
    # GCC's sanitizers see uninitialised reads that are none, TSan cannot model Asio's fences, and
    # UBSan's look at vtable pointers needs a pipe, which tests without file handles leave it none.
    target_compile_options(${target} PRIVATE -fsanitize=${SALLYPORT_SANITIZE} -fno-sanitize-recover=all
      -fno-sanitize=vptr $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
    target_link_options(${target} PRIVATE -fsanitize=${SALLYPORT_SANITIZE})
  endif()
endfunction()

# Compiles a target's files together, BATCH of them at a time (all, without it), but for those that stay
# ALONE. GCC takes what a unity file includes for headers, in which internal types look out of place.
function(sallyport_unity target)
  if(NOT SALLYPORT_UNITY)
    return()
  endif()
  cmake_parse_arguments(arg "" "BATCH" "ALONE" ${ARGN})
  if(NOT arg_BATCH)
    set(arg_BATCH 0)
  endif()
  if(arg_ALONE)
    set_source_files_properties(${arg_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${arg_BATCH})
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()

function(sallyport_room name)
  cmake_parse_arguments(arg "" "BATCH" "ROOMS;LIBRARIES;ALONE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  set(tree ${CMAKE_BINARY_DIR}/rooms/${name})
  file(MAKE_DIRECTORY ${tree}/sallyport)
  if(NOT EXISTS ${tree}/sallyport/${name})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/include/sallyport/${name} ${tree}/sallyport/${name} SYMBOLIC)
  endif()
  if(sources)
    add_library(room_${name} STATIC ${sources})
    set(scope PUBLIC)
    sallyport_compile_options(room_${name})
    target_include_directories(room_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src/${name})
    list(TRANSFORM arg_ALONE PREPEND ${CMAKE_SOURCE_DIR}/src/${name}/)
    sallyport_unity(room_${name} BATCH ${arg_BATCH} ALONE ${arg_ALONE})
  else()
    add_library(room_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(room_${name} ${scope} ${tree})
  list(TRANSFORM arg_ROOMS PREPEND room_)
  list(TRANSFORM arg_LIBRARIES PREPEND dep_)
  target_link_libraries(room_${name} ${scope} ${arg_ROOMS} ${arg_LIBRARIES})
endfunction()

# The rooms whose headers a fuzz target includes; it sees their private headers, too.
function(sallyport_link_fuzzed_rooms target source)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(STRINGS ${source} includes REGEX "#include \"sallyport/")
  foreach(include ${includes})
    string(REGEX REPLACE ".*\"sallyport/([a-z0-9_]+)/.*" "room_\\1" room "${include}")
    target_link_libraries(${target} PRIVATE ${room})
    string(REPLACE "room_" "" folder "${room}")
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/src/${folder})
  endforeach()
endfunction()
