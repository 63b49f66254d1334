// Runs a callable when the scope ends, unless released.
#pragma once

#include <utility>

namespace sallyport::base {

template <class F>
class ScopeGuard {
 public:
  explicit ScopeGuard(F f) noexcept : run_(std::move(f)) {}
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;
  ~ScopeGuard() {
    if (armed_) run_();
  }
  void release() noexcept { armed_ = false; }

 private:
  F run_;
  bool armed_ = true;
};

}  // namespace sallyport::base
