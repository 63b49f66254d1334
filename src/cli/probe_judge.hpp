// The judgement's two steps, and how they look at the connections. Private to the probe.
#pragma once

#include "probe_report.hpp"

namespace sallyport::cli {

// The connections by their kind. Borrows the report.
class ProbeRows {
 public:
  explicit ProbeRows(const ProbeReport& report) noexcept : report_(report) {}
  [[nodiscard]] const ProbeRow* row(tls::ProbeKind kind) const noexcept;  // null: was not made
  [[nodiscard]] bool works(tls::ProbeKind kind) const noexcept;           // its handshake
  [[nodiscard]] bool fails(tls::ProbeKind kind) const noexcept;           // false too if it was not made
  // One of those that ask for the right name and that a server should take.
  [[nodiscard]] bool any_works() const noexcept;
  // The client of TLS 1.2 was given a group that Cloudflare does not offer.
  [[nodiscard]] bool chose_foreign_group() const noexcept;

 private:
  const ProbeReport& report_;
};

// Asks for the right name, in a version that should be spoken.
[[nodiscard]] bool is_named_client(tls::ProbeKind kind) noexcept;

// Outcome, reason and note of each row.
void judge_rows(ProbeReport& report);

}  // namespace sallyport::cli
