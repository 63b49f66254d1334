// `sallyport chain`: what would be sent of some certificate files, each way to a root, and why others
// fail. For people as text, for scripts as JSON.
#include "sallyport/tls/chain.hpp"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include <boost/json.hpp>

#include "certificate_words.hpp"
#include "commands.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;
using tls::ChainCertificate;
using tls::ChainFinding;
using tls::ChainPath;
using tls::ChainReport;
using SetPtr = std::shared_ptr<const tls::CertificateSet>;

// What the examination stands on; the sets must outlive the request.
struct Inputs {
  SetPtr given, intermediates, roots;
  std::string roots_file;  // also where there is none
  bool system_roots = false;
};

bool complain(const std::string& file, const std::string& why) {
  std::fprintf(stderr, "%s %s\n", file.c_str(), why.c_str());
  return false;
}

bool load(const std::string& file, SetPtr& to) {
  std::string why;
  to = tls::CertificateSet::load(file, why);
  return to != nullptr || complain(file, why);
}

// Several files are one: what a CA hands out as certificate and bundle is looked at together.
bool load_inputs(const ChainArguments& arguments, Inputs& inputs) {
  std::vector<SetPtr> files(arguments.files.size());
  bool good = true;
  for (std::size_t i = 0; i < files.size(); ++i) good = load(arguments.files[i], files[i]) && good;
  if (!arguments.intermediates.empty()) good = load(arguments.intermediates, inputs.intermediates) && good;
  inputs.system_roots = arguments.roots.empty();
  inputs.roots_file = inputs.system_roots ? tls::kSystemRoots : arguments.roots;
  std::string why;
  inputs.roots = tls::CertificateSet::load(inputs.roots_file, why);
  if (inputs.roots == nullptr) {
    good = complain(inputs.roots_file, why + (inputs.system_roots ? "; give the roots with --roots" : ""));
  }
  if (!good) return false;
  inputs.given = files.size() == 1 ? files.front() : tls::CertificateSet::join(files);
  return true;
}

// ---- text ----------------------------------------------------------------------------------

class Printer {
 public:
  explicit Printer(const ChainReport& report) : report_(report) {
    for (const auto& certificate : report.certificates) {
      details_.push_back(tls::describe(certificate.certificate.get()));
    }
  }

  void print(const Inputs& inputs, base::WallTime at) const {
    std::printf("At %s, with the roots of %s%s\n\n", time_text(at).c_str(), inputs.roots_file.c_str(),
                inputs.system_roots ? " (the system's)" : "");
    std::printf("Sent, leaf first:\n");
    for (std::size_t i = 0; i < report_.sent.size(); ++i) print_certificate(i + 1, report_.sent[i]);
    for (std::size_t i = 0; i < report_.paths.size(); ++i) print_path(i + 1, report_.paths[i]);
    if (!report_.findings.empty()) std::printf("\n");
    for (const ChainFinding& finding : report_.findings) {
      std::printf("%s: %s\n", std::string(to_string(finding.severity)).c_str(), finding.text.c_str());
    }
    std::printf("\n%s\n", verdict());
  }

 private:
  [[nodiscard]] const char* verdict() const {
    if (!report_.complete()) return "The chain is not complete: clients will refuse it.";
    if (!report_.ok()) return "The chain is complete, but see the errors above.";
    return "The chain is complete.";
  }

  void print_certificate(std::size_t number, std::size_t index) const {
    const tls::CertificateDetails& d = details_[index];
    const ChainCertificate& c = report_.certificates[index];
    std::printf("%3zu. %s\n", number, d.subject.c_str());
    std::printf("     issuer       %s\n", d.issuer.c_str());
    if (!d.names.empty()) std::printf("     names        %s\n", names_text(d.names).c_str());
    std::printf("     valid        %s to %s\n", time_text(d.not_before).c_str(),
                time_text(d.not_after).c_str());
    std::printf("     key          %s, signed with %s\n", d.key.c_str(), d.signature.c_str());
    std::printf("     SHA-256      %s\n", d.sha256.c_str());
    std::printf("     SPKI SHA-256 %s\n", d.spki_sha256.c_str());
    if (!d.issuer_url.empty()) std::printf("     issuer's URL %s\n", d.issuer_url.c_str());
    std::printf("     from         %s, certificate %zu\n", c.file.c_str(), c.place);
  }

  void print_path(std::size_t number, const ChainPath& path) const {
    std::printf("\nPath %zu %s:\n", number, path.valid() ? "holds" : "fails");
    for (const std::size_t index : path.certificates) {
      const ChainCertificate& c = report_.certificates[index];
      std::printf("     %s  [%s, certificate %zu]\n", details_[index].subject.c_str(), c.file.c_str(),
                  c.place);
    }
    for (const ChainFinding& problem : path.problems) std::printf("     because %s\n", problem.text.c_str());
  }

  const ChainReport& report_;
  std::vector<tls::CertificateDetails> details_;
};

// ---- JSON ----------------------------------------------------------------------------------

json::array indices(const std::vector<std::size_t>& list) {
  return json::array(list.begin(), list.end());
}

json::object certificate_json(const ChainCertificate& certificate) {
  const tls::CertificateDetails d = tls::describe(certificate.certificate.get());
  json::object to;
  to["subject"] = d.subject;
  to["issuer"] = d.issuer;
  to["serial"] = d.serial;
  to["names"] = json::array(d.names.begin(), d.names.end());
  to["not_before"] = time_text(d.not_before);
  to["not_after"] = time_text(d.not_after);
  to["key"] = d.key;
  to["signature"] = d.signature;
  to["sha256"] = d.sha256;
  to["spki_sha256"] = d.spki_sha256;
  to["issuer_url"] = d.issuer_url;
  to["self_signed"] = d.self_signed;
  to["authority"] = d.authority;
  to["from"] = word_of(certificate.from);
  to["file"] = certificate.file;
  to["place"] = certificate.place;
  return to;
}

json::object finding_json(const ChainFinding& finding) {
  json::object to;
  to["severity"] = to_string(finding.severity);
  to["reason"] = to_string(finding.reason);
  to["text"] = finding.text;
  if (finding.certificate) to["certificate"] = *finding.certificate;
  if (!finding.issuer.empty()) {
    to["issuer"] = finding.issuer;
    to["issuer_url"] = finding.issuer_url;
  }
  return to;
}

json::array findings_json(const std::vector<ChainFinding>& findings) {
  json::array to;
  for (const ChainFinding& finding : findings) to.push_back(finding_json(finding));
  return to;
}

void print_json(const ChainReport& report, const Inputs& inputs, base::WallTime at) {
  json::object to;
  to["complete"] = report.complete();
  to["ok"] = report.complete() && report.ok();
  to["at"] = time_text(at);
  to["roots"] = inputs.roots_file;
  json::array certificates;
  for (const ChainCertificate& c : report.certificates) certificates.push_back(certificate_json(c));
  to["certificates"] = std::move(certificates);
  to["sent"] = indices(report.sent);
  json::array paths;
  for (const ChainPath& path : report.paths) {
    json::object one;
    one["valid"] = path.valid();
    one["end"] = word_of(path.end);
    one["certificates"] = indices(path.certificates);
    one["problems"] = findings_json(path.problems);
    paths.push_back(std::move(one));
  }
  to["paths"] = std::move(paths);
  to["findings"] = findings_json(report.findings);
  std::printf("%s\n", json::serialize(to).c_str());
}

}  // namespace

std::optional<base::WallTime> parse_time(const std::string& text) {
  if (text.starts_with('@')) {
    std::int64_t seconds = 0;
    const auto [end, ec] = std::from_chars(text.data() + 1, text.data() + text.size(), seconds);
    // Beyond the year 9999 no certificate has a date (RFC 5280 §4.1.2.5).
    constexpr std::int64_t kLast = 253402300799;
    if (ec != std::errc{} || end != text.data() + text.size() || seconds < 0 || seconds > kLast) return {};
    return base::WallClock::from_time_t(seconds);
  }
  for (const char* form : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), form, &parts);
    if (end == nullptr || *end != '\0') continue;
    const int day = parts.tm_mday;
    const std::time_t seconds = ::timegm(&parts);
    if (parts.tm_mday == day) return base::WallClock::from_time_t(seconds);  // else such as 31 February
  }
  return std::nullopt;
}

int chain(const ChainArguments& arguments) {
  Inputs inputs;
  if (!load_inputs(arguments, inputs)) return kFailed;
  tls::ChainRequest request;
  request.given = inputs.given.get();
  request.intermediates = inputs.intermediates.get();
  request.roots = inputs.roots.get();
  request.host = arguments.name;
  request.at = arguments.at.value_or(base::WallClock::now());
  const ChainReport report = tls::examine_chain(request);
  if (arguments.as_json) {
    print_json(report, inputs, request.at);
  } else {
    Printer(report).print(inputs, request.at);
  }
  return report.complete() && report.ok() ? kOk : kFailed;
}

}  // namespace sallyport::cli
