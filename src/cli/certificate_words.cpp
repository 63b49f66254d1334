#include "certificate_words.hpp"

#include <algorithm>
#include <ctime>

namespace sallyport::cli {

std::string time_text(base::WallTime time) {
  const std::time_t seconds = base::WallClock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string names_text(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

std::string_view word_of(tls::ChainPath::End end) {
  switch (end) {
    case tls::ChainPath::End::trusted:
      return "trusted";
    case tls::ChainPath::End::unknown_root:
      return "unknown_root";
    case tls::ChainPath::End::missing_issuer:
      return "missing_issuer";
    case tls::ChainPath::End::too_deep:
      break;
  }
  return "too_deep";
}

std::string_view word_of(tls::ChainCertificate::From from) {
  switch (from) {
    case tls::ChainCertificate::From::given:
      return "given";
    case tls::ChainCertificate::From::intermediates:
      return "intermediates";
    case tls::ChainCertificate::From::roots:
      break;
  }
  return "roots";
}

}  // namespace sallyport::cli
