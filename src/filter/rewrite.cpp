#include "rewrite.hpp"

#include <utility>

namespace sallyport::filter {

Rewrite::Rewrite(std::string matched, std::optional<std::string> prefix, std::optional<std::string> host)
    : matched_(std::move(matched)), prefix_(std::move(prefix)), host_(std::move(host)) {}

void Rewrite::on_request(const Context&, http::RequestHead& head) const {
  if (host_) head.set_authority(*host_);
  if (!prefix_ || !head.target().starts_with(matched_)) return;
  std::string_view rest = head.target().substr(matched_.size());
  std::string target = *prefix_;
  // "/api" → "/v1" makes /v1/x of /api/x, and "/api/" → "/" makes /x of it: one slash, never two or none.
  if (target.ends_with('/') && rest.starts_with('/')) rest.remove_prefix(1);
  if (!target.ends_with('/') && !rest.empty() && rest.front() != '/' && rest.front() != '?') target += '/';
  target += rest;
  if (target.empty() || target.front() != '/') target.insert(target.begin(), '/');
  head.set_target(target);
}

}  // namespace sallyport::filter
