#include "header_edit.hpp"

#include <utility>

namespace sallyport::filter {

namespace {

void apply(const config::HeaderEdit& edit, http::Fields& fields) {
  for (const std::string& name : edit.remove) fields.remove(name);
  for (const auto& [name, value] : edit.set) fields.set(name, value);
  for (const auto& [name, value] : edit.add) fields.add(name, value);
}

}  // namespace

HeaderEdit::HeaderEdit(config::HeaderEdit request, config::HeaderEdit response)
    : request_(std::move(request)), response_(std::move(response)) {}

void HeaderEdit::on_request(const Context&, http::RequestHead& head) const {
  apply(request_, head.fields);
}

void HeaderEdit::on_response(const Context&, http::ResponseHead& head) const {
  apply(response_, head.fields);
}

}  // namespace sallyport::filter
