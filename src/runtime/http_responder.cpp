#include "http_responder.hpp"

#include <exception>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace sallyport::runtime {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Result = ResponderReply::Result;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
// An answer is one to three kilobytes, with the signer's certificate.
constexpr std::size_t kMostBody = 64 * 1024;
constexpr std::uint32_t kMostHead = 8 * 1024;

struct Question {
  tls::ResponderUrl url;
  std::string der;
  base::Milliseconds timeout;
};

ResponderReply failure(const beast::error_code& ec, const char* what) {
  if (ec == beast::error::timeout) return {Result::timeout, {}, std::string(what) + ": no answer in time"};
  return {Result::unreachable, {}, std::string(what) + ": " + ec.message()};
}

beast::http::request<beast::http::string_body> request_for(const Question& question) {
  namespace http = beast::http;
  http::request<http::string_body> request(http::verb::post, question.url.target, 11);
  request.set(http::field::host, question.url.authority);
  request.set(http::field::user_agent, "sallyport");
  request.set(http::field::accept, "application/ocsp-response");
  request.set(http::field::content_type, "application/ocsp-request");
  request.set(http::field::connection, "close");
  request.body() = question.der;
  request.prepare_payload();
  return request;
}

ResponderReply judge(const beast::http::response<beast::http::string_body>& response) {
  const unsigned status = response.result_int();
  if (status == 200) return {Result::answered, response.body(), {}};
  std::string why = "HTTP status " + std::to_string(status);
  if (status >= 300 && status < 400) why += "; redirects are not followed";
  return {Result::refused, {}, std::move(why)};
}

// GCC inlines Asio's allocation of the frame under sanitizers, and takes aligned_alloc() and the
// matching operator delete of the frame for a mismatch.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
asio::awaitable<ResponderReply> converse(asio::io_context::executor_type executor, Question question) {
  asio::ip::tcp::resolver resolver(executor);
  // Not bounded here: who asked gives up by itself.
  const auto [unresolved, addresses] =
      co_await resolver.async_resolve(question.url.host, question.url.port, kToken);
  if (unresolved) co_return failure(unresolved, "its name");

  beast::tcp_stream stream(executor);
  stream.expires_after(question.timeout);  // for all that follows together
  const auto [unconnected, endpoint] = co_await stream.async_connect(addresses, kToken);
  if (unconnected) co_return failure(unconnected, "connect");

  const auto request = request_for(question);
  const auto [unsent, sent] = co_await beast::http::async_write(stream, request, kToken);
  if (unsent) co_return failure(unsent, "send");

  beast::flat_buffer buffer;
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(kMostBody);
  parser.header_limit(kMostHead);
  const auto [unread, received] = co_await beast::http::async_read(stream, buffer, parser, kToken);
  if (unread) co_return failure(unread, "receive");
  co_return judge(parser.get());
}

}  // namespace

void HttpResponder::ask(const tls::ResponderUrl& url, std::string question, base::Milliseconds timeout,
                        Done done) {
  asio::co_spawn(io_, converse(io_.get_executor(), {url, std::move(question), timeout}),
                 [done = std::move(done)](const std::exception_ptr& failed, ResponderReply reply) {
                   if (failed) reply = {Result::unreachable, {}, "out of memory"};
                   done(std::move(reply));
                 });
}

#pragma GCC diagnostic pop

}  // namespace sallyport::runtime
