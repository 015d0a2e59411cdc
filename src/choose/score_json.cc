// SPDX-License-Identifier: Apache-2.0
#include "choose/score_json.h"

namespace kvant::choose {

nlohmann::ordered_json json_of(const Score& score) {
  nlohmann::ordered_json json = {{"samples", score.samples}, {"relative_error", score.relative_error}};
  if (score.top1) json["top1"] = *score.top1;
  if (score.agreement) json["agreement"] = *score.agreement;
  return json;
}

Score score_of(const nlohmann::ordered_json& json) {
  Score score;
  score.samples = json.at("samples").get<int64_t>();
  score.relative_error = json.at("relative_error").get<double>();
  if (json.contains("top1")) score.top1 = json.at("top1").get<double>();
  if (json.contains("agreement")) score.agreement = json.at("agreement").get<double>();
  return score;
}

}  // namespace kvant::choose
