// Messages of chosen fields, each well framed, into a codec and its witness: octets drawn at random
// hardly ever make a message that breaks one rule alone. The first octet picks the side and what was
// asked; then fields, out of a list or made of the input's octets, and ends of sections and DATA.
// Besides what http2_sink.hpp promises: what the witness takes for a message, the codec does too.
#include <array>

#include "sallyport/http2/codec.hpp"

#include "http2_sink.hpp"

using namespace sallyport;
using namespace sallyport::http2;

namespace {

constexpr std::array kNames = {
    ":method",
    ":scheme",
    ":authority",
    ":path",
    ":protocol",
    ":status",
    ":x",
    ":",
    "host",
    "connection",
    "content-length",
    "te",
    "upgrade",
    "cookie",
    "x",
    "X",
    "",
    "priority",
    "keep-alive",
    "x y",
    "user-agent",
    "grpc-y",
    "te ",
    "content-Length",
    "expect",
    "server",
    "proxy-connection",
    "transfer-encoding",
};
constexpr std::array kValues = {
    "GET",      "HEAD",  "CONNECT", "OPTIONS",   "P:T",          "https",
    "HTTP",     "ftp",   "1http",   "e.com",     "E.com",        "e.com:1",
    "u@e.com",  "e,f",   "a b",     "/",         "/x?y",         "*",
    "x",        "/\x7f", "",        "websocket", "trailers",     "gzip",
    "TRAILERS", "0",     "1",       "3",         "+1",           "99999999999999999999",
    "200",      "204",   "304",     "100",       "103",          "101",
    "099",      "20",    "403",     "999",       " x",           "x\t",
    "x\ty",     "x\ny",  "\xe9",    "u=1, i",    "100-continue",
};

class Wire {
 public:
  explicit Wire(bool server) : text_(server ? kClientPreface : std::string_view{}) { frame(4, 0, 0, {}); }
  void field(std::string_view name, std::string_view value) {
    block_.append(1, '\0').append(1, static_cast<char>(name.size())).append(name);
    block_.append(1, static_cast<char>(value.size())).append(value);
  }
  [[nodiscard]] bool section_open() const { return !block_.empty(); }
  void end_section(bool end_stream) {
    frame(1, end_stream ? 5 : 4, 1, block_);
    block_.clear();
  }
  void data(std::size_t n, bool end_stream) { frame(0, end_stream ? 1 : 0, 1, std::string(n, 'd')); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void frame(int type, int flags, int stream, std::string_view payload) {
    const std::size_t n = payload.size();
    for (const std::size_t octet : {n >> 16, n >> 8 & 0xFF, n & 0xFF})
      text_.append(1, static_cast<char>(octet));
    text_.append(1, static_cast<char>(type)).append(1, static_cast<char>(flags));
    text_.append(3, '\0').append(1, static_cast<char>(stream)).append(payload);
  }
  std::string text_;
  std::string block_;
};

struct Input {
  const std::uint8_t* data;
  std::size_t size;
  unsigned octet() {
    if (size == 0) return 0;
    --size;
    return *data++;
  }
  template <std::size_t N>
  std::string text(const std::array<const char*, N>& list) {
    const unsigned n = octet();
    if (n < 0xF0) return list[n % N];
    std::string made(n & 0x0FU, ' ');
    for (char& c : made) c = static_cast<char>(octet());
    return made;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input{data, std::min<std::size_t>(size, 512)};
  const unsigned choice = input.octet();
  const bool server = (choice & 1U) == 0;
  Wire wire(server);
  // Where the codec is stricter: a Host that contradicts :authority, a tunnel's content-length, a
  // status below 100.
  bool may_differ = false;
  int left = 28;  // so many fields are within the limits, wherever they stand
  const auto add = [&](const std::string& name, const std::string& value) {
    if (left-- <= 0) return;
    may_differ =
        may_differ || name == "host" || value == "CONNECT" || (name == ":status" && value.starts_with('0'));
    wire.field(name, value);
  };
  if (server && (choice & 2U) != 0) {
    add(":method", "GET");
    add(":scheme", "https");
    add(":authority", "e.com");
    add(":path", "/");
  } else if (!server && (choice & 2U) != 0) {
    add(":status", "200");
  }
  while (input.size != 0) {
    const unsigned op = input.octet();
    if (op < 0xC0) {
      const std::string name = input.text(kNames);
      add(name, input.text(kValues));
    } else if (op < 0xE0) {
      wire.end_section((op & 1U) != 0);
    } else {
      if (wire.section_open()) wire.end_section(false);
      wire.data(op & 7U, (op & 8U) != 0);
    }
  }
  if (wire.section_open()) wire.end_section(true);

  const Side side = server ? Side::client : Side::upstream;
  fuzz::Sink sink(side);
  fuzz::Witness witness(side);
  sink.witness = &witness;
  if (!server) {
    fuzz::feed(sink, std::string("\0\0\6\4\0\0\0\0\0\0\10\0\0\0\1", 15), 0);
    const bool tunnel = (choice & 4U) != 0;
    sink.head_requests = !tunnel && (choice & 8U) != 0;
    const std::string_view method = sink.head_requests ? "HEAD" : "GET";
    http::RequestHead head;
    head.set_method(method);
    head.set_scheme("https");
    head.set_authority("example.com");
    head.set_target("/");
    if (tunnel) head.set_protocol("websocket");
    (void)sink.codec.open_request(head, (choice & 16U) == 0);
    sink.pump();
    witness.asked(tunnel ? "CONNECT" : method, (choice & 16U) == 0);
    may_differ = may_differ || tunnel;
  }
  fuzz::feed(sink, wire.text(), 0);
  // A connection that ends takes with it what came in the same bytes.
  if (may_differ || !witness.attends() || sink.codec.failure()) return 0;
  const int seen = witness[1].sections;
  fuzz::must(sink.sections(1).value_or(seen) == seen);
  return 0;
}
