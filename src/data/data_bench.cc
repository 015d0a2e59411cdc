// SPDX-License-Identifier: Apache-2.0
// What one image costs: decoding and resizing a photograph of 500 x 375, and making batches of small images.
#include <benchmark/benchmark.h>

#include <memory>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

const std::string& photograph() {
  static const std::string file = test::encode_jpeg(test::scene(375, 500, 3));
  return file;
}

void decode_photograph(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(decode_image(test::bytes_of(photograph()), "photograph"));
}
BENCHMARK(decode_photograph)->Unit(benchmark::kMillisecond);

void resize_photograph(benchmark::State& state) {
  const Image image = decode_image(test::bytes_of(photograph()), "photograph");
  const auto interpolation = static_cast<Interpolation>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(resize(image, 256, 341, interpolation));
}
BENCHMARK(resize_photograph)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void torchvision_photograph(benchmark::State& state) {
  const Preprocess preprocess = parse_preprocess("torchvision");
  for (auto _ : state) {
    benchmark::DoNotOptimize(apply(preprocess, decode_image(test::bytes_of(photograph()), "photograph")));
  }
}
BENCHMARK(torchvision_photograph)->Unit(benchmark::kMillisecond);

class SmallImages : public DatasetReader {
 public:
  int64_t size() const override { return 10000; }
  int64_t label(int64_t i) const override { return i % 10; }
  std::string describe(int64_t) const override { return "small image"; }
  bool decodes() const override { return false; }
  Image image(int64_t) const override { return image_; }

 private:
  Image image_ = test::scene(28, 28, 1);
};

// Items are images of 28 x 28, with the augmentation of training if the argument is 1.
void small_batches(benchmark::State& state) {
  LoaderOptions options;
  options.batch = 128;
  options.threads = 1;
  options.preprocess = parse_preprocess("scale");
  if (state.range(0) == 1) options.augment = {.pad_crop = 2, .flip = true};
  const Dataset dataset(std::make_shared<SmallImages>(), "small images");
  for (auto _ : state) {
    Loader loader(dataset, options);
    while (const auto batch = loader.next()) benchmark::DoNotOptimize(batch->samples.raw());
  }
  state.SetItemsProcessed(state.iterations() * dataset.size());
}
BENCHMARK(small_batches)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace kvant::data
