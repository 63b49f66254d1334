// Tells code on the stack that the object whose call it made has died meanwhile: the object has a
// Lifetime as a member, the code a Watch while it calls what may destroy the object. Watches nest.
// No allocation; one thread.
#pragma once

namespace sallyport::base {

class Lifetime {
 public:
  Lifetime() noexcept = default;
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;
  ~Lifetime() {
    if (ended_ != nullptr) *ended_ = true;
  }

  class Watch {
   public:
    explicit Watch(Lifetime& of) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();
    [[nodiscard]] bool gone() const noexcept { return gone_; }

   private:
    Lifetime& of_;
    bool gone_ = false;
    bool* outer_;
  };

 private:
  bool* ended_ = nullptr;  // the innermost watch's
};

}  // namespace sallyport::base
