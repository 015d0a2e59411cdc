// SPDX-License-Identifier: Apache-2.0
#include "zoo/zoo.h"

#include <cmath>

#include "base/file.h"
#include "cli/command.h"
#include "data/npy.h"
#include "data/preprocess.h"
#include "data/safetensors.h"
#include "formats/model.h"
#include "ir/statistics.h"
#include "report/table.h"
#include "zoo/weights.h"

namespace kvant::cli {
namespace {

Result list() {
  Result result;
  result.json["networks"] = Json::array();
  report::Table table({"name", "input", "classes", "parameters", "MMACs", "what it is"},
                      {report::Align::Left, report::Align::Left, report::Align::Right, report::Align::Right,
                       report::Align::Right});
  for (const zoo::Network& network : zoo::networks()) {
    const std::string input = to_string({network.channels, network.height, network.width});
    const ir::Graph graph = zoo::create(network.name, {.random_weights = false});
    const int64_t parameters = ir::count_parameters(graph);
    const int64_t macs = ir::count_macs(graph).value_or(0);
    result.json["networks"].push_back({{"name", network.name},
                                       {"input", input},
                                       {"classes", network.classes},
                                       {"parameters", parameters},
                                       {"macs", macs},
                                       {"preprocess", network.preprocess},
                                       {"summary", network.summary}});
    table.add({std::string(network.name), input, std::to_string(network.classes), std::to_string(parameters),
               fmt::format("{:.1f}", static_cast<double>(macs) * 1e-6), std::string(network.summary)});
  }
  result.text = table.text();
  return result;
}

Shape input_of(const Flags& flags) {
  Shape shape;
  const std::string text = flags.text("input");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('x', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos || part.size() > 9) {
      throw UsageError(fmt::format("--input takes CxHxW, such as 3x224x224; got '{}'", text));
    }
    shape.push_back(std::stoll(part));
    begin = end + 1;
  }
  return shape;
}

data::NamedTensors read_weights(const std::filesystem::path& path) {
  if (path.extension() == ".npz") return data::read_npz(path);
  if (path.extension() == ".safetensors") return data::read_safetensors(path);
  throw UsageError(fmt::format("--weights takes an .npz or .safetensors file; got '{}'", path.string()));
}

// What the published weights were trained with, for the size of this input.
std::string preprocess_of(const zoo::Network& network, const Shape& input) {
  constexpr double kCropShare = 0.875;  // 224 of 256
  data::Preprocess recipe = data::parse_preprocess(network.preprocess);
  recipe.resize = {std::lround(static_cast<double>(std::min(input[1], input[2])) / kCropShare)};
  recipe.crop = {input[1], input[2]};
  return data::to_text(recipe);
}

void load(ir::Graph& graph, const zoo::Network& network, const std::filesystem::path& path, bool partial,
          Result& result) {
  const data::NamedTensors tensors = read_weights(path);
  const zoo::WeightMatch match = noting([&] { return fmt::format("while loading {}", path.string()); },
                                        [&] { return zoo::load_weights(graph, network.name, tensors); });
  if (match.loaded.empty()) {
    fail("{} has no weights for {}: {}", path.string(), network.name, zoo::describe(match));
  }
  if (!match.complete() && !partial) {
    fail("{} does not fit {}: {}; --partial keeps what fits", path.string(), network.name,
         zoo::describe(match));
  }
  noting([&] { return fmt::format("while loading {}", path.string()); },
         [&] { formats::require_finite_weights(graph); });
  result.json["weights"] = {{"loaded", match.loaded.size()},
                            {"missing", match.missing},
                            {"unexpected", match.unexpected},
                            {"wrong_shape", match.wrong_shape}};
  result.text += fmt::format("{} tensors loaded from {}\n", match.loaded.size(), path.string());
  if (!match.complete()) result.text += zoo::describe(match) + "\n";
}

Result create(const Flags& flags) {
  if (!flags.given("NAME"))
    throw UsageError("zoo create needs the network's name; kvant zoo list shows them");
  if (!flags.given("output")) throw UsageError("zoo create needs -o FILE.onnx");
  if (flags.on("partial") && !flags.given("weights")) throw UsageError("--partial goes with --weights FILE");
  require_writable(flags.path("output"));
  const zoo::Network& network = zoo::find(flags.text("NAME"));
  zoo::Options options{.classes = 0,
                       .input = input_of(flags),
                       .seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX))};
  if (flags.given("classes")) options.classes = flags.integer("classes", 1, 1'000'000);
  ir::Graph graph = zoo::create(network.name, options);
  const int64_t parameters = ir::count_parameters(graph);
  Result result;
  result.json = {{"output", flags.text("output")}, {"parameters", parameters}};
  if (flags.given("weights")) {
    load(graph, network, flags.path("weights"), flags.on("partial"), result);
    const Shape input =
        options.input.empty() ? Shape{network.channels, network.height, network.width} : options.input;
    if (!network.preprocess.empty()) {
      graph.metadata[std::string(data::kPreprocessKey)] = preprocess_of(network, input);
    }
  }
  formats::write(graph, flags.path("output"));
  result.text += fmt::format("{}: {} parameters\n", flags.text("output"), parameters);
  return result;
}

}  // namespace

Command zoo() {
  return {.name = "zoo",
          .summary = "list the reference networks, or create one with random or given weights",
          .example = "create resnet8 -o resnet8.onnx --input 1x28x28",
          .flags = {{.name = "ACTION",
                     .value = "",
                     .help = "what to do",
                     .required = true,
                     .choices = {"list", "create"}},
                    {.name = "NAME", .value = "", .help = "network to create"},
                    {.name = "output", .value = "FILE", .help = "float ONNX file to write", .letter = "o"},
                    {.name = "classes",
                     .value = "N",
                     .help = "outputs of the classifier (default: the network's)"},
                    {.name = "input", .value = "CxHxW", .help = "input size (default: the network's)"},
                    {.name = "weights",
                     .value = "FILE",
                     .help = ".npz or .safetensors file of a Keras or PyTorch model, or with our names"},
                    {.name = "partial", .value = "", .help = "keep what fits of the weights"}},
          .run = [](const Flags& flags, Progress&) {
            return flags.text("ACTION") == "list" ? list() : create(flags);
          }};
}

}  // namespace kvant::cli
