#include "probe_hello.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>

#include <openssl/rand.h>

#include "sallyport/config/cloudflare.hpp"

#include "wire.hpp"

namespace sallyport::tls {

namespace {

using namespace wire;

std::string random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size)) != 1)
    throw std::runtime_error("OpenSSL has no random numbers");
  return bytes;
}

std::string list(const std::vector<std::uint16_t>& values) {
  std::string bytes;
  for (const std::uint16_t value : values) bytes += u16(value);
  return bytes;
}

std::string key_share(std::uint16_t which) {
  // X25519 takes any 32 bytes for a key.
  std::string key;
  if (which == group::kX25519MlKem768) key = random_mlkem768_key();
  return u16(which) + with16(key + random_bytes(32));
}

std::string alpn_list(const std::vector<std::string>& names) {
  std::string bytes;
  for (const std::string& name : names) bytes += with8(name);
  return bytes;
}

std::string extensions_of(const HelloOffer& offer) {
  std::string all;
  if (!offer.sni.empty()) all += extension(0, with16(u8(0) + with16(offer.sni)));
  all += extension(23, "");             // extended_master_secret
  all += extension(0xff01, with8(""));  // renegotiation_info
  if (!offer.groups.empty()) all += extension(10, with16(list(offer.groups)));
  all += extension(11, with8(u8(0)));  // uncompressed points
  all += extension(35, "");            // session_ticket
  if (!offer.alpn.empty()) all += extension(16, with16(alpn_list(offer.alpn)));
  all += extension(5, u8(1) + u16(0) + u16(0));  // status_request
  if (!offer.signatures.empty()) all += extension(13, with16(list(offer.signatures)));
  if (!offer.key_shares.empty()) {
    std::string shares;
    for (const std::uint16_t which : offer.key_shares) shares += key_share(which);
    all += extension(51, with16(shares));
    all += extension(45, with8(u8(1)));  // psk_dhe_ke
  }
  if (!offer.versions.empty()) all += extension(43, with8(list(offer.versions)));
  return all;
}

namespace cloudflare = config::cloudflare;

std::vector<std::uint16_t> suites13() {
  return {cloudflare::kSuites13.begin(), cloudflare::kSuites13.end()};
}

}  // namespace

std::string random_mlkem768_key() {
  constexpr std::size_t kCoefficients = 768;
  constexpr unsigned kQ = 3329;
  std::string key;
  key.reserve(1184);
  unsigned first = 0;  // of a pair; two of 12 bits make three bytes
  for (std::size_t made = 0; made < kCoefficients;) {
    const std::string bytes = random_bytes(2);
    const unsigned value =
        (static_cast<unsigned char>(bytes[0]) << 8 | static_cast<unsigned char>(bytes[1])) & 0xfff;
    if (value >= kQ) continue;
    if (made++ % 2 == 0) {
      first = value;
      continue;
    }
    key += u8(first & 0xff) + u8((first >> 8) | (value & 0xf) << 4) + u8(value >> 4);
  }
  return key + random_bytes(32);
}

HelloOffer cloudflare_offer() {
  HelloOffer offer;
  offer.versions = {0x0304, 0x0303};
  offer.suites = suites13();
  offer.suites.insert(offer.suites.end(), cloudflare::kSuites12.begin(), cloudflare::kSuites12.end());
  offer.groups.assign(cloudflare::kGroups.begin(), cloudflare::kGroups.end());
  offer.key_shares = {cloudflare::kPostQuantumGroup, cloudflare::kKeyShareGroup};
  // Those of OpenSSL and BoringSSL alike.
  offer.signatures.assign(cloudflare::kSignatures.begin(), cloudflare::kSignatures.end());
  offer.alpn = {"h2", "http/1.1"};
  return offer;
}

HelloOffer post_quantum_offer() {
  HelloOffer offer = cloudflare_offer();
  offer.versions = {0x0304};
  offer.suites = suites13();
  return offer;
}

HelloOffer legacy_offer() {
  HelloOffer offer;
  offer.legacy_version = 0x0302;
  // ECDHE and RSA with AES and 3DES in CBC mode: all that these versions know and servers may have.
  offer.suites = {0xc00a, 0xc014, 0xc009, 0xc013, 0x0035, 0x002f, 0x000a};
  offer.groups = {group::kP256, group::kP384};
  return offer;
}

std::string hello_message(const HelloOffer& offer) {
  const bool is13 = std::find(offer.versions.begin(), offer.versions.end(), 0x0304) != offer.versions.end();
  const std::string session_id = is13 ? random_bytes(32) : std::string();  // RFC 8446 §D.4
  const std::string body = u16(offer.legacy_version) + random_bytes(32) + with8(session_id) +
                           with16(list(offer.suites)) + with8(u8(0)) + with16(extensions_of(offer));
  return client_hello_message(body);
}

}  // namespace sallyport::tls
