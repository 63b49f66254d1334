// A body's way from one stream to another: order, credit, and what can be sent again.
#include "sallyport/proxy/body_pipe.hpp"

#include <string>

#include "catch.hpp"

using namespace sallyport;
using proxy::BodyPipe;

namespace {

struct End final : http::Stream {
  void attach(http::StreamReceiver*) override {}
  void detach() noexcept override {}
  void send_request(const http::RequestHead&, bool) override {}
  void send_response(const http::ResponseHead&, bool) override {}
  void send_data(std::span<const char> bytes, bool end) override {
    body.append(bytes.data(), bytes.size());
    ended = end;
  }
  void send_trailers(const http::Fields& fields) override {
    trailers = fields.size();
    ended = true;
  }
  void consumed(std::size_t n) noexcept override { credit += n; }
  void reset(const base::Error&) noexcept override {}
  [[nodiscard]] std::size_t unsent() const noexcept override { return 0; }
  [[nodiscard]] http::Version version() const noexcept override { return http::Version::http11; }

  std::string body;
  std::size_t credit = 0;
  std::size_t trailers = 0;
  bool ended = false;
};

void feed(BodyPipe& pipe, const std::string& text, bool end) {
  pipe.on_data(std::span<const char>(text.data(), text.size()), end);
}

}  // namespace

TEST_CASE("what comes before there is a sink waits, in order, and gives no credit") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  feed(pipe, "one ", false);
  feed(pipe, "two", true);
  CHECK(source.credit == 0);
  pipe.connect(&sink);
  CHECK(sink.body == "one two");
  CHECK(sink.ended);
  pipe.on_sent(7);
  CHECK(source.credit == 7);
  CHECK(pipe.delivered());
}

TEST_CASE("a message that takes another's place carries nothing of it") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  feed(pipe, "half of an answer", false);
  pipe.on_trailers({});
  pipe.restart();
  CHECK_FALSE(pipe.ended());
  CHECK(pipe.bytes() == 0);
  pipe.connect(&sink);
  feed(pipe, "502", true);
  CHECK(sink.body == "502");
  CHECK(sink.ended);
  CHECK(sink.trailers == 0);
  pipe.on_sent(3);
  CHECK(source.credit == 0);
  CHECK(pipe.delivered());
}

TEST_CASE("a short body can be sent again, and its credit is given once") {
  End source, first, second;
  BodyPipe pipe;
  pipe.source(&source);
  feed(pipe, "abc", false);
  pipe.connect(&first);
  feed(pipe, "def", false);
  pipe.on_sent(6);
  CHECK(source.credit == 6);
  REQUIRE(pipe.replayable());
  pipe.rewind();
  feed(pipe, "ghi", true);
  pipe.connect(&second);
  CHECK(second.body == "abcdefghi");
  CHECK(second.ended);
  pipe.on_sent(9);
  CHECK(source.credit == 9);
}

TEST_CASE("a try that never had a sink loses nothing") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  feed(pipe, std::string(40'000, 'x'), false);
  REQUIRE(pipe.replayable());
  pipe.rewind();
  pipe.connect(&sink);
  CHECK(sink.body.size() == 40'000);
}

TEST_CASE("a body past the bound is not kept") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  pipe.connect(&sink);
  feed(pipe, std::string(BodyPipe::kKeep, 'x'), false);
  CHECK(pipe.replayable());
  feed(pipe, "x", false);
  CHECK_FALSE(pipe.replayable());
}

TEST_CASE("trailers end a body, without the fields that may not stand there") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  pipe.connect(&sink);
  feed(pipe, "abc", false);
  http::Fields trailers;
  trailers.add("grpc-status", "0");
  trailers.add("transfer-encoding", "chunked");
  pipe.on_trailers(std::move(trailers));
  CHECK(sink.trailers == 1);
  CHECK(sink.ended);
}

TEST_CASE("a head that said there is no body passes no empty end") {
  End sink;
  BodyPipe pipe;
  pipe.end_without_body();
  pipe.connect(&sink);
  CHECK_FALSE(sink.ended);
  CHECK(pipe.ended());
}

TEST_CASE("a body waits from the piece on that the sink holds, until its last byte has left") {
  End source, sink;
  BodyPipe pipe;
  pipe.source(&source);
  feed(pipe, "one", false);
  CHECK_FALSE(pipe.waits());  // for a sink, which is another matter
  pipe.connect(&sink);
  CHECK(pipe.waits());
  pipe.on_sent(2);
  CHECK(pipe.waits());
  pipe.on_sent(1);
  CHECK_FALSE(pipe.waits());
  feed(pipe, "two", true);
  CHECK(pipe.waits());
  pipe.rewind();
  CHECK_FALSE(pipe.waits());
}
