// SPDX-License-Identifier: Apache-2.0
#include "choose/search_state.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "choose/score_json.h"

namespace kvant::choose {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Measured& m) {
  return {{"score", json_of(m.score)}, {"float_ms", m.float_ms}, {"ms", m.ms}, {"seconds", m.seconds}};
}

Measured measured_of(const Json& json) {
  return {.score = score_of(json.at("score")),
          .float_ms = json.at("float_ms").get<double>(),
          .ms = json.at("ms").get<double>(),
          .seconds = json.at("seconds").get<double>()};
}

Json json_of(const std::vector<Unit>& units) {
  Json list = Json::array();
  for (const Unit& unit : units)
    list.push_back({{"layers", unit.layers}, {"loss", unit.loss}, {"extra_ms", unit.extra_ms}});
  return list;
}

std::vector<Unit> units_of(const Json& json) {
  std::vector<Unit> units;
  for (const Json& entry : json) {
    units.push_back({.layers = entry.at("layers").get<std::vector<std::string>>(),
                     .loss = entry.at("loss").get<double>(),
                     .extra_ms = entry.at("extra_ms").get<double>()});
  }
  return units;
}

template <class Map>
auto* find(const Map& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

SearchState::SearchState(std::filesystem::path path, std::string fingerprint, bool resume)
    : path_(std::move(path)), fingerprint_(std::move(fingerprint)) {
  if (!path_.empty() && resume && std::filesystem::exists(path_)) read();
}

void SearchState::read() {
  const Json json = Json::parse(read_text(path_), nullptr, false);
  if (json.is_discarded() || !json.is_object() || json.value("format", "") != "kvant-auto")
    fail("{} holds no search to go on from: leave out --resume, or remove it", path_.string());
  if (json.value("fingerprint", "") != fingerprint_) {
    fail(
        "{} is of a search with another model, other data or other options: leave out --resume to start anew",
        path_.string());
  }
  try {
    for (const auto& [key, value] : json.at("measured").items()) measured_[key] = measured_of(value);
    for (const auto& [key, value] : json.at("units").items()) units_[key] = units_of(value);
    for (const auto& [key, value] : json.at("numbers").items()) numbers_[key] = value.get<double>();
  } catch (const Json::exception& error) {
    fail("{} is damaged ({}): leave out --resume", path_.string(), error.what());
  }
}

void SearchState::write() const {
  if (path_.empty()) return;
  Json json = {{"format", "kvant-auto"},
               {"fingerprint", fingerprint_},
               {"measured", Json::object()},
               {"units", Json::object()},
               {"numbers", Json::object()}};
  for (const auto& [key, value] : measured_) json["measured"][key] = json_of(value);
  for (const auto& [key, value] : units_) json["units"][key] = json_of(value);
  for (const auto& [key, value] : numbers_) json["numbers"][key] = value;
  write_text(path_, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

const Measured* SearchState::measured(const std::string& key) const { return find(measured_, key); }
const std::vector<Unit>* SearchState::units(const std::string& variant) const {
  return find(units_, variant);
}
const double* SearchState::number(const std::string& name) const { return find(numbers_, name); }

void SearchState::set_measured(const std::string& key, const Measured& measured) {
  measured_[key] = measured;
  write();
}

void SearchState::set_units(const std::string& variant, const std::vector<Unit>& units) {
  units_[variant] = units;
  write();
}

void SearchState::set_number(const std::string& name, double value) {
  numbers_[name] = value;
  write();
}

Measured RememberingWorkshop::measure(const Recipe& recipe, double seconds_left) {
  if (const Measured* known = state_.measured(recipe.key())) return *known;
  const Measured measured = workshop_.measure(recipe, seconds_left);
  state_.set_measured(recipe.key(), measured);
  return measured;
}

Units RememberingWorkshop::units(const std::string& variant, double seconds_left) {
  if (const std::vector<Unit>* known = state_.units(variant)) return {.units = *known, .left = 0};
  Units found = workshop_.units(variant, seconds_left);
  if (found.left == 0) state_.set_units(variant, found.units);
  return found;
}

std::optional<std::string> RememberingWorkshop::qat_missing() { return workshop_.qat_missing(); }

bool RememberingWorkshop::known(const Recipe& recipe) const {
  return state_.measured(recipe.key()) != nullptr || workshop_.known(recipe);
}

bool RememberingWorkshop::units_known(const std::string& variant) const {
  return state_.units(variant) != nullptr || workshop_.units_known(variant);
}

}  // namespace kvant::choose
