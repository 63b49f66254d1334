// RFC 6455 as an echo: every data frame comes back as it is, unmasked; a ping gets its pong, a
// close its close.
#include <array>

#include <openssl/evp.h>

#include "protocols.hpp"

namespace sallyport::demo {
namespace {

constexpr std::uint64_t kMaxFrame = 64ULL * 1024 * 1024;

class Input {
 public:
  Input(Wire& wire, std::string received) : wire_(wire), buffer_(std::move(received)) {}

  // Exactly n bytes; false if the peer ended before the first of them.
  bool take(std::size_t n, std::string& out) {
    std::array<char, 65536> block{};
    while (buffer_.size() < n) {
      const std::size_t got = wire_.read(block);
      if (got == 0 && buffer_.empty()) return false;
      if (got == 0) throw Gone("the peer ended within a frame");
      buffer_.append(block.data(), got);
    }
    out = buffer_.substr(0, n);
    buffer_.erase(0, n);
    return true;
  }

 private:
  Wire& wire_;
  std::string buffer_;
};

struct Frame {
  unsigned char first = 0;  // FIN, reserved bits and opcode, as received
  std::string payload;
  [[nodiscard]] unsigned opcode() const { return first & 0xfU; }
};

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = (value << 8U) | static_cast<unsigned char>(c);
  return value;
}

bool read_frame(Input& input, Frame& frame) {
  std::string bytes;
  if (!input.take(2, bytes)) return false;
  frame.first = static_cast<unsigned char>(bytes[0]);
  const auto second = static_cast<unsigned char>(bytes[1]);
  const bool masked = (second & 0x80U) != 0;
  std::uint64_t length = second & 0x7fU;
  if (length >= 126) {
    if (!input.take(length == 126 ? 2 : 8, bytes)) return false;
    length = big_endian(bytes);
  }
  if (!masked || length > kMaxFrame) throw Gone("not a client's WebSocket frame");
  std::string mask;
  if (!input.take(4, mask) || !input.take(static_cast<std::size_t>(length), frame.payload)) return false;
  for (std::size_t i = 0; i < frame.payload.size(); ++i) {
    frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % 4]);
  }
  return true;
}

void write_frame(Wire& wire, unsigned char first, std::string_view payload) {
  std::string bytes(1, static_cast<char>(first));
  const auto push_length = [&](int octets) {
    for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8) {
      bytes += static_cast<char>((payload.size() >> static_cast<unsigned>(shift)) & 0xffU);
    }
  };
  if (payload.size() < 126) {
    bytes += static_cast<char>(payload.size());
  } else if (payload.size() <= 0xffff) {
    bytes += static_cast<char>(126);
    push_length(2);
  } else {
    bytes += static_cast<char>(127);
    push_length(8);
  }
  wire.write(bytes.append(payload));
}

}  // namespace

std::string websocket_accept(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned length = 0;
  EVP_Digest(text.data(), text.size(), sum.data(), &length, EVP_sha1(), nullptr);
  std::array<unsigned char, 64> encoded{};
  EVP_EncodeBlock(encoded.data(), sum.data(), static_cast<int>(length));
  return reinterpret_cast<const char*>(encoded.data());
}

void serve_websocket(Wire& wire, std::string received) {
  constexpr unsigned kClose = 8;
  constexpr unsigned kPing = 9;
  constexpr unsigned kPong = 10;
  constexpr unsigned char kFin = 0x80;
  Input input(wire, std::move(received));
  Frame frame;
  while (read_frame(input, frame)) {
    if (frame.opcode() == kPong) continue;
    if (frame.opcode() == kPing) {
      write_frame(wire, kFin | kPong, frame.payload);
      continue;
    }
    write_frame(wire, frame.first, frame.payload);
    if (frame.opcode() == kClose) return;
  }
}

}  // namespace sallyport::demo
