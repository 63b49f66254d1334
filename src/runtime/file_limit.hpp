// Open files: how many the process may have, and how many client connections that allows.
//
// Control thread, at start and reload.
#pragma once

#include <cstdint>

namespace sallyport::runtime {

// Raises the soft limit of open files (RLIMIT_NOFILE) to the hard one, as servers do; gives the
// limit in force afterwards.
std::uint64_t raise_file_limit() noexcept;

// How many client connections leave each of them a handle for its upstream: half of what is
// left beside what the process itself needs. At least one.
[[nodiscard]] std::uint32_t connections_for(std::uint64_t files, std::size_t workers,
                                            std::size_t listeners) noexcept;

}  // namespace sallyport::runtime
