// SPDX-License-Identifier: Apache-2.0
#include "cli/classify.h"
#include "cli/data_flags.h"

namespace kvant::cli {
namespace {

Result run(const Flags& flags, Progress& progress) {
  const ModelFile model = read_model(flags.path("MODEL"));
  Result result;
  const data::Dataset dataset = dataset_of(flags, result.notes);
  dataset.require_labels();
  const data::Preprocess preprocess = preprocess_of(flags, model.metadata(), result.notes);
  const int threads = threads_of(flags);
  const backends::DeviceBackends device = device_of(flags, model);
  const LoadedModel loaded =
      load_runner(model, {.runner = flags.text("runner"),
                          .batch = model.is_plan() ? 1 : batch_for(flags, model.network(), 65536),
                          .threads = threads,
                          .spin = !flags.on("no-spin"),
                          .backends = device.list()});
  const auto loader = loader_of(dataset, preprocess, sample_shape_of(model.network(), model.input_count()),
                                loaded.batch, threads);
  const Accuracy a = noting([&] { return "while evaluating " + model.path.string(); },
                            [&] { return classify(loaded, *loader, dataset.size(), progress); });
  const auto share = [&](int64_t n) { return static_cast<double>(n) / static_cast<double>(a.samples); };
  const double rate = static_cast<double>(a.samples) / std::max(1e-9, a.seconds);
  result.json = {{"samples", a.samples},
                 {"top1", share(a.top1)},
                 {"top5", share(a.top5)},
                 {"loss", a.loss},
                 {"images_per_second", rate}};
  result.text =
      fmt::format("{}: top-1 {:.2f} %, top-5 {:.2f} %, loss {:.4f} on {} images ({:.0f} images/s)\n",
                  model.path.string(), 100 * share(a.top1), 100 * share(a.top5), a.loss, a.samples, rate);
  return result;
}

}  // namespace

Command eval() {
  std::vector<Flag> flags = {{.name = "MODEL", .value = "", .help = "ONNX file or plan", .required = true}};
  for (Flag& flag : data_flags("all")) flags.push_back(std::move(flag));
  flags.push_back(
      {.name = "batch", .value = "N", .help = "images at a time (of a plan: its own)", .fallback = "50"});
  flags.push_back(runner_flag());
  flags.push_back(no_spin_flag());
  return {.name = "eval",
          .summary = "top-1, top-5 and loss on a labelled set; any of model, QDQ model, plan",
          .example = "model.plan --data imagefolder:photos",
          .flags = std::move(flags),
          .run = run,
          .any_device = true};
}

}  // namespace kvant::cli
