// Whom we believe: named sets of addresses, what is taken from the peers in them, and what they
// may cost. Part of model.hpp, which tells how the model is made and used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/model_base.hpp"

namespace sallyport::config {

// The set that is there without being written: Cloudflare's published ranges.
inline constexpr std::string_view kCloudflare = "cloudflare";

// Address blocks under a name. Lists of blocks elsewhere in the file take names of sets too.
struct AddressSet {
  std::string name;
  std::vector<std::string> ranges;           // CIDRs
  std::vector<std::filesystem::path> files;  // a CIDR a line, or the JSON of Cloudflare's API
  Milliseconds refresh = 1h;                 // the files are read again; 0 = by reloads alone
  Origin origin;
  bool operator==(const AddressSet&) const = default;
};

// Where a trusted peer tells the client's address. From the right of X-Forwarded-For, trusted
// addresses are passed over.
enum class ClientAddress : std::uint8_t { cf_connecting_ip, true_client_ip, x_forwarded_for, peer };

// RFC 8586.
struct CdnLoop {
  std::string id = "sallyport";  // what we append; the same on every instance of one service
  std::uint32_t limit = 3;       // so many of ours in a request already: 508
  bool operator==(const CdnLoop&) const = default;
};

// Cloudflare's Authenticated Origin Pulls, of one host.
enum class OriginPullMode : std::uint8_t { off, report, require };
struct OriginPull {
  OriginPullMode mode = OriginPullMode::off;
  std::filesystem::path ca;            // PEM, of a zone or a host name; empty: Cloudflare's own, of all zones
  std::vector<std::string> spki_pins;  // as ClientAuth::spki_pins
  std::vector<std::string> except;     // paths, byte by byte, that are answered without it: health checks
  Origin origin;
  bool operator==(const OriginPull&) const = default;
};

}  // namespace sallyport::config
