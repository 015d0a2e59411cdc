// SPDX-License-Identifier: Apache-2.0
#include "choose/score_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "choose/score_json.h"
#include "ir/text.h"

namespace kvant::choose {
namespace {

using Json = nlohmann::ordered_json;

// FNV-1a, 64 bits.
struct Hash {
  uint64_t value = 14695981039346656037ull;
  void add(const void* data, size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) value = (value ^ bytes[i]) * 1099511628211ull;
  }
};

}  // namespace

std::string fingerprint(const ir::Graph& graph, const std::string& what) {
  Hash hash;
  ir::PrintOptions options;
  options.store = [&](const Tensor& constant) {
    hash.add(constant.raw(), constant.byte_size());
    return size_t{0};
  };
  const std::string text = ir::print(graph, options);
  hash.add(text.data(), text.size());
  hash.add(what.data(), what.size());
  return fmt::format("{:016x}", hash.value);
}

ScoreFile::ScoreFile(std::filesystem::path path, std::string fingerprint, bool resume)
    : path_(std::move(path)), fingerprint_(std::move(fingerprint)) {
  if (!path_.empty() && resume && std::filesystem::exists(path_)) read();
}

void ScoreFile::read() {
  const Json json = Json::parse(read_text(path_), nullptr, false);
  if (json.is_discarded() || !json.is_object() || json.value("format", "") != "kvant-scores")
    fail("{} holds no scores to go on from: leave out --resume, or name another file", path_.string());
  if (json.value("fingerprint", "") != fingerprint_) {
    fail("{} was measured on another model or other samples: leave out --resume, or name another file",
         path_.string());
  }
  try {
    for (const auto& [key, value] : json.at("scores").items()) scores_[key] = score_of(value);
  } catch (const Json::exception& error) {
    fail("{} is damaged ({}): leave out --resume", path_.string(), error.what());
  }
}

const Score* ScoreFile::find(const std::string& key) const {
  const auto found = scores_.find(key);
  return found == scores_.end() ? nullptr : &found->second;
}

void ScoreFile::add(const std::string& key, const Score& score) {
  scores_[key] = score;
  if (path_.empty()) return;
  Json json = {{"format", "kvant-scores"}, {"fingerprint", fingerprint_}, {"scores", Json::object()}};
  for (const auto& [name, value] : scores_) json["scores"][name] = json_of(value);
  write_text(path_, json.dump(1) + "\n");
}

}  // namespace kvant::choose
