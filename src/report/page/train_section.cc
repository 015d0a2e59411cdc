// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "report/page/chart.h"
#include "report/page/html.h"
#include "report/page/page.h"

namespace kvant::report {

std::string train_section(const CommandResult& result) {
  const Json& history = list_in(result.json, "history");
  if (history.empty()) return "";
  Chart losses{.x = {"epoch"}, .y = {"loss"}}, scores{.x = {"epoch"}, .y = {"top-1, %"}};
  Line loss{.name = "loss", .points = {}, .group = 0}, train{.name = "", .points = {}, .group = 0},
      held{.name = "", .points = {}, .group = 1};
  HtmlTable table({"epoch", "loss", "top-1 while training", "top-1 held out", "seconds"},
                  {Align::Right, Align::Right, Align::Right, Align::Right, Align::Right});
  for (const Json& epoch : history) {
    const auto at = number_in(epoch, "epoch"), value = number_in(epoch, "loss"),
               seen = number_in(epoch, "train_top1"), unseen = number_in(epoch, "val_top1");
    if (!at) continue;
    if (value) loss.points.emplace_back(*at, *value);
    if (seen) train.points.emplace_back(*at, 100 * *seen);
    if (unseen) held.points.emplace_back(*at, 100 * *unseen);
    table.add({shown(at, 0), shown(value, 4), per_cent(seen), per_cent(unseen),
               shown(number_in(epoch, "seconds"), 1)});
  }
  losses.lines = {loss};
  scores.lines = {train, held};
  scores.groups = {"while training", "held out"};
  std::string html = heading(2, "Training: " + text_in(result.json, "output"));
  html +=
      paragraph(fmt::format("From {}, {} images/s; best held-out top-1 {}.", text_in(result.json, "model"),
                            shown(number_in(result.json, "images_per_second"), 1),
                            per_cent(number_in(result.json, "best_val_top1"))));
  if (history.size() > 1) html += svg(losses) + svg(scores);
  return html + table.html();
}

}  // namespace kvant::report
