// SPDX-License-Identifier: Apache-2.0
#include "train/train.h"

#include <chrono>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "ir/text.h"
#include "train/accuracy.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/session.h"

namespace kvant::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

uint64_t hash_graph(const ir::Graph& graph, uint64_t hash) {
  hash = hash_text(ir::print(graph, {.max_elements = 0, .types = false, .store = {}}), hash);
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const ir::Value& value = graph.value(static_cast<ir::ValueId>(i));
    if (!value.erased && value.constant)
      hash = hash_bytes({value.constant->raw(), value.constant->byte_size()}, hash);
  }
  return hash;
}

// Everything that the result depends on, threads excepted.
uint64_t fingerprint_of(const ir::Graph& graph, const BatchSource& training, const BatchSource* validation,
                        const TrainOptions& o) {
  uint64_t hash = hash_graph(graph, hash_text("kvant train 1"));
  if (o.teacher != nullptr) hash = hash_graph(*o.teacher, hash);
  hash = hash_text(training.identity(), hash);
  hash = hash_text(validation == nullptr ? "" : validation->identity(), hash);
  return hash_text(
      fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", o.epochs,
                  static_cast<int>(o.optimizer), o.learning_rate, o.final_learning_rate, o.warmup_epochs,
                  o.momentum, o.nesterov, o.weight_decay, o.label_smoothing, o.clip_norm, o.frozen_statistics,
                  static_cast<int>(o.ranges), o.scale_learning_rate, o.distill_weight, o.distill_temperature,
                  o.keep_best, o.seed, o.channels_last),
      hash);
}

kvant_train_settings settings_of(const TrainOptions& o, bool training) {
  kvant_train_settings s{};
  s.training = training;
  s.optimizer = o.optimizer == OptimizerKind::AdamW;
  s.nesterov = o.nesterov;
  s.frozen_statistics = o.frozen_statistics;
  s.channels_last = o.channels_last;
  s.momentum = o.momentum;
  s.beta1 = 0.9;
  s.beta2 = 0.999;
  s.epsilon = 1e-8;
  s.weight_decay = o.weight_decay;
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  s.scale_learning_rate = o.scale_learning_rate;
  s.distill_weight = o.teacher == nullptr ? 0 : o.distill_weight;
  s.distill_temperature = o.distill_temperature;
  return s;
}

void check_option(bool good, const char* what, double value, const char* range) {
  if (!good) fail("{} {} is out of range: it must be {}", what, value, range);
}

void check_options(const TrainOptions& o) {
  check_option(o.epochs >= 1, "the number of epochs", static_cast<double>(o.epochs), "at least 1");
  check_option(o.learning_rate > 0 && std::isfinite(o.learning_rate), "the learning rate", o.learning_rate,
               "above 0");
  check_option(o.final_learning_rate >= 0, "the final learning rate", o.final_learning_rate, "at least 0");
  check_option(o.warmup_epochs >= 0 && o.warmup_epochs < static_cast<double>(o.epochs), "the warm-up",
               o.warmup_epochs, "at least 0 and shorter than the training");
  check_option(o.momentum >= 0 && o.momentum < 1, "the momentum", o.momentum, "in [0, 1)");
  check_option(o.weight_decay >= 0, "the weight decay", o.weight_decay, "at least 0");
  check_option(o.label_smoothing >= 0 && o.label_smoothing < 1, "the label smoothing", o.label_smoothing,
               "in [0, 1)");
  check_option(o.clip_norm >= 0, "the gradient's largest norm", o.clip_norm, "at least 0");
  check_option(o.distill_weight >= 0 && o.distill_weight <= 1, "the teacher's weight", o.distill_weight,
               "in [0, 1]");
  check_option(o.distill_temperature > 0, "the teacher's temperature", o.distill_temperature, "above 0");
}

class Trainer {
 public:
  Trainer(const ir::Graph& graph, BatchSource& training, BatchSource* validation, const TrainOptions& options,
          Progress& progress)
      : training_(training),
        validation_(validation),
        options_(options),
        progress_(progress),
        plugin_(plugin(options.threads)),
        program_(graph, {.training = true, .ranges = options.ranges, .extra_outputs = {}}, *plugin_.api),
        session_(plugin_, program_, settings_of(options, true)) {
    steps_ = training.batches();
    if (steps_ < 1) fail("there are fewer training images than one batch holds; use a smaller batch");
    require_something_to_train();
    schedule_ = {options.learning_rate, options.final_learning_rate,
                 std::llround(options.warmup_epochs * static_cast<double>(steps_)), options.epochs * steps_};
    state_.fingerprint = fingerprint_of(graph, training, validation, options);
    if (options.teacher != nullptr) {
      const Program teacher(*options.teacher, {}, *plugin_.api);
      teacher_ = std::make_unique<Session>(plugin_, teacher, settings_of(options, false));
    }
    if (!options.checkpoint.empty()) require_writable(options.checkpoint);
  }

  // Runs to the end; the values of the program's slots to keep.
  Values run() {
    if (options_.resume && std::filesystem::exists(options_.checkpoint)) {
      resume();
    } else {
      start();
    }
    while (state_.epoch < options_.epochs) {
      run_steps();
      finish_epoch();
    }
    return options_.keep_best && !state_.best.empty() ? state_.best
                                                      : session_.read_state(program_.slots().size());
  }

  const Program& program() const { return program_; }
  const TrainResult& result() const { return state_.result; }

 private:
  void require_something_to_train() const {
    for (const Slot& slot : program_.slots()) {
      if (slot.role == KVANT_TRAIN_WEIGHT || slot.role == KVANT_TRAIN_PARAMETER) return;
    }
    fail("the model has no weights to train");
  }

  bool has_scales() const {
    for (const Slot& slot : program_.slots()) {
      if (slot.constant == ir::kNone) return true;
    }
    return false;
  }

  void resume() {
    state_ = load_checkpoint(options_.checkpoint, state_.fingerprint);
    session_.write_state(state_.state);
    state_.state.clear();
  }

  // A QDQ graph is worth something before the first step: training shall not end below that.
  void start() {
    if (validation_ == nullptr || !has_scales()) return;
    state_.result.start_val_top1 = validate();
    keep_if_best(state_.result.start_val_top1, 0);
  }

  double validate() {
    const auto forward = [&](const Tensor& images) { return session_.forward(std::span(&images, 1)).at(0); };
    return noting([] { return "on the validation set"; },
                  [&] { return top1_over(*validation_, state_.epoch, forward, progress_); });
  }

  void keep_if_best(double top1, int64_t epoch) {
    if (!(top1 > state_.result.best_val_top1)) return;
    state_.result.best_val_top1 = top1;
    state_.result.best_epoch = epoch;
    if (options_.keep_best) state_.best = session_.read_state(program_.slots().size());
  }

  void save() {
    saved_ = Clock::now();
    if (options_.checkpoint.empty()) return;
    state_.state = session_.read_state();
    save_checkpoint(options_.checkpoint, state_);
    state_.state.clear();
  }

  void stop_if_asked() {
    if (interrupt_requested() == 0) return;
    save();
    check_interrupt();
  }

  void run_steps() {
    if (state_.step >= steps_) return;
    progress_.begin(fmt::format("epoch {} of {}", state_.epoch + 1, options_.epochs), training_.images(),
                    "images");
    training_.seek(state_.epoch, state_.step);
    while (state_.step < steps_) {
      stop_if_asked();
      const Clock::time_point begin = Clock::now();
      const std::optional<LabelledBatch> batch = training_.next();
      if (!batch) fail("the training data ended after {} of {} batches", state_.step, steps_);
      const kvant_train_outcome outcome = step(*batch);
      const auto count = static_cast<int64_t>(batch->labels.size());
      state_.loss_sum += outcome.loss * static_cast<double>(count);
      state_.correct += outcome.correct;
      state_.seen += count;
      ++state_.step;
      const double seconds = seconds_since(begin);
      state_.seconds += seconds;
      state_.result.train_seconds += seconds;
      state_.result.images_seen += count;
      progress_.update(state_.seen,
                       fmt::format("loss {:.3f}", state_.loss_sum / static_cast<double>(state_.seen)));
      const bool counted = options_.checkpoint_steps > 0 && state_.step % options_.checkpoint_steps == 0;
      if (counted || seconds_since(saved_) > options_.checkpoint_seconds) save();
    }
    progress_.end();
  }

  kvant_train_outcome step(const LabelledBatch& batch) {
    const kvant_train_tensor images = border_tensor(batch.images);
    std::vector<Tensor> teacher;
    kvant_train_tensor logits{};
    if (teacher_) {
      teacher = teacher_->forward(std::span(&batch.images, 1));
      logits = border_tensor(teacher.at(0));
    }
    const int64_t number = state_.epoch * steps_ + state_.step;
    const kvant_train_batch border{&images,
                                   batch.labels.data(),
                                   teacher_ ? &logits : nullptr,
                                   schedule_.at(number),
                                   number + 1,
                                   options_.seed + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(number + 1)};
    const kvant_train_outcome outcome =
        noting([&] { return fmt::format("training, epoch {}, step {}", state_.epoch + 1, state_.step + 1); },
               [&] { return session_.step(border); });
    if (!std::isfinite(outcome.loss)) {
      fail(
          "training diverged: the loss is {} at epoch {}, step {}; use a lower learning rate (it is {}), a "
          "longer "
          "warm-up or a limit on the gradient's norm, and check that the images hold no NaN",
          outcome.loss, state_.epoch + 1, state_.step + 1, schedule_.at(number));
    }
    return outcome;
  }

  void finish_epoch() {
    EpochRecord record{
        .epoch = state_.epoch + 1,
        .loss = state_.loss_sum / static_cast<double>(state_.seen),
        .train_top1 = 100.0 * static_cast<double>(state_.correct) / static_cast<double>(state_.seen)};
    const Clock::time_point begin = Clock::now();
    if (validation_ != nullptr) {
      try {
        record.val_top1 = validate();
      } catch (const Interrupted&) {
        save();  // all steps done: resuming goes on with the validation
        throw;
      }
      keep_if_best(record.val_top1, record.epoch);
    }
    record.seconds = state_.seconds + seconds_since(begin);
    state_.result.history.push_back(record);
    ++state_.epoch;
    state_.step = state_.correct = state_.seen = 0;
    state_.loss_sum = state_.seconds = 0;
    save();
  }

  BatchSource& training_;
  BatchSource* validation_;
  const TrainOptions& options_;
  Progress& progress_;
  const Plugin& plugin_;
  Program program_;
  Session session_;
  std::unique_ptr<Session> teacher_;
  Schedule schedule_;
  int64_t steps_ = 0;
  Checkpoint state_;
  Clock::time_point saved_ = Clock::now();
};

}  // namespace

TrainResult train(ir::Graph& graph, BatchSource& training, BatchSource* validation,
                  const TrainOptions& options, Progress& progress) {
  check_options(options);
  ir::Graph work = graph;  // whatever happens, the caller's graph is whole
  unfold_integer_constants(work);
  Trainer trainer(work, training, validation, options, progress);
  const Values values = trainer.run();
  trainer.program().write_back(work, values);
  work.erase_dead();
  graph = std::move(work);
  return trainer.result();
}

}  // namespace kvant::train
