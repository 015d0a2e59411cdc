// SPDX-License-Identifier: Apache-2.0
// A batch run image by image: each thread takes images of its own from the first step to the last, so that
// what an image leaves in a cache is there for its next step, and threads never wait for each other.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/run/executor.h"

namespace kvant::engine {

class ImagesApart {
 public:
  // nullptr where it cannot be done (engine/plan/apart.h; a tactic that brings threads of its own or does not
  // take one image) or does not pay: with fewer images than threads, or layers whose weights are so much of
  // the work that they are better read once for the whole batch. `plan` is that of the batch and `team` the
  // threads that run it, which outlive this as the backends do.
  static std::unique_ptr<ImagesApart> of(const Plan& plan, std::span<const Backend* const> backends,
                                         Team& team);
  // Another one with the same constants on other threads; nullptr where it does not pay for those.
  std::unique_ptr<ImagesApart> context(const Plan& plan, Team& team) const;

  // By input and output of the plan, all on the host: the whole batch.
  void run(std::span<const Place> inputs, std::span<const Place> outputs);

  int64_t images() const { return images_; }
  // The plan of one image, whose packed constants are in the engine's memory.
  const Plan& plan() const { return lanes_.front().engine.plan(); }
  size_t arena_bytes() const;

  void set_profiling(bool on);
  // Nanoseconds by step: where threads run images of their own, the mean over the threads.
  std::vector<int64_t> nanoseconds() const;

 private:
  // An engine of one image, and where that lies.
  struct Lane {
    Engine engine;
    std::vector<Place> inputs, outputs;
  };

  ImagesApart(const Plan& plan, int64_t images, Team& team);
  void add_lane(Engine engine);
  void add_lanes(const Engine& first);
  void run_image(Lane& lane, std::span<const Place> inputs, std::span<const Place> outputs,
                 int64_t image) const;

  int64_t images_;
  Team& team_;
  std::vector<size_t> input_bytes_, output_bytes_;  // of one image
  // One for each thread, and one on all threads for the images that are left over, if any are.
  std::vector<Lane> lanes_;
};

}  // namespace kvant::engine
