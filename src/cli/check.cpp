// `sallyport check`: everything that run does up to binding, and everything that it would say.
#include <cstdio>
#include <utility>

#include "sallyport/runtime/server.hpp"

#include "commands.hpp"

namespace sallyport::cli {

int check(const std::filesystem::path& config) {
  config::Loaded loaded = config::load_and_validate(config);
  bool bad = report(loaded.problems);
  if (bad) return kFailed;
  const runtime::DryBuild built = runtime::dry_build(std::move(loaded.model), base::WallClock::now());
  bad = report(built.problems);
  for (const std::string& remark : built.remarks) std::printf("%s\n", remark.c_str());
  if (bad) return kFailed;
  std::printf("%s: ok\n", config.c_str());
  return kOk;
}

int schema() {
  std::fputs(config::json_schema().c_str(), stdout);
  return kOk;
}

}  // namespace sallyport::cli
