// SPDX-License-Identifier: Apache-2.0
// Finds and loads the training plug-in, once per process. It is never unloaded: torch keeps threads.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/plugin_abi.h"

namespace kvant::train {

struct Plugin {
  const kvant_train_api* api;
  std::filesystem::path path;
  std::string torch, blas;  // "1.13.1", "OpenBLAS"
  std::string cards;        // how many CUDA cards torch can use; "none": it was built without CUDA
};

// Where the plug-in is looked for, in order: KVANT_TRAIN_PLUGIN alone if set; else lib/ beside the program's
// folder, lib/kvant/ there, and the program's own folder.
std::vector<std::filesystem::path> plugin_candidates();
// The loaded plug-in. Fails with one sentence that says how to get it. `threads` (0: all cores) sets torch's
// threads, on every call.
const Plugin& plugin(int threads = 0);
// Fails, with a sentence, when torch cannot use that CUDA card.
void require_card(const Plugin& plugin, int card);
// Nothing when it can be loaded, else the sentence.
std::optional<std::string> plugin_missing();

}  // namespace kvant::train
