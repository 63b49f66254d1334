#include "sallyport/tls/rehearsal.hpp"

#include <array>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/net/loop.hpp"

#include "packets.hpp"

namespace sallyport::tls {

namespace {

constexpr base::Milliseconds kPatience{1'000};
constexpr std::size_t kMostAnswer = 256 * 1024;

// The other end of the pair, and who hears of the handshake.
class Scene final : public HandshakeHandler, private net::Watched {
 public:
  Scene(net::Loop& loop, Rehearsal& outcome, std::shared_ptr<const ContextStore> store, int client)
      : loop_(loop), outcome_(outcome), store_(std::move(store)), client_(client) {}

  void play(std::unique_ptr<ServerStream> stream, std::string_view records) {
    stream_ = std::move(stream);
    {
      const net::Loop::Turn turn(loop_);
      stream_->begin(records);
    }
    if (loop_.poller().watch(client_.fd(), EPOLLIN, *this) == 0) loop_.run();
    {
      const net::Loop::Turn turn(loop_);
      done_ = true;
      if (stream_ != nullptr) stream_->abandon();
    }
  }
  [[nodiscard]] const std::string& answer() const noexcept { return answer_; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

  std::shared_ptr<const ContextStore> context_store() override { return store_; }
  void on_handshake(ServerStream&, const Handshake&) override { loop_.stop(); }
  void on_handshake_failed(ServerStream&, const HandshakeFailure& failure) override {
    if (done_) return;
    failed_ = failure.verdict.reason != HandshakeReason::timeout;
    outcome_.verdict = failure.verdict;
    outcome_.alert = failure.alert_sent;
    outcome_.told = explain(failure);
    loop_.stop();
  }
  void on_handshake_over(ServerStream&) override { loop_.reap(std::move(stream_)); }

 private:
  void on_ready(std::uint32_t) override {
    char block[16384];
    ssize_t n = 0;
    // The flight leaves in one send, but may be read in several pieces.
    while (answer_.size() < kMostAnswer &&
           (n = ::recv(client_.fd(), block, sizeof block, MSG_DONTWAIT)) > 0) {
      answer_.append(block, static_cast<std::size_t>(n));
    }
    loop_.stop();
  }

  net::Loop& loop_;
  Rehearsal& outcome_;
  std::shared_ptr<const ContextStore> store_;
  net::TcpSocket client_;  // the other end of a pair of local sockets
  std::unique_ptr<ServerStream> stream_;
  std::string answer_;
  bool failed_ = false;
  bool done_ = false;
};

// The handshake messages in the clear that a server's flight begins with.
std::string clear_messages(std::string_view flight) {
  std::string messages;
  for (ByteReader in(flight); in.left().size() >= 5;) {
    const std::uint8_t type = in.u8();
    in.take(2);
    const std::string_view record = in.take(in.u16());
    if (type != 22) break;
    messages += record;
  }
  return messages;
}

void read_server_hello(ByteReader body, Rehearsal& to) {
  // RFC 8446 §4.1.3: this random is a HelloRetryRequest.
  static constexpr unsigned char kRetry[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11};
  std::uint16_t version = body.u16();
  const std::string_view random = body.take(32);
  to.hello_retry = random.substr(0, sizeof kRetry) ==
                   std::string_view(reinterpret_cast<const char*>(kRetry), sizeof kRetry);
  body.take(body.u8());
  to.cipher = body.u16();
  body.take(3);
  while (body.left().size() >= 4) {
    const std::uint16_t type = body.u16();
    ByteReader inside(body.take(body.u16()));
    if (type == 43) version = inside.u16();
    if (type == 51) to.group = inside.u16();
    if (type == 16) {
      inside.take(2);
      to.alpn = inside.take(inside.u8());
    }
  }
  to.version = version == 0x0304 ? Version::tls13 : Version::tls12;
}

void read_flight(std::string_view flight, Rehearsal& to) {
  constexpr std::uint8_t kServerHello = 2, kServerKeyExchange = 12;
  const std::string messages = clear_messages(flight);
  for (ByteReader in(messages); in.left().size() >= 4;) {
    const std::uint8_t type = in.u8();
    const std::size_t high = in.u8();
    ByteReader body(in.take(high << 16 | in.u16()));
    if (type == kServerHello) read_server_hello(body, to);
    if (type == kServerKeyExchange && body.u8() == 3) to.group = body.u16();
  }
}

// Under TLS 1.3 the answer to ALPN is encrypted: it is what the policy's order makes it.
void choose_protocol(const ClientHello& hello, Rehearsal& to) {
  if (!to.alpn.empty() || !hello.has_alpn || to.policy == nullptr) return;
  for (const std::string& ours : to.policy->alpn) {
    if (!hello.alpn.contains(ours)) continue;
    to.alpn = ours;
    return;
  }
}

}  // namespace

std::optional<Rehearsal> rehearse(std::shared_ptr<const ContextStore> store, std::string_view records,
                                  std::uint32_t listener, const net::Endpoint& client) {
  HelloReader reader;
  if (reader.feed(records) != HelloReader::State::complete) return std::nullopt;
  const ClientHello& hello = reader.hello();
  Rehearsal made;
  made.store = store;
  if (store != nullptr && hello.sni_state != SniState::invalid) made.host = store->find(hello.sni, listener);
  if (made.host != nullptr) {
    made.policy = &made.host->own.policy();
    const Rules& rules = made.policy->rules;
    if (const auto matched = rules.match(hello, client.address)) {
      made.rule = &rules[*matched];
      if (!made.rule->refuses()) made.policy = &made.host->picked[*matched].policy();
    }
  }

  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return std::nullopt;
  net::Loop loop(base::Milliseconds(10));
  ServerStreamOptions options;
  options.listener = listener;
  options.handshake_timeout = kPatience;
  Scene scene(loop, made, std::move(store), ends[1]);
  HandshakeHandler& handler = scene;
  scene.play(std::make_unique<ServerStream>(loop, net::TcpSocket(ends[0]), client, client, options, handler),
             records);
  made.refused = scene.failed();
  if (!made.refused && scene.answer().empty()) return std::nullopt;
  if (!made.refused) {
    read_flight(scene.answer(), made);
    choose_protocol(hello, made);
  }
  return made;
}

}  // namespace sallyport::tls
