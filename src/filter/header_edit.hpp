// A route's own changes to header fields: remove, then set, then add.
#pragma once

#include "sallyport/config/model.hpp"
#include "sallyport/filter/filter.hpp"

namespace sallyport::filter {

class HeaderEdit final : public Filter {
 public:
  HeaderEdit(config::HeaderEdit request, config::HeaderEdit response);
  void on_request(const Context& context, http::RequestHead& head) const override;
  void on_response(const Context& context, http::ResponseHead& head) const override;

 private:
  config::HeaderEdit request_;
  config::HeaderEdit response_;
};

}  // namespace sallyport::filter
