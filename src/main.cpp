#include "sallyport/cli/cli.hpp"

int main(int argc, char** argv) {
  return sallyport::cli::main(argc, argv);
}
