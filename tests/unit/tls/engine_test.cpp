// When the record layer takes over from OpenSSL's connection object: a server's end with the handshake, a
// client's with the first data behind the tickets, and not at all where it cannot; and that the two ends,
// each taken over or not, go on to understand each other. Real handshakes; what a socket would carry is
// carried by hand.
#include "engine.hpp"

#include <string>
#include <sys/socket.h>
#include <vector>

#include <openssl/ssl.h>

#include "sallyport/net/loop.hpp"

#include "catch.hpp"
#include "certificates.hpp"
#include "provider.hpp"

using namespace sallyport;
using namespace tls_test;
using tls::Engine;

namespace {

// A socket that is never sent from: its queue is the wire.
struct Queue {
  explicit Queue(net::Loop& loop) : io(loop, make(), base::Fault::client) {}
  static net::TcpSocket make() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    ::close(ends[1]);
    return net::TcpSocket(ends[0]);
  }
  net::SocketIo io;
};

struct Party {
  Party(net::Loop& loop, SSL_CTX* context, bool server)
      : queue(loop), engine(context, queue.io, server), room(64 * 1024) {
    REQUIRE(engine.ok());
  }
  [[nodiscard]] bool taken_over() const { return engine.ssl() == nullptr; }
  std::string take() {
    std::string bytes(queue.io.out().view());
    queue.io.out().clear();
    return bytes;
  }
  bool advance(std::string_view bytes) {
    engine.feed(bytes);
    const bool done = engine.handshake() == Engine::Step::done;
    left = std::string(engine.rest().data(), engine.rest().size());
    return done;
  }
  // What is read of it, and of what the handshake left.
  std::string read(const std::string& bytes) {
    const std::string all = std::exchange(left, {}) + bytes;
    engine.feed(all);
    const Engine::Read got = engine.read(room);
    end = got.end;
    engine.feed({});
    return {room.data(), got.size};
  }
  void write(std::string_view text) { REQUIRE(engine.write(text)); }

  Queue queue;
  Engine engine;
  std::vector<char> room;
  std::string left;
  Engine::End end = Engine::End::want_read;
};

struct BothContexts {
  BothContexts() {
    server.reset(SSL_CTX_new_ex(nullptr, tls::key_schedule_properties(), TLS_server_method()));
    client.reset(SSL_CTX_new_ex(nullptr, tls::key_schedule_properties(), TLS_client_method()));
    SSL_CTX_use_certificate(server.get(), identity.certificate.get());
    SSL_CTX_use_PrivateKey(server.get(), identity.key.get());
    Engine::watch_server(server.get());
    Engine::watch_client(client.get());
  }
  Identity identity = make_authority("test");
  Owned<SSL_CTX> server, client;
};

struct Talk {
  explicit Talk(const BothContexts& contexts)
      : loop(base::Milliseconds(10)),
        server(loop, contexts.server.get(), true),
        client(loop, contexts.client.get(), false) {
    server.engine.expect_sni(tls::SniState::absent, {});
  }
  void shake_hands() {
    CHECK_FALSE(client.advance({}));
    CHECK_FALSE(server.advance(client.take()));
    bool client_done = false;
    bool server_done = false;
    for (int i = 0; i < 4 && !server_done; ++i) {
      client_done = client.advance(server.take()) || client_done;
      server_done = server.advance(client.take());
    }
    if (!client_done) client_done = client.advance(server.take());  // TLS 1.2: the server is done first
    REQUIRE((client_done && server_done));
  }
  void settle() {
    server.engine.settle();
    client.engine.settle();
  }
  std::string up(std::string_view text) {
    client.write(text);
    return server.read(client.take());
  }
  std::string down(std::string_view text) {
    server.write(text);
    return client.read(server.take());
  }

  net::Loop loop;
  net::Loop::Turn turn{loop};
  Party server, client;
};

}  // namespace

TEST_CASE("a server's records are its own once the handshake is done, a client's from the first data on") {
  const char* const suite =
      GENERATE("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256");
  const int tickets = GENERATE(0, 1, 3);
  BothContexts contexts;
  SSL_CTX_set_ciphersuites(contexts.client.get(), suite);
  SSL_CTX_set_num_tickets(contexts.server.get(), static_cast<std::size_t>(tickets));
  Talk talk(contexts);
  talk.shake_hands();
  talk.settle();
  CHECK(talk.server.taken_over());
  CHECK_FALSE(talk.client.taken_over());
  CHECK(talk.up("first") == "first");
  CHECK(talk.up("second") == "second");
  // Tickets alone: none may be lost.
  CHECK(talk.client.read(talk.server.take()).empty());
  CHECK_FALSE(talk.client.taken_over());
  CHECK(talk.down("third") == "third");
  CHECK(talk.client.taken_over());
  const std::string large(100'000, 'l');
  CHECK(talk.up("fourth") == "fourth");
  for (std::string_view rest = large; !rest.empty(); rest.remove_prefix(50'000)) {
    CHECK(talk.down(rest.substr(0, 50'000)) == rest.substr(0, 50'000));
    CHECK(talk.up(rest.substr(0, 50'000)) == rest.substr(0, 50'000));
  }
  talk.server.engine.close_notify();
  CHECK(talk.client.read(talk.server.take()).empty());
  CHECK(talk.client.end == Engine::End::close_notify);
}

TEST_CASE("data in one read with the tickets, or in half a record, hand over as well") {
  BothContexts contexts;
  SSL_CTX_set_num_tickets(contexts.server.get(), 2);
  Talk talk(contexts);
  talk.shake_hands();
  talk.settle();
  talk.server.write("one");
  talk.server.write("two");
  const std::string wire = talk.server.take();
  CHECK(talk.client.read(wire.substr(0, wire.size() - 5)) == "one");
  // OpenSSL holds a part of the second record: it stays until it is between two.
  CHECK_FALSE(talk.client.taken_over());
  CHECK(talk.client.read(wire.substr(wire.size() - 5)) == "two");
  CHECK(talk.client.taken_over());
  CHECK(talk.down("three") == "three");
}

TEST_CASE("a change of keys before the take-over prevents it, and one behind it is followed") {
  BothContexts contexts;
  const int who_asks = GENERATE(SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED);
  Talk talk(contexts);
  talk.shake_hands();
  talk.client.engine.settle();
  SECTION("the server's, before its first data: not settled, its SSL object still writes") {
    REQUIRE(SSL_key_update(talk.server.engine.ssl(), who_asks) == 1);
    CHECK(talk.down("one") == "one");
    CHECK_FALSE(talk.client.taken_over());
    CHECK(talk.up("two") == "two");
    CHECK(talk.down("three") == "three");
    CHECK_FALSE(talk.client.taken_over());
  }
  SECTION("the client's, before its first data") {
    talk.server.engine.settle();
    REQUIRE(SSL_key_update(talk.client.engine.ssl(), who_asks) == 1);
    CHECK(talk.up("one") == "one");
    CHECK(talk.server.taken_over());
    CHECK(talk.down("two") == "two");
    CHECK_FALSE(talk.client.taken_over());
    CHECK(talk.up("three") == "three");
  }
  SECTION("the server's, behind the take-over") {
    CHECK(talk.down("one") == "one");
    CHECK(talk.client.taken_over());
    REQUIRE(SSL_key_update(talk.server.engine.ssl(), who_asks) == 1);
    CHECK(talk.down("two") == "two");
    CHECK(talk.up("three") == "three");
    CHECK(talk.down("four") == "four");
  }
}

TEST_CASE("a client that asked for short records gets them") {
  BothContexts contexts;
  SSL_CTX_set_tlsext_max_fragment_length(contexts.client.get(), TLSEXT_max_fragment_length_1024);
  Talk talk(contexts);
  talk.shake_hands();
  talk.settle();
  CHECK(talk.server.taken_over());
  static_cast<void>(talk.server.take());
  talk.server.write(std::string(3000, 'x'));
  CHECK(talk.server.take().size() == 3000 + 3 * (tls::RecordKeys::kHeader + 1 + tls::RecordKeys::kTag));
}

TEST_CASE("what cannot be taken over stays with OpenSSL and works") {
  BothContexts contexts;
  SECTION("TLS 1.2") {
    SSL_CTX_set_max_proto_version(contexts.client.get(), TLS1_2_VERSION);
  }
  SECTION("CCM") {
    SSL_CTX_set_ciphersuites(contexts.client.get(), "TLS_AES_128_CCM_SHA256");
    SSL_CTX_set_ciphersuites(contexts.server.get(), "TLS_AES_128_CCM_SHA256");
  }
  SECTION("a context with OpenSSL's key schedule") {
    contexts.server.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(contexts.server.get(), contexts.identity.certificate.get());
    SSL_CTX_use_PrivateKey(contexts.server.get(), contexts.identity.key.get());
    Engine::watch_server(contexts.server.get());
  }
  Talk talk(contexts);
  talk.shake_hands();
  talk.settle();
  CHECK_FALSE(talk.server.taken_over());
  CHECK(talk.up("one") == "one");
  CHECK(talk.down("two") == "two");
  talk.client.engine.idle();
  talk.server.engine.idle();
  CHECK(talk.up("three") == "three");
  talk.client.engine.close_notify();
  CHECK(talk.server.read(talk.client.take()).empty());
  CHECK(talk.server.end == Engine::End::close_notify);
}
