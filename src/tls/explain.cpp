#include "sallyport/tls/explain.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "sallyport/tls/fingerprint.hpp"
#include "sallyport/tls/rehearsal.hpp"

#include "openssl.hpp"
#include "suites.hpp"
#include "wire.hpp"
#include "words.hpp"

namespace sallyport::tls {

namespace {

std::string hex_word(std::uint16_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 12; shift >= 0; shift -= 4) text += kDigits[(value >> shift) & 15];
  return text;
}

std::string named(std::uint16_t value, std::string_view name) {
  return name.empty() ? hex_word(value) : std::string(name);
}

std::string version_name(std::uint16_t version) {
  static constexpr std::string_view kNames[] = {"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
  const bool known = version >= 0x0300 && version < 0x0300 + std::size(kNames);
  return named(version, known ? kNames[version - 0x0300] : std::string_view());
}
std::string suite_word(std::uint16_t suite) {
  return named(suite, suite_name(suite));
}
std::string group_word(std::uint16_t group) {
  const GroupName* known = find_group(group);
  return named(group, known == nullptr ? std::string_view() : known->name);
}
std::string scheme_word(std::uint16_t scheme) {
  return named(scheme, signature_scheme_name(scheme));
}

using Values = std::vector<std::uint16_t>;

Values common(const Values& ours, const Values& theirs) {
  Values list;
  std::copy_if(ours.begin(), ours.end(), std::back_inserter(list), [&](std::uint16_t value) {
    return std::find(theirs.begin(), theirs.end(), value) != theirs.end();
  });
  return list;
}

std::string words(const Values& list, std::string (*word)(std::uint16_t)) {
  WordList text;
  for (const std::uint16_t value : list) text.add(word(value));
  return text.str();
}

// What of a kind each side has; no host: what the client offers alone.
Offer offer(const Values& theirs, const Values& ours, bool host, std::string (*word)(std::uint16_t)) {
  Offer made;
  made.offered = words(theirs, word);
  if (!host) return made;
  made.configured = words(ours, word);
  made.shared = words(common(ours, theirs), word);
  return made;
}

Values offered_versions(const ClientHello& hello) {
  if (!hello.supported_versions.raw().empty()) return values_of(hello.supported_versions);
  return {hello.legacy_version};  // the newest; older ones are implied
}

Values policy_versions(const Policy& policy) {
  Values list;
  for (const Version version : {Version::tls13, Version::tls12}) {
    if (policy.allows(version)) list.push_back(static_cast<std::uint16_t>(version));
  }
  return list;
}

Values offered_suites(const ClientHello& hello) {
  Values list = values_of(hello.cipher_suites);
  std::erase_if(list, is_signal);
  return list;
}

Values policy_suites(const Policy& policy) {
  Values list;
  if (policy.allows(Version::tls13)) list = policy.cipher_suites;
  if (policy.allows(Version::tls12)) list.insert(list.end(), policy.ciphers.begin(), policy.ciphers.end());
  return list;
}

// Policies do not name signatures: the certificates decide.
Values host_schemes(const HostEntry& host, const Policy& policy, const ClientHello& hello) {
  const bool tls13 = policy.allows(Version::tls13) && hello.offers(Version::tls13);
  Values list;
  for (const auto& certificate : host.certificates) {
    const auto schemes = signature_schemes(*certificate, tls13 ? Version::tls13 : Version::tls12);
    list.insert(list.end(), schemes.begin(), schemes.end());
  }
  return list;
}

std::string protocols(const ClientHello& hello) {
  WordList theirs;
  std::size_t at = 0;
  for (auto name = hello.alpn.next(at); !name.empty(); name = hello.alpn.next(at)) theirs.add(cut(name, 32));
  return theirs.str();
}

Offer alpn_offer(const ClientHello& hello, const Policy* policy) {
  Offer made;
  made.offered = protocols(hello);
  if (policy == nullptr) return made;
  WordList ours;
  WordList shared;
  for (const std::string& name : policy->alpn) {
    ours.add(name);
    if (hello.alpn.contains(name)) shared.add(name);
  }
  made.configured = ours.str();
  made.shared = shared.str();
  return made;
}

}  // namespace

std::string offered_protocols(const ClientHello& hello) {
  return hello.has_alpn ? protocols(hello) : std::string();
}

std::string certificate_text(const Handshake& handshake) {
  return handshake.certificate_sha256 ? hex(*handshake.certificate_sha256) : std::string();
}

Explanation explain(const HandshakeFailure& failure) {
  Explanation made;
  if (failure.hello != nullptr) {
    const ClientHello& hello = *failure.hello;
    const bool host = failure.host != nullptr;
    const Policy* policy = failure.policy;
    made.versions =
        offer(offered_versions(hello), host ? policy_versions(*policy) : Values{}, host, version_name);
    made.ciphers = offer(offered_suites(hello), host ? policy_suites(*policy) : Values{}, host, suite_word);
    made.groups = offer(values_of(hello.groups), host ? policy->groups : Values{}, host, group_word);
    made.sigalgs = offer(values_of(hello.signature_algorithms),
                         host ? host_schemes(*failure.host, *policy, hello) : Values{}, host, scheme_word);
    made.alpn = alpn_offer(hello, policy);
    made.ja3 = ja3(hello);
    made.ja4 = ja4(hello);
  }
  made.hint = hint_of(failure, made);
  return made;
}

Explanation offer_of(const ClientHello& hello) {
  HandshakeFailure nobody;  // no host, so that offers alone are filled in
  nobody.hello = &hello;
  Explanation made = explain(nobody);
  made.hint.clear();
  return made;
}

std::string suite_text(std::uint16_t suite) {
  return suite_word(suite);
}
std::string group_text(std::uint16_t group) {
  return group_word(group);
}

}  // namespace sallyport::tls
