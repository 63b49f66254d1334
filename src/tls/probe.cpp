#include "sallyport/tls/probe.hpp"

#include <array>

#include <openssl/rand.h>

#include "sallyport/tls/server_answer.hpp"

#include "openssl.hpp"
#include "probe_engine.hpp"
#include "probe_hello.hpp"
#include "suites.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

using Status = net::BlockingSocket::Status;

bool by_hand(ProbeKind kind) noexcept {
  switch (kind) {
    case ProbeKind::tls13_mlkem:
    case ProbeKind::cloudflare_13:
    case ProbeKind::split_hello:
    case ProbeKind::split_records:
    case ProbeKind::legacy:
    case ProbeKind::plain_http:
      return true;
    default:
      return false;
  }
}

HelloOffer offer_of(ProbeKind kind) {
  if (kind == ProbeKind::legacy) return legacy_offer();
  return kind == ProbeKind::tls13_mlkem ? post_quantum_offer() : cloudflare_offer();
}

// Reserved for names that nobody has (RFC 6761 §6.4).
std::string nobodys_name() {
  std::array<std::uint8_t, 6> number{};
  RAND_bytes(number.data(), static_cast<int>(number.size()));
  return "probe-" + hex(number) + ".invalid";
}

ProbeTarget as_kind(ProbeKind kind, ProbeTarget target) {
  if (kind == ProbeKind::no_sni) target.sni.clear();
  if (kind == ProbeKind::unknown_sni) target.sni = nobodys_name();
  return target;
}

std::string probed_version(std::uint16_t version) {
  switch (version) {
    case 0:
      return {};
    case 0x0300:
      return "SSLv3";
    case 0x0301:
      return "TLSv1.0";
    case 0x0302:
      return "TLSv1.1";
    case 0x0303:
    case 0x0304:
      return std::string(to_string(static_cast<Version>(version)));
    default:
      return "unknown";
  }
}

void name_parameters(ProbeResult& result) {
  result.version = probed_version(result.version_id);
  result.suite = suite_name(result.suite_id);
  result.forward_secret = suite_exchange(result.suite_id) != SuiteExchange::rsa;
}

std::string request_in_clear(const ProbeTarget& target) {
  return "GET / HTTP/1.1\r\nHost: " + target.host + "\r\nConnection: close\r\n\r\n";
}

// Sends what the kind says, in the pieces that it says.
Status say(net::BlockingSocket& socket, ProbeKind kind, const ProbeTarget& target, base::Instant deadline) {
  if (kind == ProbeKind::plain_http) return socket.send(request_in_clear(target), deadline);
  HelloOffer offer = offer_of(kind);
  offer.sni = target.sni;
  const std::string message = hello_message(offer);
  const std::size_t half = message.size() / 2;
  const std::string records = hello_records(message, kind == ProbeKind::split_records ? half : 0);
  const std::span<const char> bytes(records);
  if (kind != ProbeKind::split_hello) return socket.send(bytes, deadline);
  const Status first = socket.send(bytes.first(half), deadline);
  if (first != Status::ok) return first;
  // Whoever does not wait for the rest has its say now: what would follow would only meet a reset.
  if (socket.wait_readable(std::min(deadline, base::Clock::now() + target.gap))) return Status::ok;
  return socket.send(bytes.subspan(half), deadline);
}

bool heard_enough(const AnswerReader& reader) {
  switch (reader.state()) {
    case AnswerReader::State::need_more:
      return reader.answer().retry;  // it took the offer; a second hello would need real keys
    case AnswerReader::State::not_tls:
      return reader.line_done();
    default:
      return true;
  }
}

ProbeEnd answer_end(const AnswerReader& reader, Status last) {
  switch (reader.state()) {
    case AnswerReader::State::sealed:
      return ProbeEnd::answered;
    case AnswerReader::State::alert:
      return ProbeEnd::alert;
    case AnswerReader::State::not_tls:
      return ProbeEnd::not_tls;
    case AnswerReader::State::broken:
      return ProbeEnd::broken;
    case AnswerReader::State::need_more:
      break;
  }
  if (last == Status::ok) return ProbeEnd::answered;
  if (last == Status::timeout) return ProbeEnd::timeout;
  return last == Status::eof ? ProbeEnd::closed : ProbeEnd::reset;
}

void describe(const ServerAnswer& answer, ProbeResult& result) {
  result.version_id = answer.version;
  result.suite_id = answer.suite;
  result.hello_retry = answer.retry;
  if (const GroupName* known = find_group(answer.group)) result.group = known->name;
  result.alpn = answer.alpn;
  result.alert = answer.alert;
  result.certificate_asked = answer.certificate_requested;
  result.detail = answer.first_line;
  const unsigned char* der = answer.leaf.data();
  X509* leaf = answer.leaf.empty() ? nullptr : d2i_X509(nullptr, &der, static_cast<long>(answer.leaf.size()));
  if (leaf != nullptr) result.chain.emplace_back(leaf, X509_free);
  ERR_clear_error();
}

void ask_by_hand(net::BlockingSocket& socket, const ProbeTarget& target, base::Instant deadline,
                 ProbeResult& result) {
  AnswerReader reader;
  // What cannot be sent may still have been answered: reading tells more.
  Status last = say(socket, result.kind, target, deadline);
  if (last != Status::timeout) last = Status::ok;
  while (last == Status::ok && !heard_enough(reader)) {
    std::array<char, 16384> bytes;
    const auto got = socket.receive(bytes, deadline);
    last = got.status;
    if (last == Status::ok) reader.feed({bytes.data(), got.size});
  }
  result.end = answer_end(reader, last);
  result.silent = !reader.started();
  describe(reader.answer(), result);
}

}  // namespace

struct ProbeConnection::Impl {
  net::BlockingSocket socket;  // until the engine has it
  ProbeKind kind;
  ProbeTarget target;
  ProbeSession from;
  std::unique_ptr<ProbeEngine> engine;  // of a kind that is not made by hand
};

ProbeConnection::ProbeConnection(net::BlockingSocket socket, ProbeKind kind, const ProbeTarget& target,
                                 ProbeSession session)
    : impl_(new Impl{std::move(socket), kind, as_kind(kind, target), std::move(session), nullptr}) {}

ProbeConnection::~ProbeConnection() = default;

ProbeResult ProbeConnection::handshake() {
  ProbeResult result;
  result.kind = impl_->kind;
  const base::Instant begin = base::Clock::now();
  const base::Instant deadline = begin + impl_->target.timeout;
  if (by_hand(impl_->kind)) {
    ask_by_hand(impl_->socket, impl_->target, deadline, result);
  } else {
    impl_->engine =
        std::make_unique<ProbeEngine>(std::move(impl_->socket), impl_->kind, impl_->target, impl_->from);
    impl_->engine->handshake(result, deadline);
  }
  name_parameters(result);
  result.took = std::chrono::duration_cast<base::Milliseconds>(base::Clock::now() - begin);
  return result;
}

bool ProbeConnection::write(std::string_view bytes, base::Instant deadline) {
  return impl_->engine->write(bytes, deadline);
}
ProbeConnection::Read ProbeConnection::read(std::span<char> into, base::Instant deadline) {
  return impl_->engine->read(into, deadline);
}
ProbeConnection::Read ProbeConnection::settle(base::Instant deadline) {
  return impl_->engine->settle(deadline);
}
ProbeSession ProbeConnection::session() const {
  return impl_->engine == nullptr ? nullptr : impl_->engine->session();
}

}  // namespace sallyport::tls
