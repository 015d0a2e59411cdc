// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/draft.h"

namespace kvant::formats {

// Constant nodes are constants of the graph.
void constant_to_tensor(Draft& node, Importing&) {
  const ir::Attributes& attributes = node.attributes;
  if (const Tensor* value = attributes.tensor("value")) {
    node.constant = *value;
  } else if (attributes.has("value_float")) {
    node.constant = Tensor::scalar(attributes.real("value_float", 0));
  } else if (attributes.has("value_floats")) {
    node.constant = Tensor::vector(attributes.reals("value_floats"));
  } else if (attributes.has("value_int")) {
    node.constant = Tensor::scalar(attributes.integer("value_int", 0));
  } else if (attributes.has("value_ints")) {
    node.constant = Tensor::vector(attributes.integers("value_ints"));
  } else if (attributes.has("value_string") || attributes.has("value_strings")) {
    fail("Constant '{}' holds strings, which kvant does not support", node.name);
  } else {
    fail("Constant '{}' has no value", node.name);
  }
}

}  // namespace kvant::formats
