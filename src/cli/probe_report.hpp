// What `sallyport probe` found out, as plain values: filled by probe.cpp, judged by probe_findings.cpp,
// printed by probe_print.cpp. Whatever a server said stands here as it said it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/http2/greeting.hpp"
#include "sallyport/tls/chain.hpp"
#include "sallyport/tls/probe.hpp"
#include "sallyport/tls/verdict.hpp"

namespace sallyport::cli {

// Behind a handshake: a HEAD request, or the first frames of HTTP/2.
struct ProbeTalk {
  tls::ProbeEnd end =
      tls::ProbeEnd::done;  // done: it answered as it should; not_tls: it spoke something else
  bool h2 = false;
  std::optional<std::uint8_t> alert;
  // HTTP/1.1
  std::string first_line;
  int status = 0;
  std::size_t head_bytes = 0;  // as far as it was read
  bool keeps_alive = true;
  // HTTP/2
  http2::ServerSettings settings;
  std::optional<std::uint32_t> goaway;
};

enum class ProbeOutcome : std::uint8_t { ok, odd, fail };
[[nodiscard]] std::string_view to_string(ProbeOutcome outcome) noexcept;

struct ProbeRow {
  tls::ProbeResult result;
  std::optional<ProbeTalk> talk;
  // The judgement.
  ProbeOutcome outcome = ProbeOutcome::ok;
  tls::HandshakeReason reason = tls::HandshakeReason::none;
  std::string note;
};

// One chain that the server sends; it may have an ECDSA and an RSA one.
struct ProbeChain {
  std::vector<tls::ProbeKind> kinds;  // who was sent it
  tls::ChainReport report;
  tls::ShownStaple staple;
  bool must_staple = false;
};

struct ProbeFinding {
  enum class Severity : std::uint8_t { info, warn, fail };
  Severity severity = Severity::fail;
  std::string_view name;              // out of a closed set
  std::string text;                   // what it is, then what to change
  int cloudflare = 0;                 // the error that Cloudflare's visitors see for it; 0: none
  std::vector<tls::ProbeKind> kinds;  // whom it concerns
};
[[nodiscard]] std::string_view to_string(ProbeFinding::Severity severity) noexcept;

struct ProbeReport {
  std::string host, address, sni;  // address: with the port, as connected
  std::string roots;               // the file of the roots
  base::WallTime at{};
  base::Milliseconds timeout{};
  std::vector<ProbeRow> rows;
  std::vector<tls::ProbeKind> skipped;  // since the server never answered
  std::vector<ProbeChain> chains;
  std::vector<ProbeFinding> findings;      // the worst first
  [[nodiscard]] bool ok() const noexcept;  // no finding is a failure
};

// Fills in each row's judgement and the findings.
void judge(ProbeReport& report);

void print_text(const ProbeReport& report);
void print_json(const ProbeReport& report);

// What was read so far of an HTTP/1 response's head. False while more is needed.
[[nodiscard]] bool read_head(std::string_view bytes, ProbeTalk& talk);
// Cloudflare takes no larger one from an origin.
inline constexpr std::size_t kCloudflareHead = 128 * 1024;

}  // namespace sallyport::cli
