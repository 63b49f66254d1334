#include "sallyport/base/siphash.hpp"

#include <bit>
#include <random>

namespace sallyport::base {

namespace {

struct State {
  std::uint64_t v0, v1, v2, v3;

  void rounds(int n) noexcept {
    for (; n > 0; --n) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  }
  void take(std::uint64_t word) noexcept {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  [[nodiscard]] std::uint64_t sum() const noexcept { return v0 ^ v1 ^ v2 ^ v3; }
};

// Little-endian, wherever it runs.
std::uint64_t word_of(std::span<const char> bytes) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return word;
}

}  // namespace

SipHash::Key SipHash::random_key() {
  std::random_device device;
  const auto word = [&device] { return (std::uint64_t{device()} << 32) | device(); };
  const std::uint64_t first = word();
  return {first, word()};
}

Digest SipHash::operator()(std::span<const char> bytes) const noexcept {
  State state{key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d ^ 0xee, key_[0] ^ 0x6c7967656e657261,
              key_[1] ^ 0x7465646279746573};
  const std::uint64_t length = std::uint64_t{bytes.size()} << 56;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) state.take(word_of(bytes.first(8)));
  state.take(length | word_of(bytes));
  Digest digest;
  state.v2 ^= 0xee;
  state.rounds(4);
  digest.low = state.sum();
  state.v1 ^= 0xdd;
  state.rounds(4);
  digest.high = state.sum();
  return digest;
}

}  // namespace sallyport::base
