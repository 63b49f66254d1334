// What clients make of a certificate chain: every way from the leaf to a root, what is missing,
// out of order, too much, out of date or too weak, and what to send.
//
// Given certificates, intermediates and roots are kept apart: the first are sent, the second may be
// added, the third are what clients have. The ways are walked here, for the explanation; whether a way
// holds is OpenSSL's verdict (RFC 5280 §6). Pure, bounded, no look-ups over the network; control plane
// and command line only. The result holds what it speaks of and outlives the sets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/certificate_set.hpp"

namespace sallyport::tls {

enum class ChainUse : std::uint8_t { server, client };  // whom the leaf stands for

struct ChainLimits {
  // The world's deepest public chains have five; clients give up at ten or earlier.
  std::size_t depth = 10;
  // Cross-signed CAs double the ways at each step; nobody reads more than these.
  std::size_t paths = 32;
  // A chain has a handful; what holds more is a bundle given by mistake.
  std::size_t given = 64;
  // A certificate that ends this soon is worth a word: thirty days are what common ACME clients leave
  // for renewal, and time to act when that failed. Where it lives less than three times as long, a
  // third of its life.
  base::Seconds near_expiry = std::chrono::hours(30 * 24);
};

struct ChainRequest {
  const CertificateSet* given = nullptr;
  const CertificateSet* intermediates = nullptr;  // may be null
  const CertificateSet* roots = nullptr;          // null: which root is trusted is not judged
  std::optional<std::size_t> leaf;                // in `given`; empty: the one that issued no other
  std::string host;                               // a name or address that the leaf must hold; may be empty
  base::WallTime at{};
  ChainUse use = ChainUse::server;
  bool received = false;  // `given` came from a server: the findings speak of what it sends, not of a file
  ChainLimits limits{};
};

struct ChainCertificate {
  enum class From : std::uint8_t { given, intermediates, roots };
  CertificateRef certificate;
  From from = From::given;
  std::string file;
  std::size_t place = 0;  // in its file, from 1
};

enum class ChainReason : std::uint8_t {
  leaf_not_first,
  wrong_order,
  duplicate,
  unrelated,
  unneeded,  // on a way of its own that leads to no root
  root_included,
  added,  // a missing intermediate that the pool has
  missing_issuer,
  unknown_root,
  expired,
  not_yet_valid,
  near_expiry,
  weak_key,
  weak_signature,
  not_a_ca,
  wrong_usage,  // keyUsage or extended key usage
  path_length,
  name_constraints,
  bad_signature,
  name_not_covered,
  roots_not_self_signed,
  too_many,
  other,
};
[[nodiscard]] std::string_view to_string(ChainReason reason) noexcept;

struct ChainFinding {
  enum class Severity : std::uint8_t { info, warning, error };
  Severity severity = Severity::error;
  ChainReason reason = ChainReason::other;
  std::optional<std::size_t> certificate;  // in ChainReport::certificates
  std::string text;                        // one line, what it is and what to change; without the file's name
  std::string issuer, issuer_url;          // of missing_issuer: who, and where the CA publishes it
};
[[nodiscard]] std::string_view to_string(ChainFinding::Severity severity) noexcept;

struct ChainPath {
  enum class End : std::uint8_t { trusted, unknown_root, missing_issuer, too_deep };
  std::vector<std::size_t> certificates;  // in ChainReport::certificates, leaf first
  End end = End::missing_issuer;
  std::vector<ChainFinding> problems;  // why it fails; the end is one of them
  [[nodiscard]] bool valid() const noexcept { return end == End::trusted && problems.empty(); }
};

struct ChainReport {
  std::vector<ChainCertificate> certificates;  // the given ones first, as given; then what was found
  std::vector<std::size_t> sent;               // leaf first, roots left out
  std::vector<ChainPath> paths;                // the best first
  std::vector<ChainFinding> findings;          // the best path's problems, and what is odd about the files
  [[nodiscard]] bool complete() const noexcept { return !paths.empty() && paths.front().valid(); }
  [[nodiscard]] bool ok() const noexcept;  // no finding is an error
};

// `request.given` holds at least one certificate.
[[nodiscard]] ChainReport examine_chain(const ChainRequest& request);

// What the dates of one certificate give rise to: expired, not_yet_valid, near_expiry or nothing.
[[nodiscard]] std::optional<ChainFinding> examine_dates(const x509_st* certificate, base::WallTime at,
                                                        base::Seconds near_expiry);

// From when on the end of a certificate counts as near: this long before it.
[[nodiscard]] base::Seconds near_expiry_of(base::WallTime from, base::WallTime until,
                                           base::Seconds near_expiry = ChainLimits{}.near_expiry) noexcept;

// A certificate in words, for people and for JSON.
struct CertificateDetails {
  std::string subject, issuer, serial;  // RFC 2253; lower-case hex
  std::vector<std::string> names;       // subjectAltName: DNS names, then addresses
  base::WallTime not_before, not_after;
  std::string key;        // "RSA 2048", "EC P-256"
  std::string signature;  // "ecdsa-with-SHA256"
  std::string sha256, spki_sha256;
  std::string issuer_url;  // caIssuers of the authority information access; empty if there is none
  bool self_signed = false, authority = false;
};
[[nodiscard]] CertificateDetails describe(const x509_st* certificate);
[[nodiscard]] std::string date_text(base::WallTime time);  // "2026-01-31 12:00:00 UTC"

}  // namespace sallyport::tls
