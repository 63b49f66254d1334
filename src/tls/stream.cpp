#include "sallyport/tls/stream.hpp"

#include <algorithm>
#include <utility>

#include "engine.hpp"

namespace sallyport::tls {

namespace {
// Plaintext of one record. Each costs 1,600 instructions of set-up, so full ones are cheapest.
constexpr std::size_t kRecord = 16 * 1024;
// A span's last piece is staged, for what the turn still writes behind it, when copying it is
// cheaper than a record of its own.
constexpr std::size_t kTailStaged = 4 * 1024;
// What a peer may make us answer (KeyUpdate, refused renegotiations) without reading the answers.
constexpr std::size_t kMaxUnreadAnswers = 64 * 1024;
}  // namespace

Stream::Stream(net::Loop& loop, net::TcpSocket socket, base::Fault side, const net::Endpoint& peer,
               const net::Endpoint& local)
    : loop_(loop), io_(loop, std::move(socket), side), peer_(peer), local_(local), side_(side) {}

Stream::~Stream() = default;

void Stream::adopt(std::unique_ptr<Engine> engine) noexcept {
  engine_ = std::move(engine);
}

void Stream::start(net::ByteStream::Handler& handler) {
  handler_ = &handler;
  if (!held_.empty() || failure_) loop_.wake(*this);
  io_.resume();
}

void Stream::pause() noexcept {
  paused_ = true;
  io_.pause();
}

void Stream::resume() noexcept {
  if (!std::exchange(paused_, false) || !is_open()) return;
  if (!held_.empty()) loop_.wake(*this);
  if (!ended_) io_.resume();
}

void Stream::on_wake() {
  if (!established_) return handshake_wake();
  if (handler_ == nullptr) return;
  if (!held_.empty() && !paused_ && is_open()) {
    const base::Buffer held = std::exchange(held_, {});
    engine_->feed(held.data());
    if (!survives([this] { deliver(); })) return;
  }
  if (failure_ && held_.empty()) fail(std::exchange(failure_, {}));
}

void Stream::on_read(std::span<char> bytes) {
  if (!established_) return handshake_bytes(bytes);
  if (dead_ || ended_) return;
  if (handler_ == nullptr || !held_.empty()) {
    // Nobody to take it yet: kept, and no more is read.
    held_.append(bytes);
    if (handler_ == nullptr) return io_.pause();
    return loop_.wake(*this);
  }
  engine_->feed(bytes);
  deliver();
}

void Stream::deliver() {
  if (handler_ == nullptr) {
    held_.append(engine_->rest());
    engine_->feed({});
    io_.pause();
    return;
  }
  Engine::End end = Engine::End::more;
  while (end == Engine::End::more && is_open() && !ended_) {
    const std::size_t unsent = io_.unsent();
    const Engine::Read read = engine_->read(loop_.scratch());
    end = read.end;
    answers_ += io_.unsent() > unsent ? io_.unsent() - unsent : 0;
    const std::span<const char> plain = loop_.scratch().first(read.size);
    if (!plain.empty() && !survives([&] { handler_->on_bytes(plain); })) return;
  }
  engine_->feed({});
  if (!is_open() || ended_) return;
  if (answers_ > kMaxUnreadAnswers) return fail({base::ErrorCode::enhance_your_calm, side_});
  if (end == Engine::End::failed) {
    return fail({base::ErrorCode::tls_failed, side_, false, false, engine_->last_alert()});
  }
  if (end != Engine::End::close_notify) return;
  ended_ = true;
  io_.pause();
  handler_->on_eof();
}

void Stream::on_read_end() {
  if (!established_) return handshake_eof();
  if (dead_ || ended_) return;
  // Without close_notify anybody on the way may have cut the stream (RFC 8446 §6.1).
  failure_ = {base::ErrorCode::closed, side_};
  if (held_.empty() && handler_ != nullptr) fail(std::exchange(failure_, {}));
}

void Stream::on_failed(const base::Error& error) {
  if (!established_) return handshake_failed(error);
  if (dead_) return;
  failure_ = error;
  if (handler_ != nullptr) fail(std::exchange(failure_, {}));
}

// Tells it and is dead. The alert that says why leaves first: whoever is told may close at once.
void Stream::fail(const base::Error& error) {
  if (std::exchange(dead_, true)) return;
  staged_.release();
  held_.release();
  if (io_.is_open()) {
    io_.pause();
    io_.write_gather({});
    io_.finish();
  }
  handler_->on_closed(error);
}

void Stream::write(std::span<const char> bytes) {
  if (!is_open() || finished_ || bytes.empty()) return;
  unwritten_ += bytes.size();
  // Once a turn, so that it stays before the socket's own flush: what is staged leaves with the rest.
  if (!net::Flush::linked()) loop_.flush(*this);
  if (bytes.size() < kRecord && staged_.size() + bytes.size() <= kRecord) return staged_.append(bytes);
  seal_staged();
  const std::size_t tail = bytes.size() % kRecord;
  const std::size_t direct = tail < kTailStaged ? bytes.size() - tail : bytes.size();
  encrypt(bytes.first(direct));
  staged_.append(bytes.subspan(direct));
}

void Stream::on_flush() {
  seal_staged();
}

void Stream::seal_staged() {
  if (staged_.empty()) return;
  encrypt(staged_.data());
  staged_.clear();
}

void Stream::encrypt(std::span<const char> bytes) {
  if (dead_ || engine_->write(bytes)) return;
  failure_ = {base::ErrorCode::tls_failed, base::Fault::gateway, false, false, engine_->last_alert()};
  loop_.wake(*this);
}

// The queue's ciphertext holds less plaintext than it has bytes, so this never says too much, and
// it is exact once all has left.
void Stream::on_sent(std::size_t) {
  const std::size_t left = std::min(unwritten_, io_.unsent() + staged_.size());
  const std::size_t told = unwritten_ - left;
  unwritten_ = left;
  if (io_.unsent() == 0) answers_ = 0;
  if (told != 0 && handler_ != nullptr && !dead_) handler_->on_written(told);
}

void Stream::finish() {
  if (!is_open() || std::exchange(finished_, true)) return;
  seal_staged();
  engine_->close_notify();
  io_.finish();
}

void Stream::close(bool abortive) noexcept {
  dead_ = true;
  net::Wake::unlink();
  net::Flush::unlink();
  staged_.release();
  held_.release();
  io_.close(abortive);
}

void Stream::idle() noexcept {
  if (staged_.empty()) staged_.release();
  if (engine_ != nullptr) engine_->idle();
  io_.idle();
}

}  // namespace sallyport::tls
