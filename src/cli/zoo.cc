// SPDX-License-Identifier: Apache-2.0
#include "zoo/zoo.h"

#include "base/file.h"
#include "cli/command.h"
#include "formats/model.h"
#include "ir/statistics.h"
#include "report/table.h"

namespace kvant::cli {
namespace {

Result list() {
  Result result;
  result.json["networks"] = Json::array();
  report::Table table({"name", "input", "classes", "what it is"},
                      {report::Align::Left, report::Align::Left, report::Align::Right});
  for (const zoo::Network& network : zoo::networks()) {
    const std::string input = to_string({network.channels, network.height, network.width});
    result.json["networks"].push_back({{"name", network.name},
                                       {"input", input},
                                       {"classes", network.classes},
                                       {"summary", network.summary}});
    table.add(
        {std::string(network.name), input, std::to_string(network.classes), std::string(network.summary)});
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

Result create(const Flags& flags) {
  if (!flags.given("NAME"))
    throw UsageError("zoo create needs the network's name; kvant zoo list shows them");
  if (!flags.given("output")) throw UsageError("zoo create needs -o FILE.onnx");
  require_writable(flags.path("output"));
  zoo::Options options{.classes = 0,
                       .input = input_of(flags),
                       .seed = static_cast<uint64_t>(flags.integer("seed", 0, INT64_MAX))};
  if (flags.given("classes")) options.classes = flags.integer("classes", 1, 1'000'000);
  const ir::Graph graph = zoo::create(flags.text("NAME"), options);
  formats::write(graph, flags.path("output"));
  Result result;
  const int64_t parameters = ir::count_parameters(graph);
  result.json = {{"output", flags.text("output")}, {"parameters", parameters}};
  result.text = fmt::format("{}: {} parameters\n", flags.text("output"), parameters);
  return result;
}

}  // namespace

Command zoo() {
  return {.name = "zoo",
          .summary = "list the reference networks, or create one with random weights",
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
                    {.name = "input", .value = "CxHxW", .help = "input size (default: the network's)"}},
          .run = [](const Flags& flags, Progress&) {
            return flags.text("ACTION") == "list" ? list() : create(flags);
          }};
}

}  // namespace kvant::cli
