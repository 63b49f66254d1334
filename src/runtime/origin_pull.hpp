// Cloudflare's Authenticated Origin Pulls: policies of hosts that want to see its certificate.
//
// A host's policy, and each that its rules may pick, gets a twin that asks for Cloudflare's client
// certificate and is else the same, so that no rule leads past it. Control plane; pure but for the
// notes. Where paths are excepted the handshake lets everybody in, and the exchange decides.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sallyport/config/model.hpp"
#include "sallyport/tls/context_store.hpp"

namespace sallyport::runtime {

class OriginPullPolicies {
 public:
  // Twins are appended to `policies`.
  explicit OriginPullPolicies(std::vector<tls::PolicySpec>& policies) : policies_(policies) {}

  // The name of the policy that such a host has instead of `policy`; the same for what is asked of both.
  // Empty, and `why`, if the policy asks for client certificates itself.
  [[nodiscard]] std::string twin_of(const std::string& policy, const config::OriginPull& pull,
                                    std::string& why);

 private:
  struct Twin {
    std::string of;
    config::OriginPull pull;
    std::string name;
  };
  std::vector<tls::PolicySpec>& policies_;
  std::vector<Twin> twins_;
};

// Whether requests on a connection without Cloudflare's certificate are refused one by one.
[[nodiscard]] inline bool decides_by_path(const config::OriginPull& pull) noexcept {
  return pull.mode == config::OriginPullMode::require && !pull.except.empty();
}

}  // namespace sallyport::runtime
