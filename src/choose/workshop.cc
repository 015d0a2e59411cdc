// SPDX-License-Identifier: Apache-2.0
#include "choose/workshop.h"

namespace kvant::choose {

std::string name_of(Stage stage) {
  switch (stage) {
    case Stage::Float:
      return "float";
    case Stage::Ptq:
      return "ptq";
    case Stage::Mixed:
      return "mixed";
    case Stage::Qat:
      return "qat";
  }
  return "";
}

std::string Recipe::key() const {
  std::string key = name_of(stage);
  if (stage != Stage::Float) key += " " + variant;
  for (const std::string& layer : floats) key += "\n" + layer;
  return key;
}

}  // namespace kvant::choose
