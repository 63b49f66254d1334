#include "sallyport/tls/compose.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "sallyport/tls/hello.hpp"

#include "extension_types.hpp"
#include "suites.hpp"
#include "wire.hpp"

namespace sallyport::tls {

namespace {

using namespace wire;

std::string server_name_extension(std::string_view name) {
  return extension(kServerName, with16(std::string(1, '\0') + with16(name)));
}

std::optional<std::uint16_t> number(std::string_view word) {
  if (!word.starts_with("0x")) return std::nullopt;
  std::uint16_t value = 0;
  const auto [end, ec] = std::from_chars(word.data() + 2, word.data() + word.size(), value, 16);
  if (ec != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<std::uint16_t> find_logged_version(std::string_view word) {
  static constexpr std::string_view kNames[] = {"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == word) return static_cast<std::uint16_t>(0x0300 + i);
  }
  return std::nullopt;
}
std::optional<std::uint16_t> group_of(std::string_view word) {
  const GroupName* found = find_group(word);
  if (found == nullptr) return std::nullopt;
  return found->id;
}

using Find = std::optional<std::uint16_t> (*)(std::string_view);

std::string code_points(const std::vector<std::string>& words, Find find, std::vector<std::string>& unknown) {
  std::string list;
  for (const std::string& word : words) {
    auto value = number(word);
    if (!value) value = find(word);
    if (value) {
      list += u16(*value);
    } else {
      unknown.push_back(word);
    }
  }
  return list;
}

}  // namespace

ComposedHello compose_hello(const HelloOutline& outline) {
  ComposedHello made;
  const std::string versions = code_points(outline.versions, find_logged_version, made.unknown);
  const std::string suites = code_points(outline.ciphers, find_suite, made.unknown);
  const std::string groups = code_points(outline.groups, group_of, made.unknown);
  const std::string schemes = code_points(outline.sigalgs, find_signature_scheme, made.unknown);
  std::string extensions;
  if (!outline.sni.empty()) extensions += server_name_extension(outline.sni);
  if (!groups.empty()) extensions += extension(kSupportedGroups, with16(groups));
  if (!schemes.empty()) extensions += extension(kSignatureAlgorithms, with16(schemes));
  std::string protocols;
  for (const std::string& name : outline.alpn) protocols += with8(std::string_view(name).substr(0, 255));
  if (!protocols.empty()) extensions += extension(kAlpn, with16(protocols));
  // One version alone is what a client of TLS 1.2 or older names; 1.3 is offered by its extension.
  const bool listed = versions.size() != 2 || versions == u16(0x0304);
  if (listed && !versions.empty())
    extensions += extension(kSupportedVersions, with8(versions)) + extension(kKeyShare, with16(""));
  std::string body = listed ? u16(0x0303) : versions;
  body +=
      std::string(32, '\x5a') + with8("") + with16(suites) + with8(std::string(1, '\0')) + with16(extensions);
  made.records = hello_records(client_hello_message(body));
  return made;
}

std::string with_server_name(std::string_view records, std::string_view name) {
  HelloReader reader;
  if (reader.feed(records) != HelloReader::State::complete) return std::string(records);
  const ClientHello& hello = reader.hello();
  const auto message = reader.message();
  // What stands before the extensions stays as it is: versions, random, session id, suites, compression.
  std::size_t fixed = 4 + 2 + 32;
  fixed += 1 + message[fixed];
  fixed += 2 + (static_cast<std::size_t>(message[fixed]) << 8 | message[fixed + 1]);
  fixed += 1 + message[fixed];
  std::string body(reinterpret_cast<const char*>(message.data()) + 4, fixed - 4);
  std::string extensions = name.empty() ? std::string() : server_name_extension(name);
  Extension one;
  for (std::size_t at = 0; hello.extensions.next(at, one);) {
    if (one.type == kServerName) continue;
    extensions += extension(one.type, {reinterpret_cast<const char*>(one.body.data()), one.body.size()});
  }
  return hello_records(client_hello_message(body + with16(extensions)));
}

}  // namespace sallyport::tls
