// SPDX-License-Identifier: Apache-2.0
#include "train/loader_source.h"

#include "base/error.h"

namespace kvant::train {
namespace {

data::LoaderOptions endless(data::LoaderOptions options) {
  options.epochs = int64_t{1} << 40;  // train() decides
  return options;
}

std::string identify(const data::Dataset& dataset, const data::LoaderOptions& o) {
  const data::Augment& a = o.augment;
  return fmt::format(
      "{} samples, batch {}, order {}, tail {}, seed {}, augment {} {} {} {} {} {}, preprocess {}",
      dataset.size(), o.batch, static_cast<int>(o.order), static_cast<int>(o.tail), o.seed, a.pad_crop,
      a.flip, a.area_low, a.brightness, a.contrast, a.saturation, data::to_text(o.preprocess));
}

}  // namespace

LoaderSource::LoaderSource(data::Dataset dataset, data::LoaderOptions options)
    : identity_(identify(dataset, options)),
      images_(options.tail == data::Tail::Drop ? dataset.size() / options.batch * options.batch
                                               : dataset.size()),
      labelled_(dataset.labelled()),
      loader_(dataset, endless(options)) {
  if (labelled_) dataset.require_labels();
}

void LoaderSource::seek(int64_t epoch, int64_t batch) {
  if (epoch == epoch_ && batch == batch_) return;  // batches made ahead stay
  loader_.seek(epoch, batch);
  epoch_ = epoch;
  batch_ = batch;
}

std::optional<LabelledBatch> LoaderSource::next() {
  std::optional<data::Batch> batch = loader_.next();
  if (!batch) {
    ++epoch_;
    batch_ = 0;
    return std::nullopt;
  }
  batch_ = batch->index + 1;
  return LabelledBatch{std::move(batch->samples),
                       labelled_ ? batch->labels.to_ints() : std::vector<int64_t>()};
}

}  // namespace kvant::train
