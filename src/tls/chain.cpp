#include "sallyport/tls/chain.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "certificate_text.hpp"
#include "chain_verdict.hpp"
#include "chain_walk.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

using Severity = ChainFinding::Severity;

bool contains(const std::vector<std::size_t>& list, std::size_t item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Puts the report together from the ways.
class Examination {
 public:
  explicit Examination(const ChainRequest& request) : request_(request), walk_(request) {}

  ChainReport run() {
    report_.certificates = walk_.certificates();
    judge_paths();
    choose_sent();
    tell_path();
    tell_files();
    tell_dates();
    tell_host();
    std::stable_sort(report_.findings.begin(), report_.findings.end(),
                     [](const auto& a, const auto& b) { return a.severity > b.severity; });
    return std::move(report_);
  }

 private:
  [[nodiscard]] const x509_st* at(std::size_t i) const { return report_.certificates[i].certificate.get(); }
  [[nodiscard]] std::string named(std::size_t i) const { return "\"" + subject_text(at(i)) + "\""; }
  [[nodiscard]] bool given(std::size_t i) const {
    return report_.certificates[i].from == ChainCertificate::From::given;
  }
  [[nodiscard]] std::string place(std::size_t i) const {
    const ChainCertificate& one = report_.certificates[i];
    const std::string text = "certificate " + std::to_string(one.place);
    return one.file == request_.given->file() ? text : text + " of " + one.file;  // one of several files
  }
  [[nodiscard]] const char* not_sent() const { return request_.received ? "" : " and is not sent"; }
  [[nodiscard]] std::string nth(std::size_t i) const { return place(i) + ", " + named(i) + ","; }
  void tell(Severity severity, ChainReason reason, std::size_t certificate, std::string text) {
    ChainFinding finding;
    finding.severity = severity;
    finding.reason = reason;
    finding.certificate = certificate;
    finding.text = std::move(text);
    report_.findings.push_back(std::move(finding));
  }

  void judge_paths();
  void choose_sent();
  void tell_path();
  void tell_files();
  void tell_order();
  void tell_leftovers();
  void tell_dates();
  void tell_host();
  [[nodiscard]] std::optional<ChainFinding> end_of(const ChainPath& path) const;
  [[nodiscard]] ChainFinding missing_issuer(std::size_t last) const;
  [[nodiscard]] ChainFinding unknown_root(std::size_t last) const;
  [[nodiscard]] bool on_a_path(std::size_t i, bool valid_only) const;

  const ChainRequest& request_;
  ChainWalk walk_;
  ChainReport report_;
};

ChainFinding Examination::missing_issuer(std::size_t last) const {
  ChainFinding finding;
  finding.reason = ChainReason::missing_issuer;
  finding.certificate = last;
  finding.issuer = issuer_text(at(last));
  finding.issuer_url = issuer_url_text(at(last));
  finding.text = "the issuer of " + named(last) + " is missing: \"" + finding.issuer +
                 (request_.received ? "\" is not sent" : "\" is not in the file");
  if (walk_.issuer_has_another_key(last)) {
    finding.text += " (there is a certificate of that name, but with another key)";
  }
  if (request_.roots != nullptr) finding.text += ", and no root of " + request_.roots->file();
  if (finding.issuer_url.empty()) {
    finding.text += "; append its certificate (the CA gives it out), unless it is a root of your own";
  } else {
    finding.text += "; append its certificate, which is at " + finding.issuer_url;
  }
  return finding;
}

ChainFinding Examination::unknown_root(std::size_t last) const {
  ChainFinding finding;
  finding.reason = ChainReason::unknown_root;
  finding.certificate = last;
  const bool alone = last == walk_.leaf();
  finding.text = named(last) + (alone ? " is self-signed" : " is a root");
  if (request_.roots == nullptr) {
    finding.severity = Severity::info;
    finding.text += "; no roots were given, so whether clients trust it is not judged";
  } else {
    finding.text += " that is not in " + request_.roots->file() +
                    ": only clients that were given it trust it; give its file as roots if they are";
  }
  return finding;
}

std::optional<ChainFinding> Examination::end_of(const ChainPath& path) const {
  const std::size_t last = path.certificates.back();
  switch (path.end) {
    case ChainPath::End::trusted:
      return std::nullopt;
    case ChainPath::End::unknown_root:
      return unknown_root(last);
    case ChainPath::End::missing_issuer:
      return missing_issuer(last);
    case ChainPath::End::too_deep:
      break;
  }
  ChainFinding finding;
  finding.certificate = last;
  finding.text = "the chain is longer than " + std::to_string(request_.limits.depth) + " certificates at " +
                 named(last) + ": clients give up there";
  return finding;
}

// The best first: what holds, then what ends best with the least wrong, then what needs the least added.
void Examination::judge_paths() {
  report_.paths = std::move(walk_.paths());
  for (ChainPath& path : report_.paths) path.problems = problems_of(path, report_.certificates, request_);
  const auto rank = [this](const ChainPath& path) {
    const auto added =
        std::count_if(path.certificates.begin(), path.certificates.end(), [this](std::size_t i) {
          return report_.certificates[i].from == ChainCertificate::From::intermediates;
        });
    const bool missing = path.end == ChainPath::End::missing_issuer;
    const auto length = static_cast<std::ptrdiff_t>(path.certificates.size());
    return std::tuple(!path.valid(), path.end, path.problems.size(), added, missing ? -length : length);
  };
  std::stable_sort(report_.paths.begin(), report_.paths.end(),
                   [&](const ChainPath& a, const ChainPath& b) { return rank(a) < rank(b); });
  for (ChainPath& path : report_.paths) {
    if (auto end = end_of(path)) path.problems.insert(path.problems.begin(), std::move(*end));
  }
}

bool Examination::on_a_path(std::size_t i, bool valid_only) const {
  return std::any_of(report_.paths.begin(), report_.paths.end(), [&](const ChainPath& path) {
    return contains(path.certificates, i) && (!valid_only || path.valid());
  });
}

// The best path; then what was given for other paths (a cross-signed CA helps older clients), unless it
// is out of date. A root is what clients have or do not trust: sending it helps nobody.
void Examination::choose_sent() {
  auto& sent = report_.sent;
  sent.push_back(walk_.leaf());
  const auto add = [&](std::size_t i) {
    if (!contains(sent, i) && !is_self_signed(at(i))) sent.push_back(i);
  };
  for (const std::size_t i : report_.paths.front().certificates) add(i);
  for (const ChainPath& path : report_.paths) {
    for (const std::size_t i : path.certificates) {
      if (given(i) && !examine_dates(at(i), request_.at, base::Seconds(0))) add(i);
    }
  }
}

void Examination::tell_path() {
  const ChainPath& best = report_.paths.front();
  for (const ChainFinding& problem : best.problems) report_.findings.push_back(problem);
  for (const std::size_t i : best.certificates) {
    const ChainCertificate& certificate = report_.certificates[i];
    if (certificate.from != ChainCertificate::From::intermediates || !contains(report_.sent, i)) continue;
    tell(Severity::warning, ChainReason::added, i,
         "the intermediate " + named(i) + " is missing and was added from " + certificate.file +
             "; append it for those who use the file elsewhere");
  }
  if (walk_.cut_short()) {
    tell(Severity::info, ChainReason::too_many, best.certificates.front(),
         "there are more ways to a root than were looked at (" + std::to_string(report_.paths.size()) + ")");
  }
}

void Examination::tell_files() {
  if (request_.given->all().size() > request_.limits.given) {
    tell(Severity::warning, ChainReason::too_many, walk_.leaf(),
         "holds " + std::to_string(request_.given->all().size()) + " certificates, of which the first " +
             std::to_string(request_.limits.given) + " were looked at: is it a bundle of roots?");
  }
  for (const auto& [second, first] : walk_.duplicates()) {
    tell(Severity::warning, ChainReason::duplicate, second,
         nth(second) + " is the same as " + place(first) + ": remove one");
  }
  if (walk_.leaf() != 0) {
    tell(Severity::warning, ChainReason::leaf_not_first, walk_.leaf(),
         nth(walk_.leaf()) + " is the leaf and does not stand first: put it at the beginning");
  }
  tell_order();
  tell_leftovers();
}

// RFC 5246 §7.4.2: each certifies the one before it.
void Examination::tell_order() {
  std::size_t before = 0;
  for (const std::size_t i : report_.paths.front().certificates) {
    if (!given(i) || i == walk_.leaf()) continue;
    if (i < before) {
      tell(Severity::warning, ChainReason::wrong_order, i,
           nth(i) +
               " stands in the wrong place: after the leaf, each certificate comes right after the one "
               "that it issued");
      return;
    }
    before = i;
  }
}

void Examination::tell_leftovers() {
  for (std::size_t i = 0; i < report_.certificates.size() && given(i); ++i) {
    const bool twice = std::any_of(walk_.duplicates().begin(), walk_.duplicates().end(),
                                   [i](const auto& pair) { return pair.first == i; });
    if (i == walk_.leaf() || twice) continue;
    if (!on_a_path(i, false)) {
      tell(Severity::warning, ChainReason::unrelated, i,
           nth(i) + " has nothing to do with " + named(walk_.leaf()) + not_sent() + ": remove it");
    } else if (is_self_signed(at(i))) {
      tell(Severity::warning, ChainReason::root_included, i,
           nth(i) + " is a root" + not_sent() + ": clients have it or do not trust it; remove it");
    } else if (report_.complete() && !on_a_path(i, true)) {
      const auto dates = examine_dates(at(i), request_.at, base::Seconds(0));
      if (dates) {
        tell(Severity::warning, dates->reason, i,
             nth(i) + " " + dates->text + "; the chain is complete without it" +
                 (request_.received ? "" : " and it is not sent") + ": remove it");
      } else {
        tell(Severity::info, ChainReason::unneeded, i,
             nth(i) + " is on no way to a root that is known here; it is sent for clients that know another");
      }
    }
  }
}

void Examination::tell_dates() {
  for (const std::size_t i : report_.sent) {
    auto dates = examine_dates(at(i), request_.at, request_.limits.near_expiry);
    if (!dates || dates->reason != ChainReason::near_expiry) continue;
    tell(Severity::warning, dates->reason, i, named(i) + " " + dates->text);
  }
  if (request_.roots == nullptr) return;
  const auto& roots = request_.roots->all();
  const auto stray = std::find_if(roots.begin(), roots.end(),
                                  [](const CertificateRef& root) { return !is_self_signed(root.get()); });
  // Of interest only to whoever misses it: a system's bundle may hold some.
  if (stray == roots.end() || report_.complete()) return;
  tell(Severity::warning, ChainReason::roots_not_self_signed, walk_.leaf(),
       request_.roots->file() + " holds \"" + subject_text(stray->get()) +
           "\", which is no root and does not count as one: intermediates go into a file of their own");
}

void Examination::tell_host() {
  if (request_.host.empty()) return;
  X509* leaf = report_.certificates[walk_.leaf()].certificate.get();
  const bool address = X509_check_ip_asc(leaf, request_.host.c_str(), 0) == 1;
  const bool name = X509_check_host(leaf, request_.host.data(), request_.host.size(),
                                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
  ERR_clear_error();
  if (address || name) return;
  const CertificateDetails details = describe(leaf);
  std::string names;
  for (std::size_t i = 0; i < details.names.size() && i < 5; ++i) {
    names += (i == 0 ? "" : ", ") + details.names[i];
  }
  if (details.names.size() > 5) names += " and " + std::to_string(details.names.size() - 5) + " more";
  tell(Severity::error, ChainReason::name_not_covered, walk_.leaf(),
       named(walk_.leaf()) + " is not for " + request_.host + " but for " +
           (names.empty() ? "no name at all" : names) + ": have it issued with that name");
}

}  // namespace

std::string_view to_string(ChainReason reason) noexcept {
  switch (reason) {
    case ChainReason::leaf_not_first:
      return "leaf_not_first";
    case ChainReason::wrong_order:
      return "wrong_order";
    case ChainReason::duplicate:
      return "duplicate";
    case ChainReason::unrelated:
      return "unrelated";
    case ChainReason::unneeded:
      return "unneeded";
    case ChainReason::root_included:
      return "root_included";
    case ChainReason::added:
      return "added";
    case ChainReason::missing_issuer:
      return "missing_issuer";
    case ChainReason::unknown_root:
      return "unknown_root";
    case ChainReason::expired:
      return "expired";
    case ChainReason::not_yet_valid:
      return "not_yet_valid";
    case ChainReason::near_expiry:
      return "near_expiry";
    case ChainReason::weak_key:
      return "weak_key";
    case ChainReason::weak_signature:
      return "weak_signature";
    case ChainReason::not_a_ca:
      return "not_a_ca";
    case ChainReason::wrong_usage:
      return "wrong_usage";
    case ChainReason::path_length:
      return "path_length";
    case ChainReason::name_constraints:
      return "name_constraints";
    case ChainReason::bad_signature:
      return "bad_signature";
    case ChainReason::name_not_covered:
      return "name_not_covered";
    case ChainReason::roots_not_self_signed:
      return "roots_not_self_signed";
    case ChainReason::too_many:
      return "too_many";
    case ChainReason::other:
      break;
  }
  return "other";
}

std::string_view to_string(ChainFinding::Severity severity) noexcept {
  switch (severity) {
    case Severity::info:
      return "info";
    case Severity::warning:
      return "warning";
    case Severity::error:
      break;
  }
  return "error";
}

bool ChainReport::ok() const noexcept {
  return std::none_of(findings.begin(), findings.end(),
                      [](const ChainFinding& f) { return f.severity == Severity::error; });
}

base::Seconds near_expiry_of(base::WallTime from, base::WallTime until, base::Seconds near_expiry) noexcept {
  return std::min(near_expiry, std::chrono::duration_cast<base::Seconds>(until - from) / 3);
}

std::optional<ChainFinding> examine_dates(const x509_st* certificate, base::WallTime at,
                                          base::Seconds near_expiry) {
  const base::WallTime from = wall_time(X509_get0_notBefore(certificate));
  const base::WallTime until = wall_time(X509_get0_notAfter(certificate));
  ChainFinding finding;
  if (until < at) {
    finding.reason = ChainReason::expired;
    finding.text = "expired on " + date_text(until) + ": clients will refuse it, renew it";
  } else if (at < from) {
    finding.reason = ChainReason::not_yet_valid;
    finding.text = "is not valid before " + date_text(from) +
                   ": clients will refuse it until then (or is a clock wrong?)";
  } else if (until - at < near_expiry_of(from, until, near_expiry)) {
    const auto days = std::chrono::duration_cast<std::chrono::hours>(until - at).count() / 24;
    finding.severity = Severity::warning;
    finding.reason = ChainReason::near_expiry;
    finding.text = "expires on " + date_text(until) + ", in " +
                   (days == 0   ? "less than a day"
                    : days == 1 ? "a day"
                                : std::to_string(days) + " days") +
                   ": renew it";
  } else {
    return std::nullopt;
  }
  return finding;
}

ChainReport examine_chain(const ChainRequest& request) {
  return Examination(request).run();
}

}  // namespace sallyport::tls
