// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "base/file.h"
#include "cli/gathered.h"

namespace kvant::cli {
namespace {

namespace fs = std::filesystem;

Result run(const Flags& flags, Progress& progress) {
  const fs::path output = flags.path("output");
  require_writable(output);
  Gathered gathered({.threads = flags.given("threads") ? flags.text("threads") : "",
                     .iterations = flags.integer("iterations", 0, 1'000'000)},
                    progress);
  for (const std::string& given : flags.texts("FILE")) {
    std::error_code error;
    if (fs::is_directory(given, error)) {
      gathered.add_folder(given);
    } else if (fs::exists(given, error)) {
      gathered.add(given, true);
    } else {
      fail("{} is not there; a report is made of .onnx, .plan and .json files, or a folder of them", given);
    }
  }
  gathered.look_at_models();
  if (gathered.size() == 0) {
    const std::string why =
        gathered.notes().empty() ? "no model, plan or result of kvant's" : gathered.notes()[0];
    fail("nothing to report on: {}", why);
  }
  write_text(output, gathered.page(flags.text("title")));
  Result result;
  result.json = {{"output", output.string()}, {"results", gathered.size()}, {"notes", gathered.notes()}};
  result.text = fmt::format("{}: {} results\n", output.string(), gathered.size());
  for (const std::string& note : gathered.notes()) result.notes += "note: " + note + "\n";
  return result;
}

}  // namespace

Command html_report() {
  return {
      .name = "report",
      .summary = "one self-contained HTML page of models, plans and what commands printed with --json",
      .example = "model.qdq.onnx model.plan results -o report.html",
      .flags =
          {{.name = "FILE",
            .value = "",
            .help = "ONNX file, plan (timed layer by layer), JSON result, or a folder of them",
            .required = true,
            .many = true},
           {.name = "output", .value = "FILE", .help = "HTML file to write", .required = true, .letter = "o"},
           {.name = "title", .value = "TEXT", .help = "of the page", .fallback = "kvant report"},
           {.name = "iterations",
            .value = "N",
            .help = "timed runs of each plan, 0: none",
            .fallback = "100"}},
      .run = run};
}

}  // namespace kvant::cli
