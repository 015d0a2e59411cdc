// SPDX-License-Identifier: Apache-2.0
// The fastest model that loses no more than allowed: post-training quantization first, then mixed precision,
// then training, no step before it is needed.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "choose/workshop.h"

namespace kvant::choose {

enum class By { Top1, Agreement };

struct SearchOptions {
  double max_drop = 0.01;         // a fraction of the samples
  std::optional<By> by;           // default: Top1 where the samples have labels, else Agreement
  bool mixed = true, qat = true;  // stages that are allowed
  // Training is tried, too, where mixed precision within the drop gives up more than this share of the time
  // that INT8 throughout saves.
  double give_up = 0.25;
  double budget_seconds = 0;  // 0: no limit; what is under way when it ends is finished
  // How many units, at most, are tried back in INT8 when a mixed model has been found.
  size_t returns = 6;
};

struct Trial {
  std::string name;  // "ptq auto", "mixed 3 of 29 units float"
  Recipe recipe;
  Measured measured;
  double drop = 0;      // from the float model, a fraction; below 0 where it is better
  bool within = false;  // the allowed drop
  bool front = false;   // no other trial loses less and is as fast, or loses as little and is faster
  std::string verdict;  // "chosen", or why not
  bool faster() const { return measured.speedup() > 1; }
};

// Something that was left out.
struct Skipped {
  std::string what, why;
};

struct Outcome {
  By by = By::Top1;
  std::vector<Trial> trials;  // the float model first, then in the order in which they were tried
  std::vector<Skipped> skipped;
  // Within the drop and faster than float, the fastest such; the float model where nothing was faster than
  // it.
  std::optional<size_t> chosen;
  std::optional<size_t> best;  // of those faster than float the one that loses least
  bool out_of_time = false;    // the budget ended the search
  std::string sentence;        // what came out, and where nothing did, what to do
};

// Stops at the first variant of PTQ that is good enough. Otherwise the units of the best one become float in
// their order (units.h): 1, 2, 4 ... of them until the drop is met, then bisected to the least number, then
// single units go back to INT8 as long as the drop is still met. Every candidate is measured whole. A
// candidate that is not faster than the float model is never chosen. A stage that fails is skipped and says
// why; fails itself where no candidate could be made at all, and where the model is no classifier.
Outcome search(Workshop& workshop, const SearchOptions& options);

}  // namespace kvant::choose
