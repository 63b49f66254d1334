// The named profiles: values that a TLS policy starts from, and why they are what they are. Read by
// the loader before a policy's other keys are laid over, and printed by `sallyport policy`.
// Static; any thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "sallyport/config/model_tls.hpp"

namespace sallyport::config {

struct Profile {
  TlsProfile id = TlsProfile::standard;
  std::string_view name;              // as the configuration spells it
  std::string_view about;             // for whom, in a line
  std::string_view source;            // what it follows
  std::vector<std::string_view> why;  // of what is not in the source, or left out
  TlsPolicy values;                   // no name, no client certificates, no rules
};
// In the order in which they are listed.
[[nodiscard]] std::span<const Profile> profiles();
[[nodiscard]] const Profile& profile(TlsProfile id);

}  // namespace sallyport::config
