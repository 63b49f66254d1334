// Drives a codec as a session does and writes down what it told, as text to compare.
//
// Bytes that the codec did not use are kept and offered again with more behind them. Data is
// merged, so that the transcript of an input does not depend on where the input was cut.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/http1/codec.hpp"

namespace sallyport::http1::test {

using namespace std::string_view_literals;

inline void describe(const http::Fields& fields, std::string& out) {
  fields.for_each(
      [&](const http::Fields::Field& f) { out.append(f.name).append(": ").append(f.value).append("\n"); });
}

inline std::string describe(const http::BodySize& body) {
  switch (body.kind) {
    case http::BodySize::Kind::none:
      return "none";
    case http::BodySize::Kind::known:
      return std::to_string(body.length);
    case http::BodySize::Kind::unknown:
      break;
  }
  return "unknown";
}

inline std::string describe(const http::RequestHead& head) {
  std::string out;
  out.append(head.method_text()).append(" ").append(head.scheme()).append("://").append(head.authority());
  out.append(" ").append(head.target()).append(" ").append(to_string(head.version));
  out.append(" body=").append(describe(head.body));
  if (!head.protocol().empty()) out.append(" protocol=").append(head.protocol());
  if (head.expects_continue) out.append(" expect");
  if (head.trailers_ok) out.append(" trailers_ok");
  out.append("\n");
  describe(head.fields, out);
  return out;
}

inline std::string describe(const http::ResponseHead& head) {
  std::string out = std::to_string(head.status);
  out.append(" ").append(to_string(head.version)).append(" body=").append(describe(head.body)).append("\n");
  describe(head.fields, out);
  return out;
}

// What both drivers write down behind a head.
template <class Events>
class Transcript : public Events {
 public:
  void on_data(std::span<const char> bytes, bool end) override {
    if (!bytes.empty() || !end) {
      if (!in_data_) text.append("data=");
      in_data_ = true;
      text.append(bytes.data(), bytes.size());
    }
    if (end) finish("end\n");
  }
  void on_trailers(http::Fields&& trailers) override {
    finish("trailers\n");
    describe(trailers, text);
  }
  void on_error(const base::Error& error) override {
    finish("error ");
    text.append(to_string(error.fault)).append(" ").append(to_string(error.code)).append("\n");
    failed = true;
  }
  // Ends a line of data.
  void finish(std::string_view word) {
    if (in_data_) text.append("\n");
    in_data_ = false;
    text.append(word);
  }

  std::string text;
  bool failed = false;

 protected:
  ~Transcript() = default;

 private:
  bool in_data_ = false;
};

class RequestDriver final : public Transcript<RequestCodec::Events> {
 public:
  explicit RequestDriver(const Limits& limits = {}, bool tls = true) : codec(limits, tls) {}

  void on_request(http::RequestHead&& head, bool end) override {
    finish(end ? "request end " : "request ");
    text.append(describe(head));
    head_ = std::move(head);
    if (head_.protocol() == "websocket" && accept_websocket) {
      http::ResponseHead response;
      response.status = 101;
      codec.write_response(response, false, out);
    }
  }

  void feed(std::string_view bytes) {
    kept_.append(bytes);
    offer();
  }
  void offer() {
    while (!failed) {
      const std::size_t used = codec.receive({kept_.data(), kept_.size()}, *this);
      kept_.erase(0, used);
      if (!codec.received() || !answer) return;
      http::ResponseHead response;
      response.status = 200;
      codec.write_response(response, true, out);
      if (!codec.keep_alive()) {
        finish("close\n");
        failed = true;
        return;
      }
      codec.next();
      codec.recycle(std::move(head_));
      if (kept_.empty()) return;
    }
  }
  [[nodiscard]] std::string_view kept() const { return kept_; }

  RequestCodec codec;
  base::Buffer out;
  bool answer = true;  // every request that ended, with an empty 200
  bool accept_websocket = false;

 private:
  std::string kept_;
  http::RequestHead head_;
};

class ResponseDriver final : public Transcript<ResponseCodec::Events> {
 public:
  explicit ResponseDriver(const Limits& limits = {}) : codec(limits) {}

  void on_response(http::ResponseHead&& head, bool end) override {
    finish(end ? "response end " : "response ");
    text.append(describe(head));
  }
  void request(std::string_view method, std::string_view protocol = {}) {
    http::RequestHead head;
    head.set_method(method);
    head.set_target("/");
    head.set_authority("origin.test");
    if (!protocol.empty()) head.set_protocol(protocol);
    codec.write_request(head, protocol.empty(), out);
  }
  void feed(std::string_view bytes) {
    kept_.append(bytes);
    const std::size_t used = codec.receive({kept_.data(), kept_.size()}, *this);
    kept_.erase(0, used);
  }
  void eof() { codec.on_eof(*this); }
  [[nodiscard]] std::string_view kept() const { return kept_; }

  ResponseCodec codec;
  base::Buffer out;

 private:
  std::string kept_;
};

// Calls drive(pieces) with the input whole, cut in two at every place, and byte by byte.
template <class Drive>
void at_every_split(std::string_view input, Drive&& drive) {
  drive(std::vector<std::string_view>{input});
  for (std::size_t cut = 1; cut < input.size(); ++cut)
    drive(std::vector<std::string_view>{input.substr(0, cut), input.substr(cut)});
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < input.size(); ++i) bytes.push_back(input.substr(i, 1));
  drive(bytes);
}

}  // namespace sallyport::http1::test
