#include "sallyport/tls/certificate_set.hpp"

#include <algorithm>

#include <openssl/pem.h>

#include "file.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

void CertificateSet::add(CertificateRef certificate, Source source) {
  by_subject_.emplace(X509_subject_name_hash(certificate.get()), all_.size());
  all_.push_back(std::move(certificate));
  sources_.push_back(std::move(source));
}

std::shared_ptr<const CertificateSet> CertificateSet::join(
    const std::vector<std::shared_ptr<const CertificateSet>>& sets) {
  const std::shared_ptr<CertificateSet> joined(new CertificateSet);
  for (const auto& set : sets) {
    joined->file_ += (joined->file_.empty() ? "" : ", ") + set->file_;
    for (std::size_t i = 0; i < set->all_.size(); ++i) joined->add(set->all_[i], set->sources_[i]);
  }
  return joined;
}

std::shared_ptr<const CertificateSet> CertificateSet::of(std::vector<CertificateRef> certificates,
                                                         const std::string& file) {
  const std::shared_ptr<CertificateSet> set(new CertificateSet);
  set->file_ = file;
  for (CertificateRef& certificate : certificates)
    set->add(std::move(certificate), {file, set->all_.size() + 1});
  return set;
}

std::shared_ptr<const CertificateSet> CertificateSet::parse(std::string_view pem, std::string file,
                                                            std::string& why) {
  ERR_clear_error();
  const std::shared_ptr<CertificateSet> set(new CertificateSet);
  set->file_ = std::move(file);
  set->content_ = content_of(pem);
  const BioPtr bio = memory_bio(pem);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    set->add(CertificateRef(next, X509_free), {set->file_, set->all_.size() + 1});
  }
  const bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = take_openssl_error();
  if (!clean_end) {
    why = "cannot be read from certificate " + std::to_string(set->all_.size() + 1) + " on (" + reason +
          "): the file is damaged or cut short";
    return nullptr;
  }
  if (set->all_.empty()) {
    why = pem.find("PRIVATE KEY-----") == std::string_view::npos
              ? "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
              : "holds a private key and no certificate: give the file with the certificates";
    return nullptr;
  }
  return set;
}

std::shared_ptr<const CertificateSet> CertificateSet::load(const std::string& file, std::string& why) {
  const std::optional<std::string> pem = read_file(file, why);
  return pem ? parse(*pem, file, why) : nullptr;
}

Digest CertificateSet::content_of(std::string_view pem) {
  return Hasher().add(pem).finish();
}

std::vector<std::size_t> CertificateSet::issuers_of(const x509_st* certificate) const {
  const X509_NAME* issuer = X509_get_issuer_name(certificate);
  const auto [first, last] = by_subject_.equal_range(X509_NAME_hash_ex(issuer, nullptr, nullptr, nullptr));
  std::vector<std::size_t> found;
  for (auto it = first; it != last; ++it) {
    if (X509_NAME_cmp(X509_get_subject_name(all_[it->second].get()), issuer) == 0)
      found.push_back(it->second);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace sallyport::tls
