// SPDX-License-Identifier: Apache-2.0
// How other libraries call the tensors of our networks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvant::zoo {

// Whether the network's names are Keras's layers.
bool has_keras_names(std::string_view network);

// Names in a state_dict of the tensor that we call `name` ("layer1/0/bn1/scale"), best known library first.
std::vector<std::string> state_dict_names(std::string_view network, std::string_view name);

// Keras's variable names, without ":0", of the tensor that we call `name`; `depthwise`: it is the weight of a
// depthwise convolution.
std::vector<std::string> keras_names(std::string_view name, bool depthwise);

}  // namespace kvant::zoo
