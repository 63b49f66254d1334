#include "answer.hpp"

#include <exception>

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>

namespace sallyport::admin {

namespace http = boost::beast::http;

namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kMetricsText = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kJson = "application/json";

struct Content {
  http::status status = http::status::ok;
  std::string_view type = kText;
  std::string body;
};

Content words(http::status status) {
  return {status, kText, std::string(http::obsolete_reason(status)) + '\n'};
}

Content look_up(std::string_view path, const Sources& sources) {
  if (path == "/metrics") return {http::status::ok, kMetricsText, sources.metrics()};
  if (path == "/status") return {http::status::ok, kJson, sources.status_json()};
  if (path == "/healthz") return {http::status::ok, kText, "ok\n"};
  if (path == "/readyz") {
    return sources.ready() ? Content{http::status::ok, kText, "ready\n"}
                           : Content{http::status::service_unavailable, kText, "not ready\n"};
  }
  return words(http::status::not_found);
}

Response respond(Content content, unsigned version, bool keep_alive) {
  Response response(content.status, version);
  response.set(http::field::content_type, content.type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.body() = std::move(content.body);
  response.keep_alive(keep_alive);
  response.prepare_payload();
  return response;
}

}  // namespace

Response answer(const Request& request, const Sources& sources) {
  const auto target = std::string_view(request.target().data(), request.target().size());
  const std::string_view path = target.substr(0, target.find('?'));
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    Response response =
        respond(words(http::status::method_not_allowed), request.version(), request.keep_alive());
    response.set(http::field::allow, "GET, HEAD");
    return response;
  }
  Content content;
  try {
    content = look_up(path, sources);
  } catch (const std::exception&) {
    content = words(http::status::internal_server_error);
  }
  Response response = respond(std::move(content), request.version(), request.keep_alive());
  // The length stays: it is what GET would have (RFC 9110 §9.3.2).
  if (request.method() == http::verb::head) response.body().clear();
  return response;
}

Response refusal(http::status status, unsigned version) {
  return respond(words(status), version, false);
}

}  // namespace sallyport::admin
