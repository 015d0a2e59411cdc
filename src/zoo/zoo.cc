// SPDX-License-Identifier: Apache-2.0
#include "zoo/zoo.h"

#include <algorithm>
#include <vector>

#include "base/nearest.h"
#include "zoo/builder.h"

namespace kvant::zoo {

#define KVANT_ENTRY(function, ...) void function(Builder&);
#include "zoo/zoo.inc"
#undef KVANT_ENTRY

namespace {

constexpr Network kNetworks[] = {
#define KVANT_ENTRY(function, name, summary, classes, channels, height, width, preprocess) \
  {name, summary, classes, channels, height, width, preprocess, function},
#include "zoo/zoo.inc"
#undef KVANT_ENTRY
};

constexpr int64_t kMaxClasses = 1'000'000;
constexpr int64_t kMaxDim = 65'536;

}  // namespace

const Network& find(std::string_view name) {
  const auto found = std::find_if(std::begin(kNetworks), std::end(kNetworks),
                                  [&](const Network& network) { return network.name == name; });
  if (found != std::end(kNetworks)) return *found;
  std::vector<std::string> known;
  for (const Network& network : kNetworks) known.emplace_back(network.name);
  fail("the zoo has no network '{}'{}", name, nearest_hint(name, known));
}

std::span<const Network> networks() { return kNetworks; }

ir::Graph create(std::string_view name, const Options& options) {
  const Network& network = find(name);
  const int64_t classes = options.classes == 0 ? network.classes : options.classes;
  if (classes < 1 || classes > kMaxClasses) {
    fail("{} classes: the number must be between 1 and {}", classes, kMaxClasses);
  }
  const Shape input =
      options.input.empty() ? Shape{network.channels, network.height, network.width} : options.input;
  if (input.size() != 3) fail("input {} is not CxHxW (for example 3x32x32)", to_string(input));
  for (const int64_t dim : input) {
    if (dim < 1 || dim > kMaxDim)
      fail("input {}: each dimension must be between 1 and {}", to_string(input), kMaxDim);
  }
  return noting([&] { return fmt::format("while building {} for input {}", name, to_string(input)); },
                [&] {
                  Builder builder(network.name, input, classes, options);
                  network.build(builder);
                  return builder.take();
                });
}

}  // namespace kvant::zoo
