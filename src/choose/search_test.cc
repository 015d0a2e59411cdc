// SPDX-License-Identifier: Apache-2.0
#include "choose/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "choose/pareto.h"
#include "choose/search_state.h"

namespace kvant::choose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A world with known losses: each INT8 unit costs accuracy and saves time, and they add up.
class FakeWorkshop : public Workshop {
 public:
  struct Layer {
    double loss, extra_ms;
  };
  std::vector<Layer> layers = {{0.001, 1}, {0.030, 1}, {0.002, 1}, {0.008, 1}};
  std::map<std::string, double> factor = {{"max", 1.0}, {"mse", 0.8}};  // of a variant on all losses
  double float_ms = 10, overhead_ms = 0;  // of any candidate that has INT8 parts
  std::optional<double> tables_gain;      // ms; nothing: no activations that could be tables
  double tables_loss = 1.1;               // times the variant's
  double qat_drop = 0.001;
  std::optional<std::string> missing;
  bool labels = true, classes = true;
  std::map<std::string, std::string> failing;  // recipe's key => sentence
  double second_per_trial = 1;
  size_t units_left = 0;

  std::vector<std::string> made;  // what was measured, in order
  double clock = 0;

  std::vector<std::string> variants() const override { return {"max", "mse"}; }

  std::optional<std::string> with_tables(const std::string& variant) override {
    if (!tables_gain) return std::nullopt;
    factor[variant + " + activation tables"] = factor.at(variant) * tables_loss;
    return variant + " + activation tables";
  }

  Measured measure(const Recipe& recipe, double) override {
    clock += second_per_trial;
    made.push_back(name_of(recipe.stage) + " " + recipe.variant + " " + std::to_string(recipe.floats.size()));
    if (failing.contains(recipe.key())) fail("{}", failing.at(recipe.key()));
    double drop = 0, ms = float_ms;
    if (recipe.stage != Stage::Float) {
      ms += overhead_ms;
      for (size_t i = 0; i < layers.size(); ++i) {
        if (recipe.floats.contains(name(i))) continue;
        drop += layers[i].loss * factor.at(recipe.variant);
        ms -= layers[i].extra_ms;
      }
      if (recipe.variant.ends_with("tables")) ms -= *tables_gain;
    }
    if (recipe.stage == Stage::Qat) drop = qat_drop;
    Measured m{.score = {.samples = 1000, .relative_error = drop, .top1 = {}, .agreement = 1 - drop},
               .float_ms = float_ms,
               .ms = ms,
               .seconds = second_per_trial};
    if (labels) m.score.top1 = 0.9 - drop;
    if (!classes) m.score.agreement.reset();
    return m;
  }

  Units units(const std::string& variant, double) override {
    Sensitivity found;
    for (size_t i = 0; i < layers.size(); ++i) {
      LayerCost layer;
      layer.name = name(i);
      layer.score.relative_error = layers[i].loss * factor.at(variant);
      layer.float_ms = layers[i].extra_ms + 1;
      layer.int8_ms = 1;
      found.layers.push_back(layer);
    }
    found.left = units_left;
    return units_of(found);
  }

  std::optional<std::string> qat_missing() override { return missing; }
  bool known(const Recipe&) const override { return false; }
  bool units_known(const std::string&) const override { return false; }
  double seconds() const override { return clock; }
  static std::string name(size_t i) { return fmt::format("layer{}", i); }
};

const Trial& chosen(const Outcome& outcome) { return outcome.trials.at(outcome.chosen.value()); }

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Front, IsWhatNoPointBeats) {
  const std::vector<Tradeoff> points = {{0, 10}, {1, 5}, {1, 6}, {2, 5}, {3, 1}, {3, 1}};
  EXPECT_THAT(on_front(points), ElementsAre(true, true, false, false, true, true));
}

TEST(Units, StandInTheOrderOfLossByTimeWithTheirFusedLayers) {
  Sensitivity found;
  const auto add = [&](const char* name, double loss, double float_ms, double int8_ms, const char* into) {
    LayerCost layer;
    layer.name = name;
    layer.score.relative_error = loss;
    layer.float_ms = float_ms;
    if (int8_ms > 0) layer.int8_ms = int8_ms;
    layer.fused_into = into;
    found.layers.push_back(layer);
  };
  add("dear", 0.9, 10, 1, "");  // 0.1 a ms
  add("good", 0.4, 2, 1, "");   // 0.4 a ms
  add("add", 0.5, 1, 0, "good");
  add("slow", 0.01, 1, 2, "");  // faster in float: first of all
  add("slower", 0.02, 1, 1, "");
  const std::vector<Unit> units = units_of(found).units;
  ASSERT_EQ(units.size(), 4u);
  EXPECT_THAT(units[0].layers, ElementsAre("slower"));
  EXPECT_THAT(units[1].layers, ElementsAre("slow"));
  EXPECT_THAT(units[2].layers, ElementsAre("add", "good"));
  EXPECT_DOUBLE_EQ(units[2].loss, 0.9);
  EXPECT_DOUBLE_EQ(units[2].extra_ms, 2);
  EXPECT_THAT(layers_of(units, 3), ElementsAre("add", "good", "slow", "slower"));
}

TEST(Search, StopsAtTheFirstVariantThatIsGoodEnough) {
  FakeWorkshop shop;
  const Outcome outcome = search(shop, {.max_drop = 0.05});
  EXPECT_THAT(shop.made, ElementsAre("float  0", "ptq max 0"));
  EXPECT_EQ(chosen(outcome).name, "ptq max");
  EXPECT_EQ(chosen(outcome).verdict, "chosen");
  EXPECT_EQ(
      outcome.sentence,
      "ptq max loses 4.10 points of top-1 (5.00 allowed, 1000 samples) and is 1.67 times as fast as float");
}

TEST(Search, TriesVariantsInTheirOrderUntilOneHolds) {
  FakeWorkshop shop;
  const Outcome outcome = search(shop, {.max_drop = 0.035});
  EXPECT_EQ(chosen(outcome).name, "ptq mse");
  EXPECT_EQ(outcome.trials[1].verdict, "loses too much");
  EXPECT_TRUE(outcome.trials[2].front);
  EXPECT_FALSE(outcome.trials[1].front);  // as fast, and loses more
}

TEST(Search, TriesTablesOfActivationsOnWhatIsGoodEnough) {
  FakeWorkshop shop;
  shop.tables_gain = 2;
  const Outcome afforded = search(shop, {.max_drop = 0.05});
  EXPECT_THAT(shop.made, ElementsAre("float  0", "ptq max 0", "ptq max + activation tables 0"));
  EXPECT_EQ(chosen(afforded).name, "ptq max + activation tables");
  shop.tables_loss = 2;  // 0.082
  EXPECT_EQ(chosen(search(shop, {.max_drop = 0.05})).name, "ptq max");
  shop.tables_loss = 1.1;
  shop.tables_gain = -1;  // slower
  EXPECT_EQ(chosen(search(shop, {.max_drop = 0.05})).name, "ptq max");
  shop.made.clear();
  search(shop, {.max_drop = 0.001});
  EXPECT_THAT(shop.made, testing::Not(testing::Contains(HasSubstr("tables"))));  // nothing to spare
}

TEST(Search, LeavesIntegersWhereThatSavesMostForItsTime) {
  FakeWorkshop shop;
  const Outcome outcome = search(shop, {.max_drop = 0.01, .give_up = 0.3});
  EXPECT_EQ(chosen(outcome).name, "mixed 1 of 4 float");
  EXPECT_THAT(chosen(outcome).recipe.floats, ElementsAre("layer1"));
  EXPECT_EQ(chosen(outcome).recipe.variant, "mse");  // the one that loses least
  EXPECT_NEAR(chosen(outcome).drop, 0.0088, 1e-9);
  EXPECT_EQ(shop.made.back(), "mixed mse 1");  // nothing trained: a quarter of the saving is not too much
}

TEST(Search, BisectsToTheFewestUnits) {
  FakeWorkshop shop;
  shop.layers.clear();
  for (int i = 0; i < 20; ++i) shop.layers.push_back({0.001 * (i + 1), 0.2});  // 0.21 in all, 0.168 of mse
  shop.missing = "no trainer";
  const Outcome outcome = search(shop, {.max_drop = 0.0361, .returns = 0});
  // 0.8 of the losses of units 1 to n: 0.0364 for 13 left (1 ... 9 give 0.036).
  EXPECT_EQ(chosen(outcome).name, "mixed 11 of 20 float");
  std::vector<std::string> mixed;
  for (const Trial& t : outcome.trials) {
    if (t.recipe.stage == Stage::Mixed) mixed.push_back(t.name.substr(6, 2));
  }
  EXPECT_THAT(mixed, ElementsAre("1 ", "2 ", "4 ", "8 ", "16", "12", "10", "11"));
}

TEST(Search, GivesUnitsBackThatTheDropCanBear) {
  FakeWorkshop shop;
  // By loss for its time: the small cheap one first, then the one that matters, which is enough alone.
  shop.layers = {{0.010, 0.1}, {0.040, 2}, {0.001, 3}};
  shop.missing = "no trainer";
  const Outcome outcome = search(shop, {.max_drop = 0.009});
  EXPECT_THAT(chosen(outcome).recipe.floats, ElementsAre("layer1"));
  // 1 and 2 units, then one of the two; the other one alone was the first that was tried.
  EXPECT_THAT(std::vector<std::string>(shop.made.begin() + 3, shop.made.end()),
              ElementsAre("mixed mse 1", "mixed mse 2", "mixed mse 1"));
}

TEST(Search, TrainsWhereMixedPrecisionGivesUpTooMuch) {
  FakeWorkshop shop;
  const Outcome outcome = search(shop, {.max_drop = 0.01, .give_up = 0.2});
  EXPECT_EQ(shop.made.back(), "qat mse 0");
  EXPECT_EQ(chosen(outcome).name, "qat");
  bool seen = false;
  for (const Trial& t : outcome.trials) {
    if (t.recipe.stage != Stage::Mixed) continue;
    seen = true;
    EXPECT_EQ(t.verdict, "slower than the chosen one");
  }
  EXPECT_TRUE(seen);
}

TEST(Search, KeepsTheMixedModelWhereTrainingDoesNotHelp) {
  FakeWorkshop shop;
  shop.qat_drop = 0.02;
  EXPECT_EQ(chosen(search(shop, {.max_drop = 0.01, .give_up = 0})).recipe.stage, Stage::Mixed);
  FakeWorkshop bare;
  bare.missing = "the training plug-in is not here";
  const Outcome outcome = search(bare, {.max_drop = 0.01, .give_up = 0});
  EXPECT_EQ(chosen(outcome).recipe.stage, Stage::Mixed);
  ASSERT_EQ(outcome.skipped.size(), 1u);
  EXPECT_EQ(outcome.skipped[0].what, "qat");
  EXPECT_EQ(outcome.skipped[0].why, "the training plug-in is not here");
}

TEST(Search, SaysWhatWasBestWhenNothingIsGoodEnough) {
  FakeWorkshop shop;
  const Outcome outcome = search(shop, {.max_drop = 0.001, .mixed = false, .qat = false});
  EXPECT_FALSE(outcome.chosen.has_value());
  EXPECT_EQ(outcome.trials.at(outcome.best.value()).name, "ptq mse");
  EXPECT_EQ(outcome.sentence,
            "nothing faster than float loses at most 0.10 points of top-1: the best, ptq mse, loses 3.28 "
            "points and is 1.67 times as fast; allow --max-drop 3.28, give more images of the kind that the "
            "model will see, or add --keep-best to write the best");
  // What the sentence proposes is enough.
  EXPECT_TRUE(search(shop, {.max_drop = 0.0328}).chosen.has_value());
}

TEST(Search, NeverTakesWhatIsSlowerThanFloat) {
  FakeWorkshop shop;
  shop.overhead_ms = 5;
  const Outcome outcome = search(shop, {.max_drop = 0.05});
  EXPECT_EQ(outcome.chosen, 0u);
  EXPECT_EQ(outcome.sentence,
            "the float model stays as it is: no INT8 model was faster than it on this machine");
  EXPECT_EQ(outcome.trials[1].verdict, "not faster than float");
  EXPECT_EQ(outcome.trials[0].verdict, "chosen");

  // Too slow only because of layers that are faster in float.
  FakeWorkshop half;
  half.layers = {{0.001, 2}, {0.001, -3}};
  const Outcome better = search(half, {.max_drop = 0.05});
  EXPECT_THAT(chosen(better).recipe.floats, ElementsAre("layer1"));

  // What is good is slow, what is fast is bad: the drop cannot be met.
  FakeWorkshop torn;
  torn.layers = {{0.10, 6}, {0.001, 0.5}};
  torn.overhead_ms = 5;
  torn.missing = "no trainer";
  const Outcome none = search(torn, {.max_drop = 0.01});
  EXPECT_FALSE(none.chosen.has_value());
  EXPECT_THAT(none.sentence, HasSubstr("nothing faster than float loses at most 1.00 points"));
}

TEST(Search, CountsAgreementWithoutLabelsOrWhenAsked) {
  FakeWorkshop shop;
  shop.labels = false;
  const Outcome outcome = search(shop, {.max_drop = 0.05});
  EXPECT_EQ(outcome.by, By::Agreement);
  EXPECT_NEAR(chosen(outcome).drop, 0.041, 1e-9);
  EXPECT_THAT(refusal([&] { search(shop, {.by = By::Top1}); }),
              HasSubstr("have no labels that fit the model"));
  shop.labels = true;
  EXPECT_EQ(search(shop, {.max_drop = 0.05}).by, By::Top1);
  EXPECT_EQ(search(shop, {.max_drop = 0.05, .by = By::Agreement}).by, By::Agreement);
  shop.classes = false;
  EXPECT_EQ(refusal([&] { search(shop, {}); }),
            "auto compares classifiers, and output 0 of the model holds no classes");
}

TEST(Search, EndsWithItsBudgetAndKeepsWhatItHas) {
  FakeWorkshop shop;
  const Outcome cut = search(shop, {.max_drop = 0.01, .budget_seconds = 1.5});
  EXPECT_TRUE(cut.out_of_time);
  EXPECT_FALSE(cut.chosen.has_value());
  EXPECT_THAT(shop.made, ElementsAre("float  0", "ptq max 0"));
  EXPECT_EQ(cut.skipped.at(0).what, "ptq mse");
  EXPECT_THAT(cut.sentence, HasSubstr("the budget ended the search: go on with --resume"));

  FakeWorkshop longer;
  longer.qat_drop = 0;
  const Outcome found = search(longer, {.max_drop = 0.01, .give_up = 0, .budget_seconds = 4});
  EXPECT_TRUE(found.out_of_time);  // before the training
  EXPECT_EQ(chosen(found).recipe.stage, Stage::Mixed);
  EXPECT_EQ(found.skipped.back().what, "qat");

  FakeWorkshop few;
  few.units_left = 3;
  const Outcome some = search(few, {.max_drop = 0.01, .give_up = 1, .budget_seconds = 100});
  EXPECT_EQ(some.skipped.at(0).what, "mixed precision: 3 layers");
}

TEST(Search, SkipsWhatFailsAndFailsWhereAllDo) {
  FakeWorkshop shop;
  shop.failing["ptq max"] = "tensor 'x' holds NaN";
  shop.failing["qat mse"] = "training diverged";
  const Outcome outcome = search(shop, {.max_drop = 0.0001});
  ASSERT_EQ(outcome.skipped.size(), 2u);
  EXPECT_EQ(outcome.skipped[0].what, "ptq max");
  EXPECT_EQ(outcome.skipped[0].why, "tensor 'x' holds NaN");
  EXPECT_EQ(outcome.skipped[1].why, "training diverged");
  shop.failing["ptq mse"] = "nothing to quantize";
  EXPECT_EQ(refusal([&] { search(shop, {}); }), "tensor 'x' holds NaN");
}

class StateTest : public testing::Test {
 protected:
  ~StateTest() override { std::filesystem::remove(path_); }
  std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) / ("kvant_auto_" + std::to_string(::getpid()));
};

TEST_F(StateTest, AResumedSearchMeasuresNothingTwiceAndDecidesAlike) {
  FakeWorkshop shop;
  const SearchOptions options{.max_drop = 0.01, .give_up = 0};
  SearchOptions cut = options;
  cut.budget_seconds = 2.5;
  {
    SearchState state(path_, "f", false);
    RememberingWorkshop remembering(shop, state);
    EXPECT_TRUE(search(remembering, cut).out_of_time);
  }
  const std::vector<std::string> first = shop.made;
  shop.made.clear();
  shop.clock = 0;
  SearchState state(path_, "f", true);
  RememberingWorkshop remembering(shop, state);
  const Outcome resumed = search(remembering, options);
  for (const std::string& name : first) EXPECT_EQ(std::ranges::count(shop.made, name), 0) << name;

  FakeWorkshop fresh;
  const Outcome whole = search(fresh, options);
  ASSERT_EQ(resumed.trials.size(), whole.trials.size());
  for (size_t i = 0; i < whole.trials.size(); ++i) {
    EXPECT_EQ(resumed.trials[i].name, whole.trials[i].name);
    EXPECT_EQ(resumed.trials[i].measured.ms, whole.trials[i].measured.ms);
    EXPECT_EQ(resumed.trials[i].verdict, whole.trials[i].verdict);
  }
  // Times come from the file: another machine's would lead elsewhere. Even without time left.
  shop.made.clear();
  shop.overhead_ms = 50;
  shop.clock = 1e6;
  SearchState again(path_, "f", true);
  RememberingWorkshop third(shop, again);
  EXPECT_EQ(search(third, cut).chosen, whole.chosen);
  EXPECT_TRUE(shop.made.empty());
}

TEST_F(StateTest, RefusesOtherSearchesAndDamagedFiles) {
  { SearchState(path_, "f", false).set_number("epochs", 3); }
  EXPECT_EQ(*SearchState(path_, "f", true).number("epochs"), 3);
  EXPECT_EQ(SearchState(path_, "f", false).number("epochs"), nullptr);
  EXPECT_THAT(refusal([&] { SearchState(path_, "g", true); }),
              HasSubstr("is of a search with another model, other data or other options"));
  write_text(path_, "[]");
  EXPECT_THAT(refusal([&] { SearchState(path_, "f", true); }), HasSubstr("holds no search to go on from"));
  write_text(path_, R"({"format": "kvant-auto", "fingerprint": "f", "measured": {"float": {}}})");
  EXPECT_THAT(refusal([&] { SearchState(path_, "f", true); }), HasSubstr("is damaged"));
}

}  // namespace
}  // namespace kvant::choose
