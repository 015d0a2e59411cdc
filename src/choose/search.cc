// SPDX-License-Identifier: Apache-2.0
#include "choose/search.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "choose/pareto.h"
#include "choose/search_text.h"

namespace kvant::choose {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1e-9;  // of fractions such as 3/500

// Thrown when time is up; what was measured until then counts.
struct OutOfTime {};

class Search {
 public:
  Search(Workshop& workshop, const SearchOptions& options) : workshop_(workshop), options_(options) {}

  Outcome run() {
    start();
    try {
      ptq();
      tables();
      if (!acceptable() && options_.mixed) mixed();
      if (options_.qat) qat();
    } catch (const OutOfTime&) {
      outcome_.out_of_time = true;
    }
    decide();
    outcome_.sentence = sentence_of(outcome_, options_);
    return std::move(outcome_);
  }

 private:
  Trial& trial(size_t index) { return outcome_.trials[index]; }
  double seconds_left() const {
    return options_.budget_seconds > 0 ? options_.budget_seconds - workshop_.seconds() : kNoLimit;
  }

  double drop_of(const Score& score) const {
    if (outcome_.by == By::Agreement) return 1 - score.agreement.value_or(0);
    return *outcome_.trials.front().measured.score.top1 - score.top1.value_or(0);
  }

  void start() {
    outcome_.trials.push_back({.name = "float", .recipe = {}, .measured = workshop_.measure({}, kNoLimit)});
    const Score& score = trial(0).measured.score;
    if (!score.agreement) fail("auto compares classifiers, and output 0 of the model holds no classes");
    outcome_.by = options_.by.value_or(score.top1 ? By::Top1 : By::Agreement);
    if (outcome_.by == By::Top1 && !score.top1)
      fail("the samples have no labels that fit the model: leave out --by top1, or give labelled samples");
    trial(0).within = true;
  }

  // Index of the new trial. Time is looked at before every one that is not known already.
  size_t attempt(const std::string& name, const Recipe& recipe) {
    if (!workshop_.known(recipe) && seconds_left() <= 0) {
      outcome_.skipped.push_back({name, "the budget was spent"});
      throw OutOfTime{};
    }
    Trial made{.name = name, .recipe = recipe, .measured = workshop_.measure(recipe, seconds_left())};
    made.drop = drop_of(made.measured.score);
    made.within = made.drop <= options_.max_drop + kRounding;
    outcome_.trials.push_back(std::move(made));
    return outcome_.trials.size() - 1;
  }

  static bool less_loss(const Trial& a, const Trial& b) {
    if (a.drop != b.drop) return a.drop < b.drop;
    return a.measured.score.relative_error < b.measured.score.relative_error;
  }

  std::optional<size_t> acceptable() const {
    std::optional<size_t> found;
    for (size_t i = 1; i < outcome_.trials.size(); ++i) {
      const Trial& t = outcome_.trials[i];
      if (!t.within || !t.faster()) continue;
      if (!found || t.measured.speedup() > outcome_.trials[*found].measured.speedup()) found = i;
    }
    return found;
  }

  void ptq() {
    std::optional<Error> first;
    for (const std::string& variant : workshop_.variants()) {
      const std::string name = "ptq " + variant;
      try {
        const size_t made = attempt(name, {.stage = Stage::Ptq, .variant = variant, .floats = {}});
        if (!base_ || less_loss(trial(made), trial(*base_))) base_ = made;
        if (trial(made).within) break;  // the others would be as slow
      } catch (const Error& error) {
        if (!first) first = error;
        outcome_.skipped.push_back({name, error.what()});
      }
    }
    if (!base_ && first) throw *first;
  }

  // What is within the drop may afford one more rounding of each activation.
  void tables() {
    if (!base_ || !trial(*base_).within) return;
    const auto variant = workshop_.with_tables(trial(*base_).recipe.variant);
    if (!variant) return;
    const std::string name = "ptq " + *variant;
    try {
      attempt(name, {.stage = Stage::Ptq, .variant = *variant, .floats = {}});
    } catch (const Error& error) {
      outcome_.skipped.push_back({name, error.what()});
    }
  }

  void mixed() {
    if (!base_) return;
    const std::string variant = trial(*base_).recipe.variant;
    try {
      if (!workshop_.units_known(variant) && seconds_left() <= 0) {
        outcome_.skipped.push_back({"mixed precision", "the budget was spent"});
        throw OutOfTime{};
      }
      const Units found = workshop_.units(variant, seconds_left() / 2);
      if (found.left > 0) {
        outcome_.skipped.push_back({fmt::format("mixed precision: {} layers", found.left),
                                    "the budget left no time to measure them; they stayed INT8"});
      }
      units_ = found.units;
      if (const auto count = fewest_floats(variant)) give_back(variant, *count);
    } catch (const Error& error) {
      outcome_.skipped.push_back({"mixed precision", error.what()});
    }
  }

  size_t attempt_mixed(const std::string& variant, const std::set<std::string>& floats, size_t units) {
    const std::string name = fmt::format("mixed {} of {} float", units, units_.size());
    return attempt(name, {.stage = Stage::Mixed, .variant = variant, .floats = floats});
  }

  // The number of first units that have to be float for the drop to be met; none if no number does.
  std::optional<size_t> fewest_floats(const std::string& variant) {
    const auto free = static_cast<size_t>(
        std::count_if(units_.begin(), units_.end(), [](const Unit& unit) { return unit.extra_ms <= 0; }));
    const size_t all = units_.size();
    if (all < 2) return std::nullopt;
    const auto within = [&](size_t count) {
      return trial(attempt_mixed(variant, layers_of(units_, count), count)).within;
    };
    // A model that is good enough but too slow loses only what is no faster in INT8.
    const bool slow = trial(*base_).within;
    if (slow && free == 0) return std::nullopt;
    size_t low = 0, high = std::clamp<size_t>(free, 1, all - 1);
    while (!within(high)) {
      if (slow || high == all - 1) return std::nullopt;
      low = high;
      high = std::min(2 * high, all - 1);
    }
    if (slow) return high;
    while (high - low > 1) {
      const size_t middle = low + (high - low) / 2;
      (within(middle) ? high : low) = middle;
    }
    return high;
  }

  bool tried(const std::string& variant, const std::set<std::string>& floats) const {
    const std::string key = Recipe{.stage = Stage::Mixed, .variant = variant, .floats = floats}.key();
    return std::any_of(outcome_.trials.begin(), outcome_.trials.end(),
                       [&](const Trial& t) { return t.recipe.key() == key; });
  }

  // From the `count` first units, those that cost most time for what they save go back first.
  void give_back(const std::string& variant, size_t count) {
    std::vector<Unit> kept(units_.begin(), units_.begin() + static_cast<std::ptrdiff_t>(count));
    std::optional<size_t> fastest = acceptable();
    size_t tries = 0;
    for (size_t i = kept.size(); i-- > 0 && tries < options_.returns && kept.size() > 1;) {
      if (kept[i].extra_ms <= 0) continue;
      std::vector<Unit> fewer = kept;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (tried(variant, layers_of(fewer, fewer.size()))) continue;  // and was no better than what is kept
      ++tries;
      const Trial& t = trial(attempt_mixed(variant, layers_of(fewer, fewer.size()), fewer.size()));
      const bool better =
          t.within && t.faster() && (!fastest || t.measured.speedup() > trial(*fastest).measured.speedup());
      if (!better) continue;
      kept = std::move(fewer);
      fastest = outcome_.trials.size() - 1;
    }
  }

  // Of the time that INT8 throughout saves, the share that the fastest acceptable model gives up.
  double given_up(const Trial& chosen) const {
    const auto saved = [](const Trial& t) { return 1 - 1 / t.measured.speedup(); };
    return 1 - saved(chosen) / saved(outcome_.trials[*base_]);
  }

  void qat() {
    if (!base_ || trial(*base_).within) return;
    const std::optional<size_t> good = acceptable();
    if (good && given_up(trial(*good)) <= options_.give_up) return;
    const auto skip = [&](const std::string& why) { outcome_.skipped.push_back({"qat", why}); };
    if (!trial(*base_).faster()) return skip("INT8 throughout is slower than float here, trained or not");
    if (const auto missing = workshop_.qat_missing()) return skip(*missing);
    try {
      attempt("qat", {.stage = Stage::Qat, .variant = trial(*base_).recipe.variant, .floats = {}});
    } catch (const Error& error) {
      skip(error.what());
    }
  }

  void decide() {
    outcome_.chosen = acceptable();
    const bool any_faster = std::any_of(outcome_.trials.begin() + 1, outcome_.trials.end(),
                                        [](const Trial& t) { return t.faster(); });
    const bool tried = outcome_.trials.size() > 1 && !outcome_.out_of_time;
    if (!outcome_.chosen && tried && !any_faster) outcome_.chosen = 0;
    std::vector<Tradeoff> points;
    for (size_t i = 0; i < outcome_.trials.size(); ++i) {
      const Trial& t = trial(i);
      points.push_back({t.drop, 1 / std::max(1e-12, t.measured.speedup())});
      if (i > 0 && t.faster() && (!outcome_.best || less_loss(t, trial(*outcome_.best)))) outcome_.best = i;
    }
    const std::vector<bool> front = on_front(points);
    for (size_t i = 0; i < outcome_.trials.size(); ++i) trial(i).front = front[i];
    for (size_t i = 0; i < outcome_.trials.size(); ++i) trial(i).verdict = verdict_of(outcome_, i);
  }

  Workshop& workshop_;
  const SearchOptions& options_;
  Outcome outcome_;
  std::optional<size_t> base_;  // the variant that loses least
  std::vector<Unit> units_;
};

}  // namespace

Outcome search(Workshop& workshop, const SearchOptions& options) { return Search(workshop, options).run(); }

}  // namespace kvant::choose
