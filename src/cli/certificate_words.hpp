// Certificates as commands print them.
#pragma once

#include <string>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/chain.hpp"

namespace sallyport::cli {

[[nodiscard]] std::string time_text(base::WallTime time);  // "2026-01-31T12:00:00Z"
// The first few, and how many more there are.
[[nodiscard]] std::string names_text(const std::vector<std::string>& names);
[[nodiscard]] std::string_view word_of(tls::ChainPath::End end);
[[nodiscard]] std::string_view word_of(tls::ChainCertificate::From from);

}  // namespace sallyport::cli
