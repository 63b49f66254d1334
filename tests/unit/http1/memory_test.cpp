// A keep-alive connection allocates for its first messages and then no more.
#include <cstdlib>
#include <new>

#include "catch.hpp"
#include "drivers.hpp"

namespace {
std::size_t allocations = 0;
}

// NOLINTBEGIN: counted for the whole program; only differences matter.
void* operator new(std::size_t n) {
  ++allocations;
  if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(n == 0 ? 1 : n);
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
// NOLINTEND

namespace sallyport::http1::test {
namespace {

struct Pass final : RequestCodec::Events, ResponseCodec::Events {
  void on_request(http::RequestHead&& head, bool) override { request = std::move(head); }
  void on_response(http::ResponseHead&& head, bool) override { response = std::move(head); }
  void on_data(std::span<const char>, bool) override {}
  void on_trailers(http::Fields&&) override {}
  void on_error(const base::Error&) override { failed = true; }
  http::RequestHead request;
  http::ResponseHead response;
  bool failed = false;
};

}  // namespace

TEST_CASE("recycled heads allocate nothing in the steady state") {
  RequestCodec client({}, true);
  ResponseCodec upstream({});
  base::Buffer to_client, to_upstream;
  Pass events;
  const std::string_view request =
      "POST /a?b HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\nTE: trailers\r\nUser-Agent: x\r\n"
      "Content-Length: 2\r\n\r\nok";
  const std::string_view response =
      "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  std::size_t before = 0;
  for (int round = 0; round < 20; ++round) {
    if (round == 10) before = allocations;
    const std::size_t used = client.receive({request.data(), request.size()}, events);
    upstream.write_request(events.request, false, to_upstream);
    const bool opened = upstream.open_piece(2, to_upstream);
    upstream.close_piece(2, true, to_upstream);
    const std::size_t answered = upstream.receive({response.data(), response.size()}, events);
    client.write_response(events.response, true, to_client);
    if (!opened || used != request.size() || answered != response.size() || events.failed) FAIL("broken");
    client.recycle(std::move(events.request));
    upstream.recycle(std::move(events.response));
    client.next();
    upstream.next();
    to_client.clear();
    to_upstream.clear();
  }
  const std::size_t after = allocations;
  CHECK(after - before == 0);
}

}  // namespace sallyport::http1::test
