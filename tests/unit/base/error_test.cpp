#include "sallyport/base/error.hpp"

#include <cerrno>
#include <set>

#include "catch.hpp"

namespace sallyport::base {

TEST_CASE("every error has one word of its own") {
  std::set<std::string_view> words;
  for (std::size_t i = 0; i < kErrorCodes; ++i) {
    const std::string_view word = to_string(static_cast<ErrorCode>(i));
    CHECK_FALSE(word.empty());
    CHECK(word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
    CHECK(words.insert(word).second);
  }
  CHECK(to_string(ErrorCode::none) == "none");
  CHECK(to_string(ErrorCode::malformed) == "malformed");
  CHECK(to_string(ErrorCode::internal) == "internal");
  CHECK(to_string(Fault::client) == "client");
  CHECK(to_string(Fault::upstream) == "upstream");
  CHECK(to_string(Fault::gateway) == "gateway");
}

TEST_CASE("an error says whose fault it was, and no error is none") {
  CHECK_FALSE(static_cast<bool>(Error{}));
  const Error error = upstream_error(ErrorCode::reset, ECONNRESET);
  CHECK(static_cast<bool>(error));
  CHECK(error.fault == Fault::upstream);
  CHECK(error.cause == ECONNRESET);
  CHECK_FALSE(error.unsent);
  CHECK(client_error(ErrorCode::malformed).fault == Fault::client);
  CHECK(gateway_error(ErrorCode::internal).fault == Fault::gateway);
}

TEST_CASE("the errnos of connect are told apart") {
  CHECK(code_of_connect_errno(ECONNREFUSED) == ErrorCode::connect_refused);
  CHECK(code_of_connect_errno(ETIMEDOUT) == ErrorCode::connect_timeout);
  CHECK(code_of_connect_errno(EHOSTUNREACH) == ErrorCode::connect_unreachable);
  CHECK(code_of_connect_errno(ENETUNREACH) == ErrorCode::connect_unreachable);
  CHECK(code_of_connect_errno(EMFILE) == ErrorCode::overloaded);
  CHECK(code_of_connect_errno(EINVAL) == ErrorCode::connect_failed);
  CHECK(code_of_io_errno(0) == ErrorCode::closed);
  CHECK(code_of_io_errno(ECONNRESET) == ErrorCode::reset);
  CHECK(code_of_io_errno(EPIPE) == ErrorCode::reset);
  CHECK(code_of_io_errno(ECANCELED) == ErrorCode::canceled);
}

}  // namespace sallyport::base
