#include "sallyport/proxy/reply_table.hpp"

namespace sallyport::proxy {

namespace {

constexpr std::array<std::string_view, kReasons> kReasonWords = {"none",
                                                                 "bad_request",
                                                                 "bad_path",
                                                                 "bad_field",
                                                                 "header_too_large",
                                                                 "uri_too_long",
                                                                 "body_too_large",
                                                                 "request_timeout",
                                                                 "not_implemented",
                                                                 "misdirected",
                                                                 "no_route",
                                                                 "method_not_allowed",
                                                                 "websocket_not_allowed",
                                                                 "rate_limited",
                                                                 "origin_pull",
                                                                 "loop",
                                                                 "redirect",
                                                                 "reply",
                                                                 "upstream_connect",
                                                                 "upstream_tls",
                                                                 "upstream_timeout",
                                                                 "upstream_reset",
                                                                 "upstream_malformed",
                                                                 "upstream_unavailable",
                                                                 "overloaded",
                                                                 "draining",
                                                                 "internal",
                                                                 "client_gone"};

Answer client_answer(const base::Error& error) noexcept {
  using base::ErrorCode;
  switch (error.code) {
    case ErrorCode::head_too_large:
      return {431, Reason::header_too_large};
    case ErrorCode::uri_too_long:
      return {414, Reason::uri_too_long};
    case ErrorCode::body_too_large:
      return {413, Reason::body_too_large};
    case ErrorCode::head_timeout:
    case ErrorCode::body_timeout:
    case ErrorCode::idle_timeout:
      return {408, Reason::request_timeout};
    case ErrorCode::rate_limited:
      return {429, Reason::rate_limited};
    case ErrorCode::unsupported:
      return {501, Reason::not_implemented};
    case ErrorCode::closed:
    case ErrorCode::reset:
    case ErrorCode::stream_reset:
    case ErrorCode::canceled:
    case ErrorCode::tls_failed:
      return {0, Reason::client_gone};
    default:
      return {400, Reason::bad_request};
  }
}

Answer upstream_answer(const base::Error& error) noexcept {
  using base::ErrorCode;
  switch (error.code) {
    case ErrorCode::connect_timeout:
    case ErrorCode::tls_timeout:
    case ErrorCode::head_timeout:
    case ErrorCode::body_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::total_timeout:
      return {504, Reason::upstream_timeout};
    case ErrorCode::connect_refused:
    case ErrorCode::connect_unreachable:
    case ErrorCode::connect_failed:
    case ErrorCode::name_unresolved:
      return {502, Reason::upstream_connect};
    case ErrorCode::tls_failed:
    case ErrorCode::tls_untrusted:
    case ErrorCode::tls_closed:
    case ErrorCode::tls_reset:
      return {502, Reason::upstream_tls};
    case ErrorCode::no_endpoint:
    case ErrorCode::pool_exhausted:
      return {503, Reason::upstream_unavailable};
    case ErrorCode::malformed:
    case ErrorCode::head_too_large:
    case ErrorCode::interim_flood:
    case ErrorCode::unsupported:
      return {502, Reason::upstream_malformed};
    default:
      return {502, Reason::upstream_reset};
  }
}

Answer gateway_answer(const base::Error& error) noexcept {
  using base::ErrorCode;
  switch (error.code) {
    case ErrorCode::no_endpoint:
    case ErrorCode::name_unresolved:
    case ErrorCode::pool_exhausted:
      return {503, Reason::upstream_unavailable};
    case ErrorCode::overloaded:
      return {503, Reason::overloaded};
    case ErrorCode::draining:
      return {503, Reason::draining};
    case ErrorCode::total_timeout:
      return {504, Reason::upstream_timeout};
    default:
      return {500, Reason::internal};
  }
}

}  // namespace

std::string_view to_string(Reason reason) noexcept {
  return kReasonWords[static_cast<std::size_t>(reason)];
}

const std::array<std::string_view, kReasons>& reason_words() noexcept {
  return kReasonWords;
}

Answer answer_for(const base::Error& error) noexcept {
  switch (error.fault) {
    case base::Fault::client:
      return client_answer(error);
    case base::Fault::upstream:
      return upstream_answer(error);
    case base::Fault::gateway:
      break;
  }
  return gateway_answer(error);
}

std::string_view proxy_status_of(const base::Error& error) noexcept {
  using base::ErrorCode;
  if (error.fault == base::Fault::client) return {};
  switch (error.code) {
    case ErrorCode::connect_refused:
    case ErrorCode::connect_failed:
      return "connection_refused";
    case ErrorCode::connect_timeout:
      return "connection_timeout";
    case ErrorCode::connect_unreachable:
      return "destination_ip_unroutable";
    case ErrorCode::name_unresolved:
      return "dns_error";
    case ErrorCode::no_endpoint:
      return "destination_unavailable";
    case ErrorCode::pool_exhausted:
      return "connection_limit_reached";
    case ErrorCode::tls_untrusted:
      return "tls_certificate_error";
    case ErrorCode::tls_failed:
    case ErrorCode::tls_closed:
    case ErrorCode::tls_reset:
      return "tls_protocol_error";
    case ErrorCode::tls_timeout:
      return "connection_timeout";
    case ErrorCode::closed:
    case ErrorCode::reset:
    case ErrorCode::stream_reset:
    case ErrorCode::stream_refused:
      return "connection_terminated";
    case ErrorCode::malformed:
    case ErrorCode::unsupported:
    case ErrorCode::interim_flood:
      return "http_protocol_error";
    case ErrorCode::head_too_large:
      return "http_response_header_section_size";
    case ErrorCode::head_timeout:
    case ErrorCode::idle_timeout:
    case ErrorCode::body_timeout:
    case ErrorCode::total_timeout:
      return "http_response_timeout";
    case ErrorCode::overloaded:
    case ErrorCode::draining:
      return "proxy_internal_response";
    default:
      return "proxy_internal_error";
  }
}

std::string_view status_text(std::uint16_t status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 508:
      return "Loop Detected";
    default:
      return "";
  }
}

}  // namespace sallyport::proxy
