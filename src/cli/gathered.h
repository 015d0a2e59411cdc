// SPDX-License-Identifier: Apache-2.0
// What a report is made of: JSON results that lie in files, and what other commands say of models and plans.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/command.h"
#include "report/page/page.h"

namespace kvant::cli {

struct GatherOptions {
  std::string threads;       // --threads of the commands that are run; "": their default
  int64_t iterations = 0;    // timed runs, 0: none
  bool time_models = false;  // ONNX files too, not only plans
};

class Gathered {
 public:
  Gathered(GatherOptions options, Progress& progress);

  // A file that was named, or one of a folder, where what is not ours is passed over. Fails (Error) with its
  // name when it was named and is none of ours.
  void add(const std::filesystem::path& path, bool named);
  void add_folder(const std::filesystem::path& folder);
  void add_result(const std::string& command, const std::filesystem::path& model, Json json);
  // What the results do not say of the models is found out now, by inspect, explain and bench. A model that
  // cannot be read becomes a note.
  void look_at_models();

  std::string page(const std::string& title) const { return report::page(title, results_, notes_); }
  size_t size() const { return results_.size(); }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  void add_json(const std::filesystem::path& path, bool named);
  void name_as_gathered(Json& json, const char* key) const;
  void shorten_names();
  double ask(const std::string& name, const std::filesystem::path& model, std::vector<std::string> arguments);

  GatherOptions options_;
  Progress& progress_;
  std::vector<Command> commands_;
  std::vector<std::filesystem::path> models_;
  std::vector<report::CommandResult> results_;
  std::vector<std::string> notes_;
};

}  // namespace kvant::cli
