#include "chain_walk.hpp"

#include <algorithm>

#include "certificate_text.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

// Certificates that all issued each other make ways without number; each step may cost a signature.
constexpr std::size_t kMaxSteps = 512;

bool same_certificate(const x509_st* a, const x509_st* b) {
  return X509_cmp(a, b) == 0;
}

bool among(const std::vector<std::size_t>& list, std::size_t item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

ChainWalk::ChainWalk(const ChainRequest& request) : request_(request) {
  add_given();
  pick_leaf();
  std::vector<std::size_t> path{leaf_};
  walk(path);
  ERR_clear_error();
}

void ChainWalk::add_given() {
  const auto& all = request_.given->all();
  given_ = std::min(all.size(), request_.limits.given);
  for (std::size_t i = 0; i < given_; ++i) {
    for (std::size_t before = 0; before < i; ++before) {
      if (!same_certificate(all[before].get(), all[i].get())) continue;
      duplicates_.emplace_back(i, before);
      break;
    }
    const CertificateSet::Source& source = request_.given->source(i);
    nodes_.push_back({all[i], ChainCertificate::From::given, source.file, source.place});
  }
}

// Without a key to tell, the leaf is what issued none of the others; a CA only if nothing else is there.
void ChainWalk::pick_leaf() {
  if (request_.leaf && *request_.leaf < given_) {
    leaf_ = *request_.leaf;
    return;
  }
  const auto issued_another = [this](std::size_t candidate) {
    for (std::size_t i = 0; i < given_; ++i) {
      if (!same_certificate(nodes_[i].certificate.get(), nodes_[candidate].certificate.get()) &&
          issued(nodes_[candidate].certificate.get(), nodes_[i].certificate.get()))
        return true;
    }
    return false;
  };
  std::optional<std::size_t> authority;
  for (std::size_t i = 0; i < given_; ++i) {
    const bool is_authority = X509_check_ca(nodes_[i].certificate.get()) > 0;
    if (is_authority && authority) continue;
    if (issued_another(i)) continue;
    if (!is_authority) {
      leaf_ = i;
      return;
    }
    authority = i;
  }
  leaf_ = authority.value_or(0);
}

// By key identifiers where they agree, else by the signature: what merely has the issuer's name is not it,
// and what a careless CA gave the wrong identifier is, for clients that do not look at them.
bool ChainWalk::issued(const x509_st* issuer, const x509_st* subject) const {
  if (X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(subject)) != 0) return false;
  const ASN1_OCTET_STRING* asked = X509_get0_authority_key_id(const_cast<X509*>(subject));
  const ASN1_OCTET_STRING* has = X509_get0_subject_key_id(const_cast<X509*>(issuer));
  if (asked != nullptr && has != nullptr && ASN1_OCTET_STRING_cmp(asked, has) == 0) return true;
  EVP_PKEY* key = X509_get0_pubkey(issuer);
  return key != nullptr && X509_verify(const_cast<X509*>(subject), key) == 1;
}

bool ChainWalk::trusted(std::size_t node) const {
  const x509_st* certificate = nodes_[node].certificate.get();
  if (request_.roots == nullptr || !is_self_signed(certificate)) return false;
  const auto found = request_.roots->issuers_of(certificate);
  return std::any_of(found.begin(), found.end(), [&](std::size_t i) {
    return same_certificate(request_.roots->all()[i].get(), certificate);
  });
}

std::size_t ChainWalk::node_of(const CertificateSet& set, std::size_t index, ChainCertificate::From from) {
  const CertificateRef& certificate = set.all()[index];
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (same_certificate(nodes_[i].certificate.get(), certificate.get())) return i;
  }
  nodes_.push_back({certificate, from, set.source(index).file, set.source(index).place});
  return nodes_.size() - 1;
}

void ChainWalk::add_issuers(const CertificateSet* set, ChainCertificate::From from, const x509_st* of,
                            std::vector<std::size_t>& to) {
  if (set == nullptr) return;
  for (const std::size_t index : set->issuers_of(of)) {
    if (from == ChainCertificate::From::given && index >= given_) continue;
    const x509_st* issuer = set->all()[index].get();
    // What is no root is not trusted for standing among them: clients need not have it.
    if (from == ChainCertificate::From::roots && !is_self_signed(issuer)) continue;
    if (++steps_ > kMaxSteps) return;
    if (!issued(issuer, of)) continue;
    const std::size_t node = node_of(*set, index, from);
    if (!among(to, node)) to.push_back(node);
  }
}

std::vector<std::size_t> ChainWalk::issuers_of(std::size_t node) {
  const CertificateRef of = nodes_[node].certificate;  // nodes_ grows meanwhile
  std::vector<std::size_t> issuers;
  add_issuers(request_.given, ChainCertificate::From::given, of.get(), issuers);
  add_issuers(request_.roots, ChainCertificate::From::roots, of.get(), issuers);
  add_issuers(request_.intermediates, ChainCertificate::From::intermediates, of.get(), issuers);
  return issuers;
}

bool ChainWalk::issuer_has_another_key(std::size_t node) const {
  const x509_st* of = nodes_[node].certificate.get();
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [&](const ChainCertificate& other) {
                       return X509_NAME_cmp(X509_get_subject_name(other.certificate.get()),
                                            X509_get_issuer_name(of)) == 0;
                     }) ||
         (request_.intermediates != nullptr && !request_.intermediates->issuers_of(of).empty()) ||
         (request_.roots != nullptr && !request_.roots->issuers_of(of).empty());
}

void ChainWalk::end(const std::vector<std::size_t>& path, ChainPath::End end) {
  ChainPath made;
  made.certificates = path;
  made.end = end;
  paths_.push_back(std::move(made));
}

void ChainWalk::walk(std::vector<std::size_t>& path) {
  if (paths_.size() >= request_.limits.paths || steps_ > kMaxSteps) {
    cut_short_ = true;
    if (!paths_.empty()) return;
  }
  const std::size_t last = path.back();
  if (trusted(last)) return end(path, ChainPath::End::trusted);
  if (is_self_signed(nodes_[last].certificate.get())) return end(path, ChainPath::End::unknown_root);
  if (path.size() >= request_.limits.depth) return end(path, ChainPath::End::too_deep);
  bool went_on = false;
  for (const std::size_t issuer : issuers_of(last)) {
    if (among(path, issuer)) continue;
    path.push_back(issuer);
    walk(path);
    path.pop_back();
    went_on = true;
  }
  if (!went_on) end(path, ChainPath::End::missing_issuer);
}

}  // namespace sallyport::tls
