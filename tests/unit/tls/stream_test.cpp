#include "catch.hpp"
#include "peers.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;
using base::ErrorCode;

namespace {

// Our client end on the server's own loop.
struct Client final : ConnectHandler {
  explicit Client(Server& s) : server(s) {
    session.take = [](Session& self, std::span<const char> bytes) {
      self.received.append(bytes.data(), bytes.size());
    };
    session.changed = [this] { server.look(); };
  }
  void connect(std::shared_ptr<const ClientContext> context, const std::string& name = "a.example",
               ClientSession* sessions = nullptr, base::Milliseconds timeout = base::Milliseconds(10'000)) {
    const auto to = *net::Endpoint::parse("127.0.0.1:" + std::to_string(port == 0 ? server.port() : port));
    net::TcpSocket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto target = net::to_asio(to);
    REQUIRE(::connect(socket.fd(), target.data(), static_cast<socklen_t>(target.size())) == 0);
    const net::Loop::Turn turn(server.loop);
    opening = std::make_unique<ClientStream>(server.loop, std::move(socket), to, to, std::move(context), name,
                                             sessions, timeout, *this);
    opening->begin();
  }
  void on_connected(ClientStream&, const Connected& facts) override {
    connected = facts;
    session.stream = std::move(opening);
    session.stream->start(session);
    server.look();
  }
  void on_connect_failed(ClientStream&, const base::Error& why) override {
    error = why;
    server.loop.reap(std::move(opening));
    server.look();
  }
  void write(std::string_view text) {
    const net::Loop::Turn turn(server.loop);
    session.stream->write(text);
  }
  [[nodiscard]] bool decided() const { return connected.has_value() || error.has_value(); }

  Server& server;
  std::uint16_t port = 0;
  std::unique_ptr<ClientStream> opening;
  Session session;
  std::optional<Connected> connected;
  std::optional<base::Error> error;
};

struct Pair {
  Identity ca = make_authority();
  TemporaryFolder folder;
  std::string ca_file = folder.write("ca.pem", ca.pem());
  StoreSpec spec;
  std::shared_ptr<TicketKeys> keys =
      std::make_shared<TicketKeys>(TicketKeys::Options{}, base::WallClock::now());
  Server server;

  Pair() {
    spec.policies.resize(1);
    HostSpec host;
    Wanted wanted;
    wanted.san = "DNS:a.example,DNS:b.example,IP:127.0.0.1";
    host.names = {"a.example", "b.example"};
    host.certificates = {loaded(issue(wanted, &ca), &ca)};
    spec.hosts = {host};
    spec.missing_sni = "a.example";
    build();
  }
  void build() {
    Notes notes;
    server.store = ContextStore::build(spec, keys, notes);
    REQUIRE(server.store != nullptr);
  }
  [[nodiscard]] std::shared_ptr<const ClientContext> context(
      const std::function<void(ClientSpec&)>& adjust = {}) const {
    ClientSpec client;
    client.ca_file = ca_file;
    if (adjust) adjust(client);
    Notes notes;
    auto made = ClientContext::make(client, notes);
    INFO(first_text(notes));
    REQUIRE(made != nullptr);
    return made;
  }
};

// Bytes that tell their place, so that a lost, doubled or swapped record shows.
std::string pattern(std::size_t from, std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(((from + i) * 2654435761U) >> 13);
  return bytes;
}

}  // namespace

TEST_CASE("our client reaches our server, verified, with ALPN, and bytes go both ways") {
  Pair pair;
  Client client(pair.server);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  REQUIRE(client.connected.has_value());
  CHECK(client.connected->version == Version::tls13);
  CHECK(client.connected->protocol == Protocol::h2);
  CHECK_FALSE(client.connected->resumed);
  client.write("hello");
  pair.server.run_until([&] { return client.session.received == "hello"; });
  CHECK(client.session.written == 5);
  CHECK(client.session.stream->unwritten() == 0);
}

TEST_CASE("large transfers are byte-exact both ways at once, bounded and paused on the way") {
  constexpr std::size_t kTotal = 24 * 1024 * 1024;
  constexpr std::size_t kChunk = 100'000;
  constexpr std::size_t kBound = 256 * 1024;
  const int version = GENERATE(0, 1);
  Pair pair;
  pair.spec.policies[0].max_version = version == 0 ? Version::tls12 : Version::tls13;
  pair.build();
  const std::string all = pattern(0, kTotal);

  struct Flow {
    std::size_t sent = 0, got = 0, most = 0;
    bool exact = true;
  };
  Flow flows[2];
  const auto pump = [&](Session& session, Flow& flow) {
    while (flow.sent < kTotal && session.stream->unwritten() < kBound) {
      const std::size_t n = std::min(kChunk + flow.sent % 777, kTotal - flow.sent);
      session.stream->write(std::string_view(all).substr(flow.sent, n));
      flow.sent += n;
      flow.most = std::max(flow.most, session.stream->unwritten());
    }
  };
  const auto set_up = [&](Session& session, Flow& flow) {
    session.take = [&](Session& self, std::span<const char> bytes) {
      flow.exact = flow.exact && std::string_view(all).substr(flow.got, bytes.size()) ==
                                     std::string_view(bytes.data(), bytes.size());
      flow.got += bytes.size();
      // Now and then the reader stops for a turn.
      if (flow.got % 7 == 0) {
        self.stream->pause();
        pair.server.loop.post([&] {
          const net::Loop::Turn turn(pair.server.loop);
          self.stream->resume();
        });
      }
    };
    session.after_written = [&](Session& self) { pump(self, flow); };
  };
  pair.server.prepare = [&](Session& session) {
    set_up(session, flows[0]);
    pump(session, flows[0]);
  };
  Client client(pair.server);
  set_up(client.session, flows[1]);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  {
    const net::Loop::Turn turn(pair.server.loop);
    pump(client.session, flows[1]);
  }
  pair.server.run_until([&] {
    return flows[0].got == kTotal && flows[1].got == kTotal && client.session.written == kTotal &&
           pair.server.sessions[0]->written == kTotal;
  });
  for (const Flow& flow : flows) {
    CHECK(flow.exact);
    CHECK(flow.most < kBound + kChunk + 1000);
  }
  CHECK(client.session.stream->unwritten() == 0);
}

TEST_CASE("small writes of one turn are one record; large ones are full records") {
  Pair pair;
  std::vector<int> sizes;
  pair.server.prepare = [](Session& session) {
    session.take = [](Session& self, std::span<const char>) {
      for (int i = 0; i < 10; ++i) self.stream->write(std::string_view("0123456789"));
      self.stream->write(std::string(40 * 1024, 'x'));
      self.stream->write(std::string_view("tail"));
    };
  };
  Ask how;
  // Before the handshake: OpenSSL 3.2's record layer has the callback that it was made with.
  how.prepare = [&](SSL* ssl) {
    SSL_set_msg_callback_arg(ssl, &sizes);
    SSL_set_msg_callback(ssl, [](int write, int, int type, const void* bytes, std::size_t, SSL*, void* to) {
      const auto* header = static_cast<const unsigned char*>(bytes);
      if (write == 0 && type == SSL3_RT_HEADER) {
        static_cast<std::vector<int>*>(to)->push_back((header[3] << 8) | header[4]);
      }
    });
  };
  how.talk = [](SSL* ssl) {
    SSL_write(ssl, "go", 2);
    std::size_t got = 0;
    char block[20'000];
    while (got < 100 + 40 * 1024 + 4) {
      const int n = SSL_read(ssl, block, sizeof block);
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
  };
  pair.server.serve([&] { return ask(pair.server.port(), how); });
  // What came before are the handshake and the session ticket.
  REQUIRE(sizes.size() >= 5);
  const std::vector<int> last(sizes.end() - 5, sizes.end());
  CHECK(last == std::vector<int>{100 + 17, 16384 + 17, 16384 + 17, 8192 + 17, 4 + 17});
}

TEST_CASE("close_notify is an end, FIN without it is a truncation") {
  Pair pair;
  Client client(pair.server);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  REQUIRE(client.connected.has_value());
  pair.server.run_until([&] { return pair.server.sessions.size() == 1; });
  Session& at_server = *pair.server.sessions[0];
  // With the session ticket read, closing sends FIN and not RST.
  client.write("ping");
  pair.server.run_until([&] { return client.session.received == "ping"; });
  SECTION("clean") {
    {
      const net::Loop::Turn turn(pair.server.loop);
      client.session.stream->write(std::string_view("last words"));
      client.session.stream->finish();
      client.session.stream->write(std::string_view("not these"));
    }
    pair.server.run_until([&] { return at_server.eof && client.session.eof; });
    CHECK(at_server.received == "pinglast words");
    CHECK(client.session.received == "pinglast words");
    CHECK_FALSE(at_server.closed.has_value());
  }
  SECTION("truncated") {
    {
      const net::Loop::Turn turn(pair.server.loop);
      client.session.stream->close();
      CHECK_FALSE(client.session.stream->is_open());
    }
    pair.server.run_until([&] { return at_server.closed.has_value(); });
    CHECK(at_server.closed->code == ErrorCode::closed);
    CHECK(at_server.closed->fault == base::Fault::client);
    CHECK_FALSE(at_server.eof);
    CHECK_FALSE(at_server.stream->is_open());
  }
  SECTION("reset") {
    {
      const net::Loop::Turn turn(pair.server.loop);
      client.session.stream->close(true);
    }
    pair.server.run_until([&] { return at_server.closed.has_value(); });
    CHECK(at_server.closed->code == ErrorCode::reset);
  }
}

TEST_CASE("bytes that no TLS peer sends end the connection with an alert") {
  Pair pair;
  bool alert = false;
  Ask how;
  how.talk = [&](SSL* ssl) {
    CHECK(exchange(ssl, "ping") == "ping");
    const std::string record = "\x17\x03\x03" + with16(std::string(40, 'x'));
    static_cast<void>(!::send(SSL_get_fd(ssl), record.data(), record.size(), MSG_NOSIGNAL));
    char byte = 0;
    SSL_read(ssl, &byte, 1);
    alert = ERR_GET_REASON(ERR_peek_error()) == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC;
    // The session goes on closing: nothing more is to be written by OpenSSL.
    SSL_set_quiet_shutdown(ssl, 1);
  };
  pair.server.prepare = [&](Session& session) {
    session.changed = [&] {
      if (session.closed.has_value() && session.stream != nullptr) {
        auto* stream = static_cast<ServerStream*>(session.stream.release());
        pair.server.loop.reap(std::unique_ptr<ServerStream>(stream));
      }
      pair.server.look();
    };
  };
  pair.server.serve(
      [&] { return ask(pair.server.port(), how); },
      [&] { return pair.server.sessions.size() == 1 && pair.server.sessions[0]->closed.has_value(); });
  CHECK(alert);
  CHECK(pair.server.sessions[0]->closed->code == ErrorCode::tls_failed);
  CHECK(pair.server.sessions[0]->closed->cause == 20);
}

TEST_CASE("a session that starts late loses nothing of what came with the handshake") {
  Pair pair;
  pair.server.start_at_once = false;
  Client client(pair.server);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  const std::string text = pattern(0, 200'000);
  client.write(text);
  pair.server.run_until([&] { return pair.server.sessions.size() == 1; });
  {
    const net::Loop::Turn turn(pair.server.loop);
    pair.server.sessions[0]->stream->start(*pair.server.sessions[0]);
  }
  pair.server.run_until([&] { return client.session.received.size() == text.size(); });
  CHECK(client.session.received == text);
}

TEST_CASE("an idle connection wakes up with the next byte") {
  Pair pair;
  Client client(pair.server);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  client.write("one");
  pair.server.run_until([&] { return client.session.received == "one"; });
  {
    const net::Loop::Turn turn(pair.server.loop);
    client.session.stream->idle();
    pair.server.sessions[0]->stream->idle();
  }
  client.write("two");
  pair.server.run_until([&] { return client.session.received == "onetwo"; });
  CHECK(pair.server.sessions[0]->received == "onetwo");
}

TEST_CASE("an upstream is verified: chain and name, by default") {
  Pair pair;
  const Identity other_ca = make_authority("Other CA");
  const auto error_of = [&](std::shared_ptr<const ClientContext> context, const std::string& name) {
    Client client(pair.server);
    client.connect(std::move(context), name);
    pair.server.run_until([&] { return client.decided(); });
    if (client.connected) return base::Error{};
    CHECK(client.error->unsent);
    CHECK(client.error->fault == base::Fault::upstream);
    return *client.error;
  };
  CHECK_FALSE(error_of(pair.context(), "a.example"));
  CHECK_FALSE(error_of(pair.context(), "127.0.0.1"));
  CHECK_FALSE(error_of(pair.context([](ClientSpec& s) { s.server_name = "b.example"; }), "10.0.0.1"));

  pair.spec.unknown_sni = "a.example";
  pair.build();
  base::Error error = error_of(pair.context(), "c.example");
  CHECK(error.code == ErrorCode::tls_untrusted);
  CHECK(error.cause == X509_V_ERR_HOSTNAME_MISMATCH);
  CHECK(verify_reason(error.cause) == "hostname mismatch");
  CHECK(error_of(pair.context(), "127.0.0.2").cause == X509_V_ERR_IP_ADDRESS_MISMATCH);
  const std::string other = pair.folder.write("other.pem", other_ca.pem());
  error = error_of(pair.context([&](ClientSpec& s) { s.ca_file = other; }), "a.example");
  CHECK(error.code == ErrorCode::tls_untrusted);
  CHECK(error_of(pair.context([](ClientSpec& s) { s.ca_file.clear(); }), "a.example").code ==
        ErrorCode::tls_untrusted);
  CHECK_FALSE(error_of(pair.context([&](ClientSpec& s) {
    s.ca_file = other;
    s.verify = false;
  }),
                       "c.example"));
}

TEST_CASE("an upstream that refuses, leaves or stays silent is told apart") {
  Pair pair;
  Client client(pair.server);
  SECTION("refuses: its alert is the cause") {
    pair.spec.policies[0].alpn = {"h2"};
    pair.build();
    client.connect(pair.context([](ClientSpec& s) { s.alpn = {"http/1.1"}; }));
    pair.server.run_until([&] { return client.decided(); });
    REQUIRE(client.error.has_value());
    CHECK(client.error->code == ErrorCode::tls_failed);
    CHECK(client.error->cause == 120);
  }
  SECTION("leaves") {
    const auto context = pair.context();
    pair.server.options.handshake_timeout = base::Milliseconds(1);
    pair.server.store = nullptr;
    struct Closer final : net::Listener::Handler {
      void on_accept(net::TcpSocket socket, const net::Endpoint&, const net::Endpoint&) override {
        socket.close();
      }
      void on_accept_error(const base::Error&) override {}
    } closer;
    auto sockets = net::ListenerSocket::bind_set(*net::Endpoint::parse("127.0.0.1:0"), 1);
    net::Listener listener(pair.server.loop, std::move((*sockets)[0]), closer);
    listener.start();
    client.port = listener.local().port;
    client.connect(context);
    pair.server.run_until([&] { return client.decided(); });
    REQUIRE(client.error.has_value());
    const bool gone =
        client.error->code == ErrorCode::tls_closed || client.error->code == ErrorCode::tls_reset;
    CHECK(gone);
  }
  SECTION("stays silent") {
    auto sockets = net::ListenerSocket::bind_set(*net::Endpoint::parse("127.0.0.1:0"), 1);
    client.port = (*sockets)[0].local().port;
    client.connect(pair.context(), "a.example", nullptr, base::Milliseconds(20));
    pair.server.run_until([&] { return client.decided(); });
    REQUIRE(client.error.has_value());
    CHECK(client.error->code == ErrorCode::tls_timeout);
  }
}

TEST_CASE("a session with an upstream is resumed, for the same name and context only") {
  Pair pair;
  ClientSession memory;
  const auto context = pair.context();
  const auto resumed = [&](std::shared_ptr<const ClientContext> with, const std::string& name) {
    Client client(pair.server);
    client.connect(std::move(with), name, &memory);
    pair.server.run_until([&] { return client.decided(); });
    REQUIRE(client.connected.has_value());
    client.write("ping");
    pair.server.run_until([&] { return client.session.received == "ping"; });
    return client.connected->resumed;
  };
  CHECK_FALSE(resumed(context, "a.example"));
  CHECK_FALSE(memory.empty());
  CHECK(resumed(context, "a.example"));
  CHECK(resumed(context, "a.example"));
  // Same ticket keys, same host: only the name that was verified differs.
  CHECK_FALSE(resumed(context, "b.example"));
  CHECK_FALSE(resumed(pair.context([](ClientSpec& s) { s.alpn = {"h2"}; }), "b.example"));
  pair.spec.policies[0].max_version = Version::tls12;
  pair.build();
  CHECK_FALSE(resumed(context, "a.example"));
  CHECK(resumed(context, "a.example"));
  CHECK(resumed(context, "a.example"));
}

TEST_CASE("our own certificate is shown to an upstream that asks") {
  Pair pair;
  pair.spec.policies[0].client_auth = {ClientAuthMode::require, pair.ca_file, 4};
  pair.build();
  Wanted wanted;
  wanted.name = "gateway";
  const auto own = loaded(issue(wanted, &pair.ca));
  Client client(pair.server);
  client.connect(pair.context([&](ClientSpec& s) { s.certificate = own; }));
  pair.server.run_until([&] { return pair.server.handshakes.size() == 1; });
  CHECK(pair.server.handshakes[0].subject == "CN=gateway");
}

TEST_CASE("a client context's digest is of content: paths do not matter, bytes do") {
  Pair pair;
  const std::string copy = pair.folder.write("copy.pem", pair.ca.pem());
  const std::string other = pair.folder.write("other.pem", make_authority("Other").pem());
  CHECK(pair.context()->digest() == pair.context([&](ClientSpec& s) { s.ca_file = copy; })->digest());
  CHECK(pair.context()->digest() != pair.context([&](ClientSpec& s) { s.ca_file = other; })->digest());
  CHECK(pair.context()->digest() != pair.context([](ClientSpec& s) { s.server_name = "x"; })->digest());
  CHECK(pair.context()->digest() != pair.context([](ClientSpec& s) { s.verify = false; })->digest());
  Notes notes;
  ClientSpec broken;
  broken.ca_file = pair.folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
  CHECK(ClientContext::make(broken, notes) == nullptr);
  CHECK(first_text(notes).find("broken.pem: holds no readable CA certificate") != std::string::npos);
}

TEST_CASE("a stream may be destroyed from within its handler's calls") {
  Pair pair;
  SECTION("when the handshake is done") {
    pair.server.prepare = [](Session& session) { session.stream.reset(); };
    pair.server.start_at_once = false;
  }
  SECTION("when bytes arrive") {
    pair.server.prepare = [](Session& session) {
      session.take = [](Session& self, std::span<const char>) { self.stream.reset(); };
    };
  }
  Client client(pair.server);
  client.connect(pair.context());
  pair.server.run_until([&] { return client.decided(); });
  REQUIRE(client.connected.has_value());
  client.write("ping");
  pair.server.run_until([&] { return client.session.closed.has_value(); });
  CHECK(client.session.received.empty());
}
