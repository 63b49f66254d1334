// The report of a probe: for people as text, for scripts as JSON. All that came from the server is
// escaped here, and nowhere else.
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include <boost/json.hpp>

#include "certificate_words.hpp"
#include "printable.hpp"
#include "probe_report.hpp"

namespace sallyport::cli {

namespace {

namespace json = boost::json;
using tls::ProbeKind;
using tls::ProbeResult;

// "EC P-256" of the leaf; empty if none came.
std::string key_of(const ProbeResult& result) {
  return result.chain.empty() ? std::string() : tls::describe(result.chain.front().get()).key;
}

std::string kinds_text(const std::vector<ProbeKind>& kinds) {
  std::string text;
  for (const ProbeKind kind : kinds) text += (text.empty() ? "" : ", ") + std::string(tls::about(kind).name);
  return text;
}

// ---- text ----------------------------------------------------------------------------------

using Cells = std::array<std::string, 8>;

Cells cells_of(const ProbeRow& row) {
  const ProbeResult& result = row.result;
  const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : printable(text); };
  return {std::string(tls::about(result.kind).name),
          std::string(to_string(row.outcome)),
          or_dash(result.version),
          or_dash(result.suite),
          or_dash(result.group),
          or_dash(result.alpn),
          or_dash(key_of(result)),
          printable(row.note)};
}

void print_table(const ProbeReport& report) {
  std::vector<Cells> table{{"client", "outcome", "version", "suite", "group", "ALPN", "certificate", "note"}};
  for (const ProbeRow& row : report.rows) table.push_back(cells_of(row));
  std::array<std::size_t, std::tuple_size_v<Cells>> widths{};
  for (const Cells& cells : table) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  for (const Cells& cells : table) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      line += cells[i];
      if (i + 1 < cells.size()) line += std::string(widths[i] - cells[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }
  if (!report.skipped.empty())
    std::printf("not tried, since the server never answered: %s\n", kinds_text(report.skipped).c_str());
}

void print_certificate(std::size_t number, const tls::ChainCertificate& certificate) {
  const tls::CertificateDetails d = tls::describe(certificate.certificate.get());
  std::printf("%3zu. %s\n", number, printable(d.subject).c_str());
  std::printf("     issuer   %s\n", printable(d.issuer).c_str());
  if (!d.names.empty()) std::printf("     names    %s\n", printable(names_text(d.names)).c_str());
  std::printf("     valid    %s to %s\n", time_text(d.not_before).c_str(), time_text(d.not_after).c_str());
  std::printf("     key      %s, signed with %s\n", printable(d.key).c_str(), printable(d.signature).c_str());
  std::printf("     SHA-256  %s\n", d.sha256.c_str());
}

void print_chain(const ProbeReport& report, const ProbeChain& chain) {
  using From = tls::ChainCertificate::From;
  std::printf("\nChain as sent to %s:\n", kinds_text(chain.kinds).c_str());
  std::size_t number = 0;
  for (const auto& certificate : chain.report.certificates) {
    if (certificate.from == From::given) print_certificate(++number, certificate);
  }
  const tls::ChainPath& path = chain.report.paths.front();
  std::printf("   Verified with the roots of %s: %s\n", printable(report.roots).c_str(),
              path.valid() ? "it holds" : "it fails");
  for (const std::size_t i : path.certificates) {
    const auto& one = chain.report.certificates[i];
    const std::string where = one.from == From::given ? "sent, " + std::to_string(one.place) : one.file;
    std::printf("     %s  [%s]\n", printable(tls::describe(one.certificate.get()).subject).c_str(),
                printable(where).c_str());
  }
  for (const tls::ChainFinding& problem : path.problems)
    std::printf("     because %s\n", printable(problem.text).c_str());
  std::printf("   OCSP response: %s%s\n", std::string(to_string(chain.staple.status)).c_str(),
              chain.staple.next_update == base::WallTime{}
                  ? ""
                  : (", until " + time_text(chain.staple.next_update)).c_str());
}

void print_findings(const ProbeReport& report) {
  if (report.findings.empty()) {
    std::printf("\nNothing to change.\n");
    return;
  }
  std::printf("\nWhat to change:\n");
  for (const ProbeFinding& finding : report.findings) {
    const std::string code =
        finding.cloudflare == 0 ? "" : " (Cloudflare: " + std::to_string(finding.cloudflare) + ")";
    std::printf("%s  %s%s: %s\n", std::string(to_string(finding.severity)).c_str(),
                std::string(finding.name).c_str(), code.c_str(), printable(finding.text).c_str());
  }
}

// ---- JSON ----------------------------------------------------------------------------------

json::string text_json(std::string_view text) {
  return json::string(printable(text));
}

json::array texts_json(const std::vector<std::string>& list) {
  json::array to;
  for (const std::string& one : list) to.push_back(text_json(one));
  return to;
}

json::array kinds_json(const std::vector<ProbeKind>& kinds) {
  json::array to;
  for (const ProbeKind kind : kinds) to.emplace_back(tls::about(kind).name);
  return to;
}

json::object talk_json(const ProbeTalk& talk) {
  json::object to;
  to["protocol"] = talk.h2 ? "h2" : "http/1.1";
  to["end"] = to_string(talk.end);
  if (!talk.h2) {
    to["first_line"] = text_json(talk.first_line);
    to["status"] = talk.status;
    to["head_bytes"] = talk.head_bytes;
    to["keeps_alive"] = talk.keeps_alive;
    return to;
  }
  const auto put = [&to](const char* name, const std::optional<std::uint32_t>& value) {
    if (value) to[name] = *value;
  };
  put("max_concurrent_streams", talk.settings.max_concurrent_streams);
  put("initial_window_size", talk.settings.initial_window_size);
  put("max_frame_size", talk.settings.max_frame_size);
  put("max_header_list_size", talk.settings.max_header_list_size);
  put("enable_connect_protocol", talk.settings.enable_connect_protocol);
  put("goaway", talk.goaway);
  return to;
}

json::object row_json(const ProbeRow& row) {
  const ProbeResult& result = row.result;
  json::object to;
  to["client"] = tls::about(result.kind).name;
  to["outcome"] = to_string(row.outcome);
  to["end"] = to_string(result.end);
  to["reason"] = to_string(row.reason);
  to["version"] = text_json(result.version);
  to["suite"] = text_json(result.suite);
  to["group"] = text_json(result.group);
  to["alpn"] = text_json(result.alpn);
  to["certificate"] = text_json(key_of(result));
  to["hello_retry"] = result.hello_retry;
  to["resumed"] = result.resumed;
  to["certificate_asked"] = result.certificate_asked;
  to["client_cas"] = texts_json(result.client_cas);
  if (result.alert) to["alert"] = *result.alert;
  to["milliseconds"] = result.took.count();
  to["note"] = text_json(row.note);
  if (row.talk) to["http"] = talk_json(*row.talk);
  return to;
}

json::object seen_certificate_json(const tls::ChainCertificate& certificate) {
  using From = tls::ChainCertificate::From;
  const tls::CertificateDetails d = tls::describe(certificate.certificate.get());
  json::object to;
  to["subject"] = text_json(d.subject);
  to["issuer"] = text_json(d.issuer);
  to["names"] = texts_json(d.names);
  to["not_before"] = time_text(d.not_before);
  to["not_after"] = time_text(d.not_after);
  to["key"] = text_json(d.key);
  to["signature"] = text_json(d.signature);
  to["sha256"] = d.sha256;
  to["spki_sha256"] = d.spki_sha256;
  to["issuer_url"] = text_json(d.issuer_url);
  to["sent"] = certificate.from == From::given;
  return to;
}

json::object chain_json(const ProbeChain& chain) {
  json::object to;
  to["clients"] = kinds_json(chain.kinds);
  to["complete"] = chain.report.complete();
  json::array certificates;
  for (const auto& one : chain.report.certificates) certificates.push_back(seen_certificate_json(one));
  to["certificates"] = std::move(certificates);
  const tls::ChainPath& path = chain.report.paths.front();
  to["path"] = json::array(path.certificates.begin(), path.certificates.end());
  to["end"] = word_of(path.end);
  to["ocsp"] = to_string(chain.staple.status);
  if (chain.staple.next_update != base::WallTime{})
    to["ocsp_next_update"] = time_text(chain.staple.next_update);
  to["must_staple"] = chain.must_staple;
  return to;
}

json::object finding_json(const ProbeFinding& finding) {
  json::object to;
  to["severity"] = to_string(finding.severity);
  to["name"] = finding.name;
  to["text"] = text_json(finding.text);
  if (finding.cloudflare != 0) to["cloudflare"] = finding.cloudflare;
  to["clients"] = kinds_json(finding.kinds);
  return to;
}

template <class List>
json::array list_json(const List& list, json::object (*each)(const typename List::value_type&)) {
  json::array to;
  for (const auto& one : list) to.push_back(each(one));
  return to;
}

}  // namespace

void print_text(const ProbeReport& report) {
  std::printf("%s at %s, %s, at %s\n\n", printable(report.host).c_str(), report.address.c_str(),
              report.sni.empty() ? "asked for no name" : ("asked for " + printable(report.sni)).c_str(),
              time_text(report.at).c_str());
  print_table(report);
  for (const ProbeChain& chain : report.chains) print_chain(report, chain);
  print_findings(report);
}

void print_json(const ProbeReport& report) {
  json::object to;
  to["host"] = text_json(report.host);
  to["address"] = report.address;
  to["sni"] = text_json(report.sni);
  to["at"] = time_text(report.at);
  to["roots"] = text_json(report.roots);
  to["ok"] = report.ok();
  to["clients"] = list_json(report.rows, row_json);
  to["skipped"] = kinds_json(report.skipped);
  to["chains"] = list_json(report.chains, chain_json);
  to["findings"] = list_json(report.findings, finding_json);
  std::printf("%s\n", json::serialize(to).c_str());
}

}  // namespace sallyport::cli
