#include "sallyport/admin/server.hpp"

#include <memory>
#include <optional>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include "acceptor.hpp"
#include "answer.hpp"

namespace sallyport::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

using Stream = beast::basic_stream<Protocol, Executor>;
using Task = asio::awaitable<void, Executor>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

// After an accept that failed for want of a descriptor: a connection has to end first.
constexpr base::Milliseconds kAcceptPause{100};

// What to answer to a head that could not be read; nothing if the client is gone or too slow.
std::optional<http::status> complaint(const beast::error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return http::status::request_header_fields_too_large;
  if (error.category() == make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return http::status::bad_request;
  }
  return std::nullopt;
}

}  // namespace

struct Server::State {
  State(const std::string& address, Sources s, Limits l)
      : sources(std::move(s)), limits(l), acceptor(io, address) {}

  Task accept();
  Task serve(Stream stream);

  Sources sources;
  Limits limits;
  std::size_t open = 0;
  asio::io_context io{1};
  Acceptor acceptor;
  std::thread thread;
};

Task Server::State::accept() {
  asio::steady_timer pause(io);
  for (;;) {
    auto [error, socket] = co_await acceptor.socket().async_accept(kAwait);
    if (error) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kAwait);
      continue;
    }
    if (open == limits.connections) continue;
    ++open;
    asio::co_spawn(io, serve(Stream(std::move(socket))), asio::detached);
  }
}

// One connection. The frame dies at its end or with the io_context.
Task Server::State::serve(Stream stream) {
  const std::shared_ptr<void> leaving(nullptr, [this](void*) { --open; });
  beast::flat_buffer buffer(limits.head_bytes);
  for (bool keep = true; keep;) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(limits.head_bytes));
    stream.expires_after(limits.deadline);
    auto [read_error, read] = co_await http::async_read_header(stream, buffer, parser, kAwait);
    Response response;
    if (read_error) {
      const auto status = complaint(read_error);
      if (!status) co_return;
      response = refusal(*status, 11);
    } else if (!parser.is_done()) {  // a body follows, and nothing here takes one
      response = refusal(http::status::payload_too_large, parser.get().version());
    } else {
      response = answer(parser.get(), sources);
    }
    keep = response.keep_alive();
    stream.expires_after(limits.deadline);
    auto [write_error, written] = co_await http::async_write(stream, response, kAwait);
    if (write_error) co_return;
  }
  beast::error_code ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
}

Server::Server(const std::string& address, Sources sources, Limits limits)
    : state_(std::make_unique<State>(address, std::move(sources), limits)) {
  asio::co_spawn(state_->io, state_->accept(), asio::detached);
  state_->thread = std::thread([state = state_.get()] { state->io.run(); });
}

Server::~Server() {
  state_->io.stop();
  state_->thread.join();
}

const std::string& Server::address() const noexcept {
  return state_->acceptor.address();
}

}  // namespace sallyport::admin
