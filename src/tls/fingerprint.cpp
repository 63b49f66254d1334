#include "sallyport/tls/fingerprint.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "extension_types.hpp"
#include "openssl.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr std::string_view kNothing = "000000000000";

std::vector<std::uint16_t> extension_types(const ClientHello& hello) {
  std::vector<std::uint16_t> types;
  Extension extension;
  for (std::size_t at = 0; hello.extensions.next(at, extension);) {
    if (!is_grease(extension.type)) types.push_back(extension.type);
  }
  return types;
}

std::string hex_list(const std::vector<std::uint16_t>& list) {
  std::string text;
  for (const std::uint16_t value : list) {
    if (!text.empty()) text += ',';
    for (int shift = 12; shift >= 0; shift -= 4) text += kHex[(value >> shift) & 15];
  }
  return text;
}

std::string decimal_list(const std::vector<std::uint16_t>& list) {
  std::string text;
  for (const std::uint16_t value : list) {
    if (!text.empty()) text += '-';
    text += std::to_string(value);
  }
  return text;
}

// Empty if OpenSSL does not do this digest.
std::string digest_text(const std::string& text, const EVP_MD* kind) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, kind, nullptr) != 1) {
    ERR_clear_error();
    return {};
  }
  return hex(std::span(digest).first(size));
}

std::string_view ja4_version(const ClientHello& hello) {
  std::uint16_t newest = 0;
  for (const std::uint16_t version : hello.supported_versions) newest = std::max(newest, version);
  if (hello.supported_versions.raw().empty()) newest = hello.legacy_version;
  switch (newest) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    case 0x0002:
      return "s2";
    default:
      return "00";
  }
}

std::string two_digits(std::size_t n) {
  const std::size_t shown = std::min<std::size_t>(n, 99);
  return {static_cast<char>('0' + shown / 10), static_cast<char>('0' + shown % 10)};
}

bool alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// The first and last character of the first name, or of its hex form.
std::string alpn_word(const ClientHello& hello) {
  std::size_t at = 0;
  const std::string_view first = hello.alpn.next(at);
  if (first.empty()) return "00";
  const char front = first.front();
  const char back = first.back();
  if (alphanumeric(front) && alphanumeric(back)) return {front, back};
  return {kHex[static_cast<std::uint8_t>(front) >> 4], kHex[static_cast<std::uint8_t>(back) & 15]};
}

struct Ja4Parts {
  std::string front, ciphers, extensions;
};

Ja4Parts ja4_parts(const ClientHello& hello) {
  std::vector<std::uint16_t> ciphers = values_of(hello.cipher_suites);
  std::vector<std::uint16_t> extensions = extension_types(hello);
  const bool named = std::find(extensions.begin(), extensions.end(), kServerName) != extensions.end();
  Ja4Parts parts;
  parts.front.append("t").append(ja4_version(hello)).append(named ? "d" : "i");
  parts.front.append(two_digits(ciphers.size())).append(two_digits(extensions.size()));
  parts.front.append(alpn_word(hello));
  std::sort(ciphers.begin(), ciphers.end());
  parts.ciphers = hex_list(ciphers);
  // The name and ALPN stand in the front already; the same client must look the same without.
  std::erase_if(extensions, [](std::uint16_t type) { return type == kServerName || type == kAlpn; });
  std::sort(extensions.begin(), extensions.end());
  parts.extensions = hex_list(extensions);
  const std::string signatures = hex_list(values_of(hello.signature_algorithms));
  if (!parts.extensions.empty() && !signatures.empty()) parts.extensions += '_' + signatures;
  return parts;
}

std::string twelve_of(const std::string& list) {
  return list.empty() ? std::string(kNothing) : digest_text(list, EVP_sha256()).substr(0, kNothing.size());
}

}  // namespace

std::string ja4(const ClientHello& hello) {
  const Ja4Parts parts = ja4_parts(hello);
  return parts.front + '_' + twelve_of(parts.ciphers) + '_' + twelve_of(parts.extensions);
}

std::string ja4_raw(const ClientHello& hello) {
  const Ja4Parts parts = ja4_parts(hello);
  return parts.front + '_' + parts.ciphers + '_' + parts.extensions;
}

std::string ja3_text(const ClientHello& hello) {
  std::vector<std::uint16_t> points;
  Extension extension;
  for (std::size_t at = 0; hello.extensions.next(at, extension);) {
    // A list of one-byte values behind its length; not checked by the parser, so here.
    if (extension.type != kPointFormats || extension.body.empty()) continue;
    const std::size_t size = std::min<std::size_t>(extension.body[0], extension.body.size() - 1);
    for (const std::uint8_t format : extension.body.subspan(1, size)) points.push_back(format);
  }
  std::string text = std::to_string(hello.legacy_version);
  for (const auto& list :
       {values_of(hello.cipher_suites), extension_types(hello), values_of(hello.groups), points}) {
    text += ',' + decimal_list(list);
  }
  return text;
}

std::string ja3(const ClientHello& hello) {
  return digest_text(ja3_text(hello), EVP_md5());
}

}  // namespace sallyport::tls
