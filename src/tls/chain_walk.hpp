// The ways from a leaf to where they end: by name and key, before anybody asks whether they hold.
// Private to tls; one examination, one thread.
#pragma once

#include <cstddef>
#include <vector>

#include "sallyport/tls/chain.hpp"

namespace sallyport::tls {

class ChainWalk {
 public:
  explicit ChainWalk(const ChainRequest& request);

  [[nodiscard]] std::size_t leaf() const noexcept { return leaf_; }
  [[nodiscard]] const std::vector<ChainCertificate>& certificates() const noexcept { return nodes_; }
  [[nodiscard]] std::vector<ChainPath>& paths() noexcept { return paths_; }  // without problems yet
  [[nodiscard]] bool cut_short() const noexcept { return cut_short_; }       // more paths than the limit
  // Given twice: (the second, the first).
  [[nodiscard]] const std::vector<std::pair<std::size_t, std::size_t>>& duplicates() const noexcept {
    return duplicates_;
  }
  // Whether the last of a path has an issuer by name among all that there is, with another key.
  [[nodiscard]] bool issuer_has_another_key(std::size_t node) const;

 private:
  void add_given();
  void pick_leaf();
  void walk(std::vector<std::size_t>& path);
  void end(const std::vector<std::size_t>& path, ChainPath::End end);
  [[nodiscard]] bool trusted(std::size_t node) const;
  // Nodes that issued this one, as far as names and keys tell.
  [[nodiscard]] std::vector<std::size_t> issuers_of(std::size_t node);
  void add_issuers(const CertificateSet* set, ChainCertificate::From from, const x509_st* of,
                   std::vector<std::size_t>& to);
  [[nodiscard]] std::size_t node_of(const CertificateSet& set, std::size_t index,
                                    ChainCertificate::From from);
  [[nodiscard]] bool issued(const x509_st* issuer, const x509_st* subject) const;

  const ChainRequest& request_;
  std::vector<ChainCertificate> nodes_;
  std::size_t given_ = 0;  // of nodes_, at its beginning
  std::size_t leaf_ = 0;
  std::vector<ChainPath> paths_;
  std::vector<std::pair<std::size_t, std::size_t>> duplicates_;
  std::size_t steps_ = 0;
  bool cut_short_ = false;
};

}  // namespace sallyport::tls
