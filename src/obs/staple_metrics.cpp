#include "sallyport/obs/staple_metrics.hpp"

namespace sallyport::obs {

StapleMetrics::StapleMetrics(Registry& registry)
    : registry_(registry),
      fetches_(registry.add_family(
          Kind::counter, {"sallyport_tls_ocsp_fetches_total",
                          "Questions to OCSP responders about our certificates, by what came of them.",
                          {"result"}})) {}

void StapleMetrics::fetched(std::string_view result) {
  registry_.add(fetches_, {result}, 1);
}

}  // namespace sallyport::obs
