// SPDX-License-Identifier: Apache-2.0
#include "report/page/html.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace kvant::report {
namespace {

// Length of the UTF-8 sequence at `at`, 0 when it is none.
size_t sequence_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

constexpr std::string_view kStyle = R"(
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --paper: #fff; --bar: #cfe3f7; --stripe: #f6f8fa;
  --one: #1769aa; --two: #d9822b; --three: #2f8f5b; --roof: #8a94a3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #323b47; --paper: #14191f;
  --bar: #24405c; --stripe: #1a2129; --one: #63b1f0; --two: #f0a860; --three: #67c794; --roof: #7d8896; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1120px;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.4rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h1, h2, h3 { overflow-wrap: anywhere; } td { overflow-wrap: break-word; max-width: 26rem; }
.wide { overflow-x: auto; } h3 { margin-bottom: .4rem; }
p { max-width: 52rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left; }
th { white-space: nowrap; }
tr:nth-child(even) td { background-color: var(--stripe); } .right { text-align: right; white-space: nowrap; }
summary { cursor: pointer; color: var(--one); margin: .4rem 0; }
svg { display: block; max-width: 100%; height: auto; margin: .6rem 0; } svg text { fill: var(--ink); font-size: 11px; }
svg .axis { stroke: var(--line); } svg .roof { stroke: var(--roof); fill: none; stroke-dasharray: 5 3; }
svg .soft { fill: var(--soft); } .one { fill: var(--one); } .two { fill: var(--two); } .three { fill: var(--three); }
svg .line { fill: none; stroke-width: 1.8; } .line.one { stroke: var(--one); } .line.two { stroke: var(--two); }
.line.three { stroke: var(--three); } svg circle { fill-opacity: .75; }
)";

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t length = sequence_at(text, at);
    const char c = text[at];
    if (length > 1) {
      result += text.substr(at, length);
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else if (c == '\'') {
      result += "&#39;";
    } else {
      result += length == 1 && (c >= ' ' || c == '\n' || c == '\t') && c != 0x7f ? c : '?';
    }
    at += std::max<size_t>(length, 1);
  }
  return result;
}

std::string heading(int level, std::string_view text) {
  return fmt::format("<h{0}>{1}</h{0}>\n", level, escaped(text));
}

std::string paragraph(std::string_view text) { return fmt::format("<p>{}</p>\n", escaped(text)); }

std::string folded(std::string_view line, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(line), html);
}

HtmlTable::HtmlTable(std::vector<std::string> heading, std::vector<Align> align)
    : heading_(std::move(heading)), align_(std::move(align)) {
  align_.resize(heading_.size(), Align::Left);
}

void HtmlTable::add(std::vector<Cell> row) {
  KVANT_CHECK(row.size() == heading_.size(), "a table row does not fit its heading");
  rows_.push_back(std::move(row));
}

std::string HtmlTable::html() const {
  const auto said = [this](size_t column) {
    return std::ranges::any_of(rows_, [column](const auto& row) { return !row[column].text.empty(); });
  };
  const auto tag = [this](const char* name, size_t column) {
    return fmt::format("<{}{}", name, align_[column] == Align::Right ? " class=\"right\"" : "");
  };
  std::string result = "<div class=\"wide\"><table><thead><tr>";
  for (size_t i = 0; i < heading_.size(); ++i) {
    if (said(i)) result += tag("th", i) + ">" + escaped(heading_[i]) + "</th>";
  }
  result += "</tr></thead><tbody>\n";
  for (const std::vector<Cell>& row : rows_) {
    result += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      if (!said(i)) continue;
      result += tag("td", i);
      if (row[i].share > 0) {
        result += fmt::format(
            " style=\"background-image:linear-gradient(90deg,var(--bar) {0:.1f}%,transparent {0:.1f}%)\"",
            100 * std::min(row[i].share, 1.0));
      }
      result += ">" + escaped(row[i].text) + "</td>";
    }
    result += "</tr>\n";
  }
  return result + "</tbody></table></div>\n";
}

std::string document(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style></head>\n<body>\n<h1>{0}</h1>\n{2}</body></html>\n",
      escaped(title), kStyle, body);
}

}  // namespace kvant::report
