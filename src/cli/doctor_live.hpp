// The part of the doctor that talks to a gateway that runs. Blocking, with a deadline for each wait;
// nothing is sent but to the listener's own address, or to the one that is given.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sallyport/net/address.hpp"
#include "sallyport/tls/certificate.hpp"

#include "doctor.hpp"

namespace sallyport::cli {

struct LiveArguments {
  std::optional<net::Endpoint> connect;                 // instead of the listener's address
  std::string host;                                     // this name alone; empty: one of each host
  std::shared_ptr<const tls::Certificate> certificate;  // as Cloudflare would show; may be null
  base::Milliseconds timeout{5000};                     // of each step
};

void examine_live(const Patient& patient, const LiveArguments& arguments, Report& report);

}  // namespace sallyport::cli
