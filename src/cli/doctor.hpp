// What `sallyport doctor` examines and what it finds. A check is a function that looks at one part
// of a patient and adds a finding for each thing it looked at, good or bad, to the report. Pure but for
// the time and the files' dates, which are given, and for those of doctor_live.cpp.
//
// Findings are told by `check`, a word that scripts may rely on (docs/cloudflare.md lists them).
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/model.hpp"
#include "sallyport/net/cidr.hpp"
#include "sallyport/tls/context_store.hpp"

namespace sallyport::cli {

enum class Severity : std::uint8_t { ok, warn, fail };
[[nodiscard]] std::string_view to_string(Severity severity) noexcept;

struct Finding {
  Severity severity = Severity::ok;
  std::string check;      // "idle"
  std::string subject;    // "listener https"
  config::Origin origin;  // nowhere for defaults
  std::string text;
  std::string remedy;      // empty if ok
  std::uint16_t code = 0;  // what visitors see of Cloudflare, 520 to 526; 0: no error of its own
};

class Report {
 public:
  void add(Finding finding) { findings_.push_back(std::move(finding)); }
  [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }
  [[nodiscard]] std::size_t count(Severity severity) const noexcept;
  [[nodiscard]] Severity worst() const noexcept;

 private:
  std::vector<Finding> findings_;
};

// Findings about one subject.
class Scribe {
 public:
  Scribe(Report& report, std::string subject, config::Origin origin)
      : report_(report), subject_(std::move(subject)), origin_(std::move(origin)) {}

  void ok(std::string check, std::string text) {
    add(Severity::ok, std::move(check), std::move(text), {}, 0);
  }
  void warn(std::string check, std::string text, std::string remedy, std::uint16_t code = 0) {
    add(Severity::warn, std::move(check), std::move(text), std::move(remedy), code);
  }
  void fail(std::string check, std::string text, std::string remedy, std::uint16_t code = 0) {
    add(Severity::fail, std::move(check), std::move(text), std::move(remedy), code);
  }
  void add(Severity severity, std::string check, std::string text, std::string remedy, std::uint16_t code) {
    report_.add({severity, std::move(check), subject_, origin_, std::move(text), std::move(remedy), code});
  }

 private:
  Report& report_;
  std::string subject_;
  config::Origin origin_;
};

struct Patient {
  const config::Model& model;                  // built: hosts have their names
  const tls::ContextStore* tls = nullptr;      // hosts by the model's order; nullptr: no https listener
  const tls::CertificateSet* roots = nullptr;  // those that Cloudflare trusts; nullptr: there are none here
  base::WallTime now{};
};

// ---- whom it concerns ----

// The addresses of a list, with its sets as they are now: what cannot be read holds none.
class Addresses {
 public:
  Addresses(const config::Model& model, const std::vector<std::string>& list);
  // Of Cloudflare's published blocks those that are not wholly in the list.
  [[nodiscard]] std::vector<std::string> missing_of_cloudflare() const;
  [[nodiscard]] bool has_all_of_cloudflare() const { return missing_of_cloudflare().empty(); }
  [[nodiscard]] bool has_some_of_cloudflare() const;
  [[nodiscard]] bool contains(const net::IpAddress& address) const { return set_.contains(address); }

 private:
  net::CidrSet set_;
};
// Whether connections of Cloudflare get in at all.
[[nodiscard]] bool admits_cloudflare(const config::Model& model, const config::Listener& listener);
[[nodiscard]] bool trusts_cloudflare(const config::Model& model, const config::Listener& listener);
// The https listeners that serve the host and let Cloudflare in.
[[nodiscard]] std::vector<const config::Listener*> listeners_of(const config::Model& model,
                                                                const config::Host& host);
[[nodiscard]] std::string subject_of(const config::Host& host);  // "host example.com"
// By name.
[[nodiscard]] const config::TlsPolicy* find_policy(const config::Model& model, std::string_view name);
[[nodiscard]] const config::Upstream* find_upstream(const config::Model& model, std::string_view name);

// ---- words ----

[[nodiscard]] std::string joined(const std::vector<std::string>& list, std::string_view between = ", ",
                                 std::size_t most = 12);
[[nodiscard]] std::string text_of(config::Milliseconds time);  // "960 s", "500 ms"
[[nodiscard]] std::string size_text(std::size_t bytes);        // "128 KiB"
[[nodiscard]] std::string date_text(base::WallTime time);      // "2027-01-31"

// ---- checks ----

void examine_gateway(const Patient& patient, Report& report);
void examine_address_sets(const Patient& patient, Report& report);
void examine_listeners(const Patient& patient, Report& report);
void examine_policies(const Patient& patient, Report& report);
void examine_certificates(const Patient& patient, Report& report);
void examine_hosts(const Patient& patient, Report& report);
void examine_upstreams(const Patient& patient, Report& report);
// All of them.
void examine(const Patient& patient, Report& report);

// ---- output ----

void print_text(const Report& report, const std::filesystem::path& file, base::WallTime at);
void print_json(const Report& report, const std::filesystem::path& file, base::WallTime at);

}  // namespace sallyport::cli
