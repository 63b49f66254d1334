#include "sallyport/upstream/lease.hpp"

#include <algorithm>

#include "cluster_pool.hpp"

namespace sallyport::upstream {

// ---- Lease ----

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  if (connection_ != nullptr) {
    connection_->detach(*stream_);
    finished(Outcome::neutral);
  }
  connection_ = std::exchange(other.connection_, nullptr);
  stream_ = std::exchange(other.stream_, nullptr);
  address_ = other.address_;
  connect_time_ = other.connect_time_;
  tls_time_ = other.tls_time_;
  version_ = other.version_;
  reused_ = other.reused_;
  websocket_ = other.websocket_;
  return *this;
}

Lease::~Lease() {
  if (connection_ == nullptr) return;
  connection_->detach(*stream_);
  finished(Outcome::neutral);
}

void Lease::finished(Outcome outcome) noexcept {
  stream_ = nullptr;
  if (Connection* connection = std::exchange(connection_, nullptr)) connection->give_back(outcome);
}

// ---- LeaseRequest ----

LeaseRequest::LeaseRequest(Pool& pool, net::Signal& changed) noexcept : pool_(pool), changed_(changed) {
  pool_.enrol();
}

LeaseRequest::~LeaseRequest() {
  cancel();
  answered();
  pool_.leave();
}

const ClusterSpec& LeaseRequest::spec() const noexcept {
  return pool_.spec();
}

bool LeaseRequest::acquire(const Ask& ask) {
  ask_ = ask;
  endpoint_.reset();
  acquiring_ = true;
  pool_.acquire(*this);
  acquiring_ = false;
  return done();
}

base::Result<Lease> LeaseRequest::take() noexcept {
  base::Result<Lease> result = std::move(*result_);
  result_.reset();
  return result;
}

void LeaseRequest::cancel() noexcept {
  if (waiting_) pool_.dequeue(*this);
  result_.reset();
}

RetryVerdict LeaseRequest::retry(const base::Error& error, const Attempt& attempt) noexcept {
  if (!may_retry(error, attempt)) return RetryVerdict::never;
  if (retries_ >= pool_.spec().retries.count) return RetryVerdict::exhausted;
  answered();
  if (!pool_.budget().begin_retry()) return RetryVerdict::budget;
  in_retry_ = true;
  ++retries_;
  return RetryVerdict::retry;
}

void LeaseRequest::answered() noexcept {
  if (std::exchange(in_retry_, false)) pool_.budget().end_retry();
}

void LeaseRequest::on_timer() {
  pool_.expired(*this);
}

void LeaseRequest::picked(const net::Endpoint& endpoint) noexcept {
  endpoint_ = endpoint;
  if (!tried(endpoint)) tried_[tries_++ % kTried] = endpoint;
}

bool LeaseRequest::tried(const net::Endpoint& endpoint) const noexcept {
  const auto end = tried_.begin() + std::min<std::ptrdiff_t>(tries_, kTried);
  return std::find(tried_.begin(), end, endpoint) != end;
}

void LeaseRequest::complete(base::Result<Lease> result) noexcept {
  if (waiting_) pool_.dequeue(*this);
  result_.emplace(std::move(result));
  if (!acquiring_) changed_.raise();
}

}  // namespace sallyport::upstream
