// SPDX-License-Identifier: Apache-2.0
#include "report/page/page.h"

#include <array>

#include "report/page/html.h"

namespace kvant::report {

#define KVANT_ENTRY(command, function) std::string function(const CommandResult& result);
#include "report/page/sections.inc"
#undef KVANT_ENTRY

namespace {

struct Section {
  std::string_view command;
  std::string (*html)(const CommandResult& result);
};

constexpr auto kSections = std::to_array<Section>({
#define KVANT_ENTRY(command, function) {command, function},
#include "report/page/sections.inc"
#undef KVANT_ENTRY
});

}  // namespace

bool has_section(std::string_view command) {
  for (const Section& section : kSections) {
    if (section.command == command) return true;
  }
  return false;
}

std::string page(std::string_view title, std::span<const CommandResult> results,
                 std::span<const std::string> notes) {
  std::string body;
  for (const std::string& note : notes) body += paragraph(note);
  body += overview(results);
  for (const Section& section : kSections) {
    for (const CommandResult& result : results) {
      if (text_in(result.json, "command") == section.command) body += section.html(result);
    }
  }
  return document(title, body);
}

}  // namespace kvant::report
