// What a route's filters make of a request's and a response's head.
#include "sallyport/filter/chain.hpp"

#include "catch.hpp"

using namespace sallyport;
using http::FieldId;

namespace {

struct Through {
  explicit Through(const config::Route& route) : chain(route) {
    head.set_method("GET");
    head.set_scheme("https");
    head.set_authority("example.com");
    head.set_target("/api/x?q=1");
  }
  void request() { chain.on_request(context, head); }

  net::Endpoint client{*net::IpAddress::parse("192.0.2.7"), 4711};
  filter::Context context{client, "192.0.2.7", 8443, true, "0123456789abcdef0123456789abcdef"};
  filter::Chain chain;
  http::RequestHead head;
};

}  // namespace

TEST_CASE("what a client claims of itself is replaced by what we know") {
  Through t{config::Route{}};
  for (const char* name : {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
                           "x-real-ip", "forwarded", "x-request-id"}) {
    t.head.fields.add(name, "forged");
    t.head.fields.add(name, "forged again");
  }
  t.head.fields.add("via", "1.1 cdn");
  t.request();
  CHECK(t.head.fields.find(FieldId::x_forwarded_for) == "192.0.2.7");
  CHECK(t.head.fields.count(FieldId::x_forwarded_for) == 1);
  CHECK(t.head.fields.find(FieldId::x_forwarded_proto) == "https");
  CHECK(t.head.fields.find(FieldId::x_forwarded_host) == "example.com");
  CHECK(t.head.fields.find(FieldId::x_forwarded_port) == "8443");
  CHECK(t.head.fields.find(FieldId::x_request_id) == "0123456789abcdef0123456789abcdef");
  CHECK_FALSE(t.head.fields.has(FieldId::x_real_ip));
  CHECK_FALSE(t.head.fields.has(FieldId::forwarded));
  // Via is a trail: who came before stays (RFC 9110 §7.6.3).
  CHECK(t.head.fields.count(FieldId::via) == 2);
}

TEST_CASE("header edits remove, then set, then add, in both directions") {
  config::Route route;
  route.request_headers.remove = {"x-secret"};
  route.request_headers.set = {{"x-env", "prod"}};
  route.request_headers.add = {{"x-tag", "b"}};
  route.response_headers.set = {{"server", "edge"}};
  Through t{route};
  t.head.fields.add("x-secret", "1");
  t.head.fields.add("x-env", "dev");
  t.head.fields.add("x-tag", "a");
  t.request();
  CHECK_FALSE(t.head.fields.find("x-secret"));
  CHECK(t.head.fields.find("x-env") == "prod");
  std::string tags;
  t.head.fields.for_each([&](const http::Fields::Field& f) {
    if (f.name == "x-tag") tags += f.value;
  });
  CHECK(tags == "ab");
  http::ResponseHead response;
  response.fields.add("server", "origin");
  t.chain.on_response(t.context, response);
  CHECK(response.fields.find("server") == "edge");
}

TEST_CASE("a prefix is rewritten with exactly one slash where it is joined") {
  const auto [prefix, to, target, wanted] =
      GENERATE(table<std::string, std::string, std::string, std::string>({
          {"/api/", "/", "/api/x?q=1", "/x?q=1"},
          {"/api", "/v1", "/api/x", "/v1/x"},
          {"/api", "/v1", "/api", "/v1"},
          {"/api", "/v1", "/api?q", "/v1?q"},
          {"/api/", "/v1", "/api/x", "/v1/x"},
          {"/api/", "/v1/", "/api/", "/v1/"},
          {"/api", "/", "/api/x", "/x"},
          {"/api", "/", "/api", "/"},
      }));
  config::Route route;
  route.match.path_prefix = prefix;
  route.rewrite.prefix = to;
  route.rewrite.host = "inside.example";
  Through t{route};
  t.head.set_target(target);
  const auto asked = t.head.target_slice();
  t.request();
  INFO(prefix << " -> " << to << ": " << target);
  CHECK(t.head.target() == wanted);
  CHECK(t.head.authority() == "inside.example");
  CHECK(t.head.fields.view(asked) == target);
  CHECK(t.head.fields.find(FieldId::x_forwarded_host) == "example.com");
}

TEST_CASE("who the client's certificate makes it is told by us alone") {
  Through t{config::Route{}};
  for (const char* name :
       {"client-cert", "x-forwarded-client-cert", "x-client-cert-verify", "x_client_cert_san"}) {
    t.head.fields.add(name, "forged");
    t.head.fields.add(name, "forged again");
  }
  t.head.fields.add("client-certificates", "an application's own");
  http::Fields told;
  told.add("x-client-cert-verify", "SUCCESS");
  const bool shown = GENERATE(false, true);
  if (shown) t.context.client_certificate = &told;
  t.request();
  CHECK_FALSE(t.head.fields.find("client-cert"));
  CHECK_FALSE(t.head.fields.find("x-forwarded-client-cert"));
  CHECK_FALSE(t.head.fields.find("x_client_cert_san"));
  CHECK(t.head.fields.find("x-client-cert-verify").value_or("none") == (shown ? "SUCCESS" : "none"));
  CHECK(t.head.fields.find("client-certificates"));
}
