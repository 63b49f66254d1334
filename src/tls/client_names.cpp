#include "client_names.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>

#include "sallyport/base/scope_guard.hpp"

#include "certificate_names.hpp"
#include "certificate_text.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_text(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool take_prefix(std::string_view& text, std::string_view prefix) noexcept {
  if (text.size() < prefix.size() || !same_text(text.substr(0, prefix.size()), prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string address_bytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return {};
}

// f(kind, bytes) for each name of a kind that is known here, until it returns false.
template <class F>
void each_name(X509* certificate, const F& f) {
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const base::ScopeGuard free_names([names] { GENERAL_NAMES_free(names); });
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    switch (name->type) {
      case GEN_DNS:
      case GEN_URI:
      case GEN_EMAIL:
        if (!f(name->type, bytes_of(name->d.ia5))) return;
        break;
      case GEN_IPADD:
        if (!f(name->type, bytes_of(name->d.iPAddress))) return;
        break;
      default:
        break;
    }
  }
  ERR_clear_error();
}

// Lists of names are parted by commas, and texts stand in quotes.
std::string escaped(std::string_view raw) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string text;
  for (const char c : raw) {
    if (c > ' ' && c < 0x7f && c != ',' && c != '"' && c != '\\') {
      text += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    text += '%';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string told_name(int kind, std::string_view raw) {
  switch (kind) {
    case GEN_DNS:
      return "DNS:" + escaped(raw);
    case GEN_URI:
      return "URI:" + escaped(raw);
    case GEN_EMAIL:
      return "email:" + escaped(raw);
    default: {
      const std::string text = address_text(raw);
      return text.empty() ? text : "IP:" + text;
    }
  }
}

// As name_text, in ASCII and without quotes or doubled backslashes: both are written as the
// hexadecimal pairs that RFC 2253 §2.4 allows as well, so that no reader of a quoted string can
// take one for its end.
std::string told_subject(const X509_NAME* name) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  const std::string_view printed(data, static_cast<std::size_t>(size));
  std::string text;
  for (std::size_t i = 0; i < printed.size(); ++i) {
    const char c = printed[i];
    const char next = i + 1 < printed.size() ? printed[i + 1] : '\0';
    if (c == '\\' && (next == '\\' || next == '"')) {
      text += next == '"' ? "\\22" : "\\5C";
      ++i;
    } else if (c == '"') {
      text += "\\22";
    } else if (c >= ' ' && c < 0x7f) {
      text += c;
    } else {
      return {};
    }
  }
  return text.size() <= ClientCertificate::kMostName ? text : std::string();
}

// Said by a prefix, or as it looks.
int kind_of(std::string_view& text) {
  if (take_prefix(text, "DNS:")) return GEN_DNS;
  if (take_prefix(text, "URI:")) return GEN_URI;
  if (take_prefix(text, "email:")) return GEN_EMAIL;
  if (take_prefix(text, "IP:") || !address_bytes(std::string(text)).empty()) return GEN_IPADD;
  if (text.find(':') != std::string_view::npos) return GEN_URI;
  return text.find('@') == std::string_view::npos ? GEN_DNS : GEN_EMAIL;
}

}  // namespace

std::optional<NamePattern> NamePattern::parse(std::string_view text) {
  NamePattern made;
  made.kind_ = kind_of(text);
  made.text_ = text;
  if (made.kind_ == GEN_IPADD) made.text_ = address_bytes(made.text_);
  if (made.kind_ == GEN_DNS && text.starts_with("*.")) {
    made.wild_ = true;
    made.text_.erase(0, 1);
  }
  if (made.kind_ == GEN_URI && text.ends_with("/*")) {
    made.wild_ = true;
    made.text_.pop_back();
  }
  if (made.text_.empty()) return std::nullopt;
  return made;
}

bool NamePattern::matches(int kind, std::string_view bytes) const noexcept {
  if (kind != kind_) return false;
  switch (kind) {
    case GEN_DNS: {
      if (!wild_) return same_text(bytes, text_);
      const std::size_t dot = bytes.find('.');
      // A name with a star of its own stands for others: it is not one of them.
      return dot != 0 && dot != std::string_view::npos && bytes.find('*') == std::string_view::npos &&
             same_text(bytes.substr(dot), text_);
    }
    case GEN_URI:
      return wild_ ? bytes.size() > text_.size() && bytes.starts_with(text_) : bytes == text_;
    case GEN_EMAIL: {
      // The host's case does not matter, the mailbox's does (RFC 5280 §7.5).
      const std::size_t at = text_.rfind('@');
      if (at == std::string::npos || bytes.size() != text_.size()) return false;
      return bytes.substr(0, at) == std::string_view(text_).substr(0, at) &&
             same_text(bytes.substr(at), std::string_view(text_).substr(at));
    }
    default:
      return bytes == text_;
  }
}

bool has_name(X509* certificate, const std::vector<NamePattern>& patterns) {
  bool found = false;
  each_name(certificate, [&](int kind, std::string_view bytes) {
    found = std::any_of(patterns.begin(), patterns.end(),
                        [&](const NamePattern& pattern) { return pattern.matches(kind, bytes); });
    return !found;
  });
  return found;
}

std::vector<std::string> told_names(X509* certificate) {
  std::vector<std::string> names;
  each_name(certificate, [&](int kind, std::string_view bytes) {
    if (bytes.size() > ClientCertificate::kMostSan) return true;
    std::string name = told_name(kind, bytes);
    if (!name.empty() && name.size() <= ClientCertificate::kMostSan) names.push_back(std::move(name));
    return names.size() < ClientCertificate::kMostSans;
  });
  return names;
}

std::string pin_of(const X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  const base::ScopeGuard free_der([der] { OPENSSL_free(der); });
  Digest digest{};
  EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::array<unsigned char, 45> text{};  // 44 and a NUL
  EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(digest.size()));
  return reinterpret_cast<const char*>(text.data());
}

std::unique_ptr<const ClientCertificate> describe(X509* certificate, ClientCertResult result) {
  auto made = std::make_unique<ClientCertificate>();
  made->result = result;
  made->subject = told_subject(X509_get_subject_name(certificate));
  made->issuer = told_subject(X509_get_issuer_name(certificate));
  made->serial = serial_text(certificate);
  if (made->serial.size() > ClientCertificate::kMostSerial) made->serial.clear();
  Digest digest{};
  X509_digest(certificate, EVP_sha256(), digest.data(), nullptr);
  made->sha256 = hex(digest);
  made->not_after = wall_time(X509_get0_notAfter(certificate));
  made->sans = told_names(certificate);
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size > 0 && static_cast<std::size_t>(size) <= ClientCertificate::kMostDer) {
    made->der_base64.resize((static_cast<std::size_t>(size) + 2) / 3 * 4 + 1);  // and a NUL
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(made->der_base64.data()), der, size);
    made->der_base64.pop_back();
  }
  OPENSSL_free(der);
  ERR_clear_error();
  return made;
}

}  // namespace sallyport::tls
