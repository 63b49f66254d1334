// A certificate chain with its private key, loaded, checked and described.
//
// Immutable and shared: by hosts, snapshots and connections in their handshake. Loaded on the
// control loop. CertificatePool makes a reload cheap: what has the same bytes as something that
// is still in use is that same object, nothing is parsed anew.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sallyport/base/clock.hpp"
#include "sallyport/tls/chain.hpp"
#include "sallyport/tls/notes.hpp"
#include "sallyport/tls/policy.hpp"
#include "sallyport/tls/staple.hpp"

struct x509_st;
struct evp_pkey_st;
struct stack_st_X509;

namespace sallyport::tls {

enum class KeyType : std::uint8_t { rsa, ecdsa, ed25519, ed448, other };
[[nodiscard]] std::string_view to_string(KeyType type) noexcept;

struct CertificateSource {
  std::string chain_file;  // PEM, leaf first
  std::string key_file;    // PEM, unencrypted; may be the chain's file
  std::string label;       // for logs and metrics; may be empty
  ChainUse use = ChainUse::server;
};

// What chains are completed from and judged by; either may be null.
struct ChainTrust {
  std::shared_ptr<const CertificateSet> intermediates, roots;
  // The roots were named for these certificates, not found on the system: who has a CA of their own
  // under the system's store is not told that it is unknown.
  bool own_roots = false;
};

// What clients make of the chain that is sent, whatever the time is. unknown: it ends at a CA that
// only its own clients can know.
enum class ChainState : std::uint8_t { unknown, complete, broken };

// What trust in a certificate hangs on, over all of the chain that is sent.
struct ChainStanding {
  ChainState chain = ChainState::unknown;
  base::WallTime valid_from{}, valid_until{};  // the latest begin, the earliest end
  base::Seconds notice{0};  // the time before that end from which on the end counts as near
};

class Certificate {
 public:
  // `now` decides whether an expired one is warned about. nullptr if `notes` got an error.
  [[nodiscard]] static std::shared_ptr<const Certificate> parse(
      std::string_view chain_pem, std::string_view key_pem, const CertificateSource& source,
      base::WallTime now, Notes& notes, const ChainTrust& trust = {}, StapleShelf* staples = nullptr);
  ~Certificate();
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  [[nodiscard]] const std::string& label() const noexcept { return label_; }
  [[nodiscard]] const std::string& chain_file() const noexcept { return chain_file_; }
  [[nodiscard]] const std::vector<std::string>& dns_names() const noexcept {
    return dns_names_;
  }  // lower case
  [[nodiscard]] const std::vector<std::string>& addresses() const noexcept { return addresses_; }
  [[nodiscard]] bool covers(std::string_view host_name) const noexcept;  // exact or one-label wildcard
  [[nodiscard]] base::WallTime not_before() const noexcept { return not_before_; }
  [[nodiscard]] base::WallTime not_after() const noexcept { return not_after_; }
  [[nodiscard]] base::WallTime loaded() const noexcept { return loaded_; }
  [[nodiscard]] KeyType key_type() const noexcept { return key_type_; }
  [[nodiscard]] int key_bits() const noexcept { return key_bits_; }
  [[nodiscard]] const std::string& serial() const noexcept { return serial_; }  // lower-case hex
  [[nodiscard]] const std::string& subject() const noexcept { return subject_; }
  [[nodiscard]] const std::string& issuer() const noexcept { return issuer_; }
  [[nodiscard]] const Digest& fingerprint() const noexcept { return fingerprint_; }  // SHA-256 of the leaf
  [[nodiscard]] const std::string& fingerprint_hex() const noexcept { return fingerprint_hex_; }
  [[nodiscard]] const Digest& content() const noexcept { return content_; }  // of all that was loaded
  [[nodiscard]] std::size_t chain_length() const noexcept;                   // certificates, leaf included
  [[nodiscard]] const ChainStanding& standing() const noexcept { return standing_; }

  // Revocation state: where its responder is (empty: it names none that is asked over http), whether
  // clients are to insist on a stapled answer (RFC 7633), and the answer.
  [[nodiscard]] const std::string& responder_url() const noexcept { return responder_url_; }
  [[nodiscard]] bool must_staple() const noexcept { return must_staple_; }
  [[nodiscard]] StapleSlot& staple() const noexcept { return *staple_; }

  // Warns of all that is odd about the chain, and of what is expired, about to be, or not yet valid.
  void tell(base::WallTime now, Notes& notes) const;

  // Borrowed, for tls' own use.
  [[nodiscard]] x509_st* leaf() const noexcept { return leaf_; }
  [[nodiscard]] evp_pkey_st* key() const noexcept { return key_; }
  [[nodiscard]] stack_st_X509* intermediates() const noexcept { return intermediates_; }
  // nullptr: it is neither in the chain nor among the intermediates and roots that were given.
  [[nodiscard]] x509_st* issuer_certificate() const noexcept { return issuer_certificate_.get(); }

 private:
  Certificate() = default;
  using Given = std::vector<CertificateRef>;
  [[nodiscard]] bool read_chain(std::string_view pem, Given& given, Notes& notes);
  // Finds the leaf by the key: its index in `given`.
  [[nodiscard]] std::optional<std::size_t> read_key(std::string_view pem, const std::string& key_file,
                                                    const Given& given, Notes& notes);
  [[nodiscard]] bool arrange(Given given, std::size_t leaf, ChainUse use, const ChainTrust& trust);
  void describe();
  void weigh_dates();
  [[nodiscard]] bool take_slot(StapleShelf* staples);

  x509_st* leaf_ = nullptr;
  evp_pkey_st* key_ = nullptr;
  stack_st_X509* intermediates_ = nullptr;
  CertificateRef issuer_certificate_;
  std::shared_ptr<StapleSlot> staple_;
  std::string label_, chain_file_, serial_, subject_, issuer_, fingerprint_hex_, responder_url_;
  std::vector<std::string> dns_names_, addresses_;
  std::vector<std::string> remarks_;  // about the chain, whatever the time is
  base::WallTime not_before_, not_after_, loaded_;
  KeyType key_type_ = KeyType::other;
  ChainStanding standing_;
  int key_bits_ = 0;
  bool must_staple_ = false;
  Digest fingerprint_{}, content_{};
};

struct TrustFiles {
  std::string intermediates, roots;  // PEM; roots: the system's if empty and there is one
};

// Lives with the control loop; one thread.
class CertificatePool {
 public:
  // What load() judges by from now on: read again, parsed if the bytes are others, and certificates
  // that were judged by other bytes are loaded anew. `where` of a note is "intermediates" or "roots".
  void trust(const TrustFiles& files, Notes& notes);

  // Reads both files, every time; what is already in use is taken over. nullptr if `notes` got an
  // error, which names the file, the reason and the remedy.
  [[nodiscard]] std::shared_ptr<const Certificate> load(const CertificateSource& source, base::WallTime now,
                                                        Notes& notes);

 private:
  [[nodiscard]] std::string key_of(std::string_view chain, std::string_view key,
                                   const CertificateSource& source) const;

  ChainTrust trust_;
  StapleShelf staples_;
  std::unordered_map<std::string, std::weak_ptr<const Certificate>> by_content_;
  std::size_t sweep_at_ = 64;  // entries at which those that nobody uses any more are removed
};

}  // namespace sallyport::tls
