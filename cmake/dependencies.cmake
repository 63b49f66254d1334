# The libraries, each from its Debian package, as one interface target a room can name.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(OpenSSL 3.0 REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED COMPONENTS core)
find_package(CLI11 REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)

# Objects of many requests at once come and go in batches, which is what the C library's malloc is
# slow at (tests/bench/README.md). Sanitizers bring an allocator of their own.
add_library(dep_malloc INTERFACE)
if(SALLYPORT_MIMALLOC AND NOT SALLYPORT_SANITIZE AND NOT SALLYPORT_FUZZ)
  find_package(mimalloc REQUIRED)
  target_link_libraries(dep_malloc INTERFACE mimalloc)
  target_compile_definitions(dep_malloc INTERFACE SALLYPORT_MIMALLOC)
endif()

add_library(dep_asio INTERFACE)
target_link_libraries(dep_asio INTERFACE Boost::boost Boost::json Threads::Threads)
# The same in every translation unit, or the program has two Asios in it. The frame cache of 8
# makes a co_await chain of that depth free of malloc.
target_compile_definitions(dep_asio INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=8)

add_library(dep_openssl INTERFACE)
target_link_libraries(dep_openssl INTERFACE OpenSSL::SSL OpenSSL::Crypto)

add_library(dep_nghttp2 INTERFACE)
target_link_libraries(dep_nghttp2 INTERFACE PkgConfig::nghttp2)

add_library(dep_spdlog INTERFACE)
target_link_libraries(dep_spdlog INTERFACE spdlog::spdlog)

add_library(dep_yaml-cpp INTERFACE)
target_link_libraries(dep_yaml-cpp INTERFACE yaml-cpp)

add_library(dep_prometheus INTERFACE)
target_link_libraries(dep_prometheus INTERFACE prometheus-cpp::core)

add_library(dep_cli11 INTERFACE)
target_link_libraries(dep_cli11 INTERFACE CLI11::CLI11)
