#include "origin_pull.hpp"

#include <algorithm>

#include "sallyport/tls/origin_pull_ca.hpp"

namespace sallyport::runtime {

namespace {

tls::ClientAuthSpec client_auth_of(const config::OriginPull& pull) {
  tls::ClientAuthSpec to;
  to.mode = pull.mode == config::OriginPullMode::report ? tls::ClientAuthMode::report
            : decides_by_path(pull)                     ? tls::ClientAuthMode::request
                                                        : tls::ClientAuthMode::require;
  to.ca_file = pull.ca.string();
  if (pull.ca.empty()) to.ca_pem = tls::kOriginPullCa;
  to.spki_pins = pull.spki_pins;
  return to;
}

}  // namespace

std::string OriginPullPolicies::twin_of(const std::string& policy, const config::OriginPull& pull,
                                        std::string& why) {
  const auto known = std::find_if(twins_.begin(), twins_.end(),
                                  [&](const Twin& twin) { return twin.of == policy && twin.pull == pull; });
  if (known != twins_.end()) return known->name;
  const auto from = std::find_if(policies_.begin(), policies_.end(),
                                 [&](const tls::PolicySpec& spec) { return spec.name == policy; });
  if (from == policies_.end()) {
    why = "there is no policy " + policy;
    return {};
  }
  if (from->client_auth.mode != tls::ClientAuthMode::off) {
    why = "the policy " + policy +
          " asks for client certificates itself: origin_pull is for Cloudflare's, a host has one of both";
    return {};
  }
  tls::PolicySpec twin = *from;
  twin.twin_of = from->name;
  from->has_twin = true;
  twin.name += " with origin_pull";
  const auto alike =
      std::count_if(twins_.begin(), twins_.end(), [&](const Twin& t) { return t.of == policy; });
  if (alike != 0) twin.name += " " + std::to_string(alike + 1);
  twin.client_auth = client_auth_of(pull);
  twins_.push_back({policy, pull, twin.name});
  std::string name = twin.name;
  for (config::TlsRule& rule : twin.rules) {
    if (rule.refuse) continue;
    rule.policy = twin_of(rule.policy, pull, why);
    if (rule.policy.empty()) return {};
  }
  policies_.push_back(std::move(twin));
  return name;
}

}  // namespace sallyport::runtime
