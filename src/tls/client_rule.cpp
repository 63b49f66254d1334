#include "client_rule.hpp"

#include <algorithm>

#include <openssl/pem.h>

#include "engine.hpp"
#include "file.hpp"

namespace sallyport::tls {

namespace {

std::string client_auth_item(const char* list, std::size_t i) {
  return std::string("client_auth.") + list + "[" + std::to_string(i) + "]";
}

bool read_authorities(const std::string& pem, std::vector<X509Ptr>& authorities) {
  ERR_clear_error();
  const BioPtr bio = memory_bio(pem);
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    authorities.push_back(std::move(certificate));
  }
  // The end of the file reads as "no start line"; anything else is a broken certificate.
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return end && !authorities.empty();
}

int store_index() {
  static const int index = X509_STORE_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

long ClientRule::refuses(X509* leaf) const {
  if (!names.empty() && !has_name(leaf, names)) return kNoSanMatches;
  if (!pins.empty() && std::find(pins.begin(), pins.end(), pin_of(leaf)) == pins.end()) return kNoPinMatches;
  return X509_V_OK;
}

const RevocationList* ClientRule::list_of(std::string_view issuer) const noexcept {
  const RevocationList* found = nullptr;
  for (const RevocationList& list : lists) {
    if (list.issuer == issuer && (found == nullptr || found->until < list.until)) found = &list;
  }
  return found;
}

std::shared_ptr<const ClientRule> load_client_rule(const ClientAuthSpec& spec, base::WallTime now,
                                                   Digest& digest, Notes& notes) {
  const std::size_t errors_before = notes.errors();
  auto rule = std::make_shared<ClientRule>();
  rule->mode = spec.mode;
  rule->depth = spec.depth;
  rule->ca_file = spec.ca_pem.empty() ? spec.ca_file : "the CA that is built in";
  if (rule->ca_file.empty()) {
    notes.error("client_auth.ca", "is needed to ask for client certificates");
    return nullptr;
  }
  Hasher hasher;
  hasher.add("client-auth").add(static_cast<std::uint64_t>(spec.mode));
  hasher.add(static_cast<std::uint64_t>(spec.depth));
  std::string why;
  const std::optional<std::string> pem =
      spec.ca_pem.empty() ? read_file(spec.ca_file, why) : std::string(spec.ca_pem);
  if (!pem) {
    notes.error("client_auth.ca", spec.ca_file + " " + why);
    return nullptr;
  }
  hasher.add(*pem);
  if (!read_authorities(*pem, rule->authorities)) {
    notes.error("client_auth.ca", spec.ca_file + ": holds no readable CA certificate in PEM form");
    return nullptr;
  }
  hasher.add(static_cast<std::uint64_t>(spec.crl_files.size()));
  for (std::size_t i = 0; i < spec.crl_files.size(); ++i) {
    const std::optional<std::string> bytes = read_file(spec.crl_files[i], why, kMaxListFile);
    if (!bytes) {
      notes.error(client_auth_item("crls", i), spec.crl_files[i] + " " + why);
      continue;
    }
    hasher.add(*bytes);
    read_lists(*bytes, spec.crl_files[i], client_auth_item("crls", i), rule->lists, notes);
  }
  if (!rule->lists.empty()) {
    judge_lists(rule->lists, rule->authorities, rule->ca_file, now, "client_auth.crls", notes);
  }
  hasher.add(static_cast<std::uint64_t>(spec.sans.size()));
  for (std::size_t i = 0; i < spec.sans.size(); ++i) {
    const auto pattern = NamePattern::parse(spec.sans[i]);
    if (!pattern) {
      notes.error(client_auth_item("sans", i),
                  "'" + spec.sans[i] + "' is no DNS name, URI, e-mail or IP address");
      continue;
    }
    rule->names.push_back(*pattern);
    hasher.add(spec.sans[i]);
  }
  rule->sans = spec.sans;
  rule->pins = spec.spki_pins;
  for (const std::string& pin : spec.spki_pins) hasher.add(pin);
  if (notes.errors() != errors_before) return nullptr;
  digest = hasher.finish();
  return rule;
}

bool apply(const ClientRule& rule, SSL_CTX* context) {
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  SSL_CTX_set_client_CA_list(context, names);  // takes them
  for (const X509Ptr& ca : rule.authorities) {
    X509_NAME* name = X509_NAME_dup(X509_get_subject_name(ca.get()));
    if (name == nullptr || sk_X509_NAME_push(names, name) == 0) {
      X509_NAME_free(name);
      return false;
    }
    if (X509_STORE_add_cert(store, ca.get()) != 1) return false;
  }
  for (const RevocationList& one : rule.lists) {
    if (X509_STORE_add_crl(store, one.list.get()) != 1) return false;
  }
  if (!rule.lists.empty()) {
    // The whole chain: an intermediate that is revoked has lost its key, and with it all below.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                                X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  }
  // Read through the pointer only; the store dies with the context, the context before its policy.
  if (X509_STORE_set_ex_data(store, store_index(), const_cast<ClientRule*>(&rule)) != 1) return false;
  SSL_CTX_set_verify_depth(context, rule.depth);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (rule.strict() ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     &Engine::on_verify);
  return true;
}

const ClientRule* rule_of(const X509_STORE_CTX* verification) noexcept {
  const X509_STORE* store = X509_STORE_CTX_get0_store(verification);
  return store == nullptr ? nullptr
                          : static_cast<const ClientRule*>(X509_STORE_get_ex_data(store, store_index()));
}

}  // namespace sallyport::tls
