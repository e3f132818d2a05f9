// The program `slowsde`. Its own main, and that of a program with a user's problems in it, is one call.
#pragma once

#include <functional>

namespace slowsde {

struct Registry;

/// Runs the command line and returns the exit status (errors.hpp has the codes). `extend` adds to what the
/// program knows before the command is looked at:
///
///     int main(int argc, char** argv) {
///       return slowsde::main(argc, argv, [](slowsde::Registry& registry) { ... });
///     }
///
/// Every error is one line on standard error that begins with "slowsde: "; no exception leaves this function.
int main(int argc, const char* const* argv, const std::function<void(Registry&)>& extend = {});

}  // namespace slowsde
