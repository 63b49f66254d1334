// A whole file, bounded, or why not. Private to tls; control plane.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace sallyport::tls {

// A system's whole CA bundle is some 250 KiB; more than this is the wrong file.
inline constexpr std::size_t kMaxPemFile = 8 * 1024 * 1024;
// A million revoked certificates and some.
inline constexpr std::size_t kMaxListFile = 64 * 1024 * 1024;

// On failure `why` says what and what to do: "cannot be read: No such file or directory".
[[nodiscard]] std::optional<std::string> read_file(const std::string& path, std::string& why,
                                                   std::size_t most = kMaxPemFile);

}  // namespace sallyport::tls
