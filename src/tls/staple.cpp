#include "sallyport/tls/staple.hpp"

#include <algorithm>
#include <cstring>

#include "staple_openssl.hpp"

namespace sallyport::tls {

namespace {

using Held = std::shared_ptr<StapleSlot>;

void release(void*, void* held, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Held*>(held);
}

int slot_index() {
  static const int index = X509_get_ex_new_index(0, nullptr, nullptr, nullptr, release);
  return index;
}

// Called for clients that ask, once the certificate is chosen.
int show_staple(SSL* ssl, void*) {
  const X509* leaf = SSL_get_certificate(ssl);
  const auto* held =
      leaf == nullptr ? nullptr : static_cast<const Held*>(X509_get_ex_data(leaf, slot_index()));
  const Staple* staple = held == nullptr ? nullptr : (*held)->shown();
  // Who asks would take an old answer for an attack; without one it may ask by itself.
  if (staple == nullptr || staple->next_update <= base::WallClock::now()) return SSL_TLSEXT_ERR_NOACK;
  void* copy = OPENSSL_memdup(staple->der.data(), staple->der.size());
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(staple->der.size()));  // takes it
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

std::size_t StapleShelf::Hash::operator()(const Digest& digest) const noexcept {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.data(), sizeof hash);
  return hash;
}

std::shared_ptr<StapleSlot> StapleShelf::slot_of(const Digest& leaf) {
  if (slots_.size() >= sweep_at_) {
    std::erase_if(slots_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, 2 * slots_.size());
  }
  auto& known = slots_[leaf];
  auto slot = known.lock();
  if (slot == nullptr) {
    slot = std::make_shared<StapleSlot>();
    known = slot;
  }
  return slot;
}

bool hang_slot(X509* leaf, std::shared_ptr<StapleSlot> slot) {
  auto held = std::make_unique<Held>(std::move(slot));
  if (X509_set_ex_data(leaf, slot_index(), held.get()) != 1) return false;
  static_cast<void>(held.release());  // the leaf's now
  return true;
}

void show_staples(SSL_CTX* context) {
  // As the macro SSL_CTX_set_tlsext_status_cb does.
  SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB,
                        reinterpret_cast<void (*)()>(show_staple));
}

}  // namespace sallyport::tls
