// SPDX-License-Identifier: Apache-2.0
// Progress on standard error: a live bar on a terminal, a plain line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "base/progress.h"

namespace kvant::cli {

class ProgressBar final : public Progress {
 public:
  explicit ProgressBar(std::FILE* out);
  ~ProgressBar() override;
  void begin(std::string_view what, int64_t total, std::string_view unit) override;
  void update(int64_t done, std::string_view remark) override;
  void end() override;

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(int64_t done, std::string_view remark) const;
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  std::FILE* out_;
  bool terminal_;
  bool active_ = false;
  std::string what_, unit_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  std::string remark_;
  Clock::time_point start_, shown_;
};

}  // namespace kvant::cli
