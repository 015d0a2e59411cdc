// SPDX-License-Identifier: Apache-2.0
#include "zoo/foreign_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace kvant::zoo {
namespace {

struct Replacement {
  std::string_view from, to;
};
using Replacements = std::vector<Replacement>;

// Each applied everywhere, one after the other.
std::string replaced(std::string text, const Replacements& replacements) {
  for (const auto& [from, to] : replacements) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

// What every state_dict has in common: dots, and the names of a normalization's tensors.
std::string dotted(std::string name) {
  std::replace(name.begin(), name.end(), '/', '.');
  const auto end_as = [&](std::string_view ours, std::string_view theirs) {
    if (name.ends_with(ours)) name.replace(name.size() - ours.size(), ours.size(), theirs);
  };
  end_as(".scale", ".weight");
  end_as(".mean", ".running_mean");
  end_as(".var", ".running_var");
  return name;
}

// torchvision numbers the layers of a block; the first block has no expansion, so its numbers are lower.
std::string torchvision_mobilenet_v2(const std::string& name) {
  const bool first = name.starts_with("features/1/");
  const Replacements block{{"/expand/conv/", "/conv/0/0/"},
                           {"/expand/bn/", "/conv/0/1/"},
                           {"/depthwise/conv/", first ? "/conv/0/0/" : "/conv/1/0/"},
                           {"/depthwise/bn/", first ? "/conv/0/1/" : "/conv/1/1/"},
                           {"/project/conv/", first ? "/conv/1/" : "/conv/2/"},
                           {"/project/bn/", first ? "/conv/2/" : "/conv/3/"}};
  if (name.starts_with("fc/")) return replaced(name, {{"fc/", "classifier/1/"}});
  if (const std::string inside = replaced(name, block); inside != name) return inside;
  return replaced(name, {{"/conv/", "/0/"}, {"/bn/", "/1/"}});
}

// efficientnet_lite_pytorch: "_blocks.3._expand_conv.weight".
std::string underscored_efficientnet(const std::string& name) {
  return replaced(name, {{"stem/conv/", "_conv_stem/"},
                         {"stem/bn/", "_bn0/"},
                         {"top/conv/", "_conv_head/"},
                         {"top/bn/", "_bn1/"},
                         {"fc/", "_fc/"},
                         {"blocks/", "_blocks/"},
                         {"expand/conv/", "_expand_conv/"},
                         {"expand/bn/", "_bn0/"},
                         {"depthwise/conv/", "_depthwise_conv/"},
                         {"depthwise/bn/", "_bn1/"},
                         {"project/conv/", "_project_conv/"},
                         {"project/bn/", "_bn2/"}});
}

// timm counts blocks by stage, and calls the projection of the block without an expansion otherwise.
std::string timm_efficientnet(std::string name) {
  constexpr int kBlocksOfStage[] = {1, 2, 2, 3, 3, 4, 1};
  if (name.starts_with("blocks/0/")) {
    name =
        replaced(name, {{"project/conv/", "conv_pw/"}, {"project/bn/", "bn2/"}, {"depthwise/bn/", "bn1/"}});
  }
  int index = 0;
  for (int stage = 0; stage < static_cast<int>(std::size(kBlocksOfStage)); ++stage) {
    for (int block = 0; block < kBlocksOfStage[stage]; ++block, ++index) {
      const std::string ours = fmt::format("blocks/{}/", index);
      if (!name.starts_with(ours)) continue;
      name.replace(0, ours.size(), fmt::format("blocks/{}/{}/", stage, block));
      stage = static_cast<int>(std::size(kBlocksOfStage)) - 1;
      break;
    }
  }
  return replaced(name, {{"stem/conv/", "conv_stem/"},
                         {"stem/bn/", "bn1/"},
                         {"top/conv/", "conv_head/"},
                         {"top/bn/", "bn2/"},
                         {"fc/", "classifier/"},
                         {"expand/conv/", "conv_pw/"},
                         {"expand/bn/", "bn1/"},
                         {"depthwise/conv/", "conv_dw/"},
                         {"depthwise/bn/", "bn2/"},
                         {"project/conv/", "conv_pwl/"},
                         {"project/bn/", "bn3/"}});
}

}  // namespace

bool has_keras_names(std::string_view network) {
  return network.starts_with("keras-") || network.starts_with("tf-");
}

std::vector<std::string> state_dict_names(std::string_view network, std::string_view name) {
  const std::string ours(name);
  if (network == "mobilenet-v2") return {dotted(torchvision_mobilenet_v2(ours))};
  if (network == "efficientnet-lite0") {
    return {dotted(timm_efficientnet(ours)), dotted(underscored_efficientnet(ours))};
  }
  if (network.starts_with("resnet")) {
    const std::string numbered = replaced(ours, {{"/downsample/conv/", "/downsample/0/"},
                                                 {"/downsample/bn/", "/downsample/1/"},
                                                 {"/shortcut/conv/", "/shortcut/0/"},
                                                 {"/shortcut/bn/", "/shortcut/1/"}});
    if (ours.starts_with("fc/")) return {dotted(ours), dotted(replaced(ours, {{"fc/", "linear/"}}))};
    return {dotted(numbered)};
  }
  return {dotted(ours)};
}

std::vector<std::string> keras_names(std::string_view name, bool depthwise) {
  const size_t slash = name.rfind('/');
  if (slash == std::string_view::npos) return {};
  const std::string layer(name.substr(0, slash + 1));
  const std::string_view leaf = name.substr(slash + 1);
  if (leaf == "weight")
    return depthwise ? std::vector{layer + "depthwise_kernel"} : std::vector{layer + "kernel"};
  if (leaf == "scale") return {layer + "gamma"};
  if (leaf == "var") return {layer + "moving_variance"};
  if (leaf == "deviation") return {layer + "variance"};
  if (leaf == "mean") return {layer + "moving_mean", layer + "mean"};
  if (leaf == "bias") return {layer + "bias", layer + "beta"};
  return {};
}

}  // namespace kvant::zoo
