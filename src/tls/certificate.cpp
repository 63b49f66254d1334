#include "sallyport/tls/certificate.hpp"

#include <algorithm>

#include <openssl/pem.h>

#include "certificate_names.hpp"
#include "certificate_text.hpp"
#include "file.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

KeyType type_of(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return KeyType::rsa;
    case EVP_PKEY_EC:
      return KeyType::ecdsa;
    case EVP_PKEY_ED25519:
      return KeyType::ed25519;
    case EVP_PKEY_ED448:
      return KeyType::ed448;
    default:
      return KeyType::other;
  }
}

// Called when the key is encrypted: a service has nobody to ask.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Digest content_of(std::string_view chain_pem, std::string_view key_pem, const CertificateSource& source) {
  return Hasher().add(chain_pem).add(key_pem).add(source.label).add(source.chain_file).finish();
}

}  // namespace

std::string_view to_string(KeyType type) noexcept {
  switch (type) {
    case KeyType::rsa:
      return "rsa";
    case KeyType::ecdsa:
      return "ecdsa";
    case KeyType::ed25519:
      return "ed25519";
    case KeyType::ed448:
      return "ed448";
    case KeyType::other:
      return "other";
  }
  return "other";
}

Certificate::~Certificate() {
  X509_free(leaf_);
  EVP_PKEY_free(key_);
  sk_X509_pop_free(intermediates_, X509_free);
}

std::size_t Certificate::chain_length() const noexcept {
  return 1 + static_cast<std::size_t>(std::max(0, sk_X509_num(intermediates_)));
}

bool Certificate::read_chain(std::string_view pem, Notes& notes) {
  const BioPtr bio = memory_bio(pem);
  intermediates_ = sk_X509_new_null();
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    if (leaf_ == nullptr) {
      leaf_ = next;
    } else if (sk_X509_push(intermediates_, next) == 0) {
      X509_free(next);
      return false;
    }
  }
  const bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = take_openssl_error();
  if (leaf_ != nullptr && clean_end) return true;
  if (!clean_end) {
    notes.error("chain", chain_file_ + ": certificate " +
                             std::to_string(leaf_ == nullptr ? 1 : chain_length() + 1) +
                             " in it cannot be read (" + reason + "): the file is damaged or cut short");
  } else if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    notes.error("chain",
                chain_file_ + ": holds a private key and no certificate: are chain and key swapped?");
  } else {
    notes.error("chain", chain_file_ + ": holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
  }
  return false;
}

bool Certificate::read_key(std::string_view pem, const std::string& key_file, Notes& notes) {
  const BioPtr bio = memory_bio(pem);
  bool passphrase_asked = false;
  key_ = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &passphrase_asked);
  const std::string reason = take_openssl_error();
  if (key_ == nullptr) {
    if (passphrase_asked) {
      notes.error("key",
                  key_file + ": the key is encrypted, and a service has nobody to ask for the " +
                      "passphrase: store it decrypted (openssl pkey) and readable by the gateway only");
    } else if (pem.find("PRIVATE KEY-----") == std::string_view::npos) {
      notes.error("key", key_file + ": holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)");
    } else {
      notes.error("key",
                  key_file + ": the key cannot be read (" + reason + "): the file is damaged or cut short");
    }
    return false;
  }
  if (X509_check_private_key(leaf_, key_) != 1) {
    ERR_clear_error();
    notes.error("key", key_file + ": does not belong to the first certificate in " + chain_file_ + " (" +
                           name_text(X509_get_subject_name(leaf_)) +
                           "): give the key of that certificate, and put the leaf first in the chain");
    return false;
  }
  return true;
}

void Certificate::describe() {
  read_names(leaf_, dns_names_, addresses_);
  not_before_ = wall_time(X509_get0_notBefore(leaf_));
  not_after_ = wall_time(X509_get0_notAfter(leaf_));
  key_type_ = type_of(key_);
  key_bits_ = EVP_PKEY_get_bits(key_);
  serial_ = serial_text(leaf_);
  subject_ = name_text(X509_get_subject_name(leaf_));
  issuer_ = name_text(X509_get_issuer_name(leaf_));
  unsigned int size = 0;
  X509_digest(leaf_, EVP_sha256(), fingerprint_.data(), &size);
  fingerprint_hex_ = hex(fingerprint_);
}

void Certificate::check_dates(base::WallTime now, Notes& notes) const {
  if (not_after_ < now) {
    notes.warning("chain", chain_file_ + ": expired on " + date_text(not_after_) +
                               ": clients will refuse it, renew it");
  } else if (now < not_before_) {
    notes.warning("chain", chain_file_ + ": is not valid before " + date_text(not_before_) +
                               ": clients will refuse it until then (or is a clock wrong?)");
  }
}

bool Certificate::covers(std::string_view host_name) const noexcept {
  const std::size_t dot = host_name.find('.');
  const std::string_view parent = dot == std::string_view::npos ? std::string_view() : host_name.substr(dot);
  return std::any_of(dns_names_.begin(), dns_names_.end(), [&](const std::string& name) {
    if (name == host_name) return true;
    return !parent.empty() && name.size() == parent.size() + 1 && name.front() == '*' &&
           name.ends_with(parent);
  });
}

std::shared_ptr<const Certificate> Certificate::parse(std::string_view chain_pem, std::string_view key_pem,
                                                      const CertificateSource& source, base::WallTime now,
                                                      Notes& notes) {
  ERR_clear_error();
  const std::shared_ptr<Certificate> certificate(new Certificate);
  certificate->chain_file_ = source.chain_file;
  certificate->label_ = source.label.empty() ? source.chain_file : source.label;
  certificate->loaded_ = now;
  certificate->content_ = content_of(chain_pem, key_pem, source);
  if (!certificate->read_chain(chain_pem, notes)) return nullptr;
  if (!certificate->read_key(key_pem, source.key_file, notes)) return nullptr;
  certificate->describe();
  certificate->check_dates(now, notes);
  return certificate;
}

std::shared_ptr<const Certificate> CertificatePool::load(const CertificateSource& source, base::WallTime now,
                                                         Notes& notes) {
  std::string why;
  const std::optional<std::string> chain = read_file(source.chain_file, why);
  if (!chain) notes.error("chain", source.chain_file + " " + why);
  const std::optional<std::string> key = read_file(source.key_file, why);
  if (!key) notes.error("key", source.key_file + " " + why);
  if (!chain || !key) return nullptr;

  const std::string content = hex(content_of(*chain, *key, source));
  if (const auto known = by_content_.find(content); known != by_content_.end()) {
    if (auto certificate = known->second.lock()) {
      certificate->check_dates(now, notes);
      return certificate;
    }
  }
  auto certificate = Certificate::parse(*chain, *key, source, now, notes);
  if (certificate) {
    std::erase_if(by_content_, [](const auto& entry) { return entry.second.expired(); });
    by_content_[content] = certificate;
  }
  return certificate;
}

}  // namespace sallyport::tls
