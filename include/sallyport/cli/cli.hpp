// The command line; `sallyport --help` lists the commands. One file a command. Exit
// codes are 0 = done, 1 = the configuration or the start failed (said on stderr), 2 = wrong usage; doctor
// has 3 for warnings alone.
#pragma once

namespace sallyport::cli {

[[nodiscard]] int main(int argc, char** argv);

}  // namespace sallyport::cli
