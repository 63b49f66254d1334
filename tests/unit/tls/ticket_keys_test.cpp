#include "sallyport/tls/ticket_keys.hpp"

#include <array>
#include <chrono>

#include <openssl/evp.h>

#include "catch.hpp"

using namespace sallyport;
using sallyport::tls::TicketKeys;
using namespace std::chrono_literals;

namespace {

const base::WallTime kStart = base::WallTime(std::chrono::hours(500'000));

struct Ticket {
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 16> iv{};
};

struct Contexts {
  EVP_CIPHER_CTX* cipher = EVP_CIPHER_CTX_new();
  EVP_MAC* algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* mac = EVP_MAC_CTX_new(algorithm);
  ~Contexts() {
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(algorithm);
    EVP_CIPHER_CTX_free(cipher);
  }
};

Ticket seal(const TicketKeys& keys) {
  Ticket ticket;
  Contexts contexts;
  REQUIRE(keys.seal_or_open(ticket.name.data(), ticket.iv.data(), contexts.cipher, contexts.mac, true) == 1);
  return ticket;
}

int open(const TicketKeys& keys, Ticket ticket) {
  Contexts contexts;
  return keys.seal_or_open(ticket.name.data(), ticket.iv.data(), contexts.cipher, contexts.mac, false);
}

}  // namespace

TEST_CASE("a ticket opens under its key, is renewed under the next and forgotten after its lifetime") {
  TicketKeys keys({12h, 12h}, kStart);
  const Ticket ticket = seal(keys);
  CHECK(open(keys, ticket) == 1);
  CHECK_FALSE(keys.rotate_if_due(kStart + 11h + 59min));
  CHECK(keys.rotations() == 0);
  CHECK(keys.rotate_if_due(kStart + 12h));
  CHECK(keys.rotations() == 1);
  CHECK(keys.count() == 2);
  CHECK(open(keys, ticket) == 2);
  CHECK(seal(keys).name != ticket.name);
  // The next rotation drops the first key: what it sealed last is 12 hours old.
  CHECK(keys.rotate_if_due(kStart + 24h));
  CHECK(keys.count() == 2);
  CHECK(open(keys, ticket) == 0);
}

TEST_CASE("a retired key goes when its time is up, also without a rotation") {
  TicketKeys keys({12h, 1h}, kStart);
  const Ticket ticket = seal(keys);
  keys.rotate(kStart + 2h);
  CHECK_FALSE(keys.rotate_if_due(kStart + 2h + 59min));
  CHECK(open(keys, ticket) == 2);
  CHECK_FALSE(keys.rotate_if_due(kStart + 3h));
  CHECK(keys.count() == 1);
  CHECK(open(keys, ticket) == 0);
}

TEST_CASE("another process's ticket is unknown, not an error") {
  const TicketKeys ours({}, kStart);
  const TicketKeys theirs({}, kStart);
  CHECK(open(ours, seal(theirs)) == 0);
}
