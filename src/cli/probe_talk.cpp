#include "probe_talk.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace sallyport::cli {

namespace {

using tls::ProbeEnd;
using Read = tls::ProbeConnection::Read;
using Greeting = http2::GreetingReader;

constexpr std::size_t kFirstLine = 200;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// "HTTP/1.1 200 OK" → 200; 0: no status line of HTTP/1.
int status_of(std::string_view line) {
  const auto digit = [&](std::size_t i) { return line[i] >= '0' && line[i] <= '9'; };
  constexpr std::size_t kLeast = 12;
  if (line.size() < kLeast || !line.starts_with("HTTP/1.") || !digit(7) || line[8] != ' ') return 0;
  if (!digit(9) || !digit(10) || !digit(11) || (line.size() > kLeast && line[kLeast] != ' ')) return 0;
  return (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

bool says_close(std::string_view head) {
  const std::string text = lower(head);
  for (std::size_t at = text.find("\nconnection:"); at != std::string::npos;
       at = text.find("\nconnection:", at + 1)) {
    const std::string_view line = std::string_view(text).substr(at + 1, text.find('\n', at + 1) - at - 1);
    if (line.find("close") != std::string_view::npos) return true;
  }
  return false;
}

// The end of the head, behind its blank line; npos: it is not whole.
std::size_t end_of_head(std::string_view bytes) {
  const std::size_t strict = bytes.find("\r\n\r\n");
  const std::size_t bare = bytes.find("\n\n");
  if (strict < bare) return strict + 4;
  return bare == std::string_view::npos ? bare : bare + 2;
}

}  // namespace

bool read_head(std::string_view bytes, ProbeTalk& talk) {
  const std::size_t line = bytes.find('\n');
  std::string_view first = bytes.substr(0, std::min(line, kFirstLine));
  if (first.ends_with('\r')) first.remove_suffix(1);
  talk.first_line = first;
  talk.head_bytes = bytes.size();
  talk.end = ProbeEnd::done;
  const std::string_view start("HTTP/1.");
  const bool begins = bytes.substr(0, start.size()) == start.substr(0, std::min(bytes.size(), start.size()));
  if (line == std::string_view::npos && begins && bytes.size() < kFirstLine) return false;
  talk.status = status_of(first);
  if (talk.status == 0) {
    talk.end = ProbeEnd::not_tls;
    return true;
  }
  const std::size_t end = end_of_head(bytes);
  if (end == std::string_view::npos) return bytes.size() > kCloudflareHead;
  talk.head_bytes = end;
  talk.keeps_alive = !says_close(bytes.substr(0, end)) && !first.starts_with("HTTP/1.0");
  return true;
}

ProbeTalk talk_http1(tls::ProbeConnection& connection, const std::string& host, base::Instant deadline) {
  ProbeTalk talk;
  const std::string request =
      "HEAD / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: sallyport-probe\r\nAccept: */*\r\n\r\n";
  // A server that has closed already may have said why: reading tells.
  static_cast<void>(connection.write(request, deadline));
  std::string head;
  std::array<char, 16384> bytes;
  for (;;) {
    const Read read = connection.read(bytes, deadline);
    if (read.end != ProbeEnd::done) {
      talk.end = read.end;
      talk.alert = read.alert;
      return talk;
    }
    head.append(bytes.data(), read.size);
    if (read_head(head, talk)) return talk;
  }
}

ProbeTalk talk_h2(tls::ProbeConnection& connection, base::Instant deadline) {
  ProbeTalk talk;
  talk.h2 = true;
  static_cast<void>(connection.write(http2::client_greeting(), deadline));
  Greeting greeting;
  std::array<char, 16384> bytes;
  while (greeting.state() == Greeting::State::need_more) {
    const Read read = connection.read(bytes, deadline);
    if (read.end != ProbeEnd::done) {
      talk.end = read.end;
      talk.alert = read.alert;
      return talk;
    }
    const std::string_view got(bytes.data(), read.size);
    if (talk.first_line.empty())
      talk.first_line = got.substr(0, std::min(got.find_first_of("\r\n"), kFirstLine));
    greeting.feed(got);
  }
  if (greeting.state() == Greeting::State::not_h2) {
    talk.end = ProbeEnd::not_tls;
    return talk;
  }
  talk.first_line.clear();
  if (greeting.state() == Greeting::State::goaway) talk.goaway = greeting.goaway_code();
  talk.settings = greeting.settings();
  static_cast<void>(connection.write(http2::client_farewell(), deadline));
  return talk;
}

}  // namespace sallyport::cli
