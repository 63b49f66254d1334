// The one table from errors to replies.
#include "sallyport/proxy/reply_table.hpp"

#include <set>

#include "catch.hpp"

using namespace sallyport;
using base::ErrorCode;
using base::Fault;

TEST_CASE("each way to fail has the status that tells whose fault it was") {
  struct Row {
    ErrorCode code;
    Fault fault;
    unsigned status;
    std::string_view reason;
  };
  const Row row = GENERATE(values<Row>({
      {ErrorCode::malformed, Fault::client, 400, "bad_request"},
      {ErrorCode::head_too_large, Fault::client, 431, "header_too_large"},
      {ErrorCode::uri_too_long, Fault::client, 414, "uri_too_long"},
      {ErrorCode::body_too_large, Fault::client, 413, "body_too_large"},
      {ErrorCode::head_timeout, Fault::client, 408, "request_timeout"},
      {ErrorCode::body_timeout, Fault::client, 408, "request_timeout"},
      {ErrorCode::unsupported, Fault::client, 501, "not_implemented"},
      {ErrorCode::closed, Fault::client, 0, "client_gone"},
      {ErrorCode::connect_refused, Fault::upstream, 502, "upstream_connect"},
      {ErrorCode::connect_unreachable, Fault::upstream, 502, "upstream_connect"},
      {ErrorCode::connect_timeout, Fault::upstream, 504, "upstream_timeout"},
      {ErrorCode::tls_untrusted, Fault::upstream, 502, "upstream_tls"},
      {ErrorCode::interim_flood, Fault::upstream, 502, "upstream_malformed"},
      {ErrorCode::tls_closed, Fault::upstream, 502, "upstream_tls"},
      {ErrorCode::tls_reset, Fault::upstream, 502, "upstream_tls"},
      {ErrorCode::head_timeout, Fault::upstream, 504, "upstream_timeout"},
      {ErrorCode::closed, Fault::upstream, 502, "upstream_reset"},
      {ErrorCode::stream_reset, Fault::upstream, 502, "upstream_reset"},
      {ErrorCode::malformed, Fault::upstream, 502, "upstream_malformed"},
      {ErrorCode::no_endpoint, Fault::gateway, 503, "upstream_unavailable"},
      {ErrorCode::pool_exhausted, Fault::upstream, 503, "upstream_unavailable"},
      {ErrorCode::overloaded, Fault::gateway, 503, "overloaded"},
      {ErrorCode::draining, Fault::gateway, 503, "draining"},
      {ErrorCode::total_timeout, Fault::gateway, 504, "upstream_timeout"},
      {ErrorCode::internal, Fault::gateway, 500, "internal"},
  }));
  base::Error error;
  error.code = row.code;
  error.fault = row.fault;
  const proxy::Answer answer = proxy::answer_for(error);
  INFO(to_string(row.code) << " by " << to_string(row.fault));
  CHECK(answer.status == row.status);
  CHECK(to_string(answer.reason) == row.reason);
  if (answer.status != 0) CHECK_FALSE(proxy::status_text(answer.status).empty());
}

TEST_CASE("every error has an answer, and every reason a word of its own") {
  for (std::size_t code = 0; code < base::kErrorCodes; ++code) {
    for (const Fault fault : {Fault::client, Fault::upstream, Fault::gateway}) {
      base::Error error;
      error.code = static_cast<ErrorCode>(code);
      error.fault = fault;
      const proxy::Answer answer = proxy::answer_for(error);
      CHECK((answer.status == 0 || (answer.status >= 400 && answer.status < 600)));
      CHECK(answer.reason != proxy::Reason::none);
    }
  }
  const auto& words = proxy::reason_words();
  CHECK(std::set<std::string_view>(words.begin(), words.end()).size() == proxy::kReasons);
}
