// A request as the origin received it and the answer it will give, for HTTP/1.1 and h2 alike.
//
// The protocol's loop (h1.cpp, h2.cpp) fills a Request, asks reply.hpp for the Reply and carries
// it out. Plain values; a Body is pulled by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::demo {

struct Field {
  std::string name;
  std::string value;
};
using Fields = std::vector<Field>;

struct Request {
  std::string version;
  std::string method;
  std::string target;
  std::string authority;
  Fields fields;  // as received, in order; h2's pseudo fields are not among them
  std::uint64_t body_bytes = 0;
  std::string body_sha256;
  Fields trailers;

  [[nodiscard]] std::string_view path() const;
  // A field's value, the name in lower case; empty if absent.
  [[nodiscard]] std::string_view field(std::string_view name) const;
  // A number out of the query (?name=123), or the fallback.
  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t fallback) const;
};

class Body {
 public:
  struct Pull {
    std::size_t bytes = 0;
    std::chrono::milliseconds pause{0};  // before the next pull
    bool end = false;
  };
  virtual ~Body() = default;
  virtual Pull pull(std::span<char> out) = 0;
};

struct Reply {
  // What comes after the body's last byte: a proper end, a reset, or an end before the declared length.
  enum class End { clean, reset, cut };

  std::chrono::milliseconds delay{0};
  std::vector<Fields> early_hints;
  int status = 200;
  Fields fields;
  std::optional<std::uint64_t> length;  // declared; without one HTTP/1.1 sends chunks
  std::unique_ptr<Body> body;
  Fields trailers;
  End end = End::clean;
  bool head = true;   // false: reset before anything is sent
  bool last = false;  // Connection: close, or GOAWAY
};

}  // namespace sallyport::demo
