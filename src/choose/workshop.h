// SPDX-License-Identifier: Apache-2.0
// What a search for a model works with: something that makes candidates, scores them and times them.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "choose/samples.h"
#include "choose/units.h"

namespace kvant::choose {

enum class Stage { Float, Ptq, Mixed, Qat };
// "float", "ptq", "mixed", "qat".
std::string name_of(Stage stage);

// How a candidate is made.
struct Recipe {
  Stage stage = Stage::Float;
  std::string variant;           // of PTQ; of Mixed and Qat the one that they start from
  std::set<std::string> floats;  // Mixed: layers that stay float
  // Different for different candidates.
  std::string key() const;
};

struct Measured {
  Score score;                  // on samples that nothing was calibrated or trained on
  double float_ms = 0, ms = 0;  // the float model's time and the candidate's, in turns in one run
  double seconds = 0;           // that it took to make and measure
  double speedup() const { return ms > 0 ? float_ms / ms : 0; }
};

class Workshop {
 public:
  virtual ~Workshop() = default;
  // PTQ variants, cheap ones first.
  virtual std::vector<std::string> variants() const = 0;
  // The variant that also has pairs before activations, which then are tables of codes (less time for one
  // more rounding); nothing where that changes nothing.
  virtual std::optional<std::string> with_tables(const std::string& variant) = 0;
  // Fails (Error) on what cannot be made. `seconds_left` may shorten a training; infinite without a budget.
  virtual Measured measure(const Recipe& recipe, double seconds_left) = 0;
  // What layers of a variant lose and gain.
  virtual Units units(const std::string& variant, double seconds_left) = 0;
  // The sentence why nothing can be trained here, or nothing.
  virtual std::optional<std::string> qat_missing() = 0;
  // Whether measure() knows the answer without any work.
  virtual bool known(const Recipe& recipe) const = 0;
  // The same for units().
  virtual bool units_known(const std::string& variant) const = 0;
  // Since the search began.
  virtual double seconds() const = 0;
};

}  // namespace kvant::choose
