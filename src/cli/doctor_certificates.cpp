// What Cloudflare wants of a certificate in its mode "Full (strict)": 526 otherwise.
#include <algorithm>

#include "sallyport/tls/cloudflare.hpp"

#include "cloudflare_errors.hpp"
#include "doctor.hpp"

namespace sallyport::cli {

namespace {

using tls::ChainFinding;
using tls::ChainReason;

bool is_of_dates(const ChainFinding& finding) {
  return finding.reason == ChainReason::expired || finding.reason == ChainReason::not_yet_valid ||
         finding.reason == ChainReason::near_expiry;
}

class Examination {
 public:
  Examination(const Patient& patient, const config::Host& host, const config::Certificate& source,
              const tls::Certificate& certificate, Report& report)
      : patient_(patient),
        host_(host),
        certificate_(certificate),
        scribe_(report, subject_of(host), source.origin),
        of_host_(report, subject_of(host), host.origin),
        file_(certificate.chain_file()) {}

  void run() {
    chain();
    names();
    dates();
    key();
  }

 private:
  void chain() {
    if (tls::is_from_origin_ca(certificate_)) {
      scribe_.ok("chain", file_ + ": from Cloudflare's Origin CA, which Cloudflare alone takes");
      return;
    }
    if (patient_.roots == nullptr) {
      scribe_.warn("chain", file_ + ": not judged, for there are no roots here",
                   "install ca-certificates, or give roots with --roots");
      return;
    }
    const tls::ChainReport report = tls::judge_sent(certificate_, patient_.roots, patient_.now);
    const tls::ChainPath& best = report.paths.front();
    std::vector<std::string> problems;
    for (const ChainFinding& problem : best.problems) {
      // Those of the leaf are told on their own.
      if (!is_of_dates(problem) || problem.certificate != std::size_t{0}) problems.push_back(problem.text);
    }
    if (problems.empty()) {
      const auto root = tls::describe(report.certificates[best.certificates.back()].certificate.get());
      scribe_.ok("chain", file_ + ": complete to " + root.subject);
    } else if (tls::describe(certificate_.leaf()).self_signed) {
      scribe_.fail("chain", file_ + ": self-signed", kRemedy, kBadCertificate);
    } else {
      scribe_.fail("chain", file_ + ": " + joined(problems, "; "), kRemedy, kBadCertificate);
    }
  }

  void names() {
    std::vector<std::string> missing;
    bool anything = false;
    for (const std::string& name : host_.names) {
      const auto& own = certificate_.dns_names();
      if (name == "*") {
        anything = true;
      } else if (name.starts_with('*') ? std::find(own.begin(), own.end(), name) == own.end()
                                       : !certificate_.covers(name)) {
        missing.push_back(name);
      }
    }
    if (!missing.empty()) {
      of_host_.fail("names", file_ + ": not for " + joined(missing),
                    "have it issued for these names; a wildcard stands for one label", kBadCertificate);
    } else if (anything) {
      of_host_.warn("names", file_ + ": shown for any name, and good for " + joined(certificate_.dns_names()),
                    "name the hosts that are served instead of \"*\"", kBadCertificate);
    } else {
      of_host_.ok("names", file_ + ": good for " + joined(host_.names));
    }
  }

  void dates() {
    const auto finding =
        tls::examine_dates(certificate_.leaf(), patient_.now, tls::ChainLimits{}.near_expiry);
    if (!finding) {
      scribe_.ok("dates", file_ + ": until " + date_text(certificate_.not_after()));
    } else if (finding->reason == ChainReason::near_expiry) {
      scribe_.warn("dates", file_ + ": " + finding->text, "put the new one in its place and reload",
                   kBadCertificate);
    } else {
      scribe_.fail("dates", file_ + ": " + finding->text, "put the new one in its place and reload",
                   kBadCertificate);
    }
  }

  void key() {
    const std::string text = file_ + ": " + tls::describe(certificate_.leaf()).key;
    if (tls::cloudflare_takes(certificate_)) {
      scribe_.ok("key", text);
    } else {
      scribe_.fail("key", text + ", with which Cloudflare takes no handshake",
                   "use RSA, or ECDSA with P-256 or P-384", kHandshakeFailed);
    }
  }

  static constexpr const char* kRemedy =
      "use a certificate of a public CA with its intermediates, or one of Cloudflare's Origin CA; where the "
      "zone "
      "has a Custom Origin Trust Store, give it with --roots";

  const Patient& patient_;
  const config::Host& host_;
  const tls::Certificate& certificate_;
  Scribe scribe_, of_host_;
  std::string file_;
};

}  // namespace

void examine_certificates(const Patient& patient, Report& report) {
  if (patient.tls == nullptr) return;
  for (const tls::HostEntry& entry : patient.tls->hosts()) {
    const config::Host& host = patient.model.hosts[entry.index];
    if (listeners_of(patient.model, host).empty()) continue;
    for (std::size_t i = 0; i < entry.certificates.size(); ++i) {
      Examination(patient, host, host.certificates[i], *entry.certificates[i], report).run();
    }
  }
}

}  // namespace sallyport::cli
