#include "key_pem.hpp"

#include <memory>
#include <utility>

#include <openssl/decoder.h>
#include <openssl/pem.h>

namespace sallyport::tls {

namespace {

int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

// The chain of decoders for any kind of key in PEM form.
class KeyDecoder {
 public:
  KeyDecoder()
      : context_(OSSL_DECODER_CTX_new_for_pkey(&key_, "PEM", nullptr, nullptr, EVP_PKEY_KEYPAIR, nullptr,
                                               nullptr)) {
    if (context_ != nullptr) OSSL_DECODER_CTX_set_pem_password_cb(context_.get(), no_passphrase, &asked_);
  }

  // Of text that begins with the key; nullptr also for what only a longer look finds.
  [[nodiscard]] KeyPtr read(std::string_view pem) {
    if (context_ == nullptr) return nullptr;
    auto data = reinterpret_cast<const unsigned char*>(pem.data());
    std::size_t size = pem.size();
    const bool read = OSSL_DECODER_from_data(context_.get(), &data, &size) == 1;
    KeyPtr key(std::exchange(key_, nullptr));
    return read ? std::move(key) : nullptr;
  }

 private:
  bool asked_ = false;
  EVP_PKEY* key_ = nullptr;  // where the context puts it
  std::unique_ptr<OSSL_DECODER_CTX, Freer<OSSL_DECODER_CTX_free>> context_;
};

// Whether the text's first object is a private key in the clear. Before others stand parameters or
// certificates, which PEM_read_bio_PrivateKey() passes over.
bool begins_with_key(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  const std::size_t begin = pem.find(kBegin);
  if (begin == std::string_view::npos) return false;
  const std::string_view label = pem.substr(begin + kBegin.size(), 64);
  const std::size_t end = label.find("-----");
  return end != std::string_view::npos && label.substr(0, end).ends_with("PRIVATE KEY") &&
         pem.find("ENCRYPTED") == std::string_view::npos;
}

}  // namespace

KeyPtr read_private_key(std::string_view pem, bool& encrypted) {
  if (begins_with_key(pem)) {
    thread_local KeyDecoder decoder;
    if (KeyPtr key = decoder.read(pem)) return key;
    ERR_clear_error();  // the longer way has better words for what is wrong
  }
  const BioPtr bio = memory_bio(pem);
  return KeyPtr(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &encrypted));
}

}  // namespace sallyport::tls
