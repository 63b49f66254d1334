// What a captured ClientHello would meet under a configuration, by the gateway's own code: a
// ServerStream gets its bytes over a pair of sockets of this process, as the client's, and either
// refuses or answers. What comes after our first flight is the client's to decide, and cannot be
// told.
//
// For the command line: makes a loop of its own, blocks until it is through, a second at most.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sallyport/tls/explain.hpp"

namespace sallyport::tls {

struct Rehearsal {
  std::shared_ptr<const ContextStore> store;  // what the pointers point into
  const HostEntry* host = nullptr;            // nullptr: none was found
  const Policy* policy = nullptr;             // the one that holds
  const Rule* rule = nullptr;                 // what picked it, or refused
  bool refused = false;
  // Refused:
  Verdict verdict;
  std::optional<std::uint8_t> alert;
  Explanation told;
  // Otherwise what the flight says; empty what it does not.
  Version version = Version::none;
  std::uint16_t cipher = 0, group = 0;
  bool hello_retry = false;  // the client is asked for a share of `group` first
  std::string alpn;
};

// `records` hold a whole ClientHello; nothing: no memory or sockets for it, or no answer came.
[[nodiscard]] std::optional<Rehearsal> rehearse(std::shared_ptr<const ContextStore> store,
                                                std::string_view records, std::uint32_t listener,
                                                const net::Endpoint& client);

// What a hello offers, in the words of Explanation.
[[nodiscard]] Explanation offer_of(const ClientHello& hello);
// Names of a suite or a group; "0x1234" for others.
[[nodiscard]] std::string suite_text(std::uint16_t suite);
[[nodiscard]] std::string group_text(std::uint16_t group);

}  // namespace sallyport::tls
