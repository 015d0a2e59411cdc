// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace kvant::cli {
namespace {

constexpr int kBarWidth = 24;
constexpr double kTerminalPeriod = 0.1;  // seconds between two drawings
constexpr double kPlainPeriod = 5.0;

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace

ProgressBar::ProgressBar(std::FILE* out) : out_(out), terminal_(::isatty(fileno(out)) != 0) {}

ProgressBar::~ProgressBar() {
  if (active_ && terminal_) std::fputc('\n', out_);
}

void ProgressBar::begin(std::string_view what, int64_t total, std::string_view unit) {
  what_ = what;
  unit_ = unit;
  total_ = total;
  done_ = 0;
  remark_.clear();
  start_ = Clock::now();
  shown_ = start_;
  active_ = true;
}

std::string ProgressBar::line(int64_t done, std::string_view remark) const {
  const double seconds = elapsed();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string text = what_ + " ";
  if (total_ > 0) {
    const auto filled = static_cast<size_t>(std::min<int64_t>(kBarWidth, done * kBarWidth / total_));
    if (terminal_)
      text += fmt::format("[{}{}] ", std::string(filled, '#'), std::string(kBarWidth - filled, '.'));
    text += fmt::format("{}/{} {}", done, total_, unit_);
  } else {
    text += fmt::format("{} {}", done, unit_);
  }
  text += rate >= 10 ? fmt::format(", {:.0f}/s", rate) : fmt::format(", {:.2f}/s", rate);
  text += ", " + duration(seconds);
  if (total_ > 0 && rate > 0 && done < total_) {
    text += fmt::format(", {} left", duration(static_cast<double>(total_ - done) / rate));
  }
  if (!remark.empty()) text += fmt::format(", {}", remark);
  return text;
}

void ProgressBar::update(int64_t done, std::string_view remark) {
  done_ = done;
  remark_ = remark;
  const auto now = Clock::now();
  const double since = std::chrono::duration<double>(now - shown_).count();
  if (since < (terminal_ ? kTerminalPeriod : kPlainPeriod)) return;
  shown_ = now;
  fmt::print(out_, "{}{}{}", terminal_ ? "\r\033[K" : "", line(done, remark), terminal_ ? "" : "\n");
  std::fflush(out_);
}

void ProgressBar::end() {
  if (!active_) return;
  active_ = false;
  fmt::print(out_, "{}{}\n", terminal_ ? "\r\033[K" : "", line(done_, remark_));
  std::fflush(out_);
}

}  // namespace kvant::cli
