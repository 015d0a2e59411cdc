// SPDX-License-Identifier: Apache-2.0
// What a search has measured, in a file, so that it goes on where it was cut off and decides alike: times are
// remembered, too.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "choose/workshop.h"

namespace kvant::choose {

class SearchState {
 public:
  // An empty path keeps everything in memory. With `resume` the file is read, if there is one; it fails when
  // that is damaged or has another fingerprint. Without, a file that is there is written anew.
  SearchState(std::filesystem::path path, std::string fingerprint, bool resume);

  const Measured* measured(const std::string& key) const;  // nullptr when not measured yet
  const std::vector<Unit>* units(const std::string& variant) const;
  const double* number(const std::string& name) const;
  // Each keeps its value; the file appears whole or not at all.
  void set_measured(const std::string& key, const Measured& measured);
  void set_units(const std::string& variant, const std::vector<Unit>& units);
  void set_number(const std::string& name, double value);

 private:
  void read();
  void write() const;
  std::filesystem::path path_;
  std::string fingerprint_;
  std::map<std::string, Measured> measured_;
  std::map<std::string, std::vector<Unit>> units_;
  std::map<std::string, double> numbers_;
};

// A workshop that does nothing twice.
class RememberingWorkshop final : public Workshop {
 public:
  // Both must outlive it.
  RememberingWorkshop(Workshop& workshop, SearchState& state) : workshop_(workshop), state_(state) {}
  std::vector<std::string> variants() const override { return workshop_.variants(); }
  std::optional<std::string> with_tables(const std::string& variant) override {
    return workshop_.with_tables(variant);
  }
  Measured measure(const Recipe& recipe, double seconds_left) override;
  // Units of which some were left out for want of time are measured again.
  Units units(const std::string& variant, double seconds_left) override;
  std::optional<std::string> qat_missing() override;
  bool known(const Recipe& recipe) const override;
  bool units_known(const std::string& variant) const override;
  double seconds() const override { return workshop_.seconds(); }

 private:
  Workshop& workshop_;
  SearchState& state_;
};

}  // namespace kvant::choose
