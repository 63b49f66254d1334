#include "sallyport/tls/certificate.hpp"

#include <algorithm>

#include <openssl/pem.h>

#include "certificate_names.hpp"
#include "certificate_text.hpp"
#include "key_pem.hpp"
#include "openssl.hpp"
#include "staple_openssl.hpp"

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

Digest content_of(std::string_view chain_pem, std::string_view key_pem, const CertificateSource& source) {
  return Hasher().add(chain_pem).add(key_pem).add(source.label).add(source.chain_file).finish();
}

// A finding that holds at any time and that the owner of the files can do something about.
bool worth_a_remark(const ChainFinding& finding, const ChainTrust& trust) {
  switch (finding.reason) {
    case ChainReason::expired:
    case ChainReason::not_yet_valid:
    case ChainReason::near_expiry:            // of the time; told at each load
    case ChainReason::roots_not_self_signed:  // told once, with the roots
      return false;
    case ChainReason::unknown_root:
      return trust.own_roots;
    case ChainReason::missing_issuer:
      // Public CAs say where their certificate is; a private one is a root that nobody sends.
      return trust.own_roots || !finding.issuer_url.empty();
    default:
      return finding.severity != ChainFinding::Severity::info;
  }
}

// Of the best way to a root. What has to do with time is judged at each handshake.
ChainState state_of(const ChainReport& report, const ChainTrust& trust) {
  if (report.paths.empty()) return ChainState::unknown;
  ChainState state = trust.roots == nullptr ? ChainState::unknown : ChainState::complete;
  for (const ChainFinding& problem : report.paths.front().problems) {
    switch (problem.reason) {
      case ChainReason::expired:
      case ChainReason::not_yet_valid:
      case ChainReason::near_expiry:
        break;
      case ChainReason::unknown_root:
      case ChainReason::missing_issuer:
        if (worth_a_remark(problem, trust)) return ChainState::broken;
        state = ChainState::unknown;
        break;
      default:
        return ChainState::broken;
    }
  }
  return state;
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

bool Certificate::read_chain(std::string_view pem, Given& given, Notes& notes) {
  const BioPtr bio = memory_bio(pem);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    given.emplace_back(next, X509_free);
  const bool clean_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = take_openssl_error();
  if (!given.empty() && clean_end) return true;
  if (!clean_end) {
    notes.error("chain", chain_file_ + ": certificate " + std::to_string(given.size() + 1) +
                             " in it cannot be read (" + reason + "): the file is damaged or cut short");
  } else if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    notes.error("chain",
                chain_file_ + ": holds a private key and no certificate: are chain and key swapped?");
  } else {
    notes.error("chain", chain_file_ + ": holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
  }
  return false;
}

std::optional<std::size_t> Certificate::read_key(std::string_view pem, const std::string& key_file,
                                                 const Given& given, Notes& notes) {
  bool passphrase_asked = false;
  key_ = read_private_key(pem, passphrase_asked).release();
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
    return std::nullopt;
  }
  const std::size_t looked_at = std::min(given.size(), ChainLimits{}.given);
  const auto end = given.begin() + static_cast<std::ptrdiff_t>(looked_at);
  const auto leaf = std::find_if(given.begin(), end, [this](const CertificateRef& one) {
    return X509_check_private_key(one.get(), key_) == 1;
  });
  ERR_clear_error();
  if (leaf == end) {
    notes.error("key", key_file + ": does not belong to the first certificate in " + chain_file_ + " (" +
                           subject_text(given.front().get()) +
                           "), nor to another: give the key of that certificate");
    return std::nullopt;
  }
  return static_cast<std::size_t>(leaf - given.begin());
}

bool Certificate::arrange(Given given, std::size_t leaf, ChainUse use, const ChainTrust& trust) {
  const auto set = CertificateSet::of(std::move(given), chain_file_);
  ChainRequest request;
  request.given = set.get();
  request.intermediates = trust.intermediates.get();
  request.roots = use == ChainUse::server ? trust.roots.get() : nullptr;  // an upstream has its own
  request.leaf = leaf;
  request.at = loaded_;
  request.use = use;
  const ChainReport report = examine_chain(request);
  intermediates_ = sk_X509_new_null();
  Hasher hasher;
  hasher.add(content_);
  for (const std::size_t i : report.sent) {
    X509* one = report.certificates[i].certificate.get();
    X509_up_ref(one);
    if (leaf_ == nullptr) {
      leaf_ = one;
    } else if (sk_X509_push(intermediates_, one) == 0) {
      X509_free(one);
      return false;
    }
    Digest digest{};
    unsigned int size = 0;
    X509_digest(one, EVP_sha256(), digest.data(), &size);
    hasher.add(digest);
  }
  content_ = hasher.finish();
  standing_.chain = state_of(report, trust);
  if (!report.paths.empty() && report.paths.front().certificates.size() > 1) {
    issuer_certificate_ = report.certificates[report.paths.front().certificates[1]].certificate;
  }
  for (const ChainFinding& finding : report.findings) {
    if (worth_a_remark(finding, trust)) remarks_.push_back(finding.text);
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
  responder_url_ = responder_url_text(leaf_);
  must_staple_ = asks_for_staple(leaf_);
}

bool Certificate::take_slot(StapleShelf* staples) {
  staple_ = staples != nullptr ? staples->slot_of(fingerprint_) : std::make_shared<StapleSlot>();
  return hang_slot(leaf_, staple_);
}

void Certificate::weigh_dates() {
  standing_.valid_from = not_before_;
  standing_.valid_until = not_after_;
  standing_.notice = near_expiry_of(not_before_, not_after_);
  for (int i = 0; i < sk_X509_num(intermediates_); ++i) {
    const X509* one = sk_X509_value(intermediates_, i);
    const base::WallTime from = wall_time(X509_get0_notBefore(one));
    const base::WallTime until = wall_time(X509_get0_notAfter(one));
    standing_.valid_from = std::max(standing_.valid_from, from);
    if (until >= standing_.valid_until) continue;
    standing_.valid_until = until;
    standing_.notice = near_expiry_of(from, until);
  }
}

void Certificate::tell(base::WallTime now, Notes& notes) const {
  for (const std::string& remark : remarks_) notes.warning("chain", chain_file_ + ": " + remark);
  const base::Seconds near_expiry = ChainLimits{}.near_expiry;
  if (const auto dates = examine_dates(leaf_, now, near_expiry)) {
    notes.warning("chain", chain_file_ + ": " + dates->text);
  }
  for (int i = 0; i < sk_X509_num(intermediates_); ++i) {
    const X509* one = sk_X509_value(intermediates_, i);
    if (const auto dates = examine_dates(one, now, near_expiry)) {
      notes.warning("chain", chain_file_ + ": \"" + subject_text(one) + "\" " + dates->text);
    }
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
                                                      Notes& notes, const ChainTrust& trust,
                                                      StapleShelf* staples) {
  ERR_clear_error();
  const std::shared_ptr<Certificate> certificate(new Certificate);
  certificate->chain_file_ = source.chain_file;
  certificate->label_ = source.label.empty() ? source.chain_file : source.label;
  certificate->loaded_ = now;
  certificate->content_ = content_of(chain_pem, key_pem, source);
  Given given;
  if (!certificate->read_chain(chain_pem, given, notes)) return nullptr;
  const auto leaf = certificate->read_key(key_pem, source.key_file, given, notes);
  if (!leaf) return nullptr;
  if (!certificate->arrange(std::move(given), *leaf, source.use, trust)) {
    notes.error("chain", source.chain_file + ": no memory for its certificates");
    return nullptr;
  }
  certificate->describe();
  certificate->weigh_dates();
  if (!certificate->take_slot(staples)) {
    notes.error("chain", source.chain_file + ": no memory for its OCSP answer");
    return nullptr;
  }
  certificate->tell(now, notes);
  return certificate;
}

}  // namespace sallyport::tls
