// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "base/error.h"
#include "base/file.h"

namespace kvant::train {
namespace {

constexpr std::string_view kMagic = "kvanttrn";
constexpr uint32_t kVersion = 2;
// magic, version, reserved, payload bytes, checksum
constexpr size_t kHeader = 8 + 4 + 4 + 8 + 8;

class Writer {
 public:
  template <class T>
  void number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    append(&value, sizeof value);
  }
  void values(const Values& lists) {
    number<uint64_t>(lists.size());
    for (const std::vector<float>& list : lists) {
      number<uint64_t>(list.size());
      append(list.data(), list.size() * sizeof(float));
    }
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  void append(const void* data, size_t size) {
    if (size == 0) return;
    bytes_.resize(bytes_.size() + size);
    std::memcpy(bytes_.data() + bytes_.size() - size, data, size);
  }
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  // A count of things of at least `each` bytes, checked against what is left.
  uint64_t count(size_t each) {
    const auto n = number<uint64_t>();
    if (n > bytes_.size() / each) fail("it ends too early");
    return n;
  }
  Values values() {
    Values lists(count(sizeof(uint64_t)));
    for (std::vector<float>& list : lists) {
      list.resize(count(sizeof(float)));
      if (!list.empty())
        std::memcpy(list.data(), take(list.size() * sizeof(float)), list.size() * sizeof(float));
    }
    return lists;
  }
  bool done() const { return bytes_.empty(); }

 private:
  const std::byte* take(size_t n) {
    if (n > bytes_.size()) fail("it ends too early");
    const std::byte* at = bytes_.data();
    bytes_ = bytes_.subspan(n);
    return at;
  }
  std::span<const std::byte> bytes_;
};

void write_scores(Writer& out, const Scores& scores) {
  for (const double v : {scores.top1, scores.agreement, scores.divergence}) out.number(v);
}

Scores read_scores(Reader& in) {
  Scores scores;
  scores.top1 = in.number<double>();
  scores.agreement = in.number<double>();
  scores.divergence = in.number<double>();
  return scores;
}

void write_result(Writer& out, const TrainResult& result) {
  write_scores(out, result.start_val);
  write_scores(out, result.best_val);
  out.number(static_cast<int32_t>(result.best_by));
  out.number(result.best_epoch);
  out.number(result.images_seen);
  out.number(result.train_seconds);
  out.number<uint64_t>(result.history.size());
  for (const EpochRecord& record : result.history) {
    out.number(record.epoch);
    for (const double v : {record.loss, record.train_top1, record.seconds}) out.number(v);
    write_scores(out, record.val);
  }
}

TrainResult read_result(Reader& in) {
  TrainResult result;
  result.start_val = read_scores(in);
  result.best_val = read_scores(in);
  const auto best_by = in.number<int32_t>();
  if (best_by < 0 || best_by > static_cast<int32_t>(BestBy::Divergence)) fail("its content does not add up");
  result.best_by = static_cast<BestBy>(best_by);
  result.best_epoch = in.number<int64_t>();
  result.images_seen = in.number<int64_t>();
  result.train_seconds = in.number<double>();
  result.history.resize(in.count(7 * 8));
  for (EpochRecord& record : result.history) {
    record.epoch = in.number<int64_t>();
    record.loss = in.number<double>();
    record.train_top1 = in.number<double>();
    record.seconds = in.number<double>();
    record.val = read_scores(in);
  }
  return result;
}

Checkpoint read_payload(std::span<const std::byte> payload) {
  Reader in(payload);
  Checkpoint c;
  c.fingerprint = in.number<uint64_t>();
  c.epoch = in.number<int64_t>();
  c.step = in.number<int64_t>();
  c.loss_sum = in.number<double>();
  c.correct = in.number<int64_t>();
  c.seen = in.number<int64_t>();
  c.seconds = in.number<double>();
  c.result = read_result(in);
  c.state = in.values();
  c.best = in.values();
  if (!in.done() || c.epoch < 0 || c.step < 0) fail("its content does not add up");
  return c;
}

}  // namespace

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t hash) {
  constexpr uint64_t kPrime = 0x100000001b3u;
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof word, bytes.size() - i));
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 32;  // FNV alone never moves high bits down
  }
  return hash;
}

uint64_t hash_text(std::string_view text, uint64_t hash) {
  const uint64_t length = text.size();  // so that "ab","c" differs from "a","bc"
  hash = hash_bytes(std::as_bytes(std::span(&length, 1)), hash);
  return hash_bytes(std::as_bytes(std::span(text.data(), text.size())), hash);
}

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  Writer payload;
  payload.number(checkpoint.fingerprint);
  payload.number(checkpoint.epoch);
  payload.number(checkpoint.step);
  payload.number(checkpoint.loss_sum);
  payload.number(checkpoint.correct);
  payload.number(checkpoint.seen);
  payload.number(checkpoint.seconds);
  write_result(payload, checkpoint.result);
  payload.values(checkpoint.state);
  payload.values(checkpoint.best);
  Writer header;
  header.number(kVersion);
  header.number<uint32_t>(0);
  header.number<uint64_t>(payload.bytes().size());
  header.number(hash_bytes(payload.bytes()));
  AtomicFile file(path);
  file.write(kMagic);
  file.write(header.bytes());
  file.write(payload.bytes());
  file.commit();
}

Checkpoint load_checkpoint(const std::filesystem::path& path, uint64_t fingerprint) {
  if (!std::filesystem::exists(path))
    fail("there is no checkpoint {}; start without --resume", path.string());
  const MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < kHeader || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    fail("{} is no training checkpoint of kvant", path.string());
  }
  Reader header(bytes.subspan(kMagic.size(), kHeader - kMagic.size()));
  const auto version = header.number<uint32_t>();
  if (version != kVersion) {
    fail("the checkpoint {} is of version {}, this kvant reads version {}; start without --resume",
         path.string(), version, kVersion);
  }
  header.number<uint32_t>();
  const auto size = header.number<uint64_t>();
  const auto checksum = header.number<uint64_t>();
  const std::span<const std::byte> payload = bytes.subspan(kHeader);
  if (size != payload.size() || checksum != hash_bytes(payload)) {
    fail("the checkpoint {} is damaged (its checksum does not fit); start without --resume", path.string());
  }
  Checkpoint checkpoint = noting([&] { return "reading the checkpoint " + path.string(); },
                                 [&] { return read_payload(payload); });
  if (checkpoint.fingerprint != fingerprint) {
    fail(
        "the checkpoint {} is of another run: model, data and options must be the same to resume; start "
        "without --resume",
        path.string());
  }
  return checkpoint;
}

}  // namespace kvant::train
