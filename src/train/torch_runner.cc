// SPDX-License-Identifier: Apache-2.0
#include "train/torch_runner.h"

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::train {

TorchRunner::TorchRunner(const ir::Graph& graph, int threads) : graph_(graph), plugin_(plugin(threads)) {
  build();
}

void TorchRunner::build() {
  ProgramOptions options;
  for (const std::string& name : watched_) {
    const ir::ValueId value = graph_.find_value(name);
    if (value == ir::kNone) {
      std::vector<std::string> known;
      for (size_t i = 0; i < graph_.value_capacity(); ++i) {
        if (!graph_.value(static_cast<ir::ValueId>(i)).erased)
          known.push_back(graph_.value(static_cast<ir::ValueId>(i)).name);
      }
      fail("the graph has no tensor '{}'{}", name, nearest_hint(name, known));
    }
    options.extra_outputs.push_back(value);
  }
  const Program program(graph_, options, *plugin_.api);
  kvant_train_settings settings{};
  settings.channels_last = 1;
  session_ = std::make_unique<Session>(plugin_, program, settings);
}

void TorchRunner::watch(std::vector<std::string> names) {
  watched_ = std::move(names);
  build();
}

std::vector<Tensor> TorchRunner::run(std::span<const Tensor> inputs, const Observer& observer) {
  std::vector<Tensor> outputs = session_->forward(inputs);
  const size_t own = graph_.outputs().size();
  for (size_t i = 0; observer && i < watched_.size(); ++i) observer(watched_[i], outputs[own + i]);
  outputs.resize(own);
  return outputs;
}

std::vector<double> TorchRunner::bench(std::span<const Tensor> inputs, int iterations, int warmup) {
  return session_->bench(inputs, warmup, iterations);
}

}  // namespace kvant::train
