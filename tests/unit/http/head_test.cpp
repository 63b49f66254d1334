#include "sallyport/http/head.hpp"

#include "catch.hpp"

namespace sallyport::http {

TEST_CASE("methods are read as they are written, case included") {
  for (const char* name : {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}) {
    const Method m = method_of(name);
    CHECK(m != Method::other);
    CHECK(to_string(m) == name);
  }
  CHECK(method_of("get") == Method::other);
  CHECK(method_of("other") == Method::other);
  CHECK(method_of("") == Method::other);
  RequestHead head;
  head.set_method("PROPFIND");
  CHECK(head.method == Method::other);
  CHECK(head.method_text() == "PROPFIND");
  head.set_method("DELETE");
  CHECK(head.method_text() == "DELETE");
}

TEST_CASE("only what RFC 9110 §9.2.2 names is idempotent") {
  for (const Method m : {Method::get, Method::head, Method::put, Method::del, Method::options, Method::trace})
    CHECK(idempotent(m));
  for (const Method m : {Method::post, Method::patch, Method::connect, Method::other})
    CHECK_FALSE(idempotent(m));
}

TEST_CASE("a target is a path and a query") {
  RequestHead head;
  head.set_target("/a/b?c=d?e");
  CHECK(head.path() == "/a/b");
  CHECK(head.query() == "c=d?e");
  head.set_target("/a?");
  CHECK(head.path() == "/a");
  CHECK(head.query().empty());
  head.set_target("*");
  CHECK(head.path() == "*");
  CHECK(head.query().empty());
}

TEST_CASE("pseudo-fields survive a move and go with clear") {
  RequestHead head;
  head.set_method("GET");
  head.set_scheme("https");
  head.set_authority("a.test");
  head.set_target("/x");
  head.set_protocol("websocket");
  head.fields.add("via", "1");
  RequestHead other = std::move(head);
  CHECK(other.scheme() == "https");
  CHECK(other.authority() == "a.test");
  CHECK(other.target() == "/x");
  CHECK(other.protocol() == "websocket");
  other.expects_continue = other.trailers_ok = true;
  other.body = {BodySize::Kind::known, 3};
  other.clear();
  CHECK(other.fields.empty());
  CHECK(other.authority().empty());
  CHECK(other.target().empty());
  CHECK(other.protocol().empty());
  CHECK_FALSE(other.expects_continue);
  CHECK_FALSE(other.trailers_ok);
  CHECK(other.body == BodySize{});
}

TEST_CASE("informational is 1xx") {
  ResponseHead head;
  for (const auto& [status, expected] : {std::pair{99, false}, {100, true}, {199, true}, {200, false}}) {
    head.status = static_cast<std::uint16_t>(status);
    CHECK(head.informational() == expected);
  }
  head.clear();
  CHECK(head.status == 0);
}

TEST_CASE("versions have their names") {
  CHECK(to_string(Version::http10) == "HTTP/1.0");
  CHECK(to_string(Version::http11) == "HTTP/1.1");
  CHECK(to_string(Version::http2) == "HTTP/2.0");
}

}  // namespace sallyport::http
