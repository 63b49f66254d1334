// What stops a client from trusting a chain is found before a client does: each mistake that people
// make with certificate files, made here, and what is said about it.
#include "sallyport/tls/chain.hpp"

#include <algorithm>
#include <functional>

#include "catch.hpp"
#include "certificates.hpp"
#include "text.hpp"

using namespace sallyport;
using namespace sallyport::tls;
using namespace tls_test;

namespace {

constexpr long kDaySeconds = 86400;
using Reasons = std::vector<std::string>;

std::shared_ptr<const CertificateSet> set_of(const std::vector<const Identity*>& identities,
                                             const char* file) {
  if (identities.empty()) return nullptr;
  std::string pem;
  for (const Identity* identity : identities) pem += identity->pem();
  std::string why;
  auto set = CertificateSet::parse(pem, file, why);
  REQUIRE(set != nullptr);
  return set;
}

Wanted ca_wanted(const std::string& name, long until = 400 * kDaySeconds) {
  Wanted wanted;
  wanted.name = name;
  wanted.authority = true;
  wanted.until = until;
  wanted.extensions = {{NID_key_usage, "critical,keyCertSign,cRLSign"}};
  return wanted;
}

Wanted leaf_wanted(const std::string& san = "DNS:a.example") {
  Wanted wanted;
  wanted.name = "leaf";
  wanted.san = san;
  wanted.until = 200 * kDaySeconds;
  return wanted;
}

// A root, an intermediate below it and a leaf below that; what a test changes, it issues anew.
struct Family {
  Identity root = issue(ca_wanted("root"));
  Identity middle = issue(ca_wanted("middle"), &root);
  Identity leaf = issue(leaf_wanted(), &middle);
};

struct Asked {
  std::vector<const Identity*> given{}, intermediates{}, roots{};
  std::string host{};
  long at = 0;  // seconds from now
};

ChainReport examine(const Asked& asked) {
  const auto given = set_of(asked.given, "chain.pem");
  const auto intermediates = set_of(asked.intermediates, "pool.pem");
  const auto roots = set_of(asked.roots, "roots.pem");
  ChainRequest request;
  request.given = given.get();
  request.intermediates = intermediates.get();
  request.roots = roots.get();
  request.host = asked.host;
  request.at = base::WallClock::now() + base::Seconds(asked.at);
  return examine_chain(request);
}

Reasons reasons(const ChainReport& report) {
  Reasons found;
  for (const ChainFinding& finding : report.findings) {
    found.push_back(std::string(to_string(finding.severity)) + " " + std::string(to_string(finding.reason)));
  }
  return found;
}

// The subjects' common names of what would be sent.
std::string sent(const ChainReport& report) {
  std::string names;
  for (const std::size_t i : report.sent) {
    names +=
        (names.empty() ? "" : " ") + describe(report.certificates[i].certificate.get()).subject.substr(3);
  }
  return names;
}

std::string all_text(const ChainReport& report) {
  std::string text;
  for (const ChainFinding& finding : report.findings) text += finding.text + "\n";
  return text;
}

}  // namespace

TEST_CASE("what is odd about a chain file is told, repaired where it can be, and sent in order") {
  const Family f;
  const Identity stray = issue(leaf_wanted("DNS:stray.example"));
  struct Row {
    const char* what;
    Asked asked;
    Reasons reasons;
    std::string sent;
    bool complete;
  };
  const std::vector<Row> rows{
      {"as it should be", {{&f.leaf, &f.middle}, {}, {&f.root}}, {}, "leaf middle", true},
      {"with its root",
       {{&f.leaf, &f.middle, &f.root}, {}, {&f.root}},
       {"warning root_included"},
       "leaf middle",
       true},
      {"leaf last",
       {{&f.root, &f.middle, &f.leaf}, {}, {&f.root}},
       {"warning leaf_not_first", "warning wrong_order", "warning root_included"},
       "leaf middle",
       true},
      {"twice the same",
       {{&f.leaf, &f.middle, &f.middle}, {}, {&f.root}},
       {"warning duplicate"},
       "leaf middle",
       true},
      {"something else in it",
       {{&f.leaf, &stray, &f.middle}, {}, {&f.root}},
       {"warning unrelated"},
       "leaf middle",
       true},
      {"a missing intermediate, in the pool",
       {{&f.leaf}, {&f.middle}, {&f.root}},
       {"warning added"},
       "leaf middle",
       true},
      {"a missing intermediate, nowhere",
       {{&f.leaf}, {}, {&f.root}},
       {"error missing_issuer"},
       "leaf",
       false},
      {"a pool that does not help",
       {{&f.leaf}, {&stray}, {&f.root}},
       {"error missing_issuer"},
       "leaf",
       false},
      {"an intermediate among the roots is none",
       {{&f.leaf}, {}, {&f.root, &f.middle}},
       {"error missing_issuer", "warning roots_not_self_signed"},
       "leaf",
       false},
      {"an unknown root",
       {{&f.leaf, &f.middle, &f.root}, {}, {&stray}},
       {"error unknown_root", "warning root_included"},
       "leaf middle",
       false},
      {"roots are not judged",
       {{&f.leaf, &f.middle, &f.root}, {}, {}},
       {"warning root_included", "info unknown_root"},
       "leaf middle",
       false},
      {"self-signed", {{&stray}, {}, {&f.root}}, {"error unknown_root"}, "leaf", false},
      {"self-signed and trusted", {{&stray}, {}, {&stray}}, {}, "leaf", true},
      {"for the name", {{&f.leaf, &f.middle}, {}, {&f.root}, "a.example"}, {}, "leaf middle", true},
      {"for another name",
       {{&f.leaf, &f.middle}, {}, {&f.root}, "b.example"},
       {"error name_not_covered"},
       "leaf middle",
       true},
      {"a CA alone", {{&f.middle}, {}, {&f.root}}, {"error wrong_usage"}, "middle", false},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const ChainReport report = examine(row.asked);
    INFO(all_text(report));
    CHECK(reasons(report) == row.reasons);
    CHECK(sent(report) == row.sent);
    CHECK(report.complete() == row.complete);
  }
}

TEST_CASE("why a chain does not hold is told of the certificate that is to blame") {
  struct Row {
    const char* what;
    std::function<void(Wanted& root, Wanted& middle, Wanted& leaf)> change;
    std::string reason, blamed, words;
  };
  const auto digest = [](const EVP_MD* md) { return [md](Wanted&, Wanted&, Wanted& l) { l.digest = md; }; };
  const std::vector<Row> rows{
      {"expired leaf", [](auto&, auto&, Wanted& l) { l.from = -2 * kDaySeconds, l.until = -kDaySeconds; },
       "expired", "leaf", "renew"},
      {"expired intermediate",
       [](auto&, Wanted& m, auto&) { m.from = -2 * kDaySeconds, m.until = -kDaySeconds; }, "expired",
       "middle", "renew"},
      {"expired root", [](Wanted& r, auto&, auto&) { r.from = -2 * kDaySeconds, r.until = -kDaySeconds; },
       "expired", "root", "renew"},
      {"not yet", [](auto&, auto&, Wanted& l) { l.from = kDaySeconds; }, "not_yet_valid", "leaf", "clock"},
      {"short RSA", [](auto&, auto&, Wanted& l) { l.rsa = true, l.rsa_bits = 1024; }, "weak_key", "leaf",
       "RSA 1024"},
      {"short RSA of a CA", [](auto&, Wanted& m, auto&) { m.rsa = true, m.rsa_bits = 1024; }, "weak_key",
       "middle", "RSA 1024"},
      {"short curve", [](auto&, auto&, Wanted& l) { l.curve = "P-224"; }, "weak_key", "leaf", "EC P-224"},
      {"SHA-1", digest(EVP_sha1()), "weak_signature", "leaf", "SHA1"},
      {"MD5", [](auto&, Wanted& m, Wanted& l) { m.rsa = true, l.digest = EVP_md5(); }, "weak_signature",
       "leaf", "MD5"},
      {"for clients only",
       [](auto&, auto&, Wanted& l) {
         l.extensions = {{NID_ext_key_usage, "clientAuth"}};
       },
       "wrong_usage", "leaf", "serverAuth"},
      {"a CA for mail",
       [](auto&, Wanted& m, auto&) {
         m.extensions = {{NID_ext_key_usage, "emailProtection"}};
       },
       "wrong_usage", "middle", "another intermediate"},
      {"a CA that may not sign",
       [](auto&, Wanted& m, auto&) {
         m.extensions = {{NID_key_usage, "digitalSignature"}};
       },
       "wrong_usage", "middle", "keyCertSign"},
      {"no CA", [](auto&, Wanted& m, auto&) { m.authority = false, m.extensions = {}; }, "not_a_ca", "middle",
       "basicConstraints"},
      {"a name that is not allowed",
       [](auto&, Wanted& m, auto&) {
         m.extensions.emplace_back(NID_name_constraints, "critical,permitted;DNS:b.example");
       },
       "name_constraints", "leaf", "leave that name out"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    Wanted root_wanted = ca_wanted("root"), middle_wanted = ca_wanted("middle"), wanted = leaf_wanted();
    row.change(root_wanted, middle_wanted, wanted);
    const Identity root = issue(root_wanted);
    const Identity middle = issue(middle_wanted, &root);
    const Identity leaf = issue(wanted, &middle);
    const ChainReport report = examine({{&leaf, &middle}, {}, {&root}});
    INFO(all_text(report));
    REQUIRE(reasons(report) == Reasons{"error " + row.reason});
    CHECK(describe(report.certificates[*report.findings[0].certificate].certificate.get()).subject ==
          "CN=" + row.blamed);
    CHECK(has(report.findings[0].text, row.words));
    CHECK_FALSE(report.complete());
    CHECK(sent(report) == "leaf middle");
  }
}

TEST_CASE("a missing issuer is reported with its name and where the CA publishes it") {
  const Family f;
  Wanted wanted = leaf_wanted();
  wanted.extensions = {
      {NID_info_access, "OCSP;URI:http://o.example/,caIssuers;URI:http://ca.example/middle.cer"}};
  const Identity leaf = issue(wanted, &f.middle);
  const ChainReport report = examine({{&leaf}, {}, {&f.root}});
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].issuer == "CN=middle");
  CHECK(report.findings[0].issuer_url == "http://ca.example/middle.cer");
  CHECK(has(report.findings[0].text, "is missing: \"CN=middle\" is not in the file"));
  CHECK(has(report.findings[0].text, "append its certificate, which is at http://ca.example/middle.cer"));
  // One of the same name with another key is not it, and whoever put it there wants to know.
  const Identity other = issue(ca_wanted("middle"), &f.root);
  const ChainReport mixed = examine({{&leaf, &other}, {}, {&f.root}});
  CHECK(reasons(mixed) == Reasons{"error missing_issuer", "warning unrelated"});
  CHECK(has(all_text(mixed), "but with another key"));
}

TEST_CASE("an issuer with the wrong key identifier is sent all the same, and told") {
  const Family f;
  Wanted wanted = leaf_wanted();
  wanted.extensions = {{NID_authority_key_identifier, "keyid:always"}};
  Wanted middle_wanted = ca_wanted("middle");
  middle_wanted.extensions.emplace_back(NID_subject_key_identifier, "0102030405060708");
  const Identity middle = issue(middle_wanted, &f.root);
  const Identity leaf = issue(wanted, &middle);
  CHECK(reasons(examine({{&leaf, &middle}, {}, {&f.root}})).empty());
  // The same name and key under another identifier.
  middle_wanted.key = middle.key.get();
  middle_wanted.extensions.back().second = "0807060504030201";
  const Identity careless = issue(middle_wanted, &f.root);
  const ChainReport report = examine({{&leaf, &careless}, {}, {&f.root}});
  CHECK(reasons(report) == Reasons{"error bad_signature"});
  CHECK(has(all_text(report), "authority key identifier"));
  CHECK(sent(report) == "leaf middle");
}

TEST_CASE("a cross-signed intermediate makes two paths, and one that holds is enough") {
  const Identity old_root = issue(ca_wanted("old root"));
  const Identity new_root = issue(ca_wanted("new root"));
  Wanted crossed = ca_wanted("new root");
  crossed.key = new_root.key.get();
  const Identity cross = issue(crossed, &old_root);
  const Identity middle = issue(ca_wanted("middle"), &new_root);
  const Identity leaf = issue(leaf_wanted(), &middle);

  const ChainReport both = examine({{&leaf, &middle, &cross}, {}, {&new_root, &old_root}});
  CHECK(both.paths.size() == 2);
  CHECK(std::all_of(both.paths.begin(), both.paths.end(), [](const auto& path) { return path.valid(); }));
  CHECK(sent(both) == "leaf middle new root");
  CHECK(reasons(both).empty());
  // Clients that know one of the roots are served all the same.
  for (const Identity* root : {&new_root, &old_root}) {
    const ChainReport one = examine({{&leaf, &middle, &cross}, {}, {root}});
    CHECK(one.complete());
    CHECK(sent(one) == "leaf middle new root");
  }
  // One out of date is no harm if another way holds, but is better left out.
  crossed.from = -2 * kDaySeconds;
  crossed.until = -kDaySeconds;
  const Identity stale = issue(crossed, &old_root);
  const ChainReport half = examine({{&leaf, &middle, &stale}, {}, {&new_root, &old_root}});
  CHECK(half.complete());
  CHECK(half.paths.size() == 2);
  CHECK(sent(half) == "leaf middle");
  CHECK(reasons(half) == Reasons{"warning expired"});
  CHECK(half.ok());
  // The pool is asked for what is missing only.
  const ChainReport pooled = examine({{&leaf}, {&cross, &middle}, {&new_root, &old_root}});
  CHECK(sent(pooled) == "leaf middle");
}

TEST_CASE("CAs that certify each other end, as does a bundle without end") {
  std::vector<Identity> ring;
  for (int i = 0; i < 6; ++i) ring.push_back(issue(ca_wanted("ca" + std::to_string(i))));
  std::vector<Identity> crossed;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    for (std::size_t j = 0; j < ring.size(); ++j) {
      if (i == j) continue;
      Wanted wanted = ca_wanted("ca" + std::to_string(i));
      wanted.key = ring[i].key.get();
      crossed.push_back(issue(wanted, &ring[j]));
    }
  }
  const Identity leaf = issue(leaf_wanted(), &ring[0]);
  Asked asked{{&leaf}, {}, {&leaf}};
  for (const Identity& one : crossed) asked.given.push_back(&one);
  const ChainReport report = examine(asked);
  CHECK(report.paths.size() <= ChainLimits{}.paths);
  CHECK_FALSE(report.complete());
  const Reasons found = reasons(report);
  CHECK(std::count(found.begin(), found.end(), "info too_many") == 1);

  Asked bundle{{&leaf}, {}, {&leaf}};
  for (int i = 0; i < 100; ++i) bundle.given.push_back(&ring[static_cast<std::size_t>(i) % ring.size()]);
  CHECK(examine(bundle).certificates.size() <= ChainLimits{}.given);
}

TEST_CASE("dates are those of the time asked for, and the end is told ahead of it") {
  const Family f;  // the leaf: 200 days
  CHECK(reasons(examine({{&f.leaf, &f.middle}, {}, {&f.root}, "", 169 * kDaySeconds})).empty());
  CHECK(reasons(examine({{&f.leaf, &f.middle}, {}, {&f.root}, "", 171 * kDaySeconds})) ==
        Reasons{"warning near_expiry"});
  CHECK(reasons(examine({{&f.leaf, &f.middle}, {}, {&f.root}, "", 201 * kDaySeconds})) ==
        Reasons{"error expired"});
  CHECK(reasons(examine({{&f.leaf, &f.middle}, {}, {&f.root}, "", -2 * kDaySeconds})).front() ==
        "error not_yet_valid");
  // What lives for a week is not always about to end.
  Wanted wanted = leaf_wanted();
  wanted.until = 7 * kDaySeconds;
  const Identity brief = issue(wanted, &f.middle);
  CHECK(reasons(examine({{&brief, &f.middle}, {}, {&f.root}, "", 4 * kDaySeconds})).empty());
  CHECK(reasons(examine({{&brief, &f.middle}, {}, {&f.root}, "", 5 * kDaySeconds})) ==
        Reasons{"warning near_expiry"});
}

TEST_CASE("a certificate is described for people") {
  const Family f;
  const CertificateDetails details = describe(f.leaf.certificate.get());
  CHECK(details.subject == "CN=leaf");
  CHECK(details.issuer == "CN=middle");
  CHECK(details.names == std::vector<std::string>{"a.example"});
  CHECK(details.key == "EC P-256");
  CHECK(details.signature == "ecdsa-with-SHA256");
  CHECK(details.sha256.size() == 64);
  CHECK(details.spki_sha256.size() == 64);
  CHECK(details.issuer_url.empty());
  CHECK_FALSE(details.authority);
  CHECK(describe(f.root.certificate.get()).self_signed);
  CHECK(describe(f.root.certificate.get()).authority);
}

TEST_CASE("a file without certificates says what it holds instead") {
  const Family f;
  const auto why_not = [](const std::string& pem) {
    std::string why;
    CHECK(CertificateSet::parse(pem, "x.pem", why) == nullptr);
    return why;
  };
  CHECK(has(why_not(""), "holds no certificate"));
  CHECK(has(why_not(f.leaf.key_pem()), "holds a private key and no certificate"));
  const std::string pem = f.leaf.pem();
  CHECK(has(why_not(pem + pem.substr(0, pem.size() / 2)), "cannot be read from certificate 2 on"));
}
