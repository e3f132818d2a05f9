#include "slowsde/experiments/progress.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "slowsde/sde/parallel.hpp"

using slowsde::clock_text;
using slowsde::Progress;

TEST_CASE("lines come at every tenth, each with the time that is left") {
  std::ostringstream out;
  double now = 0;
  Progress progress(Progress::Style::lines, out, [&] { return now; });
  progress.start(1000);
  progress.label("digits");
  for (int i = 0; i < 100; ++i) {
    now += 1;
    progress.add(10);
  }
  progress.finish();
  const std::string text = out.str();
  CHECK(std::count(text.begin(), text.end(), '\n') == 10);
  CHECK(text.rfind("digits: 10 % after 0:10, 1:30 left\ndigits: 20 % after 0:20, 1:20 left\n", 0) == 0);
  CHECK(text.find("digits: 100 % after 1:40\n") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("the bar is one line that ends in a newline") {
  std::ostringstream out;
  double now = 0;
  Progress progress(Progress::Style::bar, out, [&] { return now; });
  progress.start(4);
  now = 10;
  progress.add(1);
  CHECK(out.str() == "\r\033[K[#######.......................]  25 %  0:10, 0:30 left");
  progress.add(1);  // no time has passed: not drawn again
  CHECK(out.str().find("50 %") == std::string::npos);
  now = 20;
  progress.add(2);
  progress.finish();
  progress.finish();
  const std::string text = out.str();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.find("[##############################] 100 %  0:20\n") != std::string::npos);
}

TEST_CASE("silence is silent, and work beyond the estimate stays at the whole") {
  std::ostringstream out;
  Progress progress(Progress::Style::silent, out);
  progress.start(1);
  progress.add(3);
  CHECK(progress.fraction() == 1);
  progress.finish();
  CHECK(out.str().empty());
  Progress none;
  CHECK_NOTHROW(none.start(0));
  CHECK_NOTHROW(none.add(1));
}

TEST_CASE("work added from several threads is all counted") {
  Progress progress;
  progress.start(8192);
  slowsde::parallel_for(5, 2048, [&](std::size_t) { progress.add(1); });
  CHECK(progress.fraction() == 0.25);
}

TEST_CASE("times read as minutes and hours") {
  CHECK(clock_text(0) == "0:00");
  CHECK(clock_text(75.4) == "1:15");
  CHECK(clock_text(3675) == "1:01:15");
}
