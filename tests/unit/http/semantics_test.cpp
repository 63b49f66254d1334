#include "sallyport/http/semantics.hpp"

#include <string>

#include "catch.hpp"

namespace sallyport::http {
namespace {

using By = Framing::By;

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
  Fields fields;
  for (const auto& [name, value] : list) fields.add(name, value);
  return fields;
}

}  // namespace

TEST_CASE("tokens are made of tchars, values of anything but controls") {
  const std::string_view tchars =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int i = 0; i < 256; ++i) {
    const char c = static_cast<char>(i);
    const std::string one(1, c);
    INFO(i);
    CHECK(is_tchar(c) == (tchars.find(c) != std::string_view::npos));
    CHECK(is_token(one) == is_tchar(c));
    CHECK(is_lower_field_name(one) == (is_tchar(c) && to_lower(c) == c));
    CHECK(is_field_value("a" + one + "b") == (i == 9 || (i >= 32 && i != 127)));
    CHECK(is_field_value(one) == (i > 32 && i != 127));
  }
  CHECK_FALSE(is_token(""));
  CHECK_FALSE(is_lower_field_name(""));
  CHECK(is_field_value(""));
  CHECK_FALSE(is_field_value(" a"));
  CHECK_FALSE(is_field_value("a\t"));
}

TEST_CASE(
    "an octet that may not stand in a value or a target is found wherever it is, in a text of any length") {
  for (std::size_t length = 1; length <= 40; ++length) {
    const std::string sound = "/" + std::string(length - 1, 'a');
    CHECK(is_field_value(sound));
    CHECK(is_origin_target(sound));
    for (std::size_t at = 0; at < length; ++at) {
      for (int i = 0; i < 256; ++i) {
        std::string text = sound;
        text[at] = static_cast<char>(i);
        const bool outer = at == 0 || at + 1 == length;
        const bool value = i == 9 || i == 32 ? !outer : i > 32 && i != 127;
        const bool target = at == 0 ? i == '/' : i > 32 && i < 127 && i != '#';
        if (is_field_value(text) != value || is_origin_target(text) != target) {
          INFO(length << " octets, " << i << " at " << at);
          CHECK(is_field_value(text) == value);
          CHECK(is_origin_target(text) == target);
        }
      }
    }
  }
}

TEST_CASE("lists are split at commas, without empty elements") {
  std::string seen;
  CHECK(each_item(" a ,, b\t,c, ", [&](std::string_view item) {
    seen.append("<").append(item).append(">");
    return true;
  }));
  CHECK(seen == "<a><b><c>");
  CHECK_FALSE(each_item("a,b", [](std::string_view item) { return item != "a"; }));
  CHECK(lists("gzip, Trailers", "trailers"));
  CHECK_FALSE(lists("gzip, xtrailers", "trailers"));
  CHECK_FALSE(lists("", ""));
}

TEST_CASE("an authority is one that everybody reads alike") {
  for (const char* good : {"a", "A.Test", "a-b_c.test", "a.test.", "a.test:1", "a.test:65535", "127.0.0.1:80",
                           "[::1]", "[2001:DB8::1]:443", "[::ffff:1.2.3.4]"})
    CHECK(is_authority(good));
  const std::string long_label = std::string(255, 'a');
  for (const std::string_view bad : {"",
                                     ":80",
                                     "a:",
                                     "a:0",
                                     "a:65536",
                                     "a:123456",
                                     "a:-1",
                                     "a:80x",
                                     "a b",
                                     "a,b",
                                     "u@a",
                                     "a/b",
                                     "a?b",
                                     "a#b",
                                     "a\\b",
                                     "a%41",
                                     "a..b",
                                     ".a",
                                     ".",
                                     "[",
                                     "[]",
                                     "[::1",
                                     "[::1]80",
                                     "[::1]:",
                                     "[:::1]",
                                     "[1.2.3.4]",
                                     "[fe80::1%eth0]",
                                     "::1",
                                     "[v1.x]",
                                     "\xC3\xA4",
                                     "a\tb",
                                     long_label.c_str()}) {
    INFO(bad);
    CHECK_FALSE(is_authority(bad));
  }
  CHECK_FALSE(is_authority(std::string_view("a\0b", 3)));
  CHECK_FALSE(is_authority(std::string_view("[::1\0]", 6)));
}

TEST_CASE("a target is visible ASCII from a slash on, or the asterisk of OPTIONS") {
  CHECK(is_target(Method::get, "/"));
  CHECK(is_target(Method::get, "/a?b=%00|{}"));
  CHECK(is_target(Method::options, "*"));
  CHECK_FALSE(is_target(Method::get, "*"));
  CHECK_FALSE(is_target(Method::options, "**"));
  for (const std::string_view bad : {"", "a", "/a b", "/a#b", "/\x7F", "/\x80", "/\t", "http://a/"}) {
    INFO(bad);
    CHECK_FALSE(is_target(Method::get, bad));
  }
}

TEST_CASE("a length is digits that fit") {
  CHECK(parse_content_length("0") == 0U);
  CHECK(parse_content_length("007") == 7U);
  CHECK(parse_content_length("9223372036854775807") == 9223372036854775807U);
  for (const char* bad : {"", "-1", "+1", "0x1", "1 ", " 1", "1,1", "1.0", "9223372036854775808",
                          "18446744073709551616", "00000000000000000001"}) {
    INFO(bad);
    CHECK_FALSE(parse_content_length(bad));
  }
}

TEST_CASE("the framing of responses depends on what was asked and answered") {
  struct Row {
    Method method;
    std::uint16_t status;
    Fields fields;
    By by;
    BodySize body;
  };
  const Fields nothing, five = fields_of({{"content-length", "5"}}),
                        chunked = fields_of({{"transfer-encoding", "CHUNKED"}});
  const BodySize none{}, known{BodySize::Kind::known, 5}, unknown{BodySize::Kind::unknown, 0};
  const Row rows[] = {
      {Method::get, 200, nothing, By::close, unknown},   {Method::get, 200, five, By::length, known},
      {Method::get, 200, chunked, By::chunked, unknown}, {Method::head, 200, five, By::none, known},
      {Method::head, 200, chunked, By::none, none},      {Method::head, 404, nothing, By::none, none},
      {Method::get, 304, five, By::none, known},         {Method::get, 304, nothing, By::none, none},
      {Method::get, 204, nothing, By::none, none},       {Method::get, 100, nothing, By::none, none},
      {Method::post, 205, nothing, By::close, unknown},  {Method::connect, 200, nothing, By::none, none},
  };
  for (const Row& row : rows) {
    INFO(to_string(row.method) << " " << row.status);
    const auto framing = message_framing({false, Version::http11, row.method, row.status}, row.fields);
    REQUIRE(framing.has_value());
    CHECK(framing->by == row.by);
    CHECK(body_size(*framing) == row.body);
  }
  for (const std::uint16_t status : {std::uint16_t{100}, std::uint16_t{204}}) {
    CHECK_FALSE(message_framing({false, Version::http11, Method::get, status}, five).has_value());
    CHECK_FALSE(message_framing({false, Version::http11, Method::get, status}, chunked).has_value());
  }
  const auto error = message_framing({false, Version::http10, Method::get, 200}, chunked).error();
  CHECK(error == base::upstream_error(base::ErrorCode::malformed));
  CHECK(message_framing({true, Version::http10, Method::get, 0}, chunked).error() ==
        base::client_error(base::ErrorCode::malformed));
}

TEST_CASE("a request without length or coding has no body") {
  const auto framing = message_framing({true, Version::http11, Method::post, 0}, {});
  REQUIRE(framing.has_value());
  CHECK(framing->by == By::none);
  CHECK(body_size(*framing) == BodySize{});
  const auto zero =
      message_framing({true, Version::http11, Method::post, 0}, fields_of({{"content-length", "0"}}));
  REQUIRE(zero.has_value());
  CHECK(body_size(*zero) == BodySize{BodySize::Kind::known, 0});
}

TEST_CASE("hop-by-hop fields go, with all that Connection lists") {
  Fields fields = fields_of({{"connection", "Close, X-A"},
                             {"x-a", "1"},
                             {"connection", "upgrade,x-b"},
                             {"x-b", "2"},
                             {"x-a", "3"},
                             {"keep-alive", "timeout=1"},
                             {"proxy-connection", "keep-alive"},
                             {"te", "trailers;q=1, gzip"},
                             {"te", "trailers"},
                             {"transfer-encoding", "chunked"},
                             {"upgrade", "h2c"},
                             {"http2-settings", "x"},
                             {"trailer", "x-sum"},
                             {"x-c", "4"}});
  const HopByHop hop = take_hop_by_hop(fields);
  CHECK(hop.valid);
  CHECK(hop.close);
  CHECK(hop.upgrade);
  CHECK_FALSE(hop.keep_alive);
  CHECK(hop.te_trailers);
  CHECK(fields.size() == 2);
  CHECK(fields.has(FieldId::trailer));
  CHECK(fields.find("x-c"));
  for (const char* bad : {"a b", "\"a\"", "a/b", "close;x"}) {
    Fields other = fields_of({{"connection", bad}});
    CHECK_FALSE(take_hop_by_hop(other).valid);
  }
}

TEST_CASE("a name that is ours but for underscores collides") {
  const std::vector<std::string> others = {"x-user", "x-user-name"};
  for (const char* name : {"x_forwarded_for", "x-forwarded_for", "content_length", "x_forwarded_anything",
                           "cf_anything", "x_user", "x-user_name"})
    CHECK(collides_by_underscore(name, others));
  for (const char* name : {"x-forwarded-for", "x-user", "my_field", "_", "x_user_", "x_users", ""})
    CHECK_FALSE(collides_by_underscore(name, others));
}

TEST_CASE("trailers cannot frame, route, authenticate or tell who the client is") {
  for (const std::string_view name : {"content-length",
                                      "transfer-encoding",
                                      "host",
                                      "authorization",
                                      "cookie",
                                      "set-cookie",
                                      "te",
                                      "trailer",
                                      "content-type",
                                      "content-encoding",
                                      "content-range",
                                      "x-forwarded-for",
                                      "x-forwarded-anything",
                                      "forwarded",
                                      "cf-connecting-ip",
                                      "true-client-ip",
                                      "if-match",
                                      "range",
                                      "expect",
                                      "cache-control",
                                      "www-authenticate",
                                      "proxy-authenticate",
                                      "location",
                                      "age",
                                      "vary",
                                      "connection",
                                      "upgrade",
                                      "sec-websocket-key"}) {
    INFO(name);
    CHECK(is_forbidden_trailer(name, field_id(name)));
  }
  for (const std::string_view name :
       {"grpc-status", "grpc-message", "x-sum", "content-digest", "etag", "server-timing"}) {
    INFO(name);
    CHECK_FALSE(is_forbidden_trailer(name, field_id(name)));
  }
  Fields trailers = fields_of({{"host", "a"}, {"x", "1"}, {"content-type", "b"}, {"content-type", "c"}});
  strip_forbidden_trailers(trailers);
  CHECK(trailers.size() == 1);
  CHECK(trailers.find("x"));
}

TEST_CASE("a field that tells of a client's certificate is known under each of its spellings") {
  for (const char* name : {"client-cert", "client_cert", "client-cert-chain", "client-cert_chain",
                           "x-forwarded-client-cert", "x_forwarded_client_cert", "x-client-cert",
                           "x_client_cert", "x-client-cert-subject", "x-client_cert_anything"}) {
    INFO(name);
    CHECK(tells_of_client_certificate(name));
    CHECK(is_forbidden_trailer(name, field_id(name)));
  }
  for (const char* name : {"", "x", "cookie", "client-certs", "client-cert-id", "client.cert",
                           "x-client-certs", "x-forwarded-client-cert-2", "x-client-cer", "y-client-cert"}) {
    INFO(name);
    CHECK_FALSE(tells_of_client_certificate(name));
  }
}

}  // namespace sallyport::http
