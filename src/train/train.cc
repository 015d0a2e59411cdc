// SPDX-License-Identifier: Apache-2.0
#include "train/train.h"

#include <chrono>
#include <cmath>
#include <limits>
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
  uint64_t hash = hash_graph(graph, hash_text("kvant train 2"));
  if (o.teacher != nullptr) hash = hash_graph(*o.teacher, hash);
  hash = hash_text(training.identity(), hash);
  hash = hash_text(validation == nullptr ? "" : validation->identity(), hash);
  return hash_text(
      fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", o.epochs,
                  static_cast<int>(o.optimizer), o.learning_rate, o.final_learning_rate, o.warmup_epochs,
                  o.momentum, o.nesterov, o.weight_decay, o.label_smoothing, o.clip_norm, o.freeze_batch_norm,
                  static_cast<int>(o.ranges), o.freeze_ranges, o.range_momentum, o.scale_learning_rate,
                  o.distill_weight, o.distill_temperature, o.keep_best,
                  o.best_by ? static_cast<int>(*o.best_by) : -1, o.seed, o.channels_last),
      hash);
}

kvant_train_settings settings_of(const TrainOptions& o, bool training) {
  kvant_train_settings s{};
  s.training = training;
  s.optimizer = o.optimizer == OptimizerKind::AdamW;
  s.nesterov = o.nesterov;
  s.channels_last = o.channels_last;
  s.momentum = o.momentum;
  s.beta1 = 0.9;
  s.beta2 = 0.999;
  s.epsilon = 1e-8;
  s.weight_decay = o.weight_decay;
  s.label_smoothing = o.label_smoothing;
  s.clip_norm = o.clip_norm;
  s.scale_learning_rate = o.scale_learning_rate;
  s.range_momentum = o.range_momentum;
  s.distill_weight = o.teacher == nullptr ? 0 : o.distill_weight;
  s.distill_temperature = o.distill_temperature;
  s.device = o.card + 1;
  return s;
}

void check_option(bool good, const char* what, double value, const char* range) {
  if (!good) fail("{} {} is out of range: it must be {}", what, value, range);
}

void check_freeze(double after, const char* what, int64_t epochs) {
  if (after == kNever || (after >= 0 && after < static_cast<double>(epochs))) return;
  fail(
      "freezing {} after epoch {} is out of range: training has {} epoch{}, so it must be at least 0 and "
      "less",
      what, after, epochs, epochs == 1 ? "" : "s");
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
  check_option(o.scale_learning_rate >= 0 && std::isfinite(o.scale_learning_rate),
               "the factor on the scales' learning rate", o.scale_learning_rate, "at least 0");
  check_option(o.range_momentum >= 0 && o.range_momentum < 1, "the ranges' momentum", o.range_momentum,
               "in [0, 1)");
  check_freeze(o.freeze_ranges, "the ranges", o.epochs);
  check_freeze(o.freeze_batch_norm, "the batch norms' statistics", o.epochs);
  check_option(o.distill_weight >= 0 && o.distill_weight <= 1, "the teacher's weight", o.distill_weight,
               "in [0, 1]");
  check_option(o.distill_temperature > 0, "the teacher's temperature", o.distill_temperature, "above 0");
}

const Plugin& plugin_for(const TrainOptions& options) {
  const Plugin& loaded = plugin(options.threads);
  if (options.card >= 0) require_card(loaded, options.card);
  return loaded;
}

class Trainer {
 public:
  Trainer(const ir::Graph& graph, BatchSource& training, BatchSource* validation, const TrainOptions& options,
          Progress& progress)
      : training_(training),
        validation_(validation),
        options_(options),
        progress_(progress),
        plugin_(plugin_for(options)),
        program_(graph, {.training = true, .logits = true, .ranges = options.ranges, .extra_outputs = {}},
                 *plugin_.api),
        session_(plugin_, program_, settings_of(options, true)) {
    steps_ = training.batches();
    if (steps_ < 1) fail("there are fewer training images than one batch holds; use a smaller batch");
    require_something_to_train();
    schedule_ = {options.learning_rate, options.final_learning_rate,
                 std::llround(options.warmup_epochs * static_cast<double>(steps_)), options.epochs * steps_};
    freeze_statistics_ = first_frozen_step(options.freeze_batch_norm);
    freeze_ranges_ = first_frozen_step(options.freeze_ranges);
    require_labels();
    choose_best_by();
    state_.fingerprint = fingerprint_of(graph, training, validation, options);
    if (options.teacher != nullptr) {
      const Program teacher(*options.teacher, {.logits = true, .extra_outputs = {}}, *plugin_.api);
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

  int64_t first_frozen_step(double epoch) const {
    return epoch == kNever ? std::numeric_limits<int64_t>::max()
                           : std::llround(epoch * static_cast<double>(steps_));
  }

  // Whether labels play a part in the loss.
  bool uses_labels() const { return options_.teacher == nullptr || options_.distill_weight < 1; }

  void require_labels() const {
    if (uses_labels() && !training_.labelled()) {
      fail(
          "the training images have no labels; give a teacher (--distill) and leave the whole loss to it "
          "(--distill-weight 1)");
    }
  }

  void choose_best_by() {
    if (validation_ == nullptr) return;
    const bool labelled = validation_->labelled(), taught = options_.teacher != nullptr;
    if (!labelled && !taught) {
      fail("the validation images have no labels; give a teacher (--distill) to compare with");
    }
    const BestBy by =
        options_.best_by.value_or(labelled && uses_labels() ? BestBy::Top1 : BestBy::Divergence);
    if (by == BestBy::Top1 && !labelled) fail("the validation images have no labels: no top-1 to choose by");
    if (by != BestBy::Top1 && !taught) {
      fail("choosing the best epoch by its nearness to a teacher needs a teacher (--distill)");
    }
    state_.result.best_by = by;
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
    state_.result.start_val = validate();
    keep_if_best(state_.result.start_val, 0);
  }

  Scores validate() {
    const auto run = [](Session& session, const Tensor& images) {
      return session.forward(std::span(&images, 1)).at(0);
    };
    Forward teacher;
    if (teacher_) teacher = [&](const Tensor& images) { return run(*teacher_, images); };
    const auto forward = [&](const Tensor& images) { return run(session_, images); };
    return noting([] { return "on the validation set"; },
                  [&] { return score_over(*validation_, state_.epoch, forward, teacher, progress_); });
  }

  bool better(const Scores& scores, const Scores& than) const {
    switch (state_.result.best_by) {
      case BestBy::Top1:
        return scores.top1 > than.top1;
      case BestBy::Agreement:
        return scores.agreement > than.agreement;
      case BestBy::Divergence:
        return than.divergence < 0 ? std::isfinite(scores.divergence) : scores.divergence < than.divergence;
    }
    return false;
  }

  void keep_if_best(const Scores& scores, int64_t epoch) {
    if (!better(scores, state_.result.best_val)) return;
    state_.result.best_val = scores;
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
      const int64_t count = batch->images.dim(0);
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
                                   uses_labels() ? batch.labels.data() : nullptr,
                                   teacher_ ? &logits : nullptr,
                                   schedule_.at(number),
                                   number + 1,
                                   options_.seed + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(number + 1),
                                   number >= freeze_statistics_,
                                   number >= freeze_ranges_};
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
        record.val = validate();
      } catch (const Interrupted&) {
        save();  // all steps done: resuming goes on with the validation
        throw;
      }
      keep_if_best(record.val, record.epoch);
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
  int64_t freeze_statistics_ = 0, freeze_ranges_ = 0;  // the first steps with frozen ones
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
