// Length and SHA-256 of what passes by. One owner, no thread safety.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <openssl/evp.h>

#include "message.hpp"

namespace sallyport::demo {

class Digest {
 public:
  Digest() { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }

  void add(std::span<const char> bytes) {
    count_ += bytes.size();
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }

  // Writes what was seen into the request; nothing may be added afterwards.
  void finish(Request& request) {
    std::array<unsigned char, 32> sum{};
    EVP_DigestFinal_ex(context_.get(), sum.data(), nullptr);
    request.body_bytes = count_;
    request.body_sha256.clear();
    for (const unsigned char byte : sum) {
      request.body_sha256 += "0123456789abcdef"[byte >> 4U];
      request.body_sha256 += "0123456789abcdef"[byte & 0xfU];
    }
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  std::uint64_t count_ = 0;
};

}  // namespace sallyport::demo
