// What an operator is told of a failed handshake: what both sides could do, what they share, and
// a hint in plain words. And the one table reason → cause → remedy, which the hints fall back on
// and docs/handshakes.md is written from (a unit test compares).
//
// Pure functions over a HandshakeFailure, during its call; they allocate, so they are for a
// failure that is to be logged. Whatever a client sent is bounded here and escaped by the log.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sallyport/tls/server_stream.hpp"
#include "sallyport/tls/verdict.hpp"

namespace sallyport::tls {

struct ReasonText {
  HandshakeReason reason;
  std::string_view cause;   // plain text; what is known of every such failure
  std::string_view remedy;  // what to change, and on which side
};
// One for each reason, in their order.
[[nodiscard]] std::span<const ReasonText> reason_table() noexcept;
[[nodiscard]] const ReasonText& about(HandshakeReason reason) noexcept;
// The table for docs/handshakes.md.
[[nodiscard]] std::string reason_markdown();

// Names, ", " between them, "none" when there is none; long lists end in "and N more".
struct Offer {
  std::string offered;     // by the client, GREASE aside
  std::string configured;  // by the host's policy; for signatures, what its certificates can do
  std::string shared;
};

struct Explanation {
  std::string hint;
  // Empty unless the hello was read; what is configured and shared is empty unless a host was found.
  Offer versions, ciphers, groups, sigalgs, alpn;
  std::string ja3, ja4;
};
[[nodiscard]] Explanation explain(const HandshakeFailure& failure);

// Of a hello's ALPN, as in `offered` above; empty if it had none.
[[nodiscard]] std::string offered_protocols(const ClientHello& hello);

// The SHA-256 of the certificate of a handshake that was done, in hex; empty if it is not known.
[[nodiscard]] std::string certificate_text(const Handshake& handshake);

// The hint alone, from sets already made.
[[nodiscard]] std::string hint_of(const HandshakeFailure& failure, const Explanation& sets);

// Of a client's certificate that would not do, in a handshake that was let through (mode report).
[[nodiscard]] std::string hint_of_client(const Handshake& facts);

}  // namespace sallyport::tls
