// SPDX-License-Identifier: Apache-2.0
// Training: a float graph from scratch, or fine-tuning of a QDQ graph (QAT). The same graph comes out, with
// other constants.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

#include "base/progress.h"
#include "ir/graph.h"
#include "train/accuracy.h"
#include "train/batch_source.h"
#include "train/program.h"

namespace kvant::train {

enum class OptimizerKind { Sgd, AdamW };

// What makes an epoch the best on the validation set: the most right answers, the most answers that are the
// teacher's, or the least divergence from the teacher's outputs (which a few images suffice to tell).
enum class BestBy { Top1, Agreement, Divergence };

inline constexpr double kNever = std::numeric_limits<double>::infinity();

struct TrainOptions {
  int64_t epochs = 1;
  OptimizerKind optimizer = OptimizerKind::Sgd;
  double learning_rate = 0.1;
  double final_learning_rate = 0.0;  // where the cosine ends
  double warmup_epochs = 0.0;        // parts of epochs allowed
  double momentum = 0.9;             // SGD
  bool nesterov = false;
  double weight_decay = 1e-4;  // not on biases, normalizations and scales
  double label_smoothing = 0.0;
  double clip_norm = 0.0;  // largest norm of the whole gradient; 0: no clipping
  // After so many epochs (parts of epochs allowed) BatchNormalization uses and keeps its running statistics;
  // 0: from the start.
  double freeze_batch_norm = kNever;
  Ranges ranges = Ranges::Fixed;
  double freeze_ranges = kNever;       // after so many epochs no quantization scale changes any more
  double range_momentum = 0.99;        // of Ranges::Average: share of the old scale at each step
  double scale_learning_rate = 0.05;   // of learned scales, as a factor on the learning rate
  const ir::Graph* teacher = nullptr;  // distillation: a graph with the same input and classes
  // Share of the teacher's term in the loss. At 1 labels play no part: the training set needs none, and what
  // is counted as right is the teacher's choice.
  double distill_weight = 0.5;
  double distill_temperature = 4.0;
  bool keep_best = true;          // the result is the epoch that was best on the validation set
  std::optional<BestBy> best_by;  // default: Top1 if labels are in the loss and the set, else Divergence
  uint64_t seed = 0;
  int threads = 0;  // 0: all cores
  int card = -1;    // CUDA card to train on; -1: the CPU
  bool channels_last = true;

  std::filesystem::path checkpoint;  // empty: none
  bool resume = false;               // go on from the checkpoint if there is one
  double checkpoint_seconds = 30;    // a checkpoint after so long, and after every epoch and on interrupt
  int64_t checkpoint_steps = 0;      // also every so many steps; 0: not
};

struct EpochRecord {
  int64_t epoch = 0;      // from 1
  double loss = 0;        // mean over the epoch's images
  double train_top1 = 0;  // percent, on the augmented images as they were trained on
  Scores val;             // of the validation set
  double seconds = 0;     // training and validation
};

struct TrainResult {
  std::vector<EpochRecord> history;
  Scores start_val;  // of a QDQ graph before the first step
  Scores best_val;   // of the best epoch
  BestBy best_by = BestBy::Top1;
  int64_t best_epoch = 0;    // 0: what was there at the start (QDQ only)
  int64_t images_seen = 0;   // trained on
  double train_seconds = 0;  // without validation
  double images_per_second() const {
    return train_seconds > 0 ? static_cast<double>(images_seen) / train_seconds : 0;
  }
};

// Trains `graph` in place. Loss: softmax cross-entropy on output 0 ([N, classes]); a trailing Softmax is
// skipped in training and stays in the graph. BatchNormalization nodes stay (quantize folds them). Scales of
// a QDQ graph: see Ranges. `validation` may be null. Interrupted (base/interrupt.h): writes the checkpoint,
// leaves the graph as it was, throws. Resumed with the same data, options and threads the result has the same
// bytes as without the interruption. The checkpoint stays; the caller removes it when the result is safe.
// Fails, with a sentence, on a missing plug-in, an operator that cannot be trained, labels that are missing
// or do not fit, options out of range (freezing after the end is one), a loss that is not finite, and a
// checkpoint of another run.
TrainResult train(ir::Graph& graph, BatchSource& training, BatchSource* validation,
                  const TrainOptions& options, Progress& progress = silent_progress());

// Share of images, in percent, whose largest output is their label; LibTorch runs the graph (QDQ simulated).
double evaluate_top1(const ir::Graph& graph, BatchSource& source, int threads = 0,
                     Progress& progress = silent_progress());

}  // namespace kvant::train
