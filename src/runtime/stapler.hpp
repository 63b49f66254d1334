// Keeps the OCSP answers of our certificates fresh: takes them from files, asks responders in the
// background, shows what is good. No handshake ever waits for it.
//
// On the control loop; lives with the Server, across reloads, so that an answer that was fetched for a
// certificate stays with it. An answer is asked for again at half of its life; after a failure later and
// later, while the one of before is shown until it ends. Time is passed in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "sallyport/base/clock.hpp"
#include "sallyport/config/model.hpp"
#include "sallyport/net/anchor.hpp"
#include "sallyport/runtime/builder.hpp"
#include "sallyport/tls/ocsp.hpp"

namespace sallyport::runtime {

// What became of one question; the body is believed by nobody yet.
struct ResponderReply {
  enum class Result : std::uint8_t { answered, unreachable, timeout, refused };
  Result result = Result::answered;
  std::string body;
  std::string why;  // unless answered
};

// An interface, so that tests need no responder.
class Responder {
 public:
  using Done = std::function<void(ResponderReply)>;
  // `done` comes once, later, within about `timeout`.
  virtual void ask(const tls::ResponderUrl& url, std::string question, base::Milliseconds timeout,
                   Done done) = 0;

 protected:
  ~Responder() = default;
};

// For logs and metrics; views are good for the call.
struct StapleEvent {
  enum class Kind : std::uint8_t { fetched, failed, missing };
  Kind kind = Kind::fetched;
  std::string_view result;  // "ok", "unreachable", "timeout", "refused", "invalid", "revoked": closed set
  std::string_view host, certificate, url;
  std::string reason;  // unless fetched
  const tls::Staple* shown = nullptr;
  base::Seconds next_try{};  // until the responder is asked again
};

// When an answer is to be replaced: at half of its life, of what is left of that if it came later, but
// not sooner than `soonest` from now; up to a tenth earlier by `luck` (0 to 1), so that a fleet does not ask
// at once.
[[nodiscard]] base::WallTime refresh_time(const tls::Staple& staple, base::WallTime now,
                                          base::Milliseconds soonest, double luck);

class Stapler {
 public:
  struct Hooks {
    std::function<void(const StapleEvent&)> on_event;
    // Handshakes may be reading it for as long as the handler that they are in takes.
    std::function<void(std::shared_ptr<const tls::Staple>)> retire;
    std::function<void()> on_change;  // other answers are shown than before; told once for several
  };
  Stapler(Responder& responder, Hooks hooks);
  ~Stapler();
  Stapler(const Stapler&) = delete;
  Stapler& operator=(const Stapler&) = delete;

  // The certificates that are shown from now on. Those known are kept with what was fetched for them.
  void adopt(const std::vector<StapleWish>& wishes, const config::Ocsp& how, base::Instant now,
             base::WallTime wall);
  // Asks what is due, gives up what takes too long. About once a second; drive() does.
  void advance(base::Instant now, base::WallTime wall);
  void drive(boost::asio::io_context& io);

 private:
  struct Entry;
  void adopt_one(const StapleWish& wish, Entry& entry, base::WallTime wall);
  void ask(Entry& entry, base::Instant now);
  void done(const tls::StapleSlot* slot, std::uint64_t serial, const ResponderReply& reply,
            base::WallTime wall);
  void take(Entry& entry, tls::OcspAnswer answer, base::WallTime wall);
  void failed(Entry& entry, std::string_view result, std::string reason, base::WallTime wall);
  void show(Entry& entry, std::shared_ptr<const tls::Staple> staple);
  void tell(const Entry& entry, StapleEvent::Kind kind, std::string_view result, std::string reason,
            base::WallTime wall);
  void arm();

  Responder& responder_;
  Hooks hooks_;
  config::Ocsp how_;
  std::unordered_map<const tls::StapleSlot*, std::unique_ptr<Entry>> entries_;
  std::vector<Entry*> watched_;  // those of entries_ that there is something to do for
  std::size_t asking_ = 0;
  std::uint64_t serial_ = 0;
  bool changed_ = false;
  std::minstd_rand luck_;
  net::Anchor<Stapler> anchor_;  // questions may outlive us
  std::unique_ptr<boost::asio::steady_timer> timer_;
};

}  // namespace sallyport::runtime
