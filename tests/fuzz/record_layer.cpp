// The TLS 1.3 record layer: whatever a peer that has the keys seals, and whatever stands on the wire
// unsealed, what is delivered is what was sealed as data before the first fault, however it is cut.
//
// The first byte chooses the suite, the second the cuts; then one command a byte, each with its operands.
#include "record_layer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "sallyport/tls/names.hpp"

using sallyport::base::Buffer;
using sallyport::tls::RecordKeys;
using sallyport::tls::RecordLayer;

namespace {

constexpr std::size_t kMostCommands = 48;

void require_record(bool holds) {
  if (!holds) std::abort();
}

struct Operands {
  std::span<const std::uint8_t> bytes;
  std::uint8_t next() {
    if (bytes.empty()) return 0;
    const std::uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    return byte;
  }
  std::string text(std::size_t most) {
    const std::size_t n = std::min<std::size_t>(next() % (most + 1), bytes.size());
    std::string taken(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    return taken;
  }
};

struct BufferSink final : sallyport::tls::RecordSink {
  Buffer out;
  std::span<char> prepare(std::size_t n) override { return out.prepare(n); }
  void commit(std::size_t n) override { out.commit(n); }
};

struct Sent {
  std::string wire;
  std::string data;    // all that was sealed as data
  bool honest = true;  // nothing else was sent but changes of keys
};

Sent send_all(const sallyport::tls::RecordSuite& suite, std::span<const std::uint8_t> secret,
              Operands operands) {
  RecordKeys keys(suite, secret, 0, true);
  Sent sent;
  const auto seal = [&](std::uint8_t type, const std::string& plain) {
    std::string record(RecordKeys::kHeader + plain.size() + 1 + RecordKeys::kTag, '\0');
    require_record(keys.seal(type, plain, record));
    return record;
  };
  for (std::size_t i = 0; i < kMostCommands && !operands.bytes.empty(); ++i) {
    const std::uint8_t command = operands.next();
    std::uint8_t type = 0;
    switch (command % 8) {
      case 0:
      case 1: {
        std::string plain = operands.text(200);
        if (plain.empty()) plain.push_back('x');
        sent.data += plain;
        if (command % 8 == 1) {
          plain += '\x17' + std::string(operands.next() % 56, '\0');
          sent.wire += seal(0, plain);
        } else {
          sent.wire += seal(23, plain);
        }
        break;
      }
      case 2: {
        const std::string plain(16384 - operands.next() % 2, 'd');
        sent.data += plain;
        sent.wire += seal(23, plain);
        break;
      }
      case 3:
        sent.wire += seal(22, std::string("\x18\0\0\1", 4) + static_cast<char>(command >> 7));
        require_record(keys.update());
        // 33 of these in a row are too many.
        sent.data += 'k';
        sent.wire += seal(23, "k");
        break;
      case 4:
        sent.honest = false;
        // What would be data, as it stands or behind padding, comes by the commands above.
        type = operands.next();
        sent.wire += seal(type == 0 || type == 23 ? 99 : type, operands.text(20));
        break;
      case 5:
        sent.honest = false;
        sent.wire += operands.text(40);
        break;
      case 6: {
        sent.honest = false;
        std::string record = seal(23, "flipped");
        record[operands.next() % record.size()] ^= static_cast<char>(1 << (command >> 5));
        sent.wire += record;
        break;
      }
      case 7:
        sent.honest = false;
        sent.wire += seal(22, operands.text(6));
        break;
    }
  }
  return sent;
}

struct Received {
  std::string data;
  RecordLayer::End end = RecordLayer::End::want_read;
  std::optional<std::uint8_t> alert;
  bool operator==(const Received&) const = default;
};

Received receive(const RecordLayer::Start& start, std::span<const char> wire, std::size_t piece) {
  BufferSink sink;
  RecordLayer layer(start, sink);
  Received received;
  std::vector<char> room(20'000);
  while (!wire.empty() && received.end == RecordLayer::End::want_read) {
    std::span<const char> in = wire.first(std::min(piece, wire.size()));
    wire = wire.subspan(in.size());
    do {
      const RecordLayer::Read read = layer.read(in, room);
      require_record(read.size <= room.size());
      received.data.append(room.data(), read.size);
      received.end = read.end;
    } while (received.end == RecordLayer::End::more);
  }
  received.alert = layer.alert_sent();
  require_record(sink.out.size() < 64 * 1024);
  return received;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto* suite = sallyport::tls::record_suite(static_cast<std::uint16_t>(0x1301 + data[0] % 3));
  const std::vector<std::uint8_t> read_secret(48, 1), write_secret(48, 2);
  const RecordLayer::Start start{suite, read_secret, write_secret};
  const Sent sent = send_all(*suite, read_secret, {{data + 2, size - 2}});
  const Received whole = receive(start, sent.wire, SIZE_MAX);
  const Received cut = receive(start, sent.wire, std::size_t{1} + data[1] * 71);
  require_record(whole == cut);
  require_record(sent.data.compare(0, whole.data.size(), whole.data) == 0);
  if (sent.honest) require_record(whole.data == sent.data && whole.end == RecordLayer::End::want_read);
  return 0;
}
