#include "slowsde/experiments/cli.hpp"

int main(int argc, char** argv) { return slowsde::main(argc, argv); }
