// SPDX-License-Identifier: Apache-2.0
#include "cli/gathered.h"

#include <algorithm>

#include "base/file.h"
#include "cli/parse.h"

namespace kvant::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxJsonBytes = 64u << 20;

double pairs_in(const Json& json) {
  return report::number_in(report::object_in(json, "qdq"), "activation_pairs").value_or(0);
}

}  // namespace

Gathered::Gathered(GatherOptions options, Progress& progress)
    : options_(std::move(options)), progress_(progress), commands_(commands()) {}

void Gathered::add(const fs::path& path, bool named) {
  const std::string ending = path.extension().string();
  if (ending == ".json") {
    add_json(path, named);
  } else if (ending == ".onnx" || ending == ".plan") {
    models_.push_back(path.lexically_normal());
  } else if (named) {
    fail(
        "{} is no model, plan or JSON result; a report is made of .onnx, .plan and .json files, or a folder "
        "of them",
        path.string());
  }
}

void Gathered::add_folder(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  for (const fs::path& path : paths) add(path, false);
}

void Gathered::add_result(const std::string& command, const fs::path& model, Json json) {
  Json named = {{"command", command}, {"model", model.string()}};
  named.update(json);
  results_.push_back({model.string(), std::move(named)});
}

void Gathered::look_at_models() {
  for (report::CommandResult& result : results_) {
    for (const char* key : {"model", "a", "b"}) name_as_gathered(result.json, key);
  }
  for (const fs::path& path : models_) {
    try {
      const bool plan = path.extension() == ".plan";
      const bool quantized = ask("inspect", path, {}) > 0;
      if (quantized && !plan) ask("explain", path, {});
      if ((plan || options_.time_models) && options_.iterations > 0)
        ask("bench", path, {"--profile", "--iterations", std::to_string(options_.iterations)});
    } catch (const Error& error) {
      notes_.push_back(fmt::format("{}: {}", path.string(), error.what()));
    }
  }
  shorten_names();
}

// Files of one folder are called by what distinguishes them.
void Gathered::shorten_names() {
  fs::path folder;
  for (const fs::path& model : models_) {
    if (folder.empty()) folder = model.parent_path();
    if (folder != model.parent_path()) return;
  }
  if (folder.empty()) return;
  for (report::CommandResult& result : results_) {
    for (const char* key : {"model", "a", "b", "output"}) {
      const fs::path name = report::text_in(result.json, key);
      if (name.parent_path().lexically_normal() == folder) result.json[key] = name.filename().string();
    }
  }
}

void Gathered::add_json(const fs::path& path, bool named) {
  Json json;
  if (fs::file_size(path) <= kMaxJsonBytes) json = Json::parse(read_text(path), nullptr, false);
  const std::string command = report::text_in(json, "command");
  const bool ours = std::ranges::find(commands_, command, &Command::name) != commands_.end();
  if (!ours && named)
    fail("{} is not what a command prints with --json: it has no \"command\" of kvant's", path.string());
  if (!ours) return;
  if (const std::string error = report::text_in(json, "error"); !error.empty())
    notes_.push_back(fmt::format("{} ({}): {}", path.string(), command, error));
  results_.push_back({path.string(), std::move(json)});
}

// A result names its model as it was called where the command ran; here the file of that name is meant.
void Gathered::name_as_gathered(Json& json, const char* key) const {
  const fs::path said = report::text_in(json, key);
  const fs::path* meant = nullptr;
  for (const fs::path& model : models_) {
    if (said.empty() || model.filename() != said.filename()) continue;
    if (meant != nullptr) return;  // two of that name
    meant = &model;
  }
  if (meant != nullptr) json[key] = meant->string();
}

// Runs another command on a model unless its result is there. Returns the number of Q/DQ pairs on activations
// that the result speaks of.
double Gathered::ask(const std::string& name, const fs::path& model, std::vector<std::string> arguments) {
  for (const report::CommandResult& result : results_) {
    if (report::text_in(result.json, "command") == name &&
        fs::path(report::text_in(result.json, "model")).filename() == model.filename())
      return pairs_in(result.json);
  }
  const Command& command = find(commands_, name);
  arguments.insert(arguments.begin(), model.string());
  if (!options_.threads.empty()) arguments.insert(arguments.end(), {"--threads", options_.threads});
  add_result(name, model, command.run(parse(command, arguments), progress_).json);
  return pairs_in(results_.back().json);
}

}  // namespace kvant::cli
