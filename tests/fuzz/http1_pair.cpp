// Fuzzes the HTTP/1.x codecs against each other: a message that one of them reads is written by
// the other, and must then read as the same message. So whatever a peer sends, nothing that we
// send on can be read as two messages. The first byte picks requests or responses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/http1/codec.hpp"

#include "../unit/http1/drivers.hpp"

namespace {

using namespace sallyport;
using http1::test::describe;

// Collects whole messages.
template <class Codec, class Head>
struct Collector : Codec::Events {
  struct Message {
    Head head;
    std::string body;
    http::Fields trailers;
    bool ended = false;
  };
  void add(Head&& head, bool end) {
    messages.emplace_back();
    messages.back().head = std::move(head);
    messages.back().ended = end;
  }
  void on_data(std::span<const char> bytes, bool end) override {
    messages.back().body.append(bytes.data(), bytes.size());
    messages.back().ended = end;
  }
  void on_trailers(http::Fields&& trailers) override {
    messages.back().trailers = std::move(trailers);
    messages.back().ended = true;
  }
  void on_error(const base::Error&) override { failed = true; }

  std::vector<Message> messages;
  bool failed = false;

 protected:
  ~Collector() = default;
};

struct Requests final : Collector<http1::RequestCodec, http::RequestHead> {
  void on_request(http::RequestHead&& head, bool end) override { add(std::move(head), end); }
};
struct Responses final : Collector<http1::ResponseCodec, http::ResponseHead> {
  void on_response(http::ResponseHead&& head, bool end) override { add(std::move(head), end); }
};

template <class Message, class Codec>
void write_body(const Message& message, Codec& codec, base::Buffer& out) {
  const std::size_t half = message.body.size() / 2;
  for (const std::string_view piece :
       {std::string_view(message.body).substr(0, half), std::string_view(message.body).substr(half)}) {
    if (!codec.open_piece(piece.size(), out)) std::abort();
    out.append(piece);
    codec.close_piece(piece.size(), false, out);
  }
  if (message.trailers.empty()) {
    codec.close_piece(0, true, out);
  } else {
    codec.write_trailers(message.trailers, out);
  }
}

std::string describe_fields(const http::Fields& fields) {
  std::string out;
  describe(fields, out);
  return out;
}

template <class Message>
void require_same(const Message& a, const Message& b) {
  const bool same = describe(a.head) == describe(b.head) && a.body == b.body && b.ended &&
                    describe_fields(a.trailers) == describe_fields(b.trailers);
  if (!same) std::abort();
}

// What the writer says differently, and rightly so.
void expect_rewritten(http::RequestHead& head) {
  head.version = http::Version::http11;
  const bool bare = head.body.kind == http::BodySize::Kind::none;
  if (bare && (head.method == http::Method::post || head.method == http::Method::put ||
               head.method == http::Method::patch))
    head.body = {http::BodySize::Kind::known, 0};
  if (head.fields.count(http::FieldId::cookie) < 2) return;
  std::string joined;
  head.fields.for_each([&](const http::Fields::Field& f) {
    if (f.id == http::FieldId::cookie && !f.value.empty())
      joined.append(joined.empty() ? "" : "; ").append(f.value);
  });
  head.fields.set(http::FieldId::cookie, joined);
}

void pair_requests(std::span<const char> input) {
  http1::RequestCodec reader({}, true);
  Requests read;
  reader.receive(input, read);
  if (read.messages.size() != 1) return;
  auto& message = read.messages.front();
  // HTTP/1.0 without Host: the proxy has to name one first.
  if (!message.ended || message.head.authority().empty()) return;
  http1::ResponseCodec writer({});
  base::Buffer out;
  const bool bare = message.head.body.kind == http::BodySize::Kind::none || message.head.body.length == 0;
  const bool end = bare && message.head.body.kind != http::BodySize::Kind::unknown;
  writer.write_request(message.head, end, out);
  if (!end) write_body(message, writer, out);
  expect_rewritten(message.head);

  http1::RequestCodec again({}, true);
  Requests reread;
  if (again.receive(out.data(), reread) != out.size() || reread.failed || reread.messages.size() != 1)
    std::abort();
  require_same(message, reread.messages.front());
}

void pair_responses(std::span<const char> input) {
  http::RequestHead request;
  request.set_method("GET");
  request.set_target("/");
  request.set_authority("a.test");
  request.trailers_ok = true;
  base::Buffer asked;
  http1::ResponseCodec reader({});
  reader.write_request(request, true, asked);
  Responses read;
  reader.receive(input, read);
  if (!read.failed) reader.on_eof(read);
  if (read.failed || read.messages.empty()) return;

  http1::RequestCodec writer({}, true);
  Requests client;
  writer.receive(asked.data(), client);
  base::Buffer out;
  for (auto& message : read.messages) {
    const bool end =
        message.ended && message.head.body.kind != http::BodySize::Kind::unknown && message.body.empty();
    writer.write_response(message.head, end, out);
    if (!end && !message.head.informational()) write_body(message, writer, out);
    message.head.version = http::Version::http11;
  }

  http1::ResponseCodec again({});
  base::Buffer unused;
  again.write_request(request, true, unused);
  Responses reread;
  const bool used = again.receive(out.data(), reread) == out.size();
  if (!used || reread.failed || reread.messages.size() != read.messages.size()) std::abort();
  for (std::size_t i = 0; i < read.messages.size(); ++i) {
    if (read.messages[i].head.informational()) reread.messages[i].ended = true;
    require_same(read.messages[i], reread.messages[i]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const char> input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    pair_requests(input);
  } else {
    pair_responses(input);
  }
  return 0;
}
