#include "slowsde/experiments/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ostream>

namespace slowsde {

namespace {

constexpr int bar_cells = 30;
constexpr double redraw_seconds = 0.2;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string clock_text(double seconds) {
  const long long s = std::isfinite(seconds) ? std::llround(std::max(0.0, seconds)) : 0;
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(Style style, std::ostream& out, std::function<double()> seconds)
    : style_(style), out_(&out), seconds_(seconds ? std::move(seconds) : steady_seconds) {}

Progress::Progress() : style_(Style::silent), out_(nullptr), seconds_(steady_seconds) {}

Progress::~Progress() { finish(); }

Progress::Style Progress::style_for_stderr(bool quiet) {
  if (quiet) return Style::silent;
  return ::isatty(STDERR_FILENO) ? Style::bar : Style::lines;
}

void Progress::start(double total) {
  const std::lock_guard lock(mutex_);
  total_ = total > 0 ? total : 1;
  done_ = 0;
  tenths_shown_ = 0;
  begun_ = seconds_();
  shown_at_ = begun_ - redraw_seconds;
  running_ = true;
}

void Progress::label(const std::string& text) {
  const std::lock_guard lock(mutex_);
  label_ = text;
}

void Progress::add(double work) {
  const std::lock_guard lock(mutex_);
  done_ += work;
  if (running_ && style_ != Style::silent) show(false);
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (running_ && style_ != Style::silent) show(true);
  running_ = false;
}

double Progress::fraction() const {
  const std::lock_guard lock(mutex_);
  return total_ > 0 ? std::min(1.0, done_ / total_) : 0;
}

void Progress::show(bool last) {
  const double now = seconds_();
  const double part = std::min(1.0, done_ / total_);
  const double elapsed = now - begun_;
  const std::string what = label_.empty() ? "" : label_ + ": ";
  if (style_ == Style::bar) {
    if (!last && now - shown_at_ < redraw_seconds) return;
    shown_at_ = now;
    const int cells = static_cast<int>(part * bar_cells);
    *out_ << fmt::format("\r\033[K{}[{}{}] {:3.0f} %  {}", what,
                         std::string(static_cast<std::size_t>(cells), '#'),
                         std::string(static_cast<std::size_t>(bar_cells - cells), '.'),
                         std::floor(100 * part), clock_text(elapsed));
    if (part > 0 && part < 1 && !last)
      *out_ << fmt::format(", {} left", clock_text(elapsed * (1 - part) / part));
    if (last) *out_ << '\n';
    out_->flush();
    return;
  }
  // The rounding of a sum of parts must not hide the last tenth.
  const int tenths = static_cast<int>(10 * part + 1e-9);
  if (tenths <= tenths_shown_) return;
  tenths_shown_ = tenths;
  *out_ << fmt::format("{}{} % after {}", what, 10 * tenths, clock_text(elapsed));
  if (tenths < 10) *out_ << fmt::format(", {} left", clock_text(elapsed * (1 - part) / part));
  *out_ << std::endl;
}

}  // namespace slowsde
