// Whether one way from leaf to root holds: OpenSSL's verdict, in words that say what to change.
// Private to tls.
#pragma once

#include <vector>

#include "sallyport/tls/chain.hpp"

namespace sallyport::tls {

// All that is wrong with the path but for how it ends.
[[nodiscard]] std::vector<ChainFinding> problems_of(const ChainPath& path,
                                                    const std::vector<ChainCertificate>& certificates,
                                                    const ChainRequest& request);

}  // namespace sallyport::tls
