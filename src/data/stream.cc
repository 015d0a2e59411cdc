// SPDX-License-Identifier: Apache-2.0
#include "data/stream.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace kvant::data {
namespace {

// zlib counts in 32 bits; both sides are fed in parts of at most this.
constexpr size_t kPart = size_t{1} << 28;
constexpr size_t kGrowth = size_t{64} << 20;

}  // namespace

Bytes map_file(const std::string& path) {
  const MappedFile file(path);
  return {file.bytes(), file.share()};
}

Bytes own(std::vector<std::byte> memory) {
  auto shared = std::make_shared<const std::vector<std::byte>>(std::move(memory));
  return {std::span(*shared), std::shared_ptr<const std::byte>(shared, shared->data())};
}

Compression compression_of(std::string_view name) {
  if (name.ends_with(".gz") || name.ends_with(".tgz")) return Compression::Gzip;
  if (name.ends_with(".zst") || name.ends_with(".tzst")) return Compression::Zstd;
  return Compression::None;
}

struct Stream::State {
  Bytes source;
  Compression compression;
  std::string name;
  size_t position = 0;
  bool finished = false;  // the compressed data came to its regular end
  z_stream zlib{};
  ZSTD_DStream* zstd = nullptr;
  std::optional<std::byte> peeked;

  ~State() {
    if (compression == Compression::Gzip || compression == Compression::Deflate) inflateEnd(&zlib);
    if (zstd != nullptr) ZSTD_freeDStream(zstd);
  }

  std::span<const std::byte> left() const { return source.view.subspan(position); }

  void start() {
    if (compression == Compression::Gzip || compression == Compression::Deflate) {
      const int window = compression == Compression::Gzip ? 15 + 16 : -15;
      if (inflateInit2(&zlib, window) != Z_OK) fail("not enough memory to decompress {}", name);
    } else if (compression == Compression::Zstd) {
      zstd = ZSTD_createDStream();
      if (zstd == nullptr) fail("not enough memory to decompress {}", name);
    }
  }

  size_t inflate_some(std::span<std::byte> out) {
    const char* kind = compression == Compression::Gzip ? "gzip" : "deflate";
    size_t done = 0;
    while (done < out.size() && !finished) {
      const auto input = left();
      zlib.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data()));
      zlib.avail_in = static_cast<uInt>(std::min(input.size(), kPart));
      zlib.next_out = reinterpret_cast<Bytef*>(out.data() + done);
      zlib.avail_out = static_cast<uInt>(std::min(out.size() - done, kPart));
      const uInt in_before = zlib.avail_in;
      const uInt out_before = zlib.avail_out;
      const int status = inflate(&zlib, Z_NO_FLUSH);
      position += in_before - zlib.avail_in;
      done += out_before - zlib.avail_out;
      if (status == Z_STREAM_END) {
        end_of_member();
      } else if (status == Z_BUF_ERROR && position == source.view.size()) {
        fail("{} is damaged (corrupt {} data: it ends too early)", name, kind);
      } else if (status != Z_OK) {
        fail("{} is damaged (corrupt {} data: {})", name, kind,
             zlib.msg != nullptr ? zlib.msg : "unknown error");
      }
    }
    return done;
  }

  // A gzip file may be several members one after the other.
  void end_of_member() {
    const auto rest = left();
    const bool another = compression == Compression::Gzip && rest.size() >= 2 && rest[0] == std::byte{0x1f} &&
                         rest[1] == std::byte{0x8b};
    if (another) {
      inflateReset(&zlib);
    } else {
      finished = true;
    }
  }

  size_t unzstd_some(std::span<std::byte> out) {
    size_t done = 0;
    while (done < out.size() && !finished) {
      const auto rest = left();
      ZSTD_inBuffer input{rest.data(), rest.size(), 0};
      ZSTD_outBuffer output{out.data() + done, out.size() - done, 0};
      const size_t status = ZSTD_decompressStream(zstd, &output, &input);
      if (ZSTD_isError(status)) {
        fail("{} is damaged (corrupt zstd data: {})", name, ZSTD_getErrorName(status));
      }
      position += input.pos;
      done += output.pos;
      if (status == 0 && position == source.view.size()) finished = true;
      if (status != 0 && input.pos == 0 && output.pos == 0) {
        fail("{} is damaged (corrupt zstd data: it ends too early)", name);
      }
    }
    return done;
  }

  size_t some(std::span<std::byte> out) {
    if (compression == Compression::Zstd) return unzstd_some(out);
    if (compression != Compression::None) return inflate_some(out);
    const size_t count = std::min(out.size(), source.view.size() - position);
    if (count > 0) std::memcpy(out.data(), source.view.data() + position, count);
    position += count;
    return count;
  }
};

Stream::Stream(Bytes source, Compression compression, std::string name) : state_(std::make_unique<State>()) {
  state_->source = std::move(source);
  state_->compression = Compression::None;
  state_->name = std::move(name);
  if (compression != Compression::None) {
    if (state_->source.view.empty()) fail("{} is empty", state_->name);
    state_->compression = compression;
    state_->start();
  }
}

Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;

const std::string& Stream::name() const { return state_->name; }

size_t Stream::read(std::span<std::byte> out) {
  if (out.empty()) return 0;
  size_t done = 0;
  if (state_->peeked) {
    out[0] = *state_->peeked;
    state_->peeked.reset();
    done = 1;
  }
  return done + state_->some(out.subspan(done));
}

bool Stream::at_end() {
  if (state_->peeked) return false;
  std::byte next{};
  if (state_->some(std::span(&next, 1)) == 0) return true;
  state_->peeked = next;
  return false;
}

std::vector<std::byte> Stream::read_exactly(size_t count, const char* what) {
  std::vector<std::byte> result;
  while (result.size() < count) {
    const size_t before = result.size();
    result.resize(before + std::min(count - before, std::max(kGrowth, before)));
    const size_t got = read(std::span(result).subspan(before));
    if (before + got < result.size()) {
      fail("{} is truncated: its {} should have {} bytes, it has {}", name(), what, count, before + got);
    }
  }
  return result;
}

std::vector<std::byte> Stream::read_rest(size_t limit) {
  std::vector<std::byte> result;
  while (!at_end()) {
    const size_t before = result.size();
    if (before >= limit) fail("{} holds more than {} bytes, which is too much", name(), limit);
    const size_t part = std::min(limit - before, std::clamp(before, size_t{1} << 20, kGrowth));
    result.resize(before + part);
    const size_t got = read(std::span(result).subspan(before));
    result.resize(before + got);
  }
  return result;
}

}  // namespace kvant::data
