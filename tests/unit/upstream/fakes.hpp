// Sessions, dials and exchanges that the tests move by hand: no sockets, and time is the timer
// wheel's, advanced by the test.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/upstream/pool.hpp"

namespace sallyport::upstream::test {

class FakeSession;

struct FakeStream final : http::Stream {
  explicit FakeStream(FakeSession& s) : session(&s) {}
  void attach(http::StreamReceiver*) override {}
  void detach() noexcept override;
  void send_request(const http::RequestHead&, bool) override {}
  void send_response(const http::ResponseHead&, bool) override {}
  void send_data(std::span<const char>, bool) override {}
  void send_trailers(const http::Fields&) override {}
  void consumed(std::size_t) noexcept override {}
  void reset(const base::Error&) noexcept override { detach(); }
  [[nodiscard]] std::size_t unsent() const noexcept override { return 0; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http11; }
  FakeSession* session;
  bool open = true;
};

// What a test sees of a session, also after it died.
struct SessionFacts {
  bool shut_down = false;
  bool aborted = false;
  bool destroyed = false;
};

class FakeSession final : public session::UpstreamSession {
 public:
  FakeSession(Owner& owner, http::Version version, std::shared_ptr<SessionFacts> facts)
      : owner_(owner), version_(version), facts_(std::move(facts)) {}
  ~FakeSession() override { facts_->destroyed = true; }

  [[nodiscard]] http::Stream* open_stream() override {
    if (capacity() == 0) return nullptr;
    ++served_;
    ++active_;
    streams_.push_back(std::make_unique<FakeStream>(*this));
    return streams_.back().get();
  }
  [[nodiscard]] bool settled() const noexcept override { return settings_came; }
  [[nodiscard]] std::size_t capacity() const noexcept override {
    if (!usable()) return 0;
    const std::size_t most = version_ == http::Version::http2 && settings_came ? max_streams : 1;
    return most > active_ ? most - active_ : 0;
  }
  [[nodiscard]] std::size_t active() const noexcept override { return active_; }
  [[nodiscard]] bool usable() const noexcept override { return !goaway && !closed_ && !facts_->shut_down; }
  [[nodiscard]] http::Version version() const noexcept override { return version_; }
  [[nodiscard]] bool takes_websocket() const noexcept override {
    return version_ != http::Version::http2 || extended_connect;
  }
  [[nodiscard]] std::uint64_t served() const noexcept override { return served_; }
  [[nodiscard]] base::Seconds idle_hint() const noexcept override { return hint; }
  void shutdown() override { facts_->shut_down = true; }
  void abort(const base::Error&) override {
    facts_->aborted = true;
    closed_ = true;
  }

  void give_back() noexcept { --active_; }
  void changed() { owner_.on_session_changed(*this); }
  void close(base::ErrorCode code = base::ErrorCode::closed) {
    closed_ = true;
    owner_.on_session_closed(*this, base::upstream_error(code));
  }

  std::size_t max_streams = 100;
  bool goaway = false;
  bool settings_came = true;
  bool extended_connect = false;
  base::Seconds hint{0};

 private:
  Owner& owner_;
  http::Version version_;
  std::shared_ptr<SessionFacts> facts_;
  std::vector<std::unique_ptr<FakeStream>> streams_;
  std::size_t active_ = 0;
  std::uint64_t served_ = 0;
  bool closed_ = false;
};

inline void FakeStream::detach() noexcept {
  if (std::exchange(open, false)) session->give_back();
}

// One attempt to connect, decided by the test.
struct DialFacts {
  net::Endpoint address;
  std::string host;
  Offer offer = Offer::h1;
  base::Milliseconds connect_timeout{0};
  bool canceled = false;
  bool finished = false;
  session::UpstreamSession::Owner* owner = nullptr;
  Dial::Receiver* receiver = nullptr;
  FakeSession* session = nullptr;  // while it lives
  std::shared_ptr<SessionFacts> facts = std::make_shared<SessionFacts>();
};

class FakeDialer final : public Dialer {
 public:
  explicit FakeDialer(net::Loop& loop) : loop_(loop) {}

  [[nodiscard]] std::unique_ptr<Dial> dial(const std::shared_ptr<const ClusterSpec>&,
                                           const DialTarget& target, session::UpstreamSession::Owner& owner,
                                           Dial::Receiver& receiver) override {
    auto facts = std::make_shared<DialFacts>();
    facts->address = target.address;
    facts->host = target.host;
    facts->offer = target.offer;
    facts->connect_timeout = target.connect_timeout;
    facts->owner = &owner;
    facts->receiver = &receiver;
    dials.push_back(facts);
    return std::make_unique<Handle>(facts);
  }

  // The n-th dial comes up; returns its session.
  FakeSession& up(std::size_t n, http::Version version = http::Version::http11) {
    DialFacts& d = *dials.at(n);
    const net::Loop::Turn turn(loop_);
    d.finished = true;
    auto session = std::make_unique<FakeSession>(*d.owner, version, d.facts);
    session->max_streams = next_max_streams;
    session->hint = next_hint;
    session->extended_connect = next_extended_connect;
    session->settings_came = next_settings_came;
    d.session = session.get();
    Dialed dialed;
    dialed.session = std::move(session);
    dialed.connect = base::Milliseconds(7);
    d.receiver->on_dialed(std::move(dialed));
    return *d.session;
  }
  void fail(std::size_t n, base::ErrorCode code = base::ErrorCode::connect_refused) {
    DialFacts& d = *dials.at(n);
    const net::Loop::Turn turn(loop_);
    d.finished = true;
    d.receiver->on_dialed(base::upstream_error(code));
  }

  std::vector<std::shared_ptr<DialFacts>> dials;
  std::size_t next_max_streams = 100;
  base::Seconds next_hint{0};
  bool next_extended_connect = false;
  bool next_settings_came = true;

 private:
  struct Handle final : Dial {
    explicit Handle(std::shared_ptr<DialFacts> f) : facts(std::move(f)) {}
    ~Handle() override { facts->canceled = !facts->finished; }
    std::shared_ptr<DialFacts> facts;
  };
  net::Loop& loop_;
};

struct Counts final : Observer {
  void on_connected(const ClusterSpec&, http::Version, base::ErrorCode code, base::Duration,
                    base::Duration) override {
    results.push_back(code);
  }
  void on_connections(const ClusterSpec&, http::Version, ConnectionState state, int delta) override {
    gauges[static_cast<std::size_t>(state)] += delta;
  }
  void on_pending(const ClusterSpec&, int delta) override { pending += delta; }
  void on_endpoints(const ClusterSpec&, int more_healthy, int more_ejected) override {
    healthy += more_healthy;
    ejected += more_ejected;
  }
  void on_ejected(const ClusterSpec&, std::string_view, EjectedFor why, base::Duration time) override {
    ejections.emplace_back(why, time);
  }
  [[nodiscard]] int connecting() const { return gauges[0]; }
  [[nodiscard]] int active() const { return gauges[1]; }
  [[nodiscard]] int idle() const { return gauges[2]; }

  int gauges[3] = {};
  int pending = 0;
  int healthy = 0;
  int ejected = 0;
  std::vector<base::ErrorCode> results;
  std::vector<std::pair<EjectedFor, base::Duration>> ejections;
};

// An exchange as the pool sees one.
struct Exchange {
  Exchange(net::Loop& loop, Pool& pool) : signal(loop), request(pool, signal) {}
  net::Signal signal;
  LeaseRequest request;
  Lease lease;
};

struct Fixture {
  Fixture() : dialer(loop), pools(std::make_unique<Pools>(loop, dialer, counts, 1)) {
    spec->name = "web";
    spec->identity = 1;
    spec->protocol = config::UpstreamProtocol::h1;
    add("10.0.0.1");
  }

  void add(const std::string& host, std::uint32_t weight = 1) {
    config::UpstreamEndpoint endpoint;
    endpoint.host = host;
    endpoint.port = 80;
    endpoint.weight = weight;
    spec->endpoints.push_back(endpoint);
  }

  // A new exchange that asks; its lease is taken if it came at once.
  std::unique_ptr<Exchange> ask(const Ask& what = {}) {
    const net::Loop::Turn turn(loop);
    auto e = std::make_unique<Exchange>(loop, pools->pool(spec));
    again(*e, what);
    return e;
  }
  void again(Exchange& e, const Ask& what = {}) {
    const net::Loop::Turn turn(loop);
    e.request.acquire(what);
    collect(e);
  }
  // Takes the lease or the error if there is one; the error is returned.
  base::ErrorCode collect(Exchange& e) {
    if (!e.request.done()) return base::ErrorCode::none;
    base::Result<Lease> result = e.request.take();
    if (result.has_error()) {
      last_error = result.error();
      return result.error().code;
    }
    e.lease = std::move(*result);
    return base::ErrorCode::none;
  }
  void finish(Exchange& e, Outcome outcome = Outcome::ok) {
    const net::Loop::Turn turn(loop);
    if (outcome != Outcome::reset) e.lease.stream().detach();
    e.lease.finished(outcome);
  }
  void close(FakeSession& session, base::ErrorCode code = base::ErrorCode::closed) {
    const net::Loop::Turn turn(loop);
    session.close(code);
  }
  void changed(FakeSession& session) {
    const net::Loop::Turn turn(loop);
    session.changed();
  }
  // So long from now, as the wheel sees it.
  void pass(base::Milliseconds time) {
    const net::Loop::Turn turn(loop);
    loop.timers().advance(loop.now() + time);
  }
  void end(std::unique_ptr<Exchange>& e) {
    const net::Loop::Turn turn(loop);
    e.reset();
  }
  void resolve(const std::string& host, const std::vector<std::string>& addresses) {
    const net::Loop::Turn turn(loop);
    auto r = std::make_shared<Resolution>();
    r->host = host;
    for (const std::string& a : addresses) r->addresses.push_back(*net::IpAddress::parse(a));
    pools->resolved(r);
  }
  void update(std::vector<std::shared_ptr<const ClusterSpec>> specs) {
    const net::Loop::Turn turn(loop);
    pools->update(Clusters(std::move(specs)));
  }

  net::Loop loop;
  FakeDialer dialer;
  Counts counts;
  std::unique_ptr<Pools> pools;
  std::shared_ptr<ClusterSpec> spec = std::make_shared<ClusterSpec>();
  base::Error last_error;
};

inline std::string where(const Exchange& e) {
  return e.lease.address().address.to_string();
}

}  // namespace sallyport::upstream::test
