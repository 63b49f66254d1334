// Replies that we make ourselves, and what is recorded when an exchange is over.
#include <array>
#include <charconv>
#include <ctime>

#include "sallyport/base/hex.hpp"

#include "exchange.hpp"

namespace sallyport::proxy {

namespace {

// RFC 9110 §5.6.7, made once a second and thread.
std::string_view http_date(base::WallTime now) {
  thread_local std::time_t made_for = -1;
  thread_local std::array<char, 32> text;
  const std::time_t second = base::WallClock::to_time_t(now);
  if (second != made_for) {
    std::tm parts{};
    gmtime_r(&second, &parts);
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[parts.tm_wday % 7],
                  parts.tm_mday % 100, kMonths[parts.tm_mon % 12], (parts.tm_year + 1900) % 10000,
                  parts.tm_hour % 100, parts.tm_min % 100, parts.tm_sec % 100);
    made_for = second;
  }
  return {text.data(), 29};
}

}  // namespace

void Exchange::reply(const Answer& answer) {
  if (answer.status == 0) {
    reason_ = answer.reason;
    cut_off_ = true;
    if (client_ != nullptr) std::exchange(client_, nullptr)->reset(error_);
    return;
  }
  std::string body = std::to_string(answer.status);
  body += ' ';
  body += status_text(answer.status);
  body += "\n";
  body += to_string(answer.reason);
  if (error_) {
    body += ": ";
    body += base::to_string(error_.code);
  }
  body += "\nrequest ";
  body.append(request_id_, sizeof request_id_);
  body += '\n';
  // What both sides' support will ask for.
  if (const auto ray = head_.fields.find(http::FieldId::cf_ray)) {
    body += "cf-ray ";
    body += *ray;
    body += '\n';
  }
  reply(answer.status, answer.reason, body, nullptr);
}

void Exchange::reply(std::uint16_t status, Reason reason, std::string_view body,
                     const config::HeaderList* headers) {
  if (client_ == nullptr) return;
  reason_ = reason;
  response_.clear();
  response_.status = status;
  const bool bodiless = status == 204 || status == 304;
  if (!bodiless) {
    response_.body = {http::BodySize::Kind::known, body.size()};
    response_.fields.add(http::FieldId::content_type, "text/plain; charset=utf-8");
  }
  response_.fields.add(http::FieldId::date, http_date(proxy_.loop_.wall_now()));
  if (status == 405) response_.fields.add("allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");
  if (status == 429 && error_.code == base::ErrorCode::rate_limited) {
    response_.fields.add(http::FieldId::retry_after, std::to_string(error_.cause));
  }
  if (status == 503) response_.fields.add(http::FieldId::retry_after, "1");
  add_proxy_status();
  if (headers != nullptr) {
    for (const auto& [name, value] : *headers) response_.fields.set(name, value);
  }
  route().chain.on_response(filter_context(), response_);
  stamp(response_);
  const bool end = bodiless || body.empty() || head_.method == http::Method::head;
  status_ = status;
  head_sent_ = true;
  first_byte_ = proxy_.loop_.now() - begun_;
  client_->send_response(response_, end);
  down_.restart();
  if (end) {
    down_.end_without_body();
  } else {
    down_.connect(client_);
    down_.on_data(std::span<const char>(body.data(), body.size()), true);
  }
}

// RFC 9209: why the answer is ours and not the upstream's, for whoever stands before us.
void Exchange::add_proxy_status() {
  const std::string_view error = error_ ? proxy_status_of(error_) : std::string_view{};
  if (error.empty()) return;
  std::string& text = proxy_.scratch_;
  text.assign("sallyport; error=").append(error).append("; details=\"");
  text.append(to_string(reason_)).append(": ").append(base::to_string(error_.code)).append("\"");
  response_.fields.add("proxy-status", text);
}

void Exchange::redirect_to(std::uint16_t status, std::string_view location) {
  const config::HeaderList headers{{"location", std::string(location)}};
  reply(status, Reason::redirect, "", &headers);
}

void Exchange::redirect(const config::Redirect& to) {
  if (to.to) {
    redirect_to(to.code, *to.to);
    return;
  }
  std::string location = to.scheme.value_or(session_.info().tls ? "https" : "http");
  location += "://";
  location += to.host ? std::string_view(*to.host) : head_.authority();
  if (to.path) {
    location += *to.path;
    if (!head_.query().empty()) {
      location += '?';
      location += head_.query();
    }
  } else {
    location += head_.target();
  }
  redirect_to(to.code, location);
}

void Exchange::redirect_to_https(const config::Listener& listener) {
  std::string_view host = head_.authority();
  // The port behind the host or the bracketed address is the clear-text one.
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    host = host.substr(0, colon);
  }
  if (host.empty()) {
    reply({400, Reason::bad_request});
    return;
  }
  std::string location = "https://";
  location += host;
  if (listener.redirect_port != 443) location += ":" + std::to_string(listener.redirect_port);
  location += head_.target() == "*" ? "/" : head_.target();
  redirect_to(listener.redirect_code, location);
}

void Exchange::record_upstream(const obs::UpstreamMetrics& metrics) {
  const bool answered = upstream_status_ != 0;
  if (answered) metrics.request(proxy_.shard_, upstream_status_, reused_);
  if (upstream_first_byte_) metrics.response_duration(proxy_.shard_, *upstream_first_byte_);
  if (error_ && error_.fault == base::Fault::upstream) metrics.failed(proxy_.shard_, error_.code);
  if (retried_for_ == base::ErrorCode::none) return;
  metrics.retry(proxy_.shard_, retried_for_,
                answered ? obs::RetryResult::success : obs::RetryResult::exhausted);
}

void Exchange::record() {
  const base::Duration took = proxy_.loop_.now() - begun_;
  if (const auto& metrics = route().metrics) {
    if (route_ == &snapshot_->unrouted) metrics->begun(proxy_.shard_);
    metrics->ended(proxy_.shard_, static_cast<obs::Proto>(head_.version),
                   static_cast<std::size_t>(head_.method), status_, took);
    if (first_byte_) metrics->first_byte(proxy_.shard_, status_, *first_byte_);
    metrics->request_bytes(proxy_.shard_, up_.bytes());
    metrics->response_bytes(proxy_.shard_, down_.bytes());
    if (cut_off_) {
      metrics->cut_off(proxy_.shard_, static_cast<std::size_t>(reason_));
    } else if (reason_ != Reason::none && upstream_status_ == 0) {
      metrics->local_reply(proxy_.shard_, status_, static_cast<std::size_t>(reason_));
    }
  }
  if (request_) {
    if (const auto& metrics = request_->spec().metrics) record_upstream(*metrics);
  }
  const CfRisk risk = cf_risk();
  if (risk != CfRisk::none) proxy_.metrics_.cf_risk(proxy_.shard_, static_cast<std::size_t>(risk));
  if (proxy_.access_.enabled()) write_access_log(took, risk);
}

void Exchange::write_access_log(base::Duration took, CfRisk risk) {
  const session::ConnectionInfo& info = session_.info();
  obs::AccessRecord r;
  r.time = begun_wall_;
  r.connection_id = info.id;
  const std::array<char, 16> tls_id = base::hex16(info.tls_id);
  if (info.tls) r.tls_id = {tls_id.data(), tls_id.size()};
  r.client = client_text();
  if (told_) r.peer = info.peer_text;
  r.listener = info.listener_name;
  r.host = route().host;
  r.route = route().name;
  r.method = head_.method_text();
  r.authority = head_.fields.view(asked_authority_);
  r.target = head_.fields.view(asked_target_);
  r.proto = to_string(head_.version);
  r.status = status_;
  r.bytes_in = up_.bytes();
  r.bytes_out = down_.bytes();
  r.duration = took;
  if (first_byte_) r.first_byte = *first_byte_;
  if (request_) {
    r.upstream = request_->spec().name;
    if (request_->endpoint()) r.endpoint = proxy_.text_of(*request_->endpoint());
    r.upstream_connect = connect_time_;
    if (upstream_first_byte_) r.upstream_first_byte = *upstream_first_byte_;
    r.upstream_status = upstream_status_;
    r.upstream_reused = reused_;
    r.retries = static_cast<std::uint16_t>(request_->retries());
  }
  if (error_) {
    r.error = base::to_string(error_.code);
    r.fault = base::to_string(error_.fault);
  }
  if (reason_ != Reason::none) r.reason = to_string(reason_);
  r.request_id = std::string_view(request_id_, sizeof request_id_);
  const auto field = [this](http::FieldId id) { return head_.fields.find(id).value_or(std::string_view{}); };
  r.cf_ray = field(http::FieldId::cf_ray);
  r.country = field(http::FieldId::cf_ipcountry);
  r.visitor_scheme = visitor_scheme_;
  if (risk != CfRisk::none) r.cf_risk = cf_risk_words()[static_cast<std::size_t>(risk)].first;
  r.user_agent = field(http::FieldId::user_agent);
  r.referer = field(http::FieldId::referer);
  r.sni = info.sni;
  r.tls_version = info.tls_version;
  r.tls_cipher = info.cipher;
  r.client_cert = info.client_cert;
  proxy_.access_.write(r);
}

}  // namespace sallyport::proxy
