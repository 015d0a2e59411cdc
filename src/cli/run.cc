// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/model_file.h"
#include "data/npy.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

// "x.npy", "name=x.npy" or "all.npz" (arrays by input name).
void read_input(const std::string& argument, data::NamedTensors& given) {
  const size_t equals = argument.find('=');
  const std::string name = equals == std::string::npos ? "" : argument.substr(0, equals);
  const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
  if (path.ends_with(".npz")) {
    for (auto& entry : data::read_npz(path)) given.push_back(std::move(entry));
  } else {
    given.emplace_back(name, data::read_npy(path));
  }
}

// In the model's order: by name, unnamed ones in the order given.
std::vector<Tensor> arrange(const ir::Graph& graph, size_t count, data::NamedTensors given) {
  std::vector<Tensor> inputs(count);
  std::vector<char> filled(count, 0);
  for (auto& [name, tensor] : given) {
    size_t slot = count;
    for (size_t i = 0; i < count && slot == count; ++i) {
      const bool fits = name.empty() ? !filled[i] : graph.value(graph.inputs()[i]).name == name;
      if (fits) slot = i;
    }
    if (slot == count && name.empty()) fail("more inputs are given than the model takes ({})", count);
    if (slot == count) fail("the model has no input '{}'", name);
    inputs[slot] = std::move(tensor);
    filled[slot] = 1;
  }
  for (size_t i = 0; i < count; ++i) {
    if (!filled[i])
      fail("input '{}' is missing: give --input {}=FILE.npy", graph.value(graph.inputs()[i]).name,
           graph.value(graph.inputs()[i]).name);
  }
  return inputs;
}

Result run_once(const Flags& flags, Progress&) {
  require_writable(flags.path("output"));
  const ModelFile model = read_model(flags.path("MODEL"));
  const ir::Graph& graph = model.network();
  const size_t count = model.input_count();
  data::NamedTensors given;
  for (const std::string& argument : flags.texts("input")) read_input(argument, given);
  const std::vector<Tensor> inputs = arrange(graph, count, std::move(given));
  const int64_t batch = inputs.empty() || inputs[0].rank() == 0 ? 1 : inputs[0].dim(0);
  const backends::DeviceBackends device = device_of(flags, model);
  const LoadedModel loaded = load_runner(model, {.runner = flags.text("runner"),
                                                 .batch = batch,
                                                 .threads = threads_of(flags),
                                                 .spin = !flags.on("no-spin"),
                                                 .backends = device.list()});
  const std::vector<Tensor> outputs = loaded.runner->run(inputs);
  data::NamedTensors named;
  Result result;
  result.json = {{"output", flags.text("output")}, {"outputs", Json::array()}};
  report::Table table({"output", "type", "shape"});
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string& name = graph.value(graph.outputs()[i]).name;
    named.emplace_back(name, outputs[i]);
    result.json["outputs"].push_back(
        {{"name", name}, {"dtype", kvant::name(outputs[i].dtype())}, {"shape", outputs[i].shape()}});
    table.add({name, std::string(kvant::name(outputs[i].dtype())), to_string(outputs[i].shape())});
  }
  data::write_npz(flags.path("output"), named);
  result.text = table.text();
  return result;
}

}  // namespace

Command run() {
  return {
      .name = "run",
      .summary = "run a model, QDQ model or plan once on arrays from files",
      .example = "model.plan --input x.npy -o out.npz",
      .flags = {{.name = "MODEL", .value = "", .help = "ONNX file or plan", .required = true},
                {.name = "input",
                 .value = "[NAME=]FILE",
                 .help = ".npy for one input, .npz with arrays by input name",
                 .required = true,
                 .many = true},
                {.name = "output", .value = "FILE", .help = ".npz to write", .required = true, .letter = "o"},
                runner_flag(),
                no_spin_flag()},
      .run = run_once,
      .any_device = true};
}

}  // namespace kvant::cli
