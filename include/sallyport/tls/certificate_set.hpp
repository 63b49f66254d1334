// The certificates of a file: a bundle of roots, a pool of intermediates, or a chain as somebody
// put it together.
//
// Immutable once parsed and found by subject, so that one bundle serves ten thousand chains.
// Control plane and command line only; shared by whoever examines chains (RFC 5280 §6).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sallyport/tls/policy.hpp"

struct x509_st;

namespace sallyport::tls {

// One reference to an OpenSSL certificate; what it points to never changes.
using CertificateRef = std::shared_ptr<x509_st>;

// The roots that Debian's ca-certificates installs.
inline constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

class CertificateSet {
 public:
  struct Source {
    std::string file;
    std::size_t place = 0;  // in it, from 1
  };

  // PEM; what is no certificate in it (keys, comments) is passed over. nullptr and `why`, which begins
  // with a verb ("holds no …"), if there is none, or if one is damaged.
  [[nodiscard]] static std::shared_ptr<const CertificateSet> parse(std::string_view pem, std::string file,
                                                                   std::string& why);
  // The same of a file, bounded.
  [[nodiscard]] static std::shared_ptr<const CertificateSet> load(const std::string& file, std::string& why);

  // Several as one, in this order; each certificate keeps its source.
  [[nodiscard]] static std::shared_ptr<const CertificateSet> join(
      const std::vector<std::shared_ptr<const CertificateSet>>& sets);
  // Of what was parsed elsewhere.
  [[nodiscard]] static std::shared_ptr<const CertificateSet> of(std::vector<CertificateRef> certificates,
                                                                const std::string& file);

  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  [[nodiscard]] const std::vector<CertificateRef>& all() const noexcept { return all_; }  // as in the file
  [[nodiscard]] const Source& source(std::size_t index) const noexcept { return sources_[index]; }
  [[nodiscard]] const Digest& content() const noexcept {
    return content_;
  }  // SHA-256 of a parsed file's bytes

  [[nodiscard]] static Digest content_of(std::string_view pem);

  // Indices of those whose subject is the issuer of `certificate`.
  [[nodiscard]] std::vector<std::size_t> issuers_of(const x509_st* certificate) const;

 private:
  void add(CertificateRef certificate, Source source);

  std::string file_;
  std::vector<CertificateRef> all_;
  std::vector<Source> sources_;
  std::unordered_multimap<unsigned long, std::size_t> by_subject_;  // OpenSSL's hash of the name
  Digest content_{};
};

}  // namespace sallyport::tls
