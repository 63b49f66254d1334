// The two sides of the codec joined, driven by the input as a list of calls. What one side sends
// the other must accept, whatever the order of the calls and wherever the bytes are split.
#include <vector>

#include "sallyport/http2/codec.hpp"

#include "http2_sink.hpp"

using namespace sallyport;
using namespace sallyport::http2;

namespace {

Settings patient() {
  constexpr Budget kPlenty{1U << 30, 0};
  Settings s = fuzz::Sink::limits();
  s.budgets = {kPlenty, kPlenty, kPlenty, kPlenty, kPlenty, kPlenty, kPlenty, kPlenty, 1U << 20};
  return s;
}

struct Joined {
  fuzz::Sink server{Side::client, patient()};
  fuzz::Sink client{Side::upstream, patient()};
  std::vector<StreamId> opened;

  void move(fuzz::Sink& from, fuzz::Sink& to, std::size_t limit, std::size_t piece) {
    base::Buffer out;
    (void)from.codec.pump(out, limit);
    while (!out.empty()) {
      const std::size_t n = piece == 0 ? out.size() : std::min(piece, out.size());
      fuzz::must(to.codec.receive(out.data().first(n)).has_value());
      out.consume(n);
    }
  }
  StreamId pick(unsigned n) const { return opened.empty() ? 1 : opened[n % opened.size()]; }

  void open(unsigned n) {
    http::RequestHead head;
    head.set_method((n & 1U) != 0 ? "POST" : "HEAD");
    head.set_scheme("http");
    head.set_authority("example.com");
    head.set_target("/x?y");
    head.fields.add("cookie", std::string(n, 'c'));
    head.expects_continue = (n & 2U) != 0;
    if ((n & 4U) != 0) head.set_protocol("websocket");
    const StreamId id = client.codec.open_request(head, (n & 8U) != 0);
    if (id != 0) opened.push_back(id);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Joined pair;
  const std::string text(40000, 'd');
  for (std::size_t i = 0; i + 1 < size; i += 2) {
    const unsigned n = data[i + 1];
    const StreamId id = pair.pick(n);
    switch (data[i] % 10) {
      case 0:
        pair.open(n);
        break;
      case 1:
        pair.client.codec.send_data(id, {text.data(), n * 100U}, (n & 1U) != 0);
        break;
      case 2:
        pair.server.codec.send_data(id, {text.data(), n * 100U}, (n & 1U) != 0);
        break;
      case 3:
        pair.client.codec.send_trailers(id, {});
        break;
      case 4:
        pair.client.codec.reset(id, (n & 1U) != 0 ? code::kCancel : code::kNoError);
        break;
      case 5:
        pair.server.codec.reset(id, (n & 1U) != 0 ? code::kRefusedStream : code::kNoError);
        break;
      case 6:
        pair.move(pair.client, pair.server, 1 + n * 256U, n % 7);
        break;
      case 7:
        pair.move(pair.server, pair.client, 1 + n * 256U, n % 7);
        break;
      case 8:
        pair.server.codec.consumed(id, n);
        break;
      default:
        (n & 1U) != 0 ? pair.server.codec.shutdown_notice() : pair.client.codec.ping();
        break;
    }
  }
  for (int round = 0; round < 8; ++round) {
    pair.move(pair.client, pair.server, 1 << 20, 0);
    pair.move(pair.server, pair.client, 1 << 20, 0);
  }
  return 0;
}
