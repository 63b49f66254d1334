// What the parts of `sallyport explain` share: the configuration to try things with, and how it is
// asked. Private to cli.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/config/load.hpp"
#include "sallyport/tls/context_store.hpp"
#include "sallyport/tls/rehearsal.hpp"

#include "commands.hpp"

namespace sallyport::cli {

// A configuration as run would serve by it.
struct Trial {
  std::string file;
  config::Model model;
  std::shared_ptr<const tls::ContextStore> store;

  // The index of an https listener by its name, by its port, or the first one; nothing if there is none.
  [[nodiscard]] std::optional<std::uint32_t> listener(std::string_view name, std::uint16_t port) const;
};

// Of handshake_failed lines, as JSON or as text; what is no such line is passed over.
[[nodiscard]] bool looks_like_log(std::string_view text);
[[nodiscard]] int explain_log(std::string_view text, const ExplainArguments& arguments, const Trial* trial);
// Of a captured ClientHello in any form.
[[nodiscard]] int explain_capture(std::string_view file, const ExplainArguments& arguments,
                                  const Trial* trial);

// "refused: no_shared_cipher (key_exchange)" or "answered with TLSv1.3, …", in one line.
[[nodiscard]] std::string outcome_text(const tls::Rehearsal& rehearsal);

}  // namespace sallyport::cli
