#include "reply.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <functional>
#include <map>

#include "json.hpp"

namespace sallyport::demo {

const char* const kDescription = R"(Paths (numbers in the query are optional):
  /echo              JSON: method, target, fields as received, length and SHA-256 of the body
  /bytes/N           N bytes: byte i is p[i mod 65521], p[k] = (k * 2654435761 mod 2^32) >> 13, low 8 bits
  /stream/N          N chunks          ?interval=10 ms  ?size=64 bytes
  /sse/N             N server-sent events  ?interval=10 ms
  /upload            JSON: length and SHA-256 of the body  ?pause=0 ms before the body is read
  /status/NNN        that status
  /delay/MS          answers after so long
  /early             413 at once, the body is not read
  /trailers          a body and then trailers
  /103               early hints, then 200
  /reset             resets the connection or stream  ?after=N bytes of the body (before the head without it)
  /short, /short/N   declares 1000 bytes (2N), sends 500 (N) and ends
  /close             answers, and this connection takes no further request
  /ws                WebSocket echo (HTTP/1.1)
  /stats             JSON: counters of this process
  anything else      a short text
)";

namespace {

// Prime, so that bytes which land a power of two away from their place do not match.
constexpr std::size_t kPeriod = 65521;

const std::array<char, kPeriod>& pattern() {
  static const auto table = [] {
    std::array<char, kPeriod> bytes{};
    for (std::uint32_t k = 0; k < kPeriod; ++k) bytes[k] = static_cast<char>((k * 2654435761U) >> 13U);
    return bytes;
  }();
  return table;
}

class Bytes final : public Body {
 public:
  explicit Bytes(std::uint64_t total) : total_(total) {}
  Pull pull(std::span<char> out) override {
    std::size_t n = 0;
    while (n < out.size() && sent_ < total_) {
      const std::size_t at = sent_ % kPeriod;
      const std::size_t run =
          std::min({out.size() - n, kPeriod - at, static_cast<std::size_t>(total_ - sent_)});
      std::memcpy(out.data() + n, pattern().data() + at, run);
      n += run;
      sent_ += run;
    }
    return {n, milliseconds(0), sent_ == total_};
  }

 private:
  std::uint64_t total_;
  std::uint64_t sent_ = 0;
};

class Text final : public Body {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}
  Pull pull(std::span<char> out) override {
    const std::size_t n = text_.copy(out.data(), out.size(), sent_);
    sent_ += n;
    return {n, milliseconds(0), sent_ == text_.size()};
  }

 private:
  std::string text_;
  std::size_t sent_ = 0;
};

// Pieces that a function makes, one an interval.
class Pieces final : public Body {
 public:
  Pieces(std::uint64_t count, milliseconds interval, std::function<std::string(std::uint64_t)> make)
      : count_(count), interval_(interval), make_(std::move(make)) {}
  Pull pull(std::span<char> out) override {
    if (rest_.empty() && made_ < count_) rest_ = make_(made_++);
    const std::size_t n = rest_.copy(out.data(), out.size());
    rest_.erase(0, n);
    const bool end = rest_.empty() && made_ == count_;
    return {n, rest_.empty() && !end ? interval_ : milliseconds(0), end};
  }

 private:
  std::uint64_t count_;
  milliseconds interval_;
  std::function<std::string(std::uint64_t)> make_;
  std::uint64_t made_ = 0;
  std::string rest_;
};

Reply text_reply(std::string text, std::string type = "text/plain") {
  Reply reply;
  reply.fields.push_back({"content-type", std::move(type)});
  reply.length = text.size();
  reply.body = std::make_unique<Text>(std::move(text));
  return reply;
}

Reply json_reply(std::string text) {
  return text_reply(std::move(text), "application/json");
}

std::string body_json(const Request& request) {
  return json::object(
      {{"bytes", std::to_string(request.body_bytes)}, {"sha256", json::text(request.body_sha256)}});
}

Reply echo(const Request& request, const Wire& wire) {
  std::vector<json::Member> members{
      {"version", json::text(request.version)},     {"method", json::text(request.method)},
      {"target", json::text(request.target)},       {"authority", json::text(request.authority)},
      {"headers", json::fields(request.fields)},    {"body", body_json(request)},
      {"trailers", json::fields(request.trailers)}, {"peer", json::text(wire.peer())}};
  if (const auto& tls = wire.tls()) {
    members.push_back({"tls", json::object({{"sni", json::text(tls->sni)},
                                            {"alpn", json::text(tls->alpn)},
                                            {"client_subject", json::text(tls->client_subject)}})});
  }
  return json_reply(json::object(members) + "\n");
}

Reply bytes(std::uint64_t count) {
  Reply reply;
  reply.fields.push_back({"content-type", "application/octet-stream"});
  reply.length = count;
  reply.body = std::make_unique<Bytes>(count);
  return reply;
}

Reply stream(const Request& request, std::uint64_t count) {
  Reply reply;
  reply.fields.push_back({"content-type", "text/plain"});
  const auto size = std::max<std::uint64_t>(request.number("size", 64), 1);
  reply.body =
      std::make_unique<Pieces>(count, milliseconds(request.number("interval", 10)), [size](std::uint64_t i) {
        std::string piece = "chunk " + std::to_string(i) + " ";
        piece.resize(size, '.');
        piece.back() = '\n';
        return piece;
      });
  return reply;
}

Reply events(const Request& request, std::uint64_t count) {
  Reply reply;
  reply.fields.push_back({"content-type", "text/event-stream"});
  reply.fields.push_back({"cache-control", "no-store"});
  reply.body =
      std::make_unique<Pieces>(count, milliseconds(request.number("interval", 10)), [](std::uint64_t i) {
        const std::string number = std::to_string(i);
        return "id: " + number + "\ndata: event " + number + "\n\n";
      });
  return reply;
}

Reply status(std::uint64_t code) {
  const int known = code >= 200 && code <= 599 ? static_cast<int>(code) : 400;
  Reply reply = text_reply("status " + std::to_string(known) + "\n");
  reply.status = known;
  if (known == 204 || known == 304) {
    reply.body.reset();
    reply.length.reset();
  }
  return reply;
}

Reply early() {
  Reply reply = text_reply("too much\n");
  reply.status = 413;
  reply.last = true;
  return reply;
}

Reply with_trailers() {
  Reply reply;
  reply.fields.push_back({"content-type", "text/plain"});
  reply.fields.push_back({"trailer", "x-checksum, x-done"});
  reply.body = std::make_unique<Text>("a body with trailers\n");
  reply.trailers = {{"x-checksum", "abc123"}, {"x-done", "yes"}};
  return reply;
}

Reply with_hints() {
  Reply reply = text_reply("after the hints\n");
  reply.early_hints.push_back({{"link", "</style.css>; rel=preload; as=style"}});
  return reply;
}

Reply reset(const Request& request) {
  const std::uint64_t after = request.number("after", 0);
  Reply reply = bytes(after);
  reply.length = 1'000'000'000;
  reply.head = after != 0;
  reply.end = Reply::End::reset;
  return reply;
}

Reply cut(std::uint64_t sent) {
  Reply reply = bytes(sent);
  reply.length = 2 * sent;
  reply.end = Reply::End::cut;
  reply.last = true;
  return reply;
}

Reply counters(const Stats& stats) {
  const auto number = [](const std::atomic<std::uint64_t>& value) { return std::to_string(value.load()); };
  return json_reply(json::object({{"connections", number(stats.connections)},
                                  {"open", number(stats.open)},
                                  {"requests", number(stats.requests)},
                                  {"canceled", number(stats.canceled)},
                                  {"body_bytes", number(stats.body_bytes)},
                                  {"websockets", number(stats.websockets)}}) +
                    "\n");
}

// "/bytes/12" → {"/bytes", 12}; a path without a number keeps its whole name.
struct Route {
  std::string_view name;
  std::uint64_t number = 0;
};

Route split(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  std::uint64_t number = 0;
  const char* end = path.data() + path.size();
  if (slash == 0 || slash == std::string_view::npos) return {path, 0};
  const auto parsed = std::from_chars(path.data() + slash + 1, end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return {path, 0};
  return {path.substr(0, slash), number};
}

}  // namespace

bool answers_early(const Request& request) {
  return request.path() == "/early";
}

milliseconds pause_before_body(const Request& request) {
  return milliseconds(request.path() == "/upload" ? request.number("pause", 0) : 0);
}

Reply answer(const Request& request, const Wire& wire, const Stats& stats) {
  const auto [name, number] = split(request.path());
  if (name == "/echo") return echo(request, wire);
  if (name == "/bytes") return bytes(number);
  if (name == "/stream") return stream(request, number);
  if (name == "/sse") return events(request, number);
  if (name == "/upload") return json_reply(body_json(request) + "\n");
  if (name == "/status") return status(number);
  if (name == "/early") return early();
  if (name == "/trailers") return with_trailers();
  if (request.path() == "/103") return with_hints();
  if (name == "/reset") return reset(request);
  if (name == "/short") return cut(number == 0 ? 500 : number);
  if (name == "/stats") return counters(stats);
  if (name == "/") return text_reply(kDescription);
  Reply reply = text_reply("sallyport-demo: " + request.method + " " + request.target + " over " +
                           request.version + "\n");
  if (name == "/delay") reply.delay = milliseconds(number);
  if (name == "/close") reply.last = true;
  return reply;
}

}  // namespace sallyport::demo
