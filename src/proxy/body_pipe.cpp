#include "sallyport/proxy/body_pipe.hpp"

#include <utility>

#include "sallyport/http/semantics.hpp"

namespace sallyport::proxy {

void BodyPipe::connect(http::Stream* sink) {
  sink_ = sink;
  sent_ = 0;
  if (sink == nullptr || headless_end_) return;
  if (waiting_.empty()) {
    if (ended_) pass_end();
    return;
  }
  base::Buffer first = std::exchange(waiting_, base::Buffer{});
  const bool end = ended_ && !trailers_;
  if (kept_whole_ && first.size() <= kKeep) {
    kept_.append(first.data());
  } else {
    kept_whole_ = false;
    kept_.release();
  }
  sink_->send_data(first.data(), end);
  if (ended_ && !end) pass_end();
}

void BodyPipe::pass_end() {
  if (trailers_) {
    sink_->send_trailers(*trailers_);
  } else {
    sink_->send_data({}, true);
  }
}

void BodyPipe::restart() noexcept {
  *this = BodyPipe();
  keep(false);
}

void BodyPipe::rewind() {
  if (sink_ == nullptr) return;  // nothing was sent
  sink_ = nullptr;
  // What came while the failed try was connected stands in kept_; nothing waits behind it.
  waiting_.swap(kept_);
  kept_.clear();
}

void BodyPipe::keep(bool on) noexcept {
  kept_whole_ = on;
  if (!on) kept_.release();
}

void BodyPipe::on_data(std::span<const char> bytes, bool end) {
  received_ += bytes.size();
  if (end) ended_ = true;
  if (sink_ == nullptr) {
    waiting_.append(bytes);
    return;
  }
  if (kept_whole_) {
    if (kept_.size() + bytes.size() <= kKeep) {
      kept_.append(bytes);
    } else {
      keep(false);
    }
  }
  sink_->send_data(bytes, end);
}

void BodyPipe::on_trailers(http::Fields&& trailers) {
  ended_ = true;
  http::strip_forbidden_trailers(trailers);
  trailers_ = std::move(trailers);
  if (sink_ != nullptr) pass_end();
}

void BodyPipe::on_sent(std::size_t n) {
  sent_ += n;
  if (sent_ <= credited_) return;
  const std::uint64_t credit = sent_ - credited_;
  credited_ = sent_;
  if (source_ != nullptr) source_->consumed(static_cast<std::size_t>(credit));
}

}  // namespace sallyport::proxy
