// The Server's side of OCSP stapling: what it logs and counts of it.
#include <utility>

#include "sallyport/tls/ocsp.hpp"

#include "server_state.hpp"

namespace sallyport::runtime {

void Server::State::start_stapling() {
  Stapler::Hooks hooks;
  hooks.on_event = [this](const StapleEvent& event) { on_staple(event); };
  // A worker that is reading the answer is done with it once its loop turns to this.
  hooks.retire = [this](const std::shared_ptr<const tls::Staple>& old) {
    for (const auto& worker : workers_) worker->post([old](Worker&) {});
  };
  hooks.on_change = [this] { builder_.publish_certificates(*snapshot_); };
  stapler_.emplace(responder_, std::move(hooks));
}

void Server::State::on_staple(const StapleEvent& event) {
  const std::string until = event.shown == nullptr ? "" : tls::date_text(event.shown->next_update);
  const auto next_try = static_cast<std::int64_t>(event.next_try.count());
  const base::Instant now = base::Clock::now();
  if (event.kind != StapleEvent::Kind::missing) staple_metrics_.fetched(event.result);
  if (event.kind == StapleEvent::Kind::fetched) {
    log_.event(staple_events_, now, obs::Level::info, "ocsp_fetched",
               {{"host", event.host},
                {"certificate", event.certificate},
                {"url", event.url},
                {"good_until", until},
                {"next_fetch_s", next_try}});
    return;
  }
  const bool missing = event.kind == StapleEvent::Kind::missing;
  log_.event(staple_failures_, now, obs::Level::warn, missing ? "ocsp_missing" : "ocsp_failed",
             {{"host", event.host},
              {"certificate", event.certificate},
              {"url", event.url},
              {"result", event.result},
              {"reason", event.reason},
              {"shown_until", until},
              {"next_fetch_s", next_try}});
}

}  // namespace sallyport::runtime
