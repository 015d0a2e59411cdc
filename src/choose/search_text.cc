// SPDX-License-Identifier: Apache-2.0
#include "choose/search_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace kvant::choose {
namespace {

std::string points(double fraction) { return fmt::format("{:.2f} points", 100 * std::max(0.0, fraction)); }
const char* measure(By by) { return by == By::Top1 ? "top-1" : "agreement with the float model"; }

std::string unmet(const Outcome& outcome, const SearchOptions& options) {
  const bool tried = outcome.trials.size() > 1;
  std::string text;
  if (outcome.best) {
    const Trial& best = outcome.trials[*outcome.best];
    text = fmt::format(
        "nothing faster than float loses at most {} of {}: the best, {}, loses {} and is {:.2f} times as "
        "fast",
        points(options.max_drop), measure(outcome.by), best.name, points(best.drop), best.measured.speedup());
  } else {
    text = fmt::format("no model within {} of {} was found {}", points(options.max_drop), measure(outcome.by),
                       tried ? "that is faster than float" : "because none was tried");
  }
  if (outcome.out_of_time) {
    return text + "; the budget ended the search: go on with --resume, or give a longer --budget";
  }
  // Rounded up, so that what is asked for is met.
  const std::string allow =
      outcome.best ? fmt::format("allow --max-drop {:.2f}, ",
                                 std::ceil(1e4 * outcome.trials[*outcome.best].drop - 1e-6) / 100)
                   : "";
  return text + "; " + allow +
         "give more images of the kind that the model will see, or add --keep-best to write the best";
}

}  // namespace

std::string verdict_of(const Outcome& outcome, size_t trial) {
  const Trial& t = outcome.trials[trial];
  if (outcome.chosen == trial) return "chosen";
  if (trial == 0) return "what the others are compared with";
  if (!t.within) return t.faster() ? "loses too much" : "loses too much, and is not faster than float";
  return t.faster() ? "slower than the chosen one" : "not faster than float";
}

std::string sentence_of(const Outcome& outcome, const SearchOptions& options) {
  if (!outcome.chosen) return unmet(outcome, options);
  const Trial& chosen = outcome.trials[*outcome.chosen];
  if (*outcome.chosen == 0) {
    return "the float model stays as it is: no INT8 model was faster than it on this machine";
  }
  const std::string loss = chosen.drop <= 0 ? "loses nothing" : "loses " + points(chosen.drop);
  return fmt::format("{} {} of {} ({:.2f} allowed, {} samples) and is {:.2f} times as fast as float",
                     chosen.name, loss, measure(outcome.by), 100 * options.max_drop,
                     chosen.measured.score.samples, chosen.measured.speedup());
}

}  // namespace kvant::choose
