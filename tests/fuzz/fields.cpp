// Fuzzes the decisions that are taken on a head's fields, as any codec may fill them: where the
// body ends, what concerns one hop, what a trailer may hold. Lines of "name: value"; the first
// byte is the message (request or response, version, method).
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sallyport/http/semantics.hpp"

using namespace sallyport::http;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

Message message_of(std::uint8_t byte) {
  static constexpr std::uint16_t kStatuses[] = {200, 204, 304, 100, 101, 206, 404, 503};
  Message message;
  message.is_request = (byte & 1) != 0;
  message.version = (byte & 2) != 0 ? Version::http10 : (byte & 4) != 0 ? Version::http2 : Version::http11;
  message.method = (byte & 8) != 0 ? Method::head : (byte & 16) != 0 ? Method::post : Method::get;
  message.status = kStatuses[byte >> 5];
  return message;
}

void fill(Fields& fields, std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (is_lower_field_name(name) && is_field_value(value)) fields.add(name, value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view lines(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Message message = message_of(data[0]);
  Fields fields;
  fill(fields, lines);

  const auto framing = message_framing(message, fields);
  if (framing.has_value()) {
    const bool both =
        fields.count(FieldId::content_length) != 0 && fields.count(FieldId::transfer_encoding) != 0;
    require(!both && fields.count(FieldId::content_length) <= 1);
    require(framing->by != Framing::By::close || !message.is_request);
    if (!message.is_request && is_bodiless(message.method, message.status))
      require(framing->by == Framing::By::none);
  }

  Fields trailers = fields;
  strip_forbidden_trailers(trailers);
  trailers.for_each([](const Fields::Field& f) { require(!is_forbidden_trailer(f.name, f.id)); });

  const HopByHop hop = take_hop_by_hop(fields);
  static_cast<void>(hop);
  for (const FieldId id : {FieldId::connection, FieldId::keep_alive, FieldId::proxy_connection, FieldId::te,
                           FieldId::transfer_encoding, FieldId::upgrade, FieldId::http2_settings})
    require(!hop.valid || fields.count(id) == 0);
  return 0;
}
