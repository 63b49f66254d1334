#include "stapler.hpp"

#include <algorithm>
#include <utility>

namespace sallyport::runtime {

namespace {

constexpr base::Milliseconds kTick{1000};
constexpr base::Milliseconds kLongestWait = std::chrono::hours(1);
// Ten thousand certificates are asked for one after the other, and a responder that is down holds up few.
constexpr std::size_t kMostAsked = 32;

base::Milliseconds wait_after(std::uint32_t failures, base::Milliseconds first) {
  base::Milliseconds wait = std::min(first, kLongestWait);
  for (std::uint32_t i = 1; i < failures && wait < kLongestWait; ++i) wait = std::min(2 * wait, kLongestWait);
  return wait;
}

std::string_view word_of(ResponderReply::Result result) {
  switch (result) {
    case ResponderReply::Result::unreachable:
      return "unreachable";
    case ResponderReply::Result::timeout:
      return "timeout";
    case ResponderReply::Result::refused:
    case ResponderReply::Result::answered:
      break;
  }
  return "refused";
}

std::string_view word_of(tls::OcspState state) {
  switch (state) {
    case tls::OcspState::good:
      return "ok";
    case tls::OcspState::revoked:
      return "revoked";
    case tls::OcspState::declined:
      return "refused";
    default:
      return "invalid";
  }
}

}  // namespace

struct Stapler::Entry {
  std::shared_ptr<const tls::Certificate> certificate;  // keeps the slot
  std::string host;
  bool fetch = false;
  bool seen = false;  // in the adoption under way
  bool asking = false;
  base::WallTime due{};
  base::Instant asked{};
  std::uint64_t serial = 0;  // of the question that counts
  std::uint32_t failures = 0;
};

base::WallTime refresh_time(const tls::Staple& staple, base::WallTime now, base::Milliseconds soonest,
                            double luck) {
  base::WallTime due = staple.this_update + (staple.next_update - staple.this_update) / 2;
  if (due <= now) due = now + (staple.next_update - now) / 2;
  const auto earlier = std::chrono::duration<double>(due - now) * (luck / 10);
  due -= std::chrono::duration_cast<base::WallClock::duration>(earlier);
  return std::max(due, now + soonest);
}

Stapler::Stapler(Responder& responder, Hooks hooks)
    : responder_(responder), hooks_(std::move(hooks)), luck_(std::random_device{}()), anchor_(*this) {}

Stapler::~Stapler() = default;

void Stapler::adopt(const std::vector<StapleWish>& wishes, const config::Ocsp& how, base::Instant now,
                    base::WallTime wall) {
  how_ = how;
  for (const auto& [slot, entry] : entries_) entry->seen = false;
  for (const StapleWish& wish : wishes) {
    auto& entry = entries_[&wish.certificate->staple()];
    if (entry == nullptr) entry = std::make_unique<Entry>();
    // Hosts may share a certificate; the first that gives a file decides.
    if (std::exchange(entry->seen, true) && wish.from_file == nullptr) continue;
    adopt_one(wish, *entry, wall);
  }
  std::erase_if(entries_, [this](const auto& item) {
    if (item.second->seen) return false;
    if (item.second->asking) --asking_;
    return true;
  });
  watched_.clear();
  for (const auto& [slot, entry] : entries_) {
    if (entry->fetch || entry->asking) watched_.push_back(entry.get());
  }
  changed_ = false;  // who adopts publishes
  advance(now, wall);
}

void Stapler::adopt_one(const StapleWish& wish, Entry& entry, base::WallTime wall) {
  tls::StapleSlot& slot = wish.certificate->staple();
  entry.certificate = wish.certificate;
  entry.host = wish.host;
  const bool could = entry.fetch;
  entry.fetch = how_.fetch && !wish.certificate->responder_url().empty() &&
                wish.certificate->issuer_certificate() != nullptr;
  std::shared_ptr<const tls::Staple> best = wish.from_file;
  if (entry.fetch && slot.current() != nullptr &&
      (best == nullptr || best->next_update < slot.current()->next_update)) {
    best = slot.current();
  }
  if (best != slot.current()) show(entry, best);
  const bool useful = best != nullptr && wall < best->next_update;
  if (entry.fetch && (!could || entry.failures == 0)) {
    entry.failures = 0;
    entry.due = useful ? refresh_time(*best, wall, base::Milliseconds{0}, 0) : wall;
  }
  if (!useful && wish.certificate->must_staple()) {
    tell(entry, StapleEvent::Kind::missing, "",
         "clients that honour must-staple refuse the certificate until there is an answer", wall);
  }
}

void Stapler::advance(base::Instant now, base::WallTime wall) {
  std::vector<Entry*> due;
  for (Entry* entry : watched_) {
    if (entry->asking && now - entry->asked > how_.timeout + kTick) {
      entry->asking = false;
      entry->serial = 0;
      --asking_;
      failed(*entry, "timeout", "no answer in time", wall);
    }
    // A clock that was put back must not make a wait of months.
    if (entry->failures != 0) entry->due = std::min(entry->due, wall + kLongestWait);
    if (entry->fetch && !entry->asking && entry->due <= wall) due.push_back(entry);
  }
  std::sort(due.begin(), due.end(), [](const Entry* a, const Entry* b) { return a->due < b->due; });
  for (Entry* entry : due) {
    if (asking_ >= kMostAsked) break;
    ask(*entry, now);
  }
  if (std::exchange(changed_, false)) hooks_.on_change();
}

void Stapler::ask(Entry& entry, base::Instant now) {
  const auto url = tls::parse_responder_url(entry.certificate->responder_url());
  std::string question = tls::ocsp_question(*entry.certificate);
  if (!url || question.empty()) {
    entry.fetch = false;
    return;
  }
  entry.asking = true;
  entry.asked = now;
  entry.serial = ++serial_;
  ++asking_;
  responder_.ask(*url, std::move(question), how_.timeout,
                 [self = anchor_.ref(), slot = &entry.certificate->staple(),
                  serial = entry.serial](const ResponderReply& reply) {
                   if (Stapler* stapler = self.get())
                     stapler->done(slot, serial, reply, base::WallClock::now());
                 });
}

void Stapler::done(const tls::StapleSlot* slot, std::uint64_t serial, const ResponderReply& reply,
                   base::WallTime wall) {
  const auto at = entries_.find(slot);
  if (at == entries_.end() || at->second->serial != serial || !at->second->asking) return;
  Entry& entry = *at->second;
  entry.asking = false;
  --asking_;
  if (!entry.fetch) return;  // turned off meanwhile
  if (reply.result != ResponderReply::Result::answered)
    return failed(entry, word_of(reply.result), reply.why, wall);
  take(entry, tls::judge_ocsp(reply.body, *entry.certificate, wall), wall);
}

void Stapler::take(Entry& entry, tls::OcspAnswer answer, base::WallTime wall) {
  if (answer.state != tls::OcspState::good) {
    // Whoever is shown the answer of before would be told what is known to be wrong.
    if (answer.state == tls::OcspState::revoked) show(entry, nullptr);
    return failed(entry, word_of(answer.state), std::move(answer.text), wall);
  }
  const auto& before = entry.certificate->staple().current();
  if (before == nullptr || before->next_update <= answer.staple->next_update) show(entry, answer.staple);
  entry.failures = 0;
  const double luck =
      static_cast<double>(luck_() - luck_.min()) / static_cast<double>(luck_.max() - luck_.min());
  entry.due = refresh_time(*answer.staple, wall, how_.retry, luck);
  tell(entry, StapleEvent::Kind::fetched, "ok", {}, wall);
}

void Stapler::failed(Entry& entry, std::string_view result, std::string reason, base::WallTime wall) {
  ++entry.failures;
  entry.due = wall + wait_after(entry.failures, how_.retry);
  tell(entry, StapleEvent::Kind::failed, result, std::move(reason), wall);
}

void Stapler::show(Entry& entry, std::shared_ptr<const tls::Staple> staple) {
  auto before = entry.certificate->staple().show(std::move(staple));
  if (before != nullptr) hooks_.retire(std::move(before));
  changed_ = true;
}

void Stapler::tell(const Entry& entry, StapleEvent::Kind kind, std::string_view result, std::string reason,
                   base::WallTime wall) {
  StapleEvent event;
  event.kind = kind;
  event.result = result;
  event.host = entry.host;
  event.certificate = entry.certificate->label();
  event.url = entry.certificate->responder_url();
  event.reason = std::move(reason);
  event.shown = entry.certificate->staple().current().get();
  event.next_try = std::chrono::duration_cast<base::Seconds>(std::max(entry.due, wall) - wall);
  hooks_.on_event(event);
}

void Stapler::drive(boost::asio::io_context& io) {
  timer_ = std::make_unique<boost::asio::steady_timer>(io);
  arm();
}

void Stapler::arm() {
  timer_->expires_after(kTick);
  timer_->async_wait([self = anchor_.ref()](const boost::system::error_code& ec) {
    Stapler* stapler = self.get();
    if (ec || stapler == nullptr) return;
    stapler->advance(base::Clock::now(), base::WallClock::now());
    stapler->arm();
  });
}

}  // namespace sallyport::runtime
