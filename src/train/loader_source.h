// SPDX-License-Identifier: Apache-2.0
// A data::Loader as a source of training batches.
#pragma once

#include "data/loader.h"
#include "train/batch_source.h"

namespace kvant::train {

class LoaderSource final : public BatchSource {
 public:
  // `options.epochs` is of no matter here.
  LoaderSource(data::Dataset dataset, data::LoaderOptions options);
  int64_t batches() const override { return loader_.batches(); }
  int64_t images() const override { return images_; }
  bool labelled() const override { return labelled_; }
  void seek(int64_t epoch, int64_t batch) override;
  std::optional<LabelledBatch> next() override;
  std::string identity() const override { return identity_; }

 private:
  std::string identity_;
  int64_t images_;
  bool labelled_;
  data::Loader loader_;
  int64_t epoch_ = 0, batch_ = 0;  // what the loader gives next
};

}  // namespace kvant::train
