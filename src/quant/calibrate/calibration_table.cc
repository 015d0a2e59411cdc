// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/calibration_table.h"

#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "quant/calibrate/import_ranges.h"

namespace kvant::quant {
namespace {

constexpr std::string_view kFormat = "kvant-ranges";

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

// Reads the one JSON shape that a table has, token by token.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  CalibrationTable table() {
    CalibrationTable table;
    std::string format;
    double version = 0;
    members([&](const std::string& key) {
      if (key == "format") {
        format = string();
      } else if (key == "version") {
        version = number();
      } else if (key == "calibrator") {
        table.calibrator = string();
      } else if (key == "samples") {
        table.samples = samples();
      } else if (key == "ranges") {
        members([&](const std::string& name) {
          if (!table.ranges.emplace(name, range(name)).second) refuse("tensor '" + name + "' is given twice");
        });
      } else if (key == "calibrators") {
        members([&](const std::string& name) { table.calibrator_of[name] = string(); });
      } else {
        refuse("unknown key '" + key + "'");
      }
    });
    skip_space();
    if (at_ != text_.size()) refuse("text after the end");
    if (format != kFormat) refuse("\"format\" is not \"" + std::string(kFormat) + "\"");
    if (version != 1) refuse(fmt::format("version {} is not known (this program reads 1)", version));
    return table;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    size_t line = 1, column = 1;
    for (const char c : text_.substr(0, at_)) {
      column = c == '\n' ? 1 : column + 1;
      line += c == '\n' ? 1 : 0;
    }
    fail("ranges file, line {}, column {}: {}", line, column, what);
  }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(fmt::format("'{}' expected", c));
  }
  template <class Fn>
  void members(Fn&& fn) {
    expect('{');
    if (accept('}')) return;
    do {
      const std::string key = string();
      expect(':');
      fn(key);
    } while (accept(','));
    expect('}');
  }
  unsigned code_unit() {
    unsigned code = 0;
    const char* begin = text_.data() + at_;
    if (text_.size() - at_ < 4 || std::from_chars(begin, begin + 4, code, 16).ptr != begin + 4) {
      refuse("\\u needs four hexadecimal digits");
    }
    at_ += 4;
    return code;
  }
  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xE0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  void escape(std::string& out) {
    if (at_ >= text_.size()) refuse("string without end");
    const char c = text_[at_++];
    constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (c == 'u') {
      append_utf8(out, code_unit());
    } else if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
      out += kTo[i];
    } else {
      refuse("unknown escape in a string");
    }
  }
  std::string string() {
    expect('"');
    std::string result;
    while (at_ < text_.size() && text_[at_] != '"') {
      const char c = text_[at_++];
      if (c == '\\') {
        escape(result);
      } else {
        result += c;
      }
    }
    if (at_ >= text_.size()) refuse("string without end");
    ++at_;
    return result;
  }
  double number() {
    skip_space();
    double value = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) refuse("a finite number expected");
    at_ += static_cast<size_t>(end - begin);
    return value;
  }
  int64_t samples() {
    const double value = number();
    if (value < 0 || value > 1e15 || value != std::floor(value)) refuse("\"samples\" is not a count");
    return static_cast<int64_t>(value);
  }
  float bound() {
    const double value = number();
    if (std::fabs(value) > static_cast<double>(std::numeric_limits<float>::max()))
      refuse("a number beyond float32");
    return static_cast<float>(value);
  }
  Range range(const std::string& name) {
    expect('[');
    Range result;
    result.low = bound();
    expect(',');
    result.high = bound();
    expect(']');
    if (result.low > result.high) refuse("range of '" + name + "' runs backwards");
    return result;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string to_json(const CalibrationTable& table) {
  std::string text = fmt::format(
      "{{\n  \"format\": \"{}\",\n  \"version\": 1,\n  \"calibrator\": {},\n  \"samples\": {},\n  "
      "\"ranges\": {{",
      kFormat, json_string(table.calibrator), table.samples);
  const char* separator = "\n";
  for (const auto& [name, range] : table.ranges) {
    text += fmt::format("{}    {}: [{}, {}]", separator, json_string(name), range.low, range.high);
    separator = ",\n";
  }
  text += "\n  }";
  if (!table.calibrator_of.empty()) {
    text += ",\n  \"calibrators\": {";
    separator = "\n";
    for (const auto& [name, calibrator] : table.calibrator_of) {
      text += fmt::format("{}    {}: {}", separator, json_string(name), json_string(calibrator));
      separator = ",\n";
    }
    text += "\n  }";
  }
  return text + "\n}\n";
}

CalibrationTable table_from_json(std::string_view text) { return Reader(text).table(); }

void save_ranges(const CalibrationTable& table, const std::filesystem::path& path) {
  write_text(path, to_json(table));
}

CalibrationTable load_ranges(const std::filesystem::path& path) {
  return noting([&] { return "while reading " + path.string(); },
                [&] { return table_from_text(read_text(path)); });
}

}  // namespace kvant::quant
