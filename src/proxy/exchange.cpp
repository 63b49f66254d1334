#include "exchange.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "sallyport/http/semantics.hpp"

namespace sallyport::proxy {

namespace {

using base::ErrorCode;

// One side of a WebSocket has closed; the other has this long to do the same.
constexpr base::Milliseconds kHalfClosedTunnel{10'000};

constexpr std::string_view kHealthField = "x-tls-health-score";

upstream::Outcome outcome_of(const base::Error& error) noexcept {
  using upstream::Outcome;
  if (error.fault != base::Fault::upstream) return Outcome::neutral;
  switch (error.code) {
    case ErrorCode::head_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::body_timeout:
      return Outcome::timeout;
    case ErrorCode::stream_refused:
      return Outcome::neutral;
    default:
      return error.reused ? Outcome::neutral : Outcome::reset;
  }
}

// gRPC needs HTTP/2 all the way; its messages come when there is something to say.
bool carries_grpc(const upstream::ClusterSpec& cluster) noexcept {
  const bool offered = cluster.protocol == config::UpstreamProtocol::automatic && cluster.tls != nullptr;
  return offered || cluster.protocol == config::UpstreamProtocol::h2;
}

bool is_grpc(const http::RequestHead& head) noexcept {
  const auto type = head.fields.find(http::FieldId::content_type);
  return head.version == http::Version::http2 && type && type->starts_with("application/grpc");
}

upstream::Outcome outcome_of(std::uint16_t status) noexcept {
  const bool gateway = status == 502 || status == 503 || status == 504;
  return gateway ? upstream::Outcome::gateway_status : upstream::Outcome::ok;
}

}  // namespace

Exchange::Exchange(Proxy& proxy, session::ClientSession& session, http::Stream& client)
    : proxy_(proxy),
      session_(session),
      client_(&client),
      snapshot_(proxy.snapshot_),
      route_(&snapshot_->unrouted),
      changed_(proxy.loop_),
      begun_(proxy.loop_.now()),
      begun_wall_(proxy.loop_.wall_now()) {
  up_.source(client_);
  down_.keep(false);  // a response is sent once
  proxy_.make_request_id(std::span<char, 32>(request_id_));
}

Exchange::~Exchange() {
  // Cut short: the owner goes away with exchanges running.
  if (client_ != nullptr) client_->reset(base::gateway_error(ErrorCode::draining));
}

void Exchange::begin(http::RequestHead&& head, bool end) {
  std::swap(head_, head);
  asked_authority_ = head_.authority_slice();
  asked_target_ = head_.target_slice();
  client_->attach(&client_side_);
  if (end) up_.end_without_body();
  life_ = life();
  life_.start();
}

void Exchange::refuse(const base::Error& error) {
  error_ = error;
  up_.end_without_body();
  client_->attach(&client_side_);
  life_ = life();
  life_.start();
}

base::Task<> Exchange::life() {
  if (decide()) {
    bool again = true;
    while (again) {
      ask();
      while (!lease_settled()) co_await changed_.wait();
      send_request();
      while (!answered()) co_await changed_.wait();
      again = try_again();
    }
    respond();
  }
  tend();
  while (!finished()) {
    co_await changed_.wait();
    tend();
  }
  close();
  record();
  proxy_.ended(*this);
}

// ---- the decisions ----

// False: answered already.
bool Exchange::decide() {
  if (error_) {
    reply(answer_for(error_));
    return false;
  }
  listener_ = snapshot_->listener_of(session_.info());
  if (misdirected()) {
    reply({421, Reason::misdirected});
    return false;
  }
  if (listener_ != Snapshot::kNoListener && !know_client()) {
    reply({508, Reason::loop});
    return false;
  }
  if (!clean_path()) {
    reply({400, Reason::bad_path});
    return false;
  }
  if (!clean_fields()) {
    reply({400, Reason::bad_field});
    return false;
  }
  const route::Match match = snapshot_->routes->find(route::host_part(head_.authority()), listener_, head_);
  switch (match.outcome) {
    case route::Match::Outcome::route:
      break;
    case route::Match::Outcome::redirect:
      redirect_to_https(*snapshot_->listeners[listener_].config);
      return false;
    case route::Match::Outcome::no_host:
      reply({static_cast<std::uint16_t>(session_.info().tls ? 421 : 404),
             session_.info().tls ? Reason::misdirected : Reason::no_route});
      return false;
    case route::Match::Outcome::no_route:
      reply({404, Reason::no_route});
      return false;
  }
  return admit(snapshot_->route_entries[match.route]);
}

// RFC 9110 §15.5.20: the authority is not one that this connection's handshake stands for, or a
// reload took or tightened the host since.
bool Exchange::misdirected() {
  const session::ConnectionInfo& info = session_.info();
  const bool known = listener_ != Snapshot::kNoListener;
  if (known && !info.tls) return false;
  const tls::HostEntry* handshake = known && snapshot_->tls != nullptr
                                        ? snapshot_->tls->rematch(info.sni, listener_, info.auth_rule)
                                        : nullptr;
  if (handshake == nullptr) {
    session_.drain();
    return true;
  }
  return !snapshot_->tls->serves(route::host_part(head_.authority()), listener_, *handshake, info.sni);
}

// From here on everybody sees the path in its normal form; the access log keeps what was asked.
bool Exchange::clean_path() {
  if (!head_.target().starts_with('/')) return true;  // "*"
  std::string& normal = proxy_.scratch_;
  const std::string_view path = head_.path();
  switch (http::normalize_path(path, snapshot_->listeners[listener_].paths, normal)) {
    case http::PathVerdict::as_is:
      return true;
    case http::PathVerdict::changed:
      normal.append(head_.target().substr(path.size()));
      head_.set_target(normal);
      return true;
    case http::PathVerdict::refused:
      break;
  }
  return false;
}

// X_Forwarded_For must not pass for our X-Forwarded-For.
bool Exchange::clean_fields() {
  const config::Underscores rule = snapshot_->listeners[listener_].config->underscores;
  if (rule == config::Underscores::keep) return true;
  bool good = true;
  http::Fields& fields = head_.fields;
  // Removing moves no text and no entry, so walking on is safe.
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.id != http::FieldId::other || !http::collides_by_underscore(f.name, snapshot_->edited_fields))
      return;
    good = good && rule == config::Underscores::drop;
    fields.remove(f.name);
  });
  return good;
}

bool Exchange::admit(const RouteEntry& entry) {
  route_ = &entry;
  if (entry.metrics) entry.metrics->begun(proxy_.shard_);
  if (entry.origin_pull != nullptr && !pulled_by_cloudflare(*entry.origin_pull)) {
    reply({403, Reason::origin_pull});
    return false;
  }
  error_ = entry.chain.admit(filter_context(), head_);
  if (error_) {
    reply(answer_for(error_));
    return false;
  }
  if (head_.method == http::Method::trace) {
    // It would show the upstream's view of the request, ours included, to any script.
    reply({405, Reason::method_not_allowed});
    return false;
  }
  if (!head_.protocol().empty() && !entry.config->websocket) {
    reply({403, Reason::websocket_not_allowed});
    return false;
  }
  if (const auto* fixed = std::get_if<config::Reply>(&entry.config->action)) {
    reply(fixed->status, Reason::reply, fixed->body, &fixed->headers);
    return false;
  }
  if (const auto* elsewhere = std::get_if<config::Redirect>(&entry.config->action)) {
    redirect(*elsewhere);
    return false;
  }
  const std::size_t limit = body_limit();
  if (limit != 0 && head_.body.kind == http::BodySize::Kind::known && head_.body.length > limit) {
    reply(answer_for(base::client_error(ErrorCode::body_too_large)));
    return false;
  }
  const session::ConnectionInfo& info = session_.info();
  // HTTP/1.0 may leave Host out; an upstream of HTTP/1.1 must be given one.
  if (head_.authority().empty())
    head_.set_authority(info.sni.empty() ? std::string_view(entry.host) : info.sni);
  entry.chain.on_request(filter_context(), head_);
  conversation_ = carries_grpc(*entry.cluster) && is_grpc(head_);
  if (conversation_) client_->unhurried();
  request_.emplace(proxy_.pools_.pool(entry.cluster), changed_);
  if (entry.timeouts.total.count() != 0) {
    proxy_.loop_.timers().arm(total_, entry.timeouts.total, proxy_.loop_.now());
  }
  return true;
}

filter::Context Exchange::filter_context() const noexcept {
  const session::ConnectionInfo& info = session_.info();
  return {told_ ? told_->endpoint : info.peer,
          client_text(),
          info.local.port,
          info.tls,
          std::string_view(request_id_, sizeof request_id_),
          proxy_.loop_.now(),
          visitor_scheme_,
          is_trusted(peer_kind()) ? std::string_view(snapshot_->model.cdn_loop.id) : std::string_view{},
          info.client_fields.get()};
}

std::size_t Exchange::body_limit() const noexcept {
  if (route_->request_body) return *route_->request_body;
  return snapshot_->listeners[listener_].terms(peer_kind()).request_body;
}

void Exchange::ask() {
  upstream::Ask ask;
  ask.websocket = !head_.protocol().empty();
  ask.fresh = fresh_;
  ask.connect_timeout = route().timeouts.connect;
  request_->acquire(ask);
}

void Exchange::send_request() {
  if (client_ == nullptr || error_) {
    request_->cancel();
    return;
  }
  base::Result<upstream::Lease> got = request_->take();
  if (got.has_error()) {
    error_ = got.error();
    return;
  }
  lease_ = std::move(*got);
  reused_ = lease_.reused();
  connect_time_ = reused_ ? base::Duration(-1) : lease_.connect_time() + lease_.tls_time();
  request_sent_ = proxy_.loop_.now();
  http::Stream& upstream = lease_.stream();
  upstream.attach(&upstream_side_);
  down_.source(&upstream);
  if (!head_.protocol().empty()) prepare_tunnel(lease_.version());
  const bool whole = up_.ended() && up_.bytes() == 0 && head_.protocol().empty();
  upstream.send_request(head_, whole);
  // A WebSocket's bytes flow once it is accepted.
  if (!whole && head_.protocol().empty()) up_.connect(&upstream);
  watch_upload();
  watch_request();
}

bool Exchange::try_again() {
  if (!error_ || client_ == nullptr || response_arrived_) return false;
  upstream::Attempt attempt;
  attempt.idempotent = http::idempotent(head_.method);
  attempt.body_held = up_.replayable();
  attempt.response_begun = response_begun_;
  if (error_.fault == base::Fault::client || error_.code == ErrorCode::total_timeout) return false;
  const upstream::RetryVerdict verdict = request_->retry(error_, attempt);
  if (verdict == upstream::RetryVerdict::budget) {
    if (const auto& metrics = request_->spec().metrics) {
      metrics->retry(proxy_.shard_, error_.code, obs::RetryResult::budget);
    }
  }
  if (verdict != upstream::RetryVerdict::retry) return false;
  retried_for_ = error_.code;
  fresh_ = fresh_ || error_.reused;
  error_ = {};
  up_.rewind();
  return true;
}

// The upstream's head goes to the client, or a reply of our own that says why there is none.
void Exchange::respond() {
  if (client_ == nullptr) return;
  if (error_) {
    reply(answer_for(error_));
    return;
  }
  request_->answered();
  up_.keep(false);
  const base::Instant now = proxy_.loop_.now();
  upstream_first_byte_ = now - request_sent_;
  first_byte_ = now - begun_;
  upstream_status_ = response_.status;
  if (response_.status == 101 && !accept_tunnel()) {
    drop_upstream(base::upstream_error(ErrorCode::malformed), upstream::Outcome::reset);
    error_ = base::upstream_error(ErrorCode::malformed);
    reply(answer_for(error_));
    return;
  }
  route().chain.on_response(filter_context(), response_);
  stamp(response_);
  status_ = response_.status;
  head_sent_ = true;
  if (response_end_) down_.end_without_body();
  client_->send_response(response_, response_end_);
  if (!response_end_) {
    down_.connect(client_);
    watch(idle_timeout());
  }
  if (tunnel_ && lease_) up_.connect(&lease_.stream());
}

// The handshake's health, where asked for. An upstream cannot speak for it.
void Exchange::stamp(http::ResponseHead& head) const {
  if (!snapshot_->model.tls.health.header) return;
  head.fields.remove(kHealthField);
  const std::uint8_t health = session_.info().health;
  const bool interim = head.informational() && head.status != 101;
  if (health == session::ConnectionInfo::kNoHealth || interim) return;
  std::array<char, 4> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), health).ptr;
  head.fields.add(kHealthField, {digits.data(), static_cast<std::size_t>(end - digits.data())});
}

// Gives back what is no longer needed, so that a slow client holds no upstream connection.
void Exchange::tend() {
  if (!lease_ || !head_sent_ || tunnel_) return;
  if (down_.ended() && up_.ended() && lease_.stream().unsent() == 0) {
    down_.source(nullptr);
    lease_.stream().detach();
    lease_.finished(outcome_of(upstream_status_));
  }
}

bool Exchange::finished() const noexcept {
  if (client_ == nullptr) return true;
  const bool sent = head_sent_ && down_.ended() && client_->unsent() == 0;
  return tunnel_ ? sent && up_.ended() : sent;
}

void Exchange::close() {
  deadline_.cancel();
  total_.cancel();
  upload_stall_.cancel();
  if (lease_) {
    const bool whole = down_.ended() && response_arrived_;
    down_.source(nullptr);
    lease_.stream().detach();
    lease_.finished(whole ? outcome_of(upstream_status_) : upstream::Outcome::neutral);
  }
  if (client_ != nullptr) std::exchange(client_, nullptr)->detach();
}

// ---- meanwhile: the client ----

void Exchange::client_data(std::span<const char> bytes, bool end) {
  // Refused or answered by us: what still comes of the body must not undo the reply.
  if (head_sent_ && upstream_status_ == 0) return;
  const std::size_t limit = tunnel_ ? 0 : body_limit();
  if (limit != 0 && up_.bytes() + bytes.size() > limit) {
    give_up(base::client_error(ErrorCode::body_too_large));
    return;
  }
  const bool waited = up_.waits();
  up_.on_data(bytes, end);
  if (!waited) watch_upload();
  if (tunnel_ && end) {
    watch(kHalfClosedTunnel);
  } else if (head_sent_) {
    watch(idle_timeout());
  } else if (end || !deadline_.armed()) {
    watch_request();
  }
  if (end) changed_.raise();
}

void Exchange::client_trailers(http::Fields&& trailers) {
  up_.on_trailers(std::move(trailers));
  if (!head_sent_) watch_request();
  changed_.raise();
}

void Exchange::client_took(std::size_t n) {
  down_.on_sent(n);
  if (head_sent_ && !down_.ended()) watch(idle_timeout());
  if (down_.ended()) changed_.raise();
}

void Exchange::client_failed(const base::Error& error) {
  client_ = nullptr;
  up_.source(nullptr);
  // A client that has all of its response may leave.
  if (!client_has_all()) {
    if (!error_) error_ = error;
    reason_ = Reason::client_gone;
    cut_off_ = true;
  }
  down_.connect(nullptr);
  base::Error cancel = base::client_error(ErrorCode::canceled);
  drop_upstream(cancel, upstream::Outcome::neutral);
  changed_.raise();
}

// Over HTTP/1.x the stated length ends a response; an HTTP/2 upstream's END_STREAM may still be to come.
bool Exchange::client_has_all() const noexcept {
  if (!head_sent_) return false;
  if (down_.delivered()) return true;
  const bool stated =
      head_.version != http::Version::http2 && !tunnel_ && response_.body.kind == http::BodySize::Kind::known;
  return stated && down_.sent() >= response_.body.length;
}

// ---- meanwhile: the upstream ----

void Exchange::upstream_response(http::ResponseHead&& head, bool end) {
  if (head.informational() && head.status != 101) {
    stamp(head);
    if (client_ != nullptr) client_->send_response(head, false);
    response_begun_ = true;
    watch_request();
    return;
  }
  std::swap(response_, head);
  response_arrived_ = response_begun_ = true;
  response_end_ = end;
  changed_.raise();
}

void Exchange::upstream_data(std::span<const char> bytes, bool end) {
  down_.on_data(bytes, end);
  if (end) {
    if (tunnel_) watch(kHalfClosedTunnel);
    changed_.raise();
  } else if (head_sent_) {
    watch(idle_timeout());
  }
}

void Exchange::upstream_trailers(http::Fields&& trailers) {
  if (snapshot_->model.tls.health.header) trailers.remove(kHealthField);
  down_.on_trailers(std::move(trailers));
  changed_.raise();
}

void Exchange::upstream_took(std::size_t n) {
  up_.on_sent(n);
  watch_upload();
  if (!response_arrived_) {
    watch_request();
  } else if (head_sent_) {
    watch(idle_timeout());
  }
  if (up_.ended()) changed_.raise();
}

void Exchange::upstream_failed(const base::Error& failure) {
  // The lease also knows of connections that served nobody but sat idle.
  base::Error error = failure;
  error.reused = error.reused || lease_.reused();
  down_.source(nullptr);
  lease_.finished(outcome_of(error));
  const bool whole = response_arrived_ && (response_end_ || down_.ended());
  if (whole) {
    changed_.raise();
    return;
  }
  give_up(error);
}

// The present try, or with a head sent the whole exchange, is over.
void Exchange::give_up(const base::Error& error) {
  if (!error_) error_ = error;
  if (lease_) drop_upstream(base::gateway_error(ErrorCode::canceled), outcome_of(error));
  if (head_sent_ && client_ != nullptr) {
    reason_ = answer_for(error).reason;
    cut_off_ = true;
    std::exchange(client_, nullptr)->reset(error);
  } else if (response_arrived_ && !head_sent_) {
    // The head is here but not passed on: what failed is the rest of it, so there is nothing to pass.
    response_arrived_ = false;
    response_begun_ = true;
  }
  changed_.raise();
}

void Exchange::drop_upstream(const base::Error& why, upstream::Outcome outcome) noexcept {
  if (!lease_) return;
  down_.source(nullptr);
  lease_.stream().reset(why);
  lease_.finished(outcome);
}

// ---- time ----

base::Milliseconds Exchange::idle_timeout() const noexcept {
  return tunnel_ ? route().timeouts.tunnel : route().timeouts.idle;
}

// Before the response's head. As long as it is the client's turn to send, its session watches it:
// a client that stalls must not pass for an upstream that does not answer.
void Exchange::watch_request() {
  if (!lease_) return;
  const bool asked_to_go_on = !head_.expects_continue || response_begun_ || up_.bytes() != 0;
  const bool watched_there = head_.protocol().empty() && !conversation_;
  const bool clients_turn = !up_.ended() && watched_there && asked_to_go_on && lease_.stream().unsent() == 0;
  watch(clients_turn ? base::Milliseconds{0} : route().timeouts.first_byte);
}

void Exchange::watch(base::Milliseconds idle) {
  if (idle.count() == 0) {
    deadline_.cancel();
  } else {
    proxy_.loop_.timers().arm(deadline_, idle, proxy_.loop_.now());
  }
}

void Exchange::on_deadline() {
  if (head_sent_ && client_ != nullptr && client_->unsent() != 0) {
    // It is the client who takes nothing: its session watches that, and the upstream is not to blame.
    watch(idle_timeout());
    return;
  }
  give_up(base::upstream_error(head_sent_ ? ErrorCode::idle_timeout : ErrorCode::head_timeout));
}

void Exchange::on_total() {
  if (request_) request_->cancel();
  give_up(base::gateway_error(ErrorCode::total_timeout));
}

}  // namespace sallyport::proxy
