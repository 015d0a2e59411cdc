// SPDX-License-Identifier: Apache-2.0
#include "train/plugin.h"

#include <dlfcn.h>
#include <malloc.h>

#include <climits>
#include <cstdlib>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/thread_pool.h"

namespace kvant::train {
namespace {

constexpr const char* kFile = "kvant_train_torch.so";

// Measured: page-faulting every activation anew costs 20 % and more. OpenMP's waiting threads shall not spin
// long; libgomp reads that when it is loaded, so that this helps programs that have not loaded it yet. kvant
// has, through oneDNN, and sees to it in cli/calm_openmp.h.
void prepare_process() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "2000", 0);
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

std::map<std::string, std::string> described(const kvant_train_api& api) {
  std::map<std::string, std::string> facts;
  std::istringstream text(api.describe());
  for (std::string line; std::getline(text, line);) {
    const size_t equals = line.find('=');
    if (equals != std::string::npos) facts[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return facts;
}

[[noreturn]] void fail_to_load(const std::string& why) {
  fail(
      "training needs the plug-in {}, which cannot be loaded ({}); install libtorch-dev and "
      "libopenblas0-openmp and build "
      "again, or point KVANT_TRAIN_PLUGIN at the file",
      kFile, why);
}

std::filesystem::path find_file() {
  const std::vector<std::filesystem::path> candidates = plugin_candidates();
  for (const std::filesystem::path& path : candidates) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  fail_to_load(fmt::format("no file {}", candidates.front().string()));
}

Plugin load() {
  const std::filesystem::path path = find_file();
  prepare_process();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail_to_load(dlerror());
  const auto get = reinterpret_cast<kvant_train_get_api_function>(dlsym(library, "kvant_train_get_api"));
  if (get == nullptr) fail_to_load(path.string() + " is no training plug-in");
  const kvant_train_api* api = get(KVANT_TRAIN_ABI);
  if (api == nullptr) fail_to_load(path.string() + " belongs to another version of kvant");
  const std::map<std::string, std::string> facts = described(*api);
  const auto fact = [&](const char* key) {
    return facts.contains(key) ? facts.at(key) : std::string("unknown");
  };
  return {api, path, fact("torch"), fact("blas"), fact("cards")};
}

}  // namespace

std::vector<std::filesystem::path> plugin_candidates() {
  if (const char* given = std::getenv("KVANT_TRAIN_PLUGIN"); given != nullptr && *given != '\0')
    return {given};
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {std::filesystem::path(kFile)};
  const std::filesystem::path folder = program.parent_path();
  return {folder.parent_path() / "lib" / kFile, folder.parent_path() / "lib" / "kvant" / kFile,
          folder / kFile};
}

const Plugin& plugin(int threads) {
  static const Plugin loaded = load();  // a failed load throws and is tried again next time
  char error[512] = "";
  const int wanted = threads > 0 ? threads : available_cores();
  if (loaded.api->configure(wanted, error, sizeof error) != 0) fail("the training plug-in: {}", error);
  return loaded;
}

void require_card(const Plugin& plugin, int card) {
  if (plugin.cards == "none" || plugin.cards == "unknown") {
    fail(
        "LibTorch {} of this build has no CUDA: train with --device cpu, or build kvant with "
        "-DKVANT_TORCH_ROOT=<a LibTorch with CUDA>",
        plugin.torch);
  }
  const int cards = std::atoi(plugin.cards.c_str());
  if (cards == 0) fail("LibTorch {} sees no card on this machine: train with --device cpu", plugin.torch);
  if (card >= cards) fail("there is no cuda:{} for LibTorch {}: it sees {} cards", card, plugin.torch, cards);
}

std::optional<std::string> plugin_missing() {
  try {
    plugin();
    return std::nullopt;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace kvant::train
