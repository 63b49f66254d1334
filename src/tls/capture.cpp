#include "sallyport/tls/capture.hpp"

#include <algorithm>
#include <vector>

#include "packets.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

using Result = boost::system::result<Capture, std::string>;

constexpr std::size_t kMaxPacket = 256 * 1024;  // with offloading, a "packet" may be 64 KiB
constexpr std::size_t kMaxDump = 4 * 1024 * 1024;

// ---- records ---------------------------------------------------------------------------------

// The records that the hello fills; of the last one all.
std::string_view leading_hello_records(std::string_view bytes) {
  std::size_t needed = 4;
  std::string head;
  std::size_t message = 0;
  std::size_t end = 0;
  while (message < needed && bytes.size() - end >= 5) {
    const std::size_t size = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[end + 3])) << 8 |
                             static_cast<std::uint8_t>(bytes[end + 4]);
    head += bytes.substr(end + 5, std::min<std::size_t>(size, 4));
    if (head.size() >= 4) {
      needed = 4 + (static_cast<std::size_t>(static_cast<std::uint8_t>(head[1])) << 16 |
                    static_cast<std::size_t>(static_cast<std::uint8_t>(head[2])) << 8 |
                    static_cast<std::uint8_t>(head[3]));
    }
    message += size;
    end += 5 + size;
  }
  return bytes.substr(0, std::min(end, bytes.size()));
}

std::string_view fault_word(HelloFault fault) {
  switch (fault) {
    case HelloFault::plain_http:
      return "it is plain HTTP";
    case HelloFault::proxy_header:
      return "it begins with a PROXY protocol header: cut that off";
    case HelloFault::alert:
      return "it is an alert: the client gave up before it said a word";
    case HelloFault::too_large:
      return "the ClientHello is larger than 16 KiB, or cut into more than 1024 records";
    case HelloFault::malformed:
      return "the ClientHello breaks the rules of TLS, or it is another message";
    case HelloFault::bad_record:
      return "a TLS record in it is broken";
    default:
      return "it is no TLS record";
  }
}

bool is_message(std::string_view bytes) {
  if (bytes.size() < 4 || bytes[0] != 1) return false;
  const std::size_t length = static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[1])) << 16 |
                             static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[2])) << 8 |
                             static_cast<std::uint8_t>(bytes[3]);
  return length + 4 == bytes.size();
}

Result hello_of(Capture::Form form, std::string_view bytes) {
  const std::string records = is_message(bytes) ? hello_records(bytes) : std::string(bytes);
  HelloReader reader;
  switch (reader.feed(records)) {
    case HelloReader::State::complete:
      break;
    case HelloReader::State::need_more:
      return std::string("the ClientHello is not whole: ") + std::to_string(bytes.size()) +
             " bytes are not all of it";
    case HelloReader::State::failed:
      return std::string(fault_word(reader.fault()));
  }
  Capture made;
  made.form = form;
  made.records = leading_hello_records(records);
  return made;
}

Result of_packets(Capture::Form form, const Packets::Found& found) {
  Capture made;
  made.form = form;
  made.records = leading_hello_records(found.records);
  made.client = found.client;
  made.server = found.server;
  return made;
}

// ---- hex dumps -------------------------------------------------------------------------------

int digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
bool all_hex(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return digit(c) >= 0; });
}
bool is_blank(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view first_word(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
  return line.substr(0, line.find_first_of(" \t\r"));
}

// "00000000:", "0000", "0x0000:": what stands before a dump's first bytes. A hello does not begin so.
bool is_zero_offset(std::string_view word) {
  if (word.ends_with(':')) word.remove_suffix(1);
  if (word.starts_with("0x")) word.remove_prefix(2);
  return word.size() >= 4 && word.find_first_not_of('0') == std::string_view::npos;
}

// One line of a dump with offsets: bytes up to the column of characters, which a wider gap parts off.
// hexdump -C has such a gap after eight bytes too.
void add_dump_line(std::string_view line, std::string& bytes) {
  std::size_t at = line.find(first_word(line));
  at += first_word(line).size();
  const std::size_t before = bytes.size();
  const bool bars = line.find('|') != std::string_view::npos;
  for (bool first = true;; first = false) {
    std::size_t gap = 0;
    for (; at < line.size() && is_blank(line[at]); ++at) ++gap;
    std::size_t end = at;
    while (end < line.size() && !is_blank(line[end])) ++end;
    const std::string_view word = line.substr(at, end - at);
    const bool middle = gap == 2 && bytes.size() - before == 8 && (bars || word.size() == 2);
    if (!all_hex(word) || word.size() % 2 != 0 || (gap > 1 && !first && !middle)) return;
    for (std::size_t i = 0; i < word.size(); i += 2)
      bytes.push_back(static_cast<char>(digit(word[i]) << 4 | digit(word[i + 1])));
    at = end;
  }
}

// What is wrong, or nothing.
std::string bytes_of_hex(std::string_view text, std::string& bytes) {
  std::optional<bool> offsets;
  int half = -1;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const std::string_view word = first_word(line);
    if (word.empty() || word.starts_with('#')) continue;
    if (!offsets) offsets = is_zero_offset(word);
    if (*offsets) {
      add_dump_line(line, bytes);
      continue;
    }
    for (std::size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      // "0x16," and "\x16" as programs write them; "16:03" as others do.
      if ((c == '0' || c == '\\') && i + 1 < line.size() && line[i + 1] == 'x') {
        ++i;
        continue;
      }
      if (is_blank(c) || std::string_view(",:;\"'{}").find(c) != std::string_view::npos) continue;
      const int value = digit(c);
      if (value < 0) {
        return "line " + std::to_string(number) + ", column " + std::to_string(i + 1) +
               ": this is no hexadecimal digit";
      }
      if (half < 0) {
        half = value;
      } else {
        bytes.push_back(static_cast<char>(half << 4 | value));
        half = -1;
      }
    }
  }
  if (half >= 0) return "an odd number of hexadecimal digits: one is missing";
  return bytes.empty() ? "there are no bytes in it" : "";
}

// A dump may be of the TLS layer or of a whole packet.
Result hello_of_hex(std::string_view text) {
  if (text.size() > kMaxDump) return std::string("a hex dump of one ClientHello is not that large");
  std::string bytes;
  if (std::string wrong = bytes_of_hex(text, bytes); !wrong.empty()) return wrong;
  Result direct = hello_of(Capture::Form::hex, bytes);
  if (direct.has_value()) return direct;
  for (const Link link : {Link::raw, Link::ethernet, Link::cooked, Link::null}) {
    Packets packets;
    if (packets.add(link, bytes)) return of_packets(Capture::Form::hex, packets.found());
  }
  return direct;
}

// ---- packet captures -------------------------------------------------------------------------

std::string odd_link(std::uint32_t number) {
  return "its packets have link type " + std::to_string(number) +
         ", which is not known here: Ethernet, Linux cooked, raw IP and loopback are";
}

Result hello_of_pcap(std::string_view file, bool big) {
  ByteReader in(file);
  in.take(20);
  const std::uint32_t link = in.u32(big) & 0xffff;
  if (in.bad()) return std::string("it is cut off within the header of pcap");
  if (!is_known(static_cast<Link>(link))) return odd_link(link);
  Packets packets;
  while (in.left().size() >= 16) {
    in.take(8);
    const std::uint32_t size = in.u32(big);
    in.take(4);
    if (size > kMaxPacket) {
      return "a packet of " + std::to_string(size) + " bytes at byte " +
             std::to_string(file.size() - in.left().size()) + ": this is no pcap file, or it is broken";
    }
    // The last packet of a file that is still being written.
    const std::string_view packet = in.take(size);
    if (packets.add(static_cast<Link>(link), packet)) return of_packets(Capture::Form::pcap, packets.found());
  }
  return packets.why_not();
}

class Pcapng {
 public:
  explicit Pcapng(std::string_view file) : file_(file) {}

  Result hello() {
    ByteReader in(file_);
    while (in.left().size() >= 12) {
      const std::size_t at = file_.size() - in.left().size();
      ByteReader peek = in;
      const std::uint32_t type = peek.u32(big_);
      constexpr std::uint32_t kSection = 0x0a0d0d0a;
      if (type == kSection) {
        peek.take(4);
        const std::uint32_t order = peek.u32(true);
        if (order != 0x1a2b3c4d && order != 0x4d3c2b1a) return broken("a section without a byte order", at);
        big_ = order == 0x1a2b3c4d;
        links_.clear();
      }
      peek = in;
      peek.take(4);
      const std::uint32_t size = peek.u32(big_);
      if (size < 12 || size % 4 != 0 || size > in.left().size()) return broken("a block of a wrong size", at);
      ByteReader body(in.take(size).substr(8, size - 12));
      if (std::string wrong = block(type, body); !wrong.empty()) return broken(wrong, at);
      if (done_) return of_packets(Capture::Form::pcapng, packets_.found());
    }
    return odd_ != 0 && links_.size() == 1 ? odd_link(odd_) : packets_.why_not();
  }

 private:
  static std::string broken(const std::string& what, std::size_t at) {
    return what + " at byte " + std::to_string(at) + ": this is no pcapng file, or it is broken";
  }

  // What is wrong with it, or nothing.
  std::string block(std::uint32_t type, ByteReader body) {
    constexpr std::uint32_t kInterface = 1, kOldPacket = 2, kSimplePacket = 3, kPacket = 6;
    std::uint32_t interface = 0;
    std::uint32_t size = 0;
    switch (type) {
      case kInterface:
        if (links_.size() >= 65536) return "too many interfaces";
        links_.push_back(static_cast<Link>(body.u16(big_)));
        if (!is_known(links_.back())) odd_ = static_cast<std::uint32_t>(links_.back());
        return body.bad() ? "an interface that is cut off" : "";
      case kOldPacket:
        interface = body.u16(big_);
        body.take(10);
        size = body.u32(big_);
        body.take(4);
        break;
      case kSimplePacket:
        size = body.u32(big_);  // as it was on the wire: what was kept may be less
        size = std::min(size, static_cast<std::uint32_t>(body.left().size()));
        break;
      case kPacket:
        interface = body.u32(big_);
        body.take(8);
        size = body.u32(big_);
        body.take(4);
        break;
      default:
        return {};
    }
    const std::string_view packet = body.take(size);
    if (body.bad()) return "a packet that is cut off";
    if (interface >= links_.size()) return "a packet of an interface that is not described";
    if (is_known(links_[interface])) done_ = packets_.add(links_[interface], packet);
    return {};
  }

  std::string_view file_;
  bool big_ = false;
  bool done_ = false;
  std::uint32_t odd_ = 0;  // a link type that is not known
  std::vector<Link> links_;
  Packets packets_;
};

bool is_text(std::string_view file) {
  return std::all_of(file.begin(),
                     file.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(file.size(), 4096)),
                     [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t'; });
}

}  // namespace

std::string_view to_string(Capture::Form form) noexcept {
  static constexpr std::string_view kWords[] = {"a hex dump", "bytes", "a packet capture (pcap)",
                                                "a packet capture (pcapng)"};
  return kWords[static_cast<std::size_t>(form)];
}

Result read_capture(std::string_view file) {
  if (file.empty()) return std::string("it is empty");
  if (file.size() > kMaxCaptureBytes)
    return std::string("it is larger than 256 MiB: filter the capture first");
  ByteReader head(file);
  switch (head.u32()) {
    case 0xa1b2c3d4:  // microseconds
    case 0xa1b23c4d:  // nanoseconds
      return hello_of_pcap(file, true);
    case 0xd4c3b2a1:
    case 0x4d3cb2a1:
      return hello_of_pcap(file, false);
    case 0x0a0d0d0a:
      return Pcapng(file).hello();
    default:
      break;
  }
  return is_text(file) ? hello_of_hex(file) : hello_of(Capture::Form::bytes, file);
}

}  // namespace sallyport::tls
