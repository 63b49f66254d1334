// What the single values of the file look like: durations, sizes, addresses, names. Pure
// functions from text to a value, or to what is wrong and what to write instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "sallyport/config/model.hpp"
#include "sallyport/config/spelling.hpp"

namespace sallyport::config {

struct Wrong {
  std::string text;
};
template <class T>
using Parsed = std::variant<T, Wrong>;

[[nodiscard]] Parsed<Milliseconds> parse_duration(std::string_view text);  // 500ms 10s 5m 1h 7d 0
[[nodiscard]] Parsed<std::uint64_t> parse_size(std::string_view text);     // 512B 64KiB 100MiB 1GiB 0
[[nodiscard]] Parsed<std::uint64_t> parse_count(std::string_view text);
[[nodiscard]] Parsed<double> parse_number(std::string_view text);
[[nodiscard]] Parsed<Percent> parse_percent(std::string_view text);  // 20%

[[nodiscard]] Parsed<ListenAddress> parse_listen_address(std::string_view text);  // [::]:443 127.0.0.1:0
[[nodiscard]] Parsed<UpstreamEndpoint> parse_endpoint(std::string_view text);     // app.internal:8080
[[nodiscard]] Parsed<std::string> parse_cidr(std::string_view text);  // the network part alone may be set
[[nodiscard]] bool is_loopback(const ListenAddress& address);

// A host's name: lower-cased, without a trailing dot. "*.example.com" and "*" too.
[[nodiscard]] Parsed<std::string> parse_host_name(std::string_view text);
// A field name (RFC 9110 §5.1), lower-cased.
[[nodiscard]] Parsed<std::string> parse_field_name(std::string_view text);
// A field value (RFC 9110 §5.5): what could end the line or the message is refused.
[[nodiscard]] Parsed<std::string> parse_field_value(std::string_view text);
// host or host:port, as it stands in a URL.
[[nodiscard]] Parsed<std::string> parse_authority(std::string_view text);

[[nodiscard]] std::string lower(std::string_view text);

}  // namespace sallyport::config
