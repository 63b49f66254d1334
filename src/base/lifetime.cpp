#include "sallyport/base/lifetime.hpp"

namespace sallyport::base {

// Not inline: GCC would warn that the address outlives the watch, which the destructor sees to.
Lifetime::Watch::Watch(Lifetime& of) noexcept : of_(of), outer_(of.ended_) {
  of.ended_ = &gone_;
}

Lifetime::Watch::~Watch() {
  if (!gone_) {
    of_.ended_ = outer_;
  } else if (outer_ != nullptr) {
    *outer_ = true;
  }
}

}  // namespace sallyport::base
