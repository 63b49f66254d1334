// A server that chose h2 shows by its first frame whether it speaks it.
#include "sallyport/http2/greeting.hpp"

#include <string>

#include "catch.hpp"

using sallyport::http2::GreetingReader;
using State = GreetingReader::State;

namespace {

std::string frame(char type, const std::string& body, char flags = 0, char stream = 0) {
  return std::string{0, 0, static_cast<char>(body.size()), type, flags, 0, 0, 0, stream} + body;
}
std::string setting(char id, unsigned value) {
  return std::string{0,
                     id,
                     static_cast<char>(value >> 24),
                     static_cast<char>(value >> 16),
                     static_cast<char>(value >> 8),
                     static_cast<char>(value)};
}

GreetingReader read(const std::string& bytes) {
  GreetingReader whole;
  whole.feed(bytes);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    GreetingReader cut;
    cut.feed({bytes.data(), at});
    cut.feed({bytes.data() + at, bytes.size() - at});
    if (cut.state() != whole.state()) FAIL("cut at " << at);
  }
  return whole;
}

}  // namespace

TEST_CASE("the settings of a server, and what it leaves at the default") {
  const GreetingReader reader =
      read(frame(4, setting(3, 128) + setting(4, 65536) + setting(99, 1)) + frame(8, "1234"));
  CHECK(reader.state() == State::settings);
  CHECK(reader.settings().max_concurrent_streams == 128U);
  CHECK(reader.settings().initial_window_size == 65536U);
  CHECK_FALSE(reader.settings().max_frame_size);
  CHECK(read(frame(4, "")).state() == State::settings);
}

TEST_CASE("a server that wants no more says GOAWAY") {
  const GreetingReader reader = read(frame(7, std::string(7, '\0') + "\x0b"));
  CHECK(reader.state() == State::goaway);
  CHECK(reader.goaway_code() == 11);
}

TEST_CASE("anything else is no HTTP/2") {
  CHECK(read("HTTP/1.1 400 Bad Request\r\n\r\n").state() == State::not_h2);
  CHECK(read("+OK\r\n").state() == State::not_h2);
  CHECK(read(frame(0, "data")).state() == State::not_h2);
  CHECK(read(frame(4, "12345")).state() == State::not_h2);
  CHECK(read(frame(4, "", 1)).state() == State::not_h2);     // acknowledges what was not said
  CHECK(read(frame(4, "", 0, 1)).state() == State::not_h2);  // on a stream
  CHECK(read(frame(7, "short")).state() == State::not_h2);
  CHECK(read(std::string("\xff\xff\xff\x04\0\0\0\0\0", 9)).state() == State::not_h2);
}

TEST_CASE("what the client says is HTTP/2") {
  using sallyport::http2::client_farewell;
  using sallyport::http2::client_greeting;
  CHECK(client_greeting().substr(0, 24) == "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  CHECK(read(std::string(client_greeting().substr(24))).state() == State::settings);
  CHECK(client_farewell().size() == 9 + 17);
  CHECK(read(std::string(client_farewell().substr(9))).state() == State::goaway);
}
