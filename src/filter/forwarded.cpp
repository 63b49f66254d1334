#include "forwarded.hpp"

#include <charconv>
#include <string>

#include "sallyport/http/semantics.hpp"

namespace sallyport::filter {

using http::FieldId;

void Forwarded::on_request(const Context& context, http::RequestHead& head) const {
  http::Fields& fields = head.fields;
  for (const FieldId claimed :
       {FieldId::forwarded, FieldId::x_forwarded_for, FieldId::x_forwarded_host, FieldId::x_forwarded_port,
        FieldId::x_forwarded_proto, FieldId::x_real_ip, FieldId::x_request_id}) {
    fields.remove(claimed);
  }
  // Removing moves no text and no entry, so walking on is safe.
  fields.for_each([&](const http::Fields::Field& f) {
    if (f.id == FieldId::other && http::tells_of_client_certificate(f.name)) fields.remove(f.name);
  });
  if (context.client_certificate != nullptr) {
    context.client_certificate->for_each(
        [&](const http::Fields::Field& f) { fields.add(f.name, f.value, f.id); });
  }
  char port[8];
  const auto port_end = std::to_chars(port, port + sizeof port, context.local_port).ptr;
  fields.add(FieldId::x_forwarded_for, context.client_text);
  // What the visitor of a CDN used is what an application means by it.
  const std::string_view scheme = context.tls ? "https" : "http";
  fields.add(FieldId::x_forwarded_proto, context.visitor_scheme.empty() ? scheme : context.visitor_scheme);
  fields.add(FieldId::x_forwarded_host, head.authority());
  fields.add(FieldId::x_forwarded_port, std::string_view(port, port_end));
  fields.add(FieldId::x_request_id, context.request_id);

  std::string_view hop = "1.1 sallyport";
  if (head.version == http::Version::http2) hop = "2.0 sallyport";
  if (head.version == http::Version::http10) hop = "1.0 sallyport";
  // A list may stand in several fields (RFC 9110 §5.3): ours goes behind, theirs stay as they are.
  fields.add(FieldId::via, hop);
  if (!context.cdn_id.empty()) fields.add(FieldId::cdn_loop, context.cdn_id);
}

}  // namespace sallyport::filter
