#include <algorithm>

#include "sallyport/tls/certificate.hpp"

#include "certificate_text.hpp"
#include "file.hpp"
#include "openssl.hpp"

namespace sallyport::tls {

namespace {

// The file's certificates; those of `before` if the bytes are the same.
std::shared_ptr<const CertificateSet> read_again(const std::string& file, const char* where,
                                                 std::shared_ptr<const CertificateSet> before, Notes& notes) {
  std::string why;
  const std::optional<std::string> pem = read_file(file, why);
  if (pem && before && before->file() == file && before->content() == CertificateSet::content_of(*pem)) {
    return before;
  }
  auto set = pem ? CertificateSet::parse(*pem, file, why) : nullptr;
  if (set == nullptr) notes.error(where, file + " " + why);
  return set;
}

// Who puts an intermediate among the roots misses it where it belongs.
void warn_of_strays(const CertificateSet& roots, Notes& notes) {
  const auto& all = roots.all();
  const auto stray = [](const CertificateRef& one) { return !is_self_signed(one.get()); };
  const auto first = std::find_if(all.begin(), all.end(), stray);
  if (first == all.end()) return;
  notes.warning("roots", roots.file() + ": " + std::to_string(std::count_if(first, all.end(), stray)) +
                             " in it are no roots and do not count as such (the first: \"" +
                             subject_text(first->get()) + "\"): put them among the intermediates");
}

}  // namespace

void CertificatePool::trust(const TrustFiles& files, Notes& notes) {
  trust_.own_roots = !files.roots.empty();
  if (files.intermediates.empty()) {
    trust_.intermediates.reset();
  } else {
    trust_.intermediates = read_again(files.intermediates, "intermediates", trust_.intermediates, notes);
  }
  if (trust_.own_roots) {
    trust_.roots = read_again(files.roots, "roots", trust_.roots, notes);
    if (trust_.roots != nullptr) warn_of_strays(*trust_.roots, notes);
  } else {
    Notes unheard;  // a system need not have one, and nobody named it
    trust_.roots = read_again(kSystemRoots, "roots", trust_.roots, unheard);
  }
}

std::string CertificatePool::key_of(std::string_view chain, std::string_view key,
                                    const CertificateSource& source) const {
  Hasher hasher;
  hasher.add(chain).add(key).add(source.label).add(source.chain_file);
  hasher.add(static_cast<std::uint64_t>(source.use)).add(trust_.own_roots ? "own" : "");
  for (const auto& set : {trust_.intermediates, trust_.roots}) hasher.add(set ? set->content() : Digest{});
  return hex(hasher.finish());
}

std::shared_ptr<const Certificate> CertificatePool::load(const CertificateSource& source, base::WallTime now,
                                                         Notes& notes) {
  std::string why;
  const std::optional<std::string> chain = read_file(source.chain_file, why);
  if (!chain) notes.error("chain", source.chain_file + " " + why);
  const std::optional<std::string> key = read_file(source.key_file, why);
  if (!key) notes.error("key", source.key_file + " " + why);
  if (!chain || !key) return nullptr;

  const std::string content = key_of(*chain, *key, source);
  if (const auto known = by_content_.find(content); known != by_content_.end()) {
    if (auto certificate = known->second.lock()) {
      certificate->tell(now, notes);
      return certificate;
    }
  }
  auto certificate = Certificate::parse(*chain, *key, source, now, notes, trust_, &staples_);
  if (certificate == nullptr) return nullptr;
  if (by_content_.size() >= sweep_at_) {
    std::erase_if(by_content_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, 2 * by_content_.size());
  }
  by_content_[content] = certificate;
  return certificate;
}

}  // namespace sallyport::tls
