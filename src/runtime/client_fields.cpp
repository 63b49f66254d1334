#include "client_fields.hpp"

#include <ctime>
#include <string>
#include <string_view>

namespace sallyport::runtime {

namespace {

using config::ClientCertFields;

constexpr std::string_view kVerify = "x-client-cert-verify";
// Of all names together; the others are left out. Fields of 16 KiB are what most servers take.
constexpr std::size_t kMostSans = 4 * 1024;

std::string date(base::WallTime when) {
  const std::time_t seconds = base::WallClock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

void add_unless_empty(http::Fields& fields, std::string_view name, const std::string& value) {
  if (!value.empty()) fields.add(name, value);
}

// Key=value;Key=value. A value with one of ",;=" stands in quotes; none holds a quote.
std::string envoy_text(const tls::ClientCertificate& certificate) {
  std::string text = "Hash=" + certificate.sha256 + ";Subject=\"" + certificate.subject + '"';
  std::size_t most = kMostSans;
  for (const std::string& san : certificate.sans) {
    const std::size_t colon = san.find(':');
    const std::string_view kind = std::string_view(san).substr(0, colon);
    if ((kind != "URI" && kind != "DNS") || san.size() > most) continue;
    most -= san.size();
    const std::string_view value = std::string_view(san).substr(colon + 1);
    const bool bare = value.find_first_of(",;=") == std::string_view::npos;
    text.append(";").append(kind).append(bare ? "=" : "=\"").append(value).append(bare ? "" : "\"");
  }
  return text;
}

std::string names_text(const tls::ClientCertificate& certificate) {
  std::string text;
  for (const std::string& san : certificate.sans) {
    if (text.size() + san.size() > kMostSans) continue;
    text.append(text.empty() ? "" : ", ").append(san);
  }
  return text;
}

void add_separate(http::Fields& fields, const tls::ClientCertificate& certificate) {
  fields.add(kVerify, "SUCCESS");
  add_unless_empty(fields, "x-client-cert-subject", certificate.subject);
  add_unless_empty(fields, "x-client-cert-issuer", certificate.issuer);
  add_unless_empty(fields, "x-client-cert-serial", certificate.serial);
  fields.add("x-client-cert-sha256", certificate.sha256);
  add_unless_empty(fields, "x-client-cert-san", names_text(certificate));
  fields.add("x-client-cert-not-after", date(certificate.not_after));
}

std::shared_ptr<const http::Fields> verdict_alone(std::string_view word) {
  auto fields = std::make_shared<http::Fields>();
  fields->add(kVerify, word);
  return fields;
}

}  // namespace

std::shared_ptr<const http::Fields> client_fields(const tls::ClientCertificate* certificate,
                                                  std::uint8_t forward) {
  const auto wanted = [forward](ClientCertFields one) { return (forward & client_fields_bit(one)) != 0; };
  if (certificate == nullptr || certificate->result != tls::ClientCertResult::ok) {
    if (!wanted(ClientCertFields::separate)) return nullptr;
    if (certificate != nullptr)
      return verdict_alone("FAILED:" + std::string(tls::to_string(certificate->result)));
    static const std::shared_ptr<const http::Fields> none = verdict_alone("NONE");
    return none;
  }
  if (forward == 0) return nullptr;
  auto fields = std::make_shared<http::Fields>();
  if (wanted(ClientCertFields::client_cert) && !certificate->der_base64.empty())
    fields->add("client-cert", ":" + certificate->der_base64 + ":");
  if (wanted(ClientCertFields::xfcc)) fields->add("x-forwarded-client-cert", envoy_text(*certificate));
  if (wanted(ClientCertFields::separate)) add_separate(*fields, *certificate);
  return fields;
}

}  // namespace sallyport::runtime
