// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/checkpoint.h"

#include "base/error.h"
#include "base/file.h"
#include "quant/calibrate/calibration_state.h"

namespace kvant::quant {
namespace {

constexpr std::string_view kCheckpointFormat = "kvant-calibration 1\n";

uint64_t checksum(std::string_view bytes) {
  Fingerprint sum;
  sum.add(bytes);
  return sum.value();
}

}  // namespace

void save_checkpoint(const CalibrationCheckpoint& checkpoint, const std::filesystem::path& path) {
  StateWriter content;
  content.number(checkpoint.task);
  content.number(checkpoint.data);
  content.number(static_cast<uint64_t>(checkpoint.batches));
  content.number(static_cast<uint64_t>(checkpoint.samples));
  content.text(checkpoint.state);
  StateWriter sum;
  sum.number(checksum(content.bytes()));
  write_text(path, std::string(kCheckpointFormat) + content.bytes() + sum.bytes());
}

std::optional<CalibrationCheckpoint> load_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  return noting([&] { return "while reading " + path.string(); },
                [&] {
                  const std::string bytes = read_text(path);
                  if (!bytes.starts_with(kCheckpointFormat)) fail("this is no checkpoint of a calibration");
                  const std::string_view content = std::string_view(bytes).substr(kCheckpointFormat.size());
                  StateReader in(content);
                  CalibrationCheckpoint checkpoint;
                  checkpoint.task = in.number();
                  checkpoint.data = in.number();
                  checkpoint.batches = static_cast<int64_t>(in.number_up_to(INT64_MAX));
                  checkpoint.samples = static_cast<int64_t>(in.number_up_to(INT64_MAX));
                  checkpoint.state = in.text();
                  const size_t used = content.size() - in.left();
                  if (in.number() != checksum(content.substr(0, used)) || !in.at_end()) StateReader::refuse();
                  return checkpoint;
                });
}

}  // namespace kvant::quant
