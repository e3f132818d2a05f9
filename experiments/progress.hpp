// One progress display for a whole run, fed by any number of threads.
#pragma once

#include <functional>
#include <iosfwd>
#include <mutex>
#include <string>

namespace slowsde {

/// Work done against work in all, in whatever unit Estimate::work counts. On a terminal one line that is
/// redrawn, with the time that is left; elsewhere a line at about every tenth of the work; or silence.
class Progress {
 public:
  enum class Style { bar, lines, silent };

  /// `seconds` is the clock, by default a steady one.
  Progress(Style style, std::ostream& out, std::function<double()> seconds = {});
  /// Silent.
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Bar if standard error is a terminal, lines if not, silent if `quiet`.
  static Style style_for_stderr(bool quiet);

  /// Begins anew with `total` > 0 units of work ahead.
  void start(double total);
  /// Says what is being done, such as `digits`; empty: nothing.
  void label(const std::string& text);
  /// Adds work that is done; from any thread.
  void add(double work);
  /// Ends the display. The destructor does, too.
  void finish();

  double fraction() const;  ///< work done, as a part of the whole, at most 1

 private:
  void show(bool last);  // with the mutex held

  mutable std::mutex mutex_;
  Style style_;
  std::ostream* out_;
  std::function<double()> seconds_;
  std::string label_;
  double total_ = 0, done_ = 0, begun_ = 0, shown_at_ = 0;
  int tenths_shown_ = 0;
  bool running_ = false;
};

/// 75.4 -> "1:15", 3675 -> "1:01:15"
std::string clock_text(double seconds);

}  // namespace slowsde
