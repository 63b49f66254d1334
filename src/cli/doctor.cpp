// `sallyport doctor`: loads a configuration as run would, and says what Cloudflare in front of it would
// meet. Exit codes: 0 = nothing to say, 1 = something fails or the configuration does not load,
// 3 = warnings alone.
#include "doctor.hpp"

#include <algorithm>
#include <cstdio>

#include <boost/json.hpp>

#include "sallyport/runtime/server.hpp"
#include "sallyport/tls/version.hpp"

#include "commands.hpp"
#include "doctor_live.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;

bool same_place(const config::Origin& a, const config::Origin& b) {
  return a.line != 0 && a.line == b.line && a.column == b.column;
}

// What `check` says; but of a certificate that was examined, the examination's word is enough.
void add_problems(const std::vector<config::Problem>& problems, const Report& examined, Report& report) {
  for (const config::Problem& problem : problems) {
    const bool known =
        std::any_of(examined.findings().begin(), examined.findings().end(), [&](const Finding& finding) {
          const bool of_certificate =
              finding.check == "chain" || finding.check == "names" || finding.check == "dates";
          return of_certificate && finding.severity != Severity::ok &&
                 same_place(finding.origin, problem.origin);
        });
    const bool bad = problem.severity == config::Problem::Severity::error;
    if (known && !bad) continue;
    report.add({bad ? Severity::fail : Severity::warn, "config", "configuration", problem.origin,
                problem.text, bad ? "correct it: run does not start with it" : "see what it says", 0});
  }
}

void print_finding(const Finding& finding) {
  std::printf("  %-4s  %-17s %s\n", std::string(to_string(finding.severity)).c_str(), finding.check.c_str(),
              finding.text.c_str());
  if (finding.severity == Severity::ok) return;
  std::printf("        remedy: %s\n", finding.remedy.c_str());
  std::string more;
  if (finding.origin.line > 0) more = "at " + config::to_string(finding.origin);
  if (finding.code != 0) {
    more += std::string(more.empty() ? "" : "; ") + "visitors see " + std::to_string(finding.code);
  }
  if (!more.empty()) std::printf("        %s\n", more.c_str());
}

json::object finding_json(const Finding& finding) {
  json::object to;
  to["severity"] = to_string(finding.severity);
  to["check"] = finding.check;
  to["subject"] = finding.subject;
  to["text"] = finding.text;
  to["remedy"] = finding.remedy;
  to["code"] = finding.code == 0 ? json::value() : json::value(finding.code);
  const bool placed = finding.origin.line > 0 && finding.origin.file != nullptr;
  to["file"] = placed ? json::value(*finding.origin.file) : json::value();
  to["line"] = placed ? json::value(finding.origin.line) : json::value();
  to["column"] = placed ? json::value(finding.origin.column) : json::value();
  return to;
}

bool complain(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  return false;
}

// Before anything is examined; false, and told, if an argument is of no use.
bool read_live(const DoctorArguments& arguments, base::WallTime now, LiveArguments& live) {
  live.host = arguments.host;
  if (!arguments.connect.empty()) {
    live.connect = net::Endpoint::parse(arguments.connect);
    if (!live.connect || live.connect->port == 0)
      return complain("--connect: expected 192.0.2.1:443 or [2001:db8::1]:443, found " + arguments.connect);
  }
  if (arguments.client_certificate.empty()) return true;
  tls::Notes notes;
  tls::CertificatePool pool;
  live.certificate = pool.load(
      {arguments.client_certificate, arguments.client_key, "client", tls::ChainUse::client}, now, notes);
  if (live.certificate != nullptr) return true;
  for (const tls::Note& note : notes.items()) {
    if (note.severity == tls::Note::Severity::error) complain(note.text);
  }
  return false;
}

int exit_code(const Report& report) {
  switch (report.worst()) {
    case Severity::ok:
      return kOk;
    case Severity::warn:
      return kWarned;
    case Severity::fail:
      break;
  }
  return kFailed;
}

}  // namespace

void examine(const Patient& patient, Report& report) {
  examine_gateway(patient, report);
  examine_address_sets(patient, report);
  examine_listeners(patient, report);
  examine_policies(patient, report);
  examine_certificates(patient, report);
  examine_hosts(patient, report);
  examine_upstreams(patient, report);
}

void print_text(const Report& report, const std::filesystem::path& file, base::WallTime at) {
  std::printf("%s behind Cloudflare, on %s\n", file.c_str(), date_text(at).c_str());
  std::vector<std::string> subjects;  // as they first come
  for (const Finding& finding : report.findings()) {
    if (std::find(subjects.begin(), subjects.end(), finding.subject) == subjects.end())
      subjects.push_back(finding.subject);
  }
  for (const std::string& subject : subjects) {
    std::printf("\n%s\n", subject.c_str());
    for (const Finding& finding : report.findings()) {
      if (finding.subject == subject) print_finding(finding);
    }
  }
  std::printf("\n%zu ok, %zu warn, %zu fail\n", report.count(Severity::ok), report.count(Severity::warn),
              report.count(Severity::fail));
}

void print_json(const Report& report, const std::filesystem::path& file, base::WallTime at) {
  json::object to;
  to["config"] = file.string();
  to["date"] = date_text(at);
  to["openssl"] = tls::library_version();
  to["severity"] = to_string(report.worst());
  json::object counts;
  for (const Severity severity : {Severity::ok, Severity::warn, Severity::fail}) {
    counts[to_string(severity)] = report.count(severity);
  }
  to["counts"] = std::move(counts);
  json::array findings;
  for (const Finding& finding : report.findings()) findings.push_back(finding_json(finding));
  to["findings"] = std::move(findings);
  std::printf("%s\n", json::serialize(to).c_str());
}

int doctor(const DoctorArguments& arguments) {
  const base::WallTime now = arguments.at.value_or(base::WallClock::now());
  std::string why;
  const auto roots =
      tls::CertificateSet::load(arguments.roots.empty() ? tls::kSystemRoots : arguments.roots, why);
  if (roots == nullptr && !arguments.roots.empty()) {
    std::fprintf(stderr, "%s %s\n", arguments.roots.c_str(), why.c_str());
    return kFailed;
  }
  LiveArguments live;
  if (!read_live(arguments, now, live)) return kFailed;
  config::Loaded loaded = config::load_and_validate(arguments.config);
  std::vector<config::Problem> problems = std::move(loaded.problems);
  Report examined;
  if (!config::has_errors(problems)) {
    const runtime::DryBuild built = runtime::dry_build(std::move(loaded.model), now);
    problems.insert(problems.end(), built.problems.begin(), built.problems.end());
    if (built.model != nullptr) {
      const Patient patient{*built.model, built.tls.get(), roots.get(), now};
      examine(patient, examined);
      if (arguments.live) examine_live(patient, live, examined);
    }
  }
  Report report;
  add_problems(problems, examined, report);
  for (const Finding& finding : examined.findings()) report.add(finding);
  if (arguments.as_json) {
    print_json(report, arguments.config, now);
  } else {
    print_text(report, arguments.config, now);
  }
  return exit_code(report);
}

}  // namespace sallyport::cli
