#include "doctor_request.hpp"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "sallyport/base/buffer.hpp"
#include "sallyport/http2/codec.hpp"
#include "sallyport/tls/names.hpp"

#include "probe_talk.hpp"

namespace sallyport::cli {

namespace {

using tls::ProbeEnd;
using Read = tls::ProbeConnection::Read;

constexpr std::size_t kBatch = 16384;

// Cloudflare's, of a visitor at an address that nobody has (RFC 5737).
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kFields{{
    {"accept-encoding", "br, gzip"},
    {"cdn-loop", "cloudflare; loops=1"},
    {"cf-connecting-ip", "203.0.113.7"},
    {"cf-ipcountry", "XX"},
    {"cf-ray", "0000000000000000-XXX"},
    {"cf-visitor", "{\"scheme\":\"https\"}"},
    {"user-agent", "sallyport-doctor"},
    {"x-forwarded-for", "203.0.113.7"},
    {"x-forwarded-proto", "https"},
}};

// Why no answer came, by how the connection ended.
void explain(const Read& read, CloudflareAnswer& answer) {
  if (answer.status != 0 || !answer.problem.empty()) return;
  answer.timed_out = read.end == ProbeEnd::timeout;
  if (answer.timed_out) {
    answer.problem = "no answer in time";
  } else if (read.alert) {
    answer.problem = "no answer, but the alert " + std::string(tls::alert_name(*read.alert));
  } else {
    answer.problem = read.end == ProbeEnd::reset ? "reset without an answer" : "closed without an answer";
  }
}

class Exchange final : public http2::Codec::Events {
 public:
  explicit Exchange(tls::ProbeConnection& connection) : connection_(connection) {}

  CloudflareAnswer run(const std::string& host, base::Instant deadline) {
    http2::Codec codec(http2::Side::upstream, {}, *this);
    codec.now(base::Clock::now());
    if (!send(codec, deadline)) return std::move(answer_);
    http::RequestHead head;
    head.set_method("GET");
    head.set_scheme("https");
    head.set_authority(host);
    head.set_target("/");
    for (const auto& [name, value] : kFields) head.fields.add(name, value);
    bool asked = false;
    std::array<char, kBatch> bytes;
    while (!over_) {
      // Cloudflare too waits for no SETTINGS.
      if (!asked) asked = codec.open_request(head, true) != 0;
      if (!send(codec, deadline)) break;
      const Read read = connection_.read(bytes, deadline);
      if (read.end != ProbeEnd::done) {
        explain(read, answer_);
        break;
      }
      codec.now(base::Clock::now());
      if (!codec.receive({bytes.data(), read.size})) {
        if (answer_.status == 0) answer_.problem = "what came is no HTTP/2";
        break;
      }
    }
    answer_.streams = codec.peer_max_streams();
    codec.goaway(http2::code::kNoError);
    static_cast<void>(send(codec, deadline));
    return std::move(answer_);
  }

  void on_request(http2::StreamId, http::RequestHead&&, bool) override {}
  void on_bad_request(http2::StreamId, const base::Error&) override {}
  void on_response(http2::StreamId, http::ResponseHead&& head, bool) override {
    if (head.informational()) return;
    answer_.status = head.status;
    answer_.proxy_status = head.fields.find("proxy-status").value_or("");
    over_ = true;  // whatever its body is
  }
  void on_data(http2::StreamId, std::span<const char>, bool) override {}
  void on_trailers(http2::StreamId, http::Fields&&) override {}
  void on_sent(http2::StreamId, std::size_t) override {}
  void on_stream_closed(http2::StreamId, const base::Error& error) override {
    if (answer_.status == 0)
      answer_.problem = "the stream is reset, with code " + std::to_string(error.cause);
    over_ = true;
  }
  void on_settings() override {}
  void on_goaway(http2::StreamId, std::uint32_t code) override {
    if (answer_.status == 0)
      answer_.problem = "the connection is ended by GOAWAY, with code " + std::to_string(code);
    over_ = true;
  }

 private:
  bool send(http2::Codec& codec, base::Instant deadline) {
    base::Buffer out;
    while (codec.pump(out, kBatch)) continue;
    if (out.empty() || connection_.write(out.view(), deadline)) return true;
    if (answer_.status == 0) answer_.problem = "closed before the request was sent";
    return false;
  }

  tls::ProbeConnection& connection_;
  CloudflareAnswer answer_;
  bool over_ = false;
};

// The value of a field in a head as it came; of a stranger.
std::string field_of(std::string_view head, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1)) {
    std::string_view line = head.substr(at + 1, head.find('\n', at + 1) - at - 1);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    bool same = true;
    for (std::size_t i = 0; i < name.size(); ++i) same = same && lower(line[i]) == name[i];
    if (!same) continue;
    line.remove_prefix(name.size() + 1);
    while (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    return std::string(line);
  }
  return {};
}

}  // namespace

CloudflareAnswer ask_h2(tls::ProbeConnection& connection, const std::string& host, base::Instant deadline) {
  return Exchange(connection).run(host, deadline);
}

CloudflareAnswer ask_http1(tls::ProbeConnection& connection, const std::string& host,
                           base::Instant deadline) {
  CloudflareAnswer answer;
  std::string request = "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Keep-Alive\r\n";
  for (const auto& [name, value] : kFields) {
    request.append(name).append(": ").append(value).append("\r\n");
  }
  // A server that has closed already may have said why: reading tells.
  static_cast<void>(connection.write(request + "\r\n", deadline));
  std::string head;
  std::array<char, kBatch> bytes;
  ProbeTalk talk;
  do {
    const Read read = connection.read(bytes, deadline);
    if (read.end != ProbeEnd::done) {
      explain(read, answer);
      return answer;
    }
    head.append(bytes.data(), read.size);
  } while (!read_head(head, talk));
  answer.status = static_cast<std::uint16_t>(talk.status);
  answer.proxy_status = field_of(std::string_view(head).substr(0, talk.head_bytes), "proxy-status");
  if (answer.status == 0) answer.problem = "what came is no HTTP/1";
  return answer;
}

}  // namespace sallyport::cli
