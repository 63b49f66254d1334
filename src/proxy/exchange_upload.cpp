// A request's body that the upstream does not take. While it waits here the client is not read from, and
// a client behind a CDN has less patience with that than with a response: Cloudflare gives up a write
// after 30 s.
#include "exchange.hpp"

namespace sallyport::proxy {

// Behind each piece of the body that came or went: the deadline begins anew with each byte that the
// upstream's connection takes, and holds while any wait for it. A tunnel has its own.
void Exchange::watch_upload() {
  const base::Milliseconds patience = route().timeouts.send;
  if (lease_ && up_.waits() && patience.count() != 0 && head_.protocol().empty()) {
    proxy_.loop_.timers().arm(upload_stall_, patience, proxy_.loop_.now());
  } else {
    upload_stall_.cancel();
  }
}

void Exchange::on_upload_stall() {
  if (!lease_) return;
  if (head_sent_ && client_ != nullptr && client_->unsent() != 0) {
    // An upstream that cannot get rid of its response need not read on: its client's session watches that.
    watch_upload();
    return;
  }
  const base::Error stalled = base::upstream_error(base::ErrorCode::body_timeout);
  drop_upstream(stalled, upstream::Outcome::timeout);
  give_up(stalled);
}

}  // namespace sallyport::proxy
