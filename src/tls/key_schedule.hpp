// The key schedule of TLS 1.3 (RFC 8446 §7.1): what OpenSSL's "TLS13-KDF" computes, without what
// that spends on looking up HMAC and digests for each of a handshake's eighteen derivations, and
// with an ear for the secrets that records are protected with. Private to tls.
//
// Contexts made with our provider's property query use it (provider.hpp). Called on any thread; it
// keeps no secret between calls, but while a tap lives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::tls {

// client_application_traffic_secret_0 and its server's. Cleansed when it dies.
struct TrafficSecrets {
  std::array<std::uint8_t, 48> client{};
  std::array<std::uint8_t, 48> server{};
  std::size_t size = 0;  // octets of each, the hash's; 0: none were seen yet
  bool has_client = false;
  bool has_server = false;

  ~TrafficSecrets();
  void clear() noexcept;
};

// While one lives, the application traffic secrets that handshakes on this thread derive through our
// key schedule are noted in `into`, which outlives it. One at a time on a thread. Derivations are
// cheaper meanwhile: the last two secrets' HMAC states are remembered, and cleansed with the tap.
class SecretsTap {
 public:
  explicit SecretsTap(TrafficSecrets& into) noexcept;
  ~SecretsTap();
  SecretsTap(const SecretsTap&) = delete;
  SecretsTap& operator=(const SecretsTap&) = delete;
};

// HKDF-Expand-Label with an empty context; the label is without "tls13 " ("key", "iv",
// "traffic upd"). False: the hash's size is neither 32 nor 48, or label or output are too long.
[[nodiscard]] bool expand_label(std::size_t hash_size, std::span<const std::uint8_t> secret,
                                std::string_view label, std::span<std::uint8_t> out) noexcept;

}  // namespace sallyport::tls
