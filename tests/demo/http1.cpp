// HTTP/1.x as an origin: one request at a time, read and answered in order. Lenient on purpose
// where it does no harm: what the gateway lets through is for the tests to look at.
#include <array>
#include <charconv>
#include <string>

#include "digest.hpp"
#include "protocols.hpp"

namespace sallyport::demo {
namespace {

constexpr std::size_t kMaxHead = 1024 * 1024;
constexpr std::size_t kChunk = 64 * 1024;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::uint64_t parse_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (parsed.ec != std::errc{} || parsed.ptr == text.data()) throw Gone("a length that is no number");
  return value;
}

// Lines and runs of bytes out of the connection.
class Reader {
 public:
  explicit Reader(Wire& wire) : wire_(wire) {}

  // False if the peer ended before the first byte.
  bool any() { return !buffer_.empty() || fill(); }

  std::string line() {
    std::size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      if (buffer_.size() > kMaxHead) throw Gone("a line that is too long");
      if (!fill()) throw Gone("the peer ended within a line");
    }
    std::string text = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    if (!text.empty() && text.back() == '\r') text.pop_back();
    return text;
  }

  // Gives `count` bytes to the digest.
  void body(std::uint64_t count, Digest& digest) {
    while (count > 0) {
      if (buffer_.empty() && !fill()) throw Gone("the peer ended within a body");
      const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer_.size()));
      digest.add({buffer_.data(), n});
      buffer_.erase(0, n);
      count -= n;
    }
  }

  Fields fields() {
    Fields list;
    for (std::string text = line(); !text.empty(); text = line()) {
      const std::size_t colon = text.find(':');
      if (colon == std::string::npos) throw Gone("a field without a colon");
      list.push_back({text.substr(0, colon), std::string(trimmed(std::string_view(text).substr(colon + 1)))});
    }
    return list;
  }

  [[nodiscard]] std::string rest() { return std::move(buffer_); }

 private:
  bool fill() {
    const std::size_t n = wire_.read(block_);
    buffer_.append(block_.data(), n);
    return n > 0;
  }

  Wire& wire_;
  std::string buffer_;
  std::array<char, kChunk> block_{};
};

Request read_head(Reader& reader) {
  Request request;
  const std::string line = reader.line();
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string::npos || first == last) throw Gone("no request line");
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  request.version = line.substr(last + 1);
  request.fields = reader.fields();
  request.authority = std::string(request.field("host"));
  return request;
}

void read_body(Reader& reader, Request& request) {
  Digest digest;
  if (lower(request.field("transfer-encoding")).find("chunked") != std::string::npos) {
    for (;;) {
      const std::uint64_t size = parse_number(reader.line(), 16);
      if (size == 0) break;
      reader.body(size, digest);
      static_cast<void>(reader.line());
    }
    request.trailers = reader.fields();
  } else if (const auto length = request.field("content-length"); !length.empty()) {
    reader.body(parse_number(length, 10), digest);
  }
  digest.finish(request);
}

bool wants_close(const Request& request) {
  const std::string connection = lower(request.field("connection"));
  if (connection.find("close") != std::string::npos) return true;
  return request.version == "HTTP/1.0" && connection.find("keep-alive") == std::string::npos;
}

std::string lines_of(const Fields& fields) {
  std::string text;
  for (const auto& field : fields) text += field.name + ": " + field.value + "\r\n";
  return text + "\r\n";
}

// How the body's end is told.
enum class Framing { none, length, chunked, close };

Framing framing_of(const Request& request, const Reply& reply) {
  if (reply.status == 204 || reply.status == 304) return Framing::none;
  if (reply.length) return Framing::length;
  return request.version == "HTTP/1.0" ? Framing::close : Framing::chunked;
}

void send_head(Wire& wire, const Reply& reply, Framing framing, bool close) {
  std::string head;
  for (const auto& hints : reply.early_hints) head += "HTTP/1.1 103 Early Hints\r\n" + lines_of(hints);
  head += "HTTP/1.1 " + std::to_string(reply.status) + " Demo\r\n";
  if (framing == Framing::length) head += "Content-Length: " + std::to_string(*reply.length) + "\r\n";
  if (framing == Framing::chunked) head += "Transfer-Encoding: chunked\r\n";
  head += close ? "Connection: close\r\n" : "Connection: keep-alive\r\n";
  wire.write(head + lines_of(reply.fields));
}

std::string chunk(std::string_view bytes) {
  std::array<char, 16> size{};
  const auto end = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16).ptr;
  return std::string(size.data(), end) + "\r\n" + std::string(bytes) + "\r\n";
}

void send_body(Wire& wire, Reply& reply, Framing framing) {
  std::array<char, kChunk> block{};
  for (bool end = reply.body == nullptr; !end;) {
    const Body::Pull pulled = reply.body->pull(block);
    const std::string_view bytes(block.data(), pulled.bytes);
    if (!bytes.empty()) {
      if (framing == Framing::chunked) {
        wire.write(chunk(bytes));
      } else {
        wire.write(bytes);
      }
    }
    if (pulled.pause.count() > 0) wire.pause(pulled.pause);
    end = pulled.end;
  }
  if (framing == Framing::chunked && reply.end == Reply::End::clean)
    wire.write("0\r\n" + lines_of(reply.trailers));
}

bool is_websocket(const Request& request) {
  return request.path() == "/ws" && lower(request.field("upgrade")) == "websocket";
}

void upgrade(Wire& wire, Stats& stats, const Request& request, Reader& reader) {
  ++stats.websockets;
  std::string head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  const auto protocols = request.field("sec-websocket-protocol");
  if (!protocols.empty()) {
    head +=
        "Sec-WebSocket-Protocol: " + std::string(trimmed(protocols.substr(0, protocols.find(',')))) + "\r\n";
  }
  head += "Sec-WebSocket-Accept: " + websocket_accept(std::string(request.field("sec-websocket-key"))) +
          "\r\n\r\n";
  wire.write(head);
  serve_websocket(wire, reader.rest());
}

// One exchange. False if the connection is over.
bool exchange(Wire& wire, Stats& stats, Reader& reader) {
  Request request = read_head(reader);
  ++stats.requests;
  if (is_websocket(request)) {
    upgrade(wire, stats, request, reader);
    return false;
  }
  const bool early = answers_early(request);
  if (!early) {
    if (const auto pause = pause_before_body(request); pause.count() > 0) wire.pause(pause);
    if (lower(request.field("expect")) == "100-continue") wire.write("HTTP/1.1 100 Continue\r\n\r\n");
    read_body(reader, request);
    stats.body_bytes += request.body_bytes;
  }
  Reply reply = answer(request, wire, stats);
  if (reply.delay.count() > 0) wire.pause(reply.delay);
  const Framing framing = framing_of(request, reply);
  const bool close = reply.last || early || framing == Framing::close || wants_close(request);
  if (reply.head) {
    send_head(wire, reply, framing, close);
    if (framing != Framing::none && request.method != "HEAD") send_body(wire, reply, framing);
  }
  if (reply.end == Reply::End::reset) {
    if (reply.head) wire.pause(kBeforeReset);
    wire.abort();
    return false;
  }
  return !close;
}

}  // namespace

void serve_http1(Wire& wire, Stats& stats) {
  Reader reader(wire);
  while (reader.any()) {
    try {
      if (!exchange(wire, stats, reader)) break;
    } catch (const Gone&) {
      ++stats.canceled;
      throw;
    }
  }
  wire.linger();
}

}  // namespace sallyport::demo
